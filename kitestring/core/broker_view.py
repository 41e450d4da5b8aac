"""What the house believes of the broker's books, and what it does where they are not ours.

Two trusted looks that show the same difference make it certain. A fill that is still to be told is
waited for; what others closed of ours is booked from their trades; what nothing explains freezes
the position: no entry in that contract, and no exit beyond what the broker confirms, until two
looks agree again or a person resolves it. Books that cannot be believed stop every entry and
nothing else. See docs/decisions/0014.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from kitestring.core.cells import Dirty
from kitestring.core.core_state import CoreState
from kitestring.core.exit_limits import cut, share_of
from kitestring.core.exits import Want
from kitestring.core.instrument_view import InstrumentView
from kitestring.core.order_manager import OrderManager
from kitestring.core.portfolio import Portfolio
from kitestring.core.reconciler import (
    Cause,
    Difference,
    Missing,
    cause_of,
    differences,
    explain,
    foreign_net,
    key_of,
    position_key,
    trade_name,
    with_delivered,
)
from kitestring.core.risk_state import Standing
from kitestring.core.view_state import CELL, Frozen, ViewState
from kitestring.domain.events import (
    BrokerSnapshot,
    Discrepancy,
    Fact,
    Note,
    OperatorCommand,
    OthersTrade,
    Resolution,
)
from kitestring.domain.ids import ClOrdId, ExecId, InstrumentId, OrderId, StrategyId, symbol_of
from kitestring.domain.instants import Instant, ist_clock
from kitestring.domain.money import Money, Price, show_rupees
from kitestring.domain.orders import (
    ExecType,
    ExecutionReport,
    ExitReason,
    Order,
    OrdStatus,
    OrdType,
    Product,
    Purpose,
    Side,
)
from kitestring.domain.positions import Book, CarriedPosition, RoundTrip
from kitestring.domain.verdicts import CancelOrder

DIFFERS: Final = "BROKER_DIFFERS"
BANNED: Final = "TOUCHED_BY_HAND"
OPPOSED: Final = "OPPOSITE_BY_HAND"
CARRIED: Final = "CARRIED_FROZEN"
_RESTING: Final = (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED)
_BOOKS: Final = "the broker's books"
_DONE_BY: Final = {
    Cause.GUARD: ("the guard", ExitReason.GUARD),
    Cause.RMS_SQUARE_OFF: ("the broker's risk desk", ExitReason.RMS),
    Cause.MANUAL_TRADE: ("hand", ExitReason.MANUAL),
}


class Hands(NamedTuple):
    """What the trading core does for us."""

    record: Callable[[Fact], None]
    book_fill: Callable[[Order, ExecutionReport], RoundTrip | None]
    changed: Callable[[Book, RoundTrip | None], None]
    """A book's quantity changed without a fill."""
    settle: Callable[[Book], None]
    leave: Callable[[Book, ExitReason], None]
    want: Callable[[Want], None]


class BrokerView:
    """The broker's books beside ours, for one day."""

    def __init__(
        self,
        core: Callable[[], CoreState],
        orders: OrderManager,
        portfolio: Portfolio,
        views: Mapping[InstrumentId, InstrumentView],
        dirty: Dirty,
        hands: Hands,
    ) -> None:
        self.state = ViewState()
        self._core = core
        """Asked each time: a restart puts another one in its place."""
        self._orders = orders
        self._portfolio = portfolio
        self._views = views
        self._dirty = dirty
        self._hands = hands

    def restore(self, cells: Mapping[str, bytes]) -> None:
        """Take up what a recovered journal remembers."""
        raw = cells.get(CELL)
        if raw is not None:
            self.state = msgspec.msgpack.decode(raw, type=ViewState)

    def carry(self, position: CarriedPosition, book: Book) -> None:
        """Part of what the broker shows as carried is ours, and so is a stop that waited overnight."""
        state, key = self.state, key_of(book)
        state.carried[key] = state.carried.get(key, 0) + position.net_qty
        if position.left_to:
            state.left_to[book.strategy] = position.left_to
        for order_id in position.left_orders:
            state.overnight[order_id] = book.strategy
        self._keep()

    def left_to(self, book: Book) -> str:
        """What at the broker may close a book by itself; an exit beside it would be one too many."""
        return self.state.left_to.get(book.strategy, "")

    # ── what others ask ──────────────────────────────────────────────────────────────────────

    @property
    def wants_look(self) -> bool:
        """Something was seen once, or touched: the books should be read again soon."""
        state = self.state
        return state.curious or any(name not in state.told for name in state.seen)

    @property
    def uneasy(self) -> bool:
        """Something does not agree, for however long: the books are read more often."""
        return bool(self.state.seen or self.state.frozen)

    def shut(self, instrument: InstrumentId) -> bool:
        """Whether it is settled that nothing more is entered in a contract for now."""
        state = self.state
        return bool(state.banned or state.frozen) and (
            instrument in state.banned
            or any(each.instrument == instrument for each in state.frozen.values())
        )

    def weigh(self, standing: Standing, book: Book, side: Side) -> None:
        """Close the door for an entry in a contract that does not agree, or that a person touched.

        Nor against a position that is not ours: the broker nets the two, and our exit would have
        to be larger than what it shows.
        """
        state, instrument = self.state, book.instrument
        if not standing.entries_open:
            return
        foreign = state.foreign.get(key_of(book), 0)
        if foreign * side.sign < 0:
            standing.entries_open = False
            standing.entries_closed_code = OPPOSED
            standing.entries_closed_why = f"{foreign:+} of it in the account is not the house's, and the broker would net the two"
            return
        aside = self._kept_aside(book)
        if aside is not None:
            standing.entries_open = False
            standing.entries_closed_code = CARRIED
            standing.entries_closed_why = (
                f"{aside.net_qty} of it carried by {aside.owner} are not traded today "
                f"({aside.frozen}); a second position beside them could not be told from them"
            )
            return
        if not (state.seen or state.frozen or state.banned):
            return
        code, why = DIFFERS, ""
        for each in state.frozen.values():
            if each.instrument == instrument:
                why = f"{each.sentence} Entries wait for it to agree, or for `resolve`."
        for name, where in state.seen.items():
            if where == instrument and not why:
                why = f"the broker's books differ ({name}); entries in it wait"
        if not why and instrument in state.banned:
            code, why = BANNED, state.banned[instrument]
        if why:
            standing.entries_open = False
            standing.entries_closed_code, standing.entries_closed_why = code, why

    def clip(self, book: Book, wants: Sequence[Want], at: Instant) -> Sequence[Want]:
        """Exits may be as large as the broker confirms, and no larger."""
        if key_of(book) not in self.state.confirmed or not book.net_qty:
            return wants
        return cut(
            wants,
            book,
            self.held(book),
            self._orders,
            self._views[book.instrument].instrument.lot_size,
            at,
            resting_too=key_of(book) in self.state.frozen,
        )

    def held(self, book: Book) -> int:
        """How much of a book's position the broker confirms: all, where it shows nothing less."""
        net = self.state.confirmed.get(key_of(book))
        if net is None:
            return abs(book.net_qty)
        return share_of(book, self._due(), self._portfolio.books.values(), net)

    def heard(self, order: Order, report: ExecutionReport, *, booked: bool) -> None:
        """A report of an order of ours. What closes leaves so much less for the next exit.

        Unless the look had counted it already: then it is late, and the broker's net is what it was.
        """
        state = self.state
        if report.exec_type is ExecType.UNKNOWN:
            state.curious = True
            self._keep()
        key = position_key(order.instrument, order.product.value)
        net = state.confirmed.get(key)
        if not booked or net is None or net * order.side.sign >= 0:
            return
        known = max(state.counted.get(order.cl_ord_id, 0), order.cum_qty - report.last_qty)
        left = net + max(order.cum_qty - known, 0) * order.side.sign
        state.confirmed[key] = left if left * net > 0 else 0
        self._keep()

    def _due(self) -> dict[StrategyId, int]:
        """What books hold once all is told that the broker has counted, where that is not told yet."""
        due: dict[StrategyId, int] = {}
        for tag, counted in self.state.counted.items():
            order = self._orders.table.get(tag)
            if order is not None and counted > order.cum_qty:
                holds = due.get(order.strategy, self._portfolio.books[order.strategy].net_qty)
                due[order.strategy] = holds + (counted - order.cum_qty) * order.side.sign
        return due

    def _kept_aside(self, book: Book) -> Book | None:
        """A carried position of the same strategy in the same contract that is not traded today."""
        for each in self._portfolio.books.values():
            same = (each.owner, each.instrument, each.product) == (
                book.strategy,
                book.instrument,
                book.product,
            )
            if same and each.frozen and each.net_qty:
                return each
        return None

    # ── looks ────────────────────────────────────────────────────────────────────────────────

    def hear(self, snapshot: BrokerSnapshot) -> None:
        """Lay one look at the broker's books beside ours."""
        core = self._core()
        if not snapshot.trusted:
            if not core.untrusted.startswith(_BOOKS):  # Its age would make every look a new one.
                self.distrust(_BOOKS, "not to be trusted", snapshot.why)
            return
        snapshot = with_delivered(snapshot, self.state.carried)
        state, was = self.state, core.untrusted or next(iter(self.state.seen), "")
        same_read = snapshot.read_at and snapshot.read_at == state.read_at
        core.untrusted = ""
        state.curious = False
        state.read_at = snapshot.read_at
        found = differences(snapshot, self._orders, self._portfolio)
        again = [] if same_read else [each for each in found if each.name in state.seen]
        before = dict(state.confirmed)
        self._remember(found, snapshot, fresh=not same_read)
        for each in again:
            self._certain(each, snapshot)
        state.foreign = foreign_net(snapshot, state.carried, state.booked)
        if was and not found and not state.frozen:
            self._say("explained", f"The broker's books agree again ({was}).")
        self._keep()
        if before or state.confirmed:
            self._look_at_exits({*before, *state.confirmed})

    def distrust(self, what: str, ours: str, theirs: str) -> None:
        """Entries stop everywhere until a look can be believed again."""
        core = self._core()
        core.untrusted = f"{what}: {ours} ({theirs})"
        self._hands.record(Discrepancy(at=core.now, what=what, ours=ours, theirs=theirs))

    def _remember(self, found: list[Difference], snapshot: BrokerSnapshot, *, fresh: bool) -> None:
        state = self.state
        state.seen = {each.name: each.instrument for each in found}
        state.told = [name for name in state.told if name in state.seen]
        missing = [each.missing for each in found if each.missing is not None]
        state.confirmed = {each.key: each.theirs for each in missing}
        rows = {row.cl_ord_id: row.cum_qty for row in snapshot.orders} if missing else {}
        state.counted = {
            tag: rows[tag]
            for tag, order in self._orders.table.items()
            if rows.get(tag, 0) > order.cum_qty
        }
        for key, frozen in list(state.frozen.items()):
            if key in state.confirmed:
                frozen.agreed = False
                frozen.theirs = state.confirmed[key]
                continue
            if frozen.agreed and fresh:
                del state.frozen[key]
                self._say("explained", f"{key} agrees again ({frozen.sentence})")
                continue
            frozen.agreed = True
            state.confirmed[key] = frozen.theirs = snapshot.net_qty.get(key, 0)

    def _certain(self, found: Difference, snapshot: BrokerSnapshot) -> None:
        """The same difference in two looks."""
        state, missing = self.state, found.missing
        if found.name not in state.told:
            state.told.append(found.name)
            self._hands.record(
                Discrepancy(at=snapshot.at, what=found.what, ours=found.ours, theirs=found.theirs)
            )
        if missing is None:
            return
        books = self._books(missing.key)
        why = explain(
            missing,
            snapshot,
            books,
            carried=state.carried.get(missing.key, 0),
            booked=state.booked,
        )
        if why.cause is Cause.UNEXPLAINED:
            self._freeze(found, missing, snapshot)
        elif why.trades:
            for trade, qty in why.trades:
                self._book(trade, qty, books)
            by_others = any(trade.order_id not in state.overnight for trade, _ in why.trades)
            state.seen.pop(found.name, None)
            state.told.remove(found.name)
            state.confirmed.pop(missing.key, None)
            state.frozen.pop(missing.key, None)
            if by_others:
                self._withdraw_entries(found.instrument, "closed by others")
            for book in books:
                self._hands.settle(book)

    def _look_at_exits(self, keys: set[str]) -> None:
        for book in list(self._portfolio.books.values()):
            if book.net_qty and key_of(book) in keys:
                self._hands.settle(book)

    # ── what others did ──────────────────────────────────────────────────────────────────────

    def _book(self, trade: OthersTrade, qty: int, books: Sequence[Book]) -> None:
        """Book what traded of ours without a tag of ours, at the real price and under the real id."""
        state, left, part = self.state, qty, 0
        name = trade_name(trade)
        by, reason = _DONE_BY[cause_of(trade)]
        stopped = state.overnight.get(trade.order_id)
        if stopped is not None:
            by, reason = "the overnight stop", ExitReason.STOP
        for book in sorted(books, key=lambda each: each.strategy != stopped):
            mine = min(left, abs(book.net_qty)) if book.net_qty * trade.side.sign < 0 else 0
            if not mine:
                continue
            assert book.trade is not None
            part += 1
            left -= mine
            value = state.values.get(trade.order_id, Money(0)) + trade.px * mine
            state.values[trade.order_id] = value
            if mine == abs(book.net_qty):
                book.trade.leaving = reason
            order = _order_of_others(trade, book, mine, value)
            exec_id = trade.trade_id if part == 1 else f"{trade.trade_id}/{part}"
            self._hands.book_fill(order, _report_of(trade, order, mine, exec_id))
        state.booked[name] = state.booked.get(name, 0) + qty
        verb = "bought" if trade.side.sign > 0 else "sold"
        sentence = (
            f"{qty} {symbol_of(trade.instrument)} of ours were {verb} by {by} at "
            f"{show_rupees(trade.px)}, {ist_clock(trade.at)}"
        )
        if stopped is not None:
            self._say("overnight stop", f"{sentence} (order {trade.order_id}). It is booked.")
            return
        self._ban(trade.instrument, f"{sentence}; nothing is entered in it again today.")
        self._say(
            "closed by others",
            f"{sentence} (order {trade.order_id}). It is booked, and what is left of our orders is "
            "withdrawn; nothing is entered in it again today.",
        )

    def withdrawn(self, order: Order, book: Book, report: ExecutionReport) -> bool:
        """The broker tells of an order of ours that somebody else withdrew.

        ``True``: the person means it, and the order is not sent again. A withdrawal without a word of
        the broker's is a person's; the risk desk and the exchange say why they do it.
        """
        self.state.curious = True
        self._keep()
        if report.text:
            return False
        what = {Purpose.ENTRY: "entry", Purpose.STOP: "stop"}.get(order.purpose, "exit")
        symbol = symbol_of(order.instrument)
        said = f"Our {what} {order.order_id or order.cl_ord_id} in {symbol} was cancelled by hand"
        self._ban(order.instrument, f"{said}; nothing is entered in it again today.")
        trade = book.trade
        means_it = False
        kind, then = "cancelled by hand", "nothing is entered in it again today"
        if order.purpose is Purpose.STOP and trade is not None and trade.leaving is None:
            name = f"{book.strategy}@{trade.entry_at}"
            means_it = name in self.state.stops_cancelled
            if means_it:
                trade.stop_px = trade.trail_by = None
                self._portfolio.touch(book)
                kind = "unprotected position"
                then = (
                    f"for the second time: it is not sent again. {book.net_qty} {symbol} are held "
                    "without a stop until a signal, a loss limit or the square-off closes them"
                )
            else:
                self.state.stops_cancelled.append(name)
                then = "it is sent again once: cancel it again to hold without a stop"
        elif order.purpose is Purpose.EXIT:
            then = "the position is still being left, and the exit is sent again"
        self._say(kind, f"{said}; {then}.")
        self._keep()
        return means_it

    # ── what nothing explains ────────────────────────────────────────────────────────────────

    def _freeze(self, found: Difference, missing: Missing, snapshot: BrokerSnapshot) -> None:
        state = self.state
        frozen = state.frozen.get(missing.key)
        if frozen is None:
            row = next(
                (
                    row
                    for row in snapshot.positions
                    if position_key(row.instrument, row.product) == missing.key
                ),
                None,
            )
            sentence = (
                f"{missing.key} is frozen: we own {missing.ours}, the broker shows {missing.theirs}, "
                "and no trade explains it."
            )
            frozen = state.frozen[missing.key] = Frozen(
                key=missing.key,
                instrument=found.instrument,
                at=snapshot.at,
                ours=missing.ours,
                theirs=missing.theirs,
                last_px=Price(0) if row is None else row.last_px or row.average_px,
                sentence=sentence,
            )
            self._say(
                "frozen",
                f"{sentence} No entries in it; exits up to what the broker confirms. To end it: "
                f"kitestring resolve {found.instrument} adopt|release|flatten",
            )
        self._withdraw_entries(found.instrument, "its position is not explained")

    def resolve(self, command: OperatorCommand) -> None:
        """A person says what becomes of a frozen position."""
        core = self._core()
        state, chosen = self.state, command.resolution
        named = InstrumentId(command.instrument)
        frozen = [each for each in state.frozen.values() if each.instrument == named]
        if not frozen or chosen is None:
            self._say(
                "resolve",
                f"{named or 'Nothing'} is not frozen: nothing to resolve, nothing changed.",
            )
            return
        if core.untrusted and chosen is not Resolution.RELEASE:
            self._say(
                "resolve",
                f"{named} stays as it is: the broker's books cannot be believed now "
                f"({core.untrusted}). Try again, or release it.",
            )
            return
        books = [book for each in frozen for book in self._books(each.key)]
        left_to = next(filter(None, map(self.left_to, books)), "")
        if left_to and chosen is not Resolution.RELEASE:
            self._say(
                "resolve",
                f"{named} stays as it is: {left_to} Withdraw that in Kite and close the position "
                "there, or release it.",
            )
            return
        for each in frozen:
            self._resolve(each, chosen, command.at)
        state.seen = {name: where for name, where in state.seen.items() if where != named}
        self._keep()

    def _resolve(self, frozen: Frozen, chosen: Resolution, at: Instant) -> None:
        state, books = self.state, self._books(frozen.key)
        # What we have exited since the last look is no longer the broker's to confirm.
        theirs = state.confirmed.get(frozen.key, frozen.theirs)
        adopted = chosen is Resolution.ADOPT
        shares = [
            (book, share_of(book, {}, books, theirs) * (1 if book.net_qty > 0 else -1))
            for book in books
        ]
        turned = adopted and theirs and not any(share for _, share in shares)
        state.confirmed.pop(frozen.key, None)
        state.frozen.pop(frozen.key, None)
        px, source = frozen.last_px, "the broker's price of the position"
        if not px:
            px, source = self._views[frozen.instrument].last_px, "the last price of the feed"
        for place, (book, share) in enumerate(shares):
            target = 0 if chosen is Resolution.RELEASE else share
            if turned and place == 0:
                target = theirs
            self._adjust(book, target, px, source, f"{chosen}, said by the operator", at)
            if chosen is Resolution.FLATTEN and book.net_qty:
                book.frozen = ""  # A person's word: what was carried and not touched is closed now.
                self._hands.leave(book, ExitReason.OPERATOR)
        left = sum(book.net_qty for book in books)
        ends = {
            Resolution.ADOPT: f"the broker's {theirs} are ours now",
            Resolution.RELEASE: f"the broker's {theirs} are yours now, the house has forgotten its own",
            Resolution.FLATTEN: f"the {left} that the broker confirms are closed",
        }[chosen]
        self._say("resolved", f"{frozen.key}: {ends}. What differed is booked as adjusted.")
        if not adopted:
            said = f"{frozen.key} was resolved by hand ({chosen}) at {ist_clock(at)}"
            self._ban(frozen.instrument, f"{said}; nothing is entered in it again today.")
        elif turned or any(
            book.trade and (book.frozen or book.trade.stop_px is None) for book in books
        ):
            self._say("unprotected position", f"{frozen.key}: {left} have no stop.")

    def _adjust(
        self, book: Book, target: int, px: Price, source: str, reason: str, at: Instant
    ) -> None:
        if book.net_qty != target:
            fact, trip = self._portfolio.adjust(book, target, px, at, source=source, reason=reason)
            self._hands.record(fact)
            self._hands.changed(book, trip)
        self._hands.settle(book)

    # ── bookkeeping ──────────────────────────────────────────────────────────────────────────

    def _books(self, key: str) -> list[Book]:
        return [
            book for book in self._portfolio.books.values() if book.net_qty and key_of(book) == key
        ]

    def _withdraw_entries(self, instrument: InstrumentId, reason: str) -> None:
        at = self._core().now
        for order in self._orders.entries_working():
            if order.instrument == instrument and order.status in _RESTING:
                self._hands.want(CancelOrder(cl_ord_id=order.cl_ord_id, at=at, reason=reason))

    def _ban(self, instrument: InstrumentId, why: str) -> None:
        self.state.banned.setdefault(instrument, why)
        self._keep()

    def _say(self, kind: str, sentence: str) -> None:
        self._hands.record(Note(at=self._core().now, kind=kind, sentence=sentence))

    def _keep(self) -> None:
        self._dirty[CELL] = self.state


def _order_of_others(trade: OthersTrade, book: Book, qty: int, value: Money) -> Order:
    """Somebody else's order, as far as booking needs it; it never enters the order table."""
    return Order(
        cl_ord_id=ClOrdId(trade.order_id),
        strategy=book.strategy,
        instrument=trade.instrument,
        side=trade.side,
        order_qty=qty,
        ord_type=OrdType.MARKET,
        product=Product(trade.product),
        purpose=Purpose.EXIT,
        reason="not ours",
        decision_px=trade.px,  # We decided nothing, so that nothing slipped.
        created_at=trade.at,
        updated_at=trade.at,
        status=OrdStatus.FILLED,
        order_id=OrderId(trade.order_id),
        cum_qty=qty,
        traded_value=value,
    )


def _report_of(trade: OthersTrade, order: Order, qty: int, exec_id: str) -> ExecutionReport:
    return ExecutionReport(
        cl_ord_id=order.cl_ord_id,
        exec_type=ExecType.TRADE,
        event_at=trade.at,
        order_id=order.order_id,
        exec_id=ExecId(exec_id),
        last_qty=qty,
        last_px=trade.px,
        cum_qty=qty,
    )
