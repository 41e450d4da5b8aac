"""A carried position keeps a stop overnight: a trigger (GTT) that stands from the close to the morning.

A stop order dies with its session. After the close, when no order of the day can fill any more, the
house makes a GTT of each carried position's stop and reads it back. In the morning it takes the GTT
back, and reads that back too, before it takes the position over: the two never stand together, so
that what rests can never sell more than is owned. Where that cannot be made sure the position is
frozen: the GTT protects it, and the house sends nothing for it.

What is asked for is in the journal before it is sent. See docs/decisions/0018.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec

from kitestring.broker.kite_errors import KiteReadFailed
from kitestring.broker.kite_gtt import GttRow, GttState, GttTerms
from kitestring.core.order_rules import slices, stop_order_shape
from kitestring.core.trading_core import TradingCore
from kitestring.domain.events import BrokerOrderRow, OvernightStop
from kitestring.domain.ids import symbol_of
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price, show_rupees
from kitestring.domain.orders import OrdStatus, Product, Side
from kitestring.domain.positions import Book
from kitestring.engine.live_day import LiveDay
from kitestring.engine.replay import LIVE_NOTE

GAP_BP: Final = 300
"""How far through its trigger the GTT's LIMIT order reaches: an open gapped further leaves it resting."""
LOOKS: Final = 4
LOOK_AGAIN_S: Final = 1.5
MORNING_LOOKS: Final = 14
"""In the morning there is time: what cannot be settled leaves a position to a trigger that may be gone."""
UNPROTECTED: Final = "unprotected position"


class TriggerDesk(Protocol):
    """Where triggers are read, made and deleted; ``broker.kite_triggers``."""

    async def rows(self) -> tuple[GttRow, ...]:
        """All triggers; raises ``KiteReadFailed``."""
        ...

    async def place(self, terms: GttTerms, last_px: Price) -> int | str:
        """Make one: its number, or why it is not known to stand."""
        ...

    async def delete(self, trigger_id: int) -> int | str:
        """Take one back: its number, or why it is not known to be gone."""
        ...


async def take_back(
    desk: TriggerDesk, stops: Sequence[OvernightStop], now: Instant
) -> tuple[OvernightStop, ...]:
    """Take last night's triggers back before the day's own stops are sent; what became of each.

    All but those that are ``gone`` may close what they protected, or have: the house leaves it alone.
    """
    return tuple([await _taken_back(desk, stop, now, MORNING_LOOKS) for stop in stops])


async def look_for(
    desk: TriggerDesk, stops: Sequence[OvernightStop], now: Instant
) -> tuple[OvernightStop, ...]:
    """What became overnight of triggers that are to stay where they are."""
    return tuple([await _stood(desk, stop, now) for stop in stops])


async def _stood(desk: TriggerDesk, stop: OvernightStop, now: Instant) -> OvernightStop:
    what, why = _named(stop), ""
    for look in range(LOOKS):
        if look:
            await asyncio.sleep(LOOK_AGAIN_S)
        try:
            row = _found(stop, await desk.rows())
        except KiteReadFailed as error:
            why = f"the broker's triggers could not be read ({error.what})"
            continue
        if row is None:
            return _said(stop, now, "gone", f"{what} is not at the broker.")
        if row.state is GttState.TRIGGERED:
            return _fired(stop, row, now)
        if row.state is not GttState.ACTIVE:
            return _said(stop, now, "gone", f"{what} is {row.state.value}.", row.trigger_id)
        sentence = f"{what} stands, and the position is left to it."
        return _said(stop, now, "stands", sentence, row.trigger_id)
    sentence = f"{what} may stand, and the position is left to it: {why}."
    return _said(stop, now, "unknown", sentence)


async def _taken_back(
    desk: TriggerDesk, stop: OvernightStop, now: Instant, looks: int = LOOKS
) -> OvernightStop:
    what = _named(stop)
    why = ""
    for look in range(looks):
        if look:
            await asyncio.sleep(LOOK_AGAIN_S if look < LOOKS else 2 * LOOK_AGAIN_S)
        try:
            row = _found(stop, await desk.rows())
        except KiteReadFailed as error:
            why = f"the broker's triggers could not be read ({error.what})"
            continue
        if row is None:
            return _said(stop, now, "gone", f"{what} is not at the broker.")
        if row.state is GttState.TRIGGERED:
            return _fired(stop, row, now)
        if row.state is not GttState.ACTIVE:
            return _said(stop, now, "gone", f"{what} is {row.state.value}.", row.trigger_id)
        answer = await desk.delete(row.trigger_id)
        why = answer if isinstance(answer, str) else "it is still active although it was deleted"
        # Only the list proves it: the next look finds it deleted, fired, or still there.
        stop = msgspec.structs.replace(stop, trigger_id=row.trigger_id)
    return _said(
        stop,
        now,
        "unknown",
        f"{what} could not be taken back: {why}. It may stand, so the position is left to it.",
    )


def _fired(stop: OvernightStop, row: GttRow, now: Instant) -> OvernightStop:
    what = _named(stop)
    if not row.order_id:
        sentence = f"{what} fired, and its order was refused ({row.why or 'no reason given'})."
        return _said(stop, now, "gone", sentence, row.trigger_id)
    sentence = f"{what} fired: order {row.order_id}. What it sold is for the broker's books to say."
    fired = _said(stop, now, "fired", sentence, row.trigger_id)
    return msgspec.structs.replace(fired, order_id=row.order_id)


def not_out(stop: OvernightStop, row: BrokerOrderRow) -> str:
    """What a person must do about a trigger that fired and whose LIMIT order has not closed all."""
    left = row.order_qty - row.cum_qty
    over = OrdStatus(row.status).terminal
    stands = f"is over ({row.status})" if over else "rests"
    then = "" if over else "change that order to MARKET, or withdraw it and "
    return (
        f"{_named(stop)} fired, and its LIMIT order {row.order_id} at "
        f"{show_rupees(Price(stop.limit_px))} {stands}: {row.cum_qty} of {row.order_qty} traded, and "
        f"no stop covers the other {left}. The house sends nothing beside it. In Kite: {then}close "
        f"{left} there. The house books what trades."
    )


def sold_nothing(stop: OvernightStop, row: BrokerOrderRow, now: Instant) -> OvernightStop:
    """A trigger that fired, and whose order is over without a trade: the position goes on as ours."""
    sentence = (
        f"{_named(stop)} fired, and its order {row.order_id} is over ({row.status}) without a trade: "
        "the position goes on with a stop of the day's own."
    )
    return _said(stop, now, "gone", sentence)


async def leave_stops(
    desk: TriggerDesk, day: LiveDay, now: Instant, earlier: Iterable[OvernightStop] = ()
) -> None:
    """After the close: a trigger for every carried position that has a stop, read back.

    ``earlier``: what this evening has asked for before a restart. None is asked for twice.
    """
    core = day.core
    before = {_key(each): each for each in earlier}
    for book in list(core.portfolio.books.values()):
        if not carried_on(core, book):
            continue
        trade, last_px = book.trade, core.market.views[book.instrument].last_px
        owned = f"{book.net_qty} {symbol_of(book.instrument)} of {book.strategy}"
        if trade is None or trade.stop_px is None:
            _loud(day, f"{owned} stay open overnight without a stop: the plan has none.")
            continue
        instrument, side = core.instruments[book.instrument], trade.side.opposite
        _, limit_px, stop_px = stop_order_shape(instrument, side, trade.stop_px, GAP_BP)
        if (stop_px >= last_px) if side is Side.SELL else (stop_px <= last_px):
            _loud(
                day,
                f"{owned} stay open overnight without a stop: {show_rupees(stop_px)} is reached "
                f"already at {show_rupees(last_px)}, and a trigger there would not be taken.",
            )
            continue
        held = min(core.view.held(book), abs(book.net_qty))
        held -= held % instrument.lot_size
        if held < abs(book.net_qty):
            # More than the broker confirms would open the opposite position while nobody looks.
            _loud(
                day,
                f"Of {owned} the broker confirms {held}: no trigger for more is left overnight.",
            )
        parts = slices(held, instrument.freeze_qty, instrument.lot_size) if held else []
        for part, qty in enumerate(parts):
            asked = OvernightStop(
                at=now,
                strategy=book.strategy,
                instrument=book.instrument,
                product=book.product.value,
                side=side.value,
                qty=qty,
                stop_px=int(stop_px),
                limit_px=int(limit_px),
                step="asked",
                part=part,
            )
            again = before.get(_key(asked))
            if again is not None:
                after = await _looked_for(desk, again, now)
            else:
                asked = msgspec.structs.replace(asked, sentence=f"{_named(asked)} is asked for.")
                day.record(asked)
                after = await _placed(desk, asked, last_px, now)
            day.record(after)
            if after.step != "stands":
                _loud(day, after.sentence)
    _tell_of_the_kept_aside(day, before.values())
    for stop in too_many(core, list(before.values())):
        after = await _taken_back(desk, stop, now)
        day.record(after)
        if after.step != "gone":
            _loud(day, after.sentence)


def _tell_of_the_kept_aside(day: LiveDay, stops: Iterable[OvernightStop]) -> None:
    """What the day did not trade goes into the night under the trigger it has, or under none."""
    standing = {
        (each.strategy, each.instrument, each.product) for each in stops if each.step == "stands"
    }
    for book in day.core.portfolio.books.values():
        expiry = day.core.instruments[book.instrument].expiry
        over = expiry is not None and expiry <= day.core.settings.date
        whose = (book.owner or book.strategy, book.instrument, book.product.value)
        if book.net_qty and book.frozen and not over and whose not in standing:
            owned = f"{book.net_qty} {symbol_of(book.instrument)} of {book.owner or book.strategy}"
            _loud(day, f"{owned} stay open overnight without a stop: {book.frozen}.")


def too_many(core: TradingCore, stops: Sequence[OvernightStop]) -> list[OvernightStop]:
    """Triggers that would sell more than is owned: what they protected is gone, or less."""
    found: list[OvernightStop] = []
    for stop in stops:
        whose = (stop.strategy, stop.instrument, stop.product)
        waits = sum(
            each.qty for each in stops if (each.strategy, each.instrument, each.product) == whose
        )
        owned = sum(
            -Side(stop.side).sign * book.net_qty
            for book in core.portfolio.books.values()
            if (book.owner or book.strategy, book.instrument, book.product.value) == whose
        )
        if waits > owned:
            found.append(stop)
    return found


async def _looked_for(desk: TriggerDesk, stop: OvernightStop, now: Instant) -> OvernightStop:
    """What became of a trigger that was asked for before the house was started again."""
    what, why = _named(stop), ""
    for look in range(LOOKS):
        if look:
            await asyncio.sleep(LOOK_AGAIN_S)
        try:
            row = _found(stop, await desk.rows())
        except KiteReadFailed as error:
            why = f"the triggers could not be read ({error.what})"
            continue
        if row is not None and row.state is GttState.ACTIVE:
            return _said(stop, now, "stands", f"{what} stands.", row.trigger_id)
        why = "it is not in the list" if row is None else f"it is {row.state.value}"
    sentence = f"{what} was asked for and is not known to stand: {why}. It is not asked for again."
    return _said(stop, now, "unknown", f"{sentence} Look at GTT in Kite, and place it by hand.")


def _key(stop: OvernightStop) -> tuple[str, str, str, int]:
    return (stop.strategy, stop.instrument, stop.product, stop.part)


def carried_on(core: TradingCore, book: Book) -> bool:
    """Whether a book goes on into the next session as ours to protect."""
    expiry = core.instruments[book.instrument].expiry
    over = expiry is not None and expiry <= core.settings.date
    return bool(book.net_qty) and not book.frozen and book.product is not Product.MIS and not over


async def _placed(
    desk: TriggerDesk, asked: OvernightStop, last_px: Price, now: Instant
) -> OvernightStop:
    what = _named(asked)
    try:
        before = {row.trigger_id for row in await desk.rows()}
    except KiteReadFailed as error:
        sentence = f"{what} was not sent: the triggers could not be read ({error.what})."
        return _said(asked, now, "refused", f"{sentence} Place it by hand.")
    answer = await desk.place(_terms(asked), last_px)
    failed = ""
    for look in range(LOOKS):
        if look:
            await asyncio.sleep(LOOK_AGAIN_S)
        try:
            rows = await desk.rows()
        except KiteReadFailed as error:
            failed = f"the triggers could not be read ({error.what})"
            continue
        failed = ""
        for row in rows:
            ours = row.trigger_id == answer or (
                isinstance(answer, str)
                and row.trigger_id not in before
                and row.terms == _terms(asked)
            )
            if ours and row.state is GttState.ACTIVE:
                return _said(asked, now, "stands", f"{what} stands.", row.trigger_id)
    why = failed or (answer if isinstance(answer, str) else "it is not in the list")
    number = answer if isinstance(answer, int) else 0
    # An answer that never came is no refusal: the morning looks for it by its terms.
    sentence = f"{what} is not known to stand: {why}. Look at GTT in Kite, and place it by hand."
    return _said(asked, now, "unknown", sentence, number)


def _found(stop: OvernightStop, rows: Iterable[GttRow]) -> GttRow | None:
    """By its number; one whose number nobody heard by its exact terms, the newest."""
    if stop.trigger_id:
        return next((row for row in rows if row.trigger_id == stop.trigger_id), None)
    alike = [row for row in rows if row.terms == _terms(stop)]
    living = [row for row in alike if row.state in (GttState.ACTIVE, GttState.TRIGGERED)]
    return max(living or alike, key=lambda row: row.trigger_id, default=None)


def _terms(stop: OvernightStop) -> GttTerms:
    return GttTerms(
        instrument=stop.instrument,
        product=stop.product,
        side=Side(stop.side),
        qty=stop.qty,
        stop_px=Price(stop.stop_px),
        limit_px=Price(stop.limit_px),
    )


def _named(stop: OvernightStop) -> str:
    number = f" {stop.trigger_id}" if stop.trigger_id else ""
    return (
        f"The overnight stop{number} ({stop.side} {stop.qty} {symbol_of(stop.instrument)} "
        f"from {show_rupees(Price(stop.stop_px))})"
    )


def _said(
    stop: OvernightStop, now: Instant, step: str, sentence: str, trigger_id: int = 0
) -> OvernightStop:
    return msgspec.structs.replace(
        stop, at=now, step=step, sentence=sentence, trigger_id=trigger_id or stop.trigger_id
    )


def _loud(day: LiveDay, sentence: str) -> None:
    day.note(f"{LIVE_NOTE}{UNPROTECTED}", sentence)
