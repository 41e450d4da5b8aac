"""The board of the day: what every instrument that ticks looks like now, as columns of whole numbers.

Quotes and ticker packets are both read from here, so they cannot disagree. A row is opened for an
instrument when it first ticks or is first asked for; 9 000 ticks of one frame are taken in as columns,
one tick as plain numbers, with the same result.

What a tick does not say is made of what it says, and always alike: the last trade is a part of the
volume since the tick before (whole lots); the average price weighs each growth of the volume with the
price after it; the orders of the whole book are about two hundred times the usual quantity at the best price,
as in recorded quotes of shares and index futures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final, NamedTuple, NotRequired, TypedDict

import numpy as np

from kitestring.domain.bars import Bar
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import SECOND, Instant, ist
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import UNITS_PER_RUPEE, Price, on_tick_down, on_tick_up
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.depth import DepthColumns, Ints, depth_columns
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.rules import OrderRules, price_range

# The places in a row of the board.
TOKEN: Final = 0
LOT: Final = 1
TICK_SIZE: Final = 2
SHOWN: Final = 3
"""1 where ticks carry depth."""
CLOSE: Final = 4
"""The close of the trading day before."""
LAST_PX: Final = 5
LAST_QTY: Final = 6
VOLUME: Final = 7
TURNOVER: Final = 8
OPEN: Final = 9
HIGH: Final = 10
LOW: Final = 11
TRADED_AT: Final = 12
EVENT_AT: Final = 13
OI: Final = 14
OI_HIGH: Final = 15
OI_LOW: Final = 16
BID_PX: Final = 17
BID_QTY: Final = 18
ASK_PX: Final = 19
ASK_QTY: Final = 20
BID_USUAL: Final = 21
ASK_USUAL: Final = 22
WIDTH: Final = 23

_SMALL: Final = 12
"""Up to so many ticks plain numbers are quicker than columns."""
_WHOLE_BOOK: Final = 200
_VISIBLE_MOST: Final = 22
"""Five levels never show more than so many times the mean best quantity (see ``depth``)."""
_SPREAD: Final = 2_654_435_761
"""Knuth's multiplicative hash: which part of a growth was the last trade."""

_INSTRUMENT: Final = attrgetter("instrument")
_NUMBERS: Final = tuple(
    map(
        attrgetter,
        ("event_at", "last_px", "cum_qty", "bid_px", "bid_qty", "ask_px", "ask_qty", "oi"),
    )
)


class Level(TypedDict):
    """One level of a quote's depth."""

    price: float
    quantity: int
    orders: int


class Ohlc(TypedDict):
    """The day's prices; ``close`` is the close of the day before."""

    open: float
    high: float
    low: float
    close: float


class Sides(TypedDict):
    """Five levels of each side."""

    buy: list[Level]
    sell: list[Level]


class Quote(TypedDict):
    """A row of ``/quote``; an index has only what an index has."""

    instrument_token: int
    timestamp: str | None
    last_trade_time: NotRequired[str | None]
    last_price: float
    last_quantity: NotRequired[int]
    buy_quantity: NotRequired[int]
    sell_quantity: NotRequired[int]
    volume: NotRequired[int]
    average_price: NotRequired[float]
    oi: NotRequired[int]
    oi_day_high: NotRequired[int]
    oi_day_low: NotRequired[int]
    net_change: float
    lower_circuit_limit: NotRequired[float]
    upper_circuit_limit: NotRequired[float]
    ohlc: Ohlc
    depth: NotRequired[Sides]


class OhlcQuote(TypedDict):
    """A row of ``/quote/ohlc``."""

    instrument_token: int
    last_price: float
    ohlc: Ohlc


class LtpQuote(TypedDict):
    """A row of ``/quote/ltp``."""

    instrument_token: int
    last_price: float


class PacketColumns(NamedTuple):
    """What packets carry, one entry a row: prices in 1/10 000 rupee, moments in whole seconds."""

    token: Ints
    last_px: Ints
    last_qty: Ints
    average_px: Ints
    volume: Ints
    buy_qty: Ints
    sell_qty: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    traded_at: Ints
    oi: Ints
    oi_high: Ints
    oi_low: Ints
    event_at: Ints


class MarketBoard:
    """The day's figures of every instrument that ticks.

    ``previous_close`` answers with the close of the trading day before, ``None`` where it is not
    known; it is asked once, when a row is opened.
    """

    def __init__(
        self,
        listing: Listing,
        previous_close: Callable[[InstrumentId], Price | None],
        rules: OrderRules | None = None,
    ) -> None:
        self._listing = listing
        self._previous_close = previous_close
        self._rules = rules or OrderRules()
        self._table: Ints = np.zeros((64, WIDTH), dtype=np.int64)
        self._rows: dict[InstrumentId, int] = {}
        self.instruments: list[Instrument] = []
        """By row."""

    def __len__(self) -> int:
        return len(self.instruments)

    def row_of(self, instrument: InstrumentId) -> int | None:
        """The row of an instrument, opened if need be; ``None`` if it is not listed today."""
        row = self._rows.get(instrument)
        if row is not None:
            return row
        listed = self._listing.by_key.get(instrument)
        return None if listed is None else self._open_row(listed)

    def listed(self, token: int) -> Instrument | None:
        """The instrument of a token; ``None`` if it is not listed today."""
        return self._listing.by_token.get(token)

    def opened_row(self, instrument: InstrumentId) -> int | None:
        """The row of an instrument if it has one."""
        return self._rows.get(instrument)

    def _open_row(self, instrument: Instrument, known: Price | None = None) -> int:
        row = len(self.instruments)
        if row == len(self._table):
            self._table = np.concatenate((self._table, np.zeros_like(self._table)))
        self.instruments.append(instrument)
        self._rows[instrument.id] = row
        if known is None:
            known = self._previous_close(instrument.id)
        close = int(known or 0)
        self._table[row, TOKEN] = instrument.token
        self._table[row, LOT] = max(instrument.lot_size, 1)
        self._table[row, TICK_SIZE] = int(instrument.tick_size)
        self._table[row, SHOWN] = instrument.has_depth
        self._table[row, CLOSE] = self._table[row, LAST_PX] = close
        return row

    # ── ticks come in ────────────────────────────────────────────────────────────────────────

    def apply(self, frame: TickFrame) -> Ints:
        """Take in a frame; the rows that changed, in their order, each once."""
        return self.apply_ticks(frame.ticks)

    def apply_ticks(self, ticks: Sequence[Tick]) -> Ints:
        """Take in some ticks of a frame. A tick without a price, or of nothing listed, is left out."""
        if len(ticks) <= _SMALL:
            return self._apply_few(ticks)
        rows = self._rows_of(ticks)
        numbers: Ints = np.empty((len(_NUMBERS), len(ticks)), dtype=np.int64)
        for place, number in enumerate(_NUMBERS):
            numbers[place] = np.fromiter(map(number, ticks), np.int64, len(ticks))
        taken = (rows >= 0) & (numbers[1] > 0)
        if not taken.all():
            rows, numbers = rows[taken], numbers[:, taken]
        changed: Ints
        changed, first = np.unique(rows, return_index=True)
        while len(first) < len(rows):  # An instrument that ticks twice is taken in twice.
            self._apply_columns(rows[first], numbers[:, first])
            rows, numbers = np.delete(rows, first), np.delete(numbers, first, axis=1)
            _, first = np.unique(rows, return_index=True)
        self._apply_columns(rows, numbers)
        return changed

    def _rows_of(self, ticks: Sequence[Tick]) -> Ints:
        known = self._rows
        try:
            return np.fromiter(
                map(known.__getitem__, map(_INSTRUMENT, ticks)), np.int64, len(ticks)
            )
        except KeyError:
            found = [self.row_of(tick.instrument) for tick in ticks]
            return np.array([-1 if row is None else row for row in found], dtype=np.int64)

    def _apply_few(self, ticks: Sequence[Tick]) -> Ints:
        changed: set[int] = set()
        for tick in ticks:
            row = self.row_of(tick.instrument)
            if row is not None and tick.last_px:
                self._apply_one(row, tick)
                changed.add(row)
        return np.array(sorted(changed), dtype=np.int64)

    def _apply_one(self, row: int, tick: Tick) -> None:
        cells: list[int] = self._table[row].tolist()
        px, lot = int(tick.last_px), cells[LOT]
        begins = not cells[EVENT_AT]
        grown = max(tick.cum_qty - cells[VOLUME], 0)
        if grown:
            lots = max(grown // lot, 1)
            cells[LAST_QTY] = min((((tick.cum_qty * _SPREAD) >> 9) % lots + 1) * lot, grown)
            cells[VOLUME] = tick.cum_qty
            cells[TURNOVER] += grown * px
        if begins or grown or px != cells[LAST_PX]:
            cells[TRADED_AT] = tick.event_at
        cells[LAST_PX], cells[EVENT_AT] = px, tick.event_at
        if begins:
            cells[OPEN] = cells[HIGH] = cells[LOW] = px
        else:
            cells[HIGH], cells[LOW] = max(cells[HIGH], px), min(cells[LOW], px)
        if tick.oi:
            cells[OI_HIGH] = max(cells[OI_HIGH], tick.oi)
            cells[OI_LOW] = min(cells[OI_LOW] or tick.oi, tick.oi)
            cells[OI] = tick.oi
        if cells[SHOWN]:
            cells[BID_PX], cells[BID_QTY] = int(tick.bid_px), tick.bid_qty
            cells[ASK_PX], cells[ASK_QTY] = int(tick.ask_px), tick.ask_qty
            bid, ask = cells[BID_USUAL], cells[ASK_USUAL]
            cells[BID_USUAL] = tick.bid_qty << 5 if not bid else bid + tick.bid_qty - (bid >> 5)
            cells[ASK_USUAL] = tick.ask_qty << 5 if not ask else ask + tick.ask_qty - (ask >> 5)
        self._table[row] = cells

    def _apply_columns(self, rows: Ints, numbers: Ints) -> None:
        """``_apply_one`` of many rows at once, each named once."""
        cells = self._table[rows].T.copy()
        event_at, px, cum_qty, bid_px, bid_qty, ask_px, ask_qty, oi = numbers
        begins = cells[EVENT_AT] == 0
        grown = np.maximum(cum_qty - cells[VOLUME], 0)
        traded = grown > 0
        lots = np.maximum(grown // cells[LOT], 1)
        last_qty = np.minimum((((cum_qty * _SPREAD) >> 9) % lots + 1) * cells[LOT], grown)
        cells[LAST_QTY] = np.where(traded, last_qty, cells[LAST_QTY])
        cells[VOLUME] = np.maximum(cells[VOLUME], cum_qty)
        cells[TURNOVER] += grown * px
        moved = begins | traded | (px != cells[LAST_PX])
        cells[TRADED_AT] = np.where(moved, event_at, cells[TRADED_AT])
        cells[LAST_PX], cells[EVENT_AT] = px, event_at
        cells[OPEN] = np.where(begins, px, cells[OPEN])
        cells[HIGH] = np.maximum(cells[HIGH], px)
        cells[LOW] = np.where(begins, px, np.minimum(cells[LOW], px))
        open_interest = oi > 0
        cells[OI_HIGH] = np.maximum(cells[OI_HIGH], oi)
        lowest = np.where(cells[OI_LOW] > 0, np.minimum(cells[OI_LOW], oi), oi)
        cells[OI_LOW] = np.where(open_interest, lowest, cells[OI_LOW])
        cells[OI] = np.where(open_interest, oi, cells[OI])
        shown = cells[SHOWN]
        cells[BID_PX], cells[BID_QTY] = bid_px * shown, bid_qty * shown
        cells[ASK_PX], cells[ASK_QTY] = ask_px * shown, ask_qty * shown
        for usual, qty in ((BID_USUAL, cells[BID_QTY]), (ASK_USUAL, cells[ASK_QTY])):
            before = cells[usual]
            cells[usual] = np.where(before == 0, qty << 5, before + qty - (before >> 5))
        self._table[rows] = cells.T

    # ── what somebody missed ─────────────────────────────────────────────────────────────────

    def begun(self, instrument: InstrumentId) -> bool:
        """Whether the instrument has ticked here, or been recalled."""
        row = self._rows.get(instrument)
        return row is not None and bool(self._table[row, EVENT_AT])

    def know_close(self, instrument: InstrumentId, close: Price) -> None:
        """The close of the day before; opens the row with it, or adds it where it was not known."""
        row = self._rows.get(instrument)
        if row is None:
            listed = self._listing.by_key.get(instrument)
            if listed is not None:
                self._open_row(listed, close)
            return
        if self._table[row, CLOSE]:
            return
        self._table[row, CLOSE] = int(close)
        if not self._table[row, LAST_PX]:
            self._table[row, LAST_PX] = int(close)

    def recall(self, tick: Tick) -> None:
        """The latest tick of what has ticked unseen so far; its own ticks go on from it."""
        row = self.row_of(tick.instrument)
        if row is not None and tick.last_px and not self._table[row, EVENT_AT]:
            self._apply_one(row, tick)
            self._table[row, LAST_QTY] = min(int(self._table[row, LOT]), tick.cum_qty)

    def fill_in(self, instrument: InstrumentId, past: Sequence[Bar]) -> None:
        """What the day was before the instrument was seen: open, high, low, and what trades cost."""
        row = self.row_of(instrument)
        if row is None or not past:
            return
        cells: list[int] = self._table[row].tolist()
        cells[OPEN] = int(past[0].open)
        cells[HIGH] = max(cells[HIGH], *(int(bar.high) for bar in past))
        lowest = min(int(bar.low) for bar in past)
        cells[LOW] = min(cells[LOW] or lowest, lowest)
        if any(bar.volume for bar in past):
            traded = sum(bar.volume for bar in past)
            spent = sum(
                bar.volume * int(bar.open + bar.high + bar.low + bar.close) // 4 for bar in past
            )
            cells[TURNOVER] = spent + max(cells[VOLUME] - traded, 0) * cells[LAST_PX]
        self._table[row] = cells

    # ── what is read from it ─────────────────────────────────────────────────────────────────

    def columns(self, rows: Ints) -> PacketColumns:
        """What the packets of some rows carry, all but the depth."""
        cells = self._table[rows].T
        volume = cells[VOLUME]
        average = (cells[TURNOVER] + (volume >> 1)) // np.maximum(volume, 1)
        seen = (cells[BID_QTY] + cells[ASK_QTY]) * _VISIBLE_MOST
        sides = []
        for px, usual in ((BID_PX, BID_USUAL), (ASK_PX, ASK_USUAL)):
            whole = np.maximum((cells[usual] >> 5) * _WHOLE_BOOK, np.maximum(seen, 60 * cells[LOT]))
            sides.append(np.where(cells[px] > 0, whole // cells[LOT] * cells[LOT], 0))
        return PacketColumns(
            token=cells[TOKEN],
            last_px=cells[LAST_PX],
            last_qty=cells[LAST_QTY],
            average_px=average,
            volume=volume,
            buy_qty=sides[0],
            sell_qty=sides[1],
            open=cells[OPEN],
            high=cells[HIGH],
            low=cells[LOW],
            close=cells[CLOSE],
            traded_at=cells[TRADED_AT] // SECOND,
            oi=cells[OI],
            oi_high=cells[OI_HIGH],
            oi_low=cells[OI_LOW],
            event_at=cells[EVENT_AT] // SECOND,
        )

    def depth(self, rows: Ints) -> DepthColumns:
        """The five levels of some rows."""
        cells = self._table[rows].T
        return depth_columns(
            token=cells[TOKEN],
            lot_size=cells[LOT],
            tick_size=cells[TICK_SIZE],
            event_at=cells[EVENT_AT],
            bid_px=cells[BID_PX],
            bid_qty=cells[BID_QTY],
            ask_px=cells[ASK_PX],
            ask_qty=cells[ASK_QTY],
        )

    def priced(self, rows: Ints) -> Ints:
        """Those of some rows that have a price at all: of today, or the close of the day before."""
        known: Ints = self._table[rows, LAST_PX]
        return rows[known > 0]

    def last_px(self, instrument: InstrumentId) -> Price | None:
        """The last price, or the close of the day before where nothing ticked yet."""
        row = self.row_of(instrument)
        return None if row is None else Price(int(self._table[row, LAST_PX])) or None

    def last_tick_at(self, instrument: InstrumentId) -> Instant:
        """When the instrument ticked last today; 0 if it has not."""
        row = self.row_of(instrument)
        return 0 if row is None else int(self._table[row, EVENT_AT])

    def previous_close(self, instrument: InstrumentId) -> Price | None:
        """The close of the trading day before."""
        row = self.row_of(instrument)
        return None if row is None else Price(int(self._table[row, CLOSE])) or None

    def circuit_limits(self, instrument: InstrumentId) -> tuple[Price, Price] | None:
        """The lowest and highest price of the day, on the tick: the rules' range around the close.

        Around the first price of the day where no close is known; ``None`` for an index and for what has no price.
        """
        row = self.row_of(instrument)
        if row is None:
            return None
        listed, around = self.instruments[row], int(self._table[row, CLOSE])
        around = around or int(self._table[row, OPEN]) or int(self._table[row, LAST_PX])
        if not listed.tradable or not around:
            return None
        low, high = price_range(self._rules, listed, Price(around))
        tick_size = listed.tick_size
        return max(on_tick_up(low, tick_size), tick_size), on_tick_down(high, tick_size)

    def ltp(self, instrument: InstrumentId) -> LtpQuote | None:
        """The row of ``/quote/ltp``; ``None`` where there is no price (Kite leaves such keys out)."""
        px = self.last_px(instrument)
        if px is None:
            return None
        token = self._listing.by_key[instrument].token
        return {"instrument_token": token, "last_price": rupees(int(px))}

    def ohlc(self, instrument: InstrumentId) -> OhlcQuote | None:
        """The row of ``/quote/ohlc``; ``None`` where there is no price."""
        row = self.row_of(instrument)
        if row is None or not self._table[row, LAST_PX]:
            return None
        cells: list[int] = self._table[row].tolist()
        return {
            "instrument_token": cells[TOKEN],
            "last_price": rupees(cells[LAST_PX]),
            "ohlc": _ohlc(cells),
        }

    def quote(self, instrument: InstrumentId) -> Quote | None:
        """The row of ``/quote``; ``None`` where there is no price.

        Shape: Kite's sample ``quote.json``; ``net_change`` is last price less previous close, as
        kite.trade/docs/connect/v3/market-quotes says. What an index row holds is not documented;
        this one has neither volume nor depth nor circuit limits.
        """
        row = self.row_of(instrument)
        if row is None or not self._table[row, LAST_PX]:
            return None
        cells: list[int] = self._table[row].tolist()
        listed = self.instruments[row]
        change = cells[LAST_PX] - cells[CLOSE] if cells[CLOSE] else 0
        quote: Quote = {
            "instrument_token": cells[TOKEN],
            "timestamp": _moment(cells[EVENT_AT]),
            "last_price": rupees(cells[LAST_PX]),
            "net_change": rupees(change),
            "ohlc": _ohlc(cells),
        }
        if listed.kind is InstrumentKind.INDEX:
            return quote
        only = np.array([row], dtype=np.int64)
        columns, depth = self.columns(only), self.depth(only)
        low, high = self.circuit_limits(instrument) or (Price(0), Price(0))
        levels: list[Level] = [
            {"price": rupees(px), "quantity": qty, "orders": orders}
            for px, qty, orders in zip(
                depth.px[0].tolist(), depth.qty[0].tolist(), depth.orders[0].tolist(), strict=True
            )
        ]
        quote["last_trade_time"] = _moment(cells[TRADED_AT])
        quote["last_quantity"] = cells[LAST_QTY]
        quote["buy_quantity"] = int(columns.buy_qty[0])
        quote["sell_quantity"] = int(columns.sell_qty[0])
        quote["volume"] = cells[VOLUME]
        quote["average_price"] = rupees(int(columns.average_px[0]))
        quote["oi"] = cells[OI]
        quote["oi_day_high"] = cells[OI_HIGH]
        quote["oi_day_low"] = cells[OI_LOW]
        quote["lower_circuit_limit"] = rupees(int(low))
        quote["upper_circuit_limit"] = rupees(int(high))
        quote["depth"] = {"buy": levels[:5], "sell": levels[5:]}
        return quote


def rupees(units: int) -> float:
    """A price as JSON shows it: whole rupees without a point, at most four decimals."""
    whole, rest = divmod(units, UNITS_PER_RUPEE)
    return units / UNITS_PER_RUPEE if rest else whole


def _moment(at: Instant) -> str | None:
    """``YYYY-MM-DD HH:MM:SS`` in India; nothing where nothing happened yet."""
    if not at:
        return None
    return f"{ist(at):%Y-%m-%d %H:%M:%S}"


def _ohlc(cells: list[int]) -> Ohlc:
    return {
        "open": rupees(cells[OPEN]),
        "high": rupees(cells[HIGH]),
        "low": rupees(cells[LOW]),
        "close": rupees(cells[CLOSE]),
    }
