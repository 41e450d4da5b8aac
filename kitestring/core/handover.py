"""What a day hands to the next one when it is sealed: money, peak, positions with their plans, memory.

Nothing is guessed and nothing is re-decided: the next day begins with exactly what is written here,
in the sealed day's last record. A position in a contract that expired today is not handed over: the
exchange settles it at its last price, which the closing equity already counts.
"""

from __future__ import annotations

import msgspec

from kitestring.core.trading_core import TradingCore
from kitestring.domain.events import DayOpening
from kitestring.domain.positions import Book, CarriedPosition


def hand_over(core: TradingCore) -> DayOpening:
    """The opening of the day after, from a day that has ended."""
    day = core.settings.date
    equity = core.equity
    return DayOpening(
        at=core.state.now,
        date=day.isoformat(),
        run_key=core.settings.run_key,
        equity=equity,
        # Two marks make a peak within the day; a close is a mark that nobody disputes.
        peak_equity=max(core.risk.state.peak_equity, core.opening_equity, equity),
        positions=tuple(
            _carried(core, book)
            for book in core.portfolio.books.values()
            if book.net_qty and not _expired(core, book)
        ),
        states=core.strategies.states(),
    )


def _expired(core: TradingCore, book: Book) -> bool:
    expiry = core.instruments[book.instrument].expiry
    return expiry is not None and expiry <= core.settings.date


def _carried(core: TradingCore, book: Book) -> CarriedPosition:
    mark_px = core.market.views[book.instrument].last_px
    trade = book.trade
    assert trade is not None
    return CarriedPosition(
        strategy=book.owner or book.strategy,
        instrument=core.instruments[book.instrument],
        product=book.product,
        net_qty=book.net_qty,
        mark_px=mark_px,
        trade=msgspec.structs.replace(
            trade,
            brought=trade.brought + book.unrealised(mark_px),
            # What waited for today's orders waits no longer: they lapsed with the session.
            next_signal=None,
            exit_rejections=0,
            retry_at=0,
            exit_by=0,
            exit_step=1,
            exit_tries=0,
            stuck_told_at=0,
            refused="",
            naked_since=0,
            naked_told=False,
        ),
    )
