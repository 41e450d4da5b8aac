"""Shows the core's state in rupees and words, for the state file and whoever asks how it stands."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from kitestring.core.trading_core import TradingCore
from kitestring.domain.ids import exchange_of, symbol_of
from kitestring.domain.instants import ist, ist_text
from kitestring.domain.money import Money, Price, charge_rupees, decimal_rupees
from kitestring.domain.orders import Order
from kitestring.domain.positions import Book
from kitestring.store.state_store import (
    LimitView,
    OrderView,
    PositionView,
    RiskView,
    StateView,
    StrategyView,
)

_PAISE = Decimal("0.0001")


def state_view(core: TradingCore, *, mode: str, run: str, commit: int) -> StateView:
    """The whole day at this moment."""
    portfolio = core.portfolio
    unrealised = core.unrealised()
    charges = charge_rupees(portfolio.charges.total)
    gross = decimal_rupees(portfolio.realised) + decimal_rupees(unrealised)
    capital = decimal_rupees(core.opening_equity)
    return StateView(
        timestamp=ist(core.state.now).isoformat(),
        mode=mode,
        run=run,
        date=str(core.settings.date),
        capital=capital,
        cash=capital + decimal_rupees(portfolio.realised) - charges,
        realised_pnl=decimal_rupees(portfolio.realised),
        unrealised_pnl=decimal_rupees(unrealised),
        charges=charges,
        net_pnl=gross - charges,
        positions=tuple(
            _position(core, book)
            for book in portfolio.books.values()
            if book.bought_qty or book.sold_qty
        ),
        open_orders=tuple(_order(order) for order in core.orders.all_working()),
        strategies=_strategies(core),
        risk=_risk(core),
        last_prices={
            name: decimal_rupees(view.last_px)
            for name, view in core.market.views.items()
            if int(view.last_px)
        },
        commit=commit,
    )


def _position(core: TradingCore, book: Book) -> PositionView:
    last = core.market.views[book.instrument].last_px
    trade = book.trade
    average = None
    if book.net_qty:
        # A carried position is marked at the previous close, but was entered at its own price.
        cost = book.open_cost if trade is None else book.open_cost - trade.brought
        average = (decimal_rupees(cost) / (book.net_qty * book.multiplier)).quantize(_PAISE)
    return PositionView(
        strategy=book.strategy,
        symbol=symbol_of(book.instrument),
        exchange=exchange_of(book.instrument),
        product=book.product.value,
        quantity=book.net_qty,
        average_price=average,
        last_price=_price(last),
        realised_pnl=decimal_rupees(book.realised),
        unrealised_pnl=decimal_rupees(book.unrealised(last)) if book.net_qty else Decimal(0),
        charges=charge_rupees(book.charges.total),
        stop_price=_price(trade.stop_px) if trade is not None else None,
        target_price=_price(trade.target_px) if trade is not None else None,
        entry_time=ist_text(trade.entry_at) if trade is not None else None,
    )


def _order(order: Order) -> OrderView:
    return OrderView(
        order_id=order.cl_ord_id,
        broker_order_id=order.order_id,
        strategy=order.strategy,
        symbol=symbol_of(order.instrument),
        exchange=exchange_of(order.instrument),
        side=order.side.value,
        quantity=order.order_qty,
        filled_quantity=order.cum_qty,
        order_type=order.ord_type.value,
        product=order.product.value,
        status=order.status.value,
        price=_price(order.price),
        trigger_price=_price(order.stop_px),
        purpose=order.purpose.value,
    )


def _strategies(core: TradingCore) -> dict[str, StrategyView]:
    views: dict[str, StrategyView] = {}
    for status in core.strategies.status():
        book = core.portfolio.books[status.strategy]
        last = core.market.views[book.instrument].last_px
        net = decimal_rupees(book.realised) - charge_rupees(book.charges.total)
        if book.net_qty:
            net += decimal_rupees(book.unrealised(last))
        views[status.strategy] = StrategyView(
            on=not status.off,
            ready=status.ready_at is not None,
            instrument=status.instrument,
            trades=book.trades,
            net_pnl=net,
            last_signal=status.last_signal,
            state=msgspec.to_builtins(core.strategies.state_of(status.strategy)),
            note=status.off,
        )
    return views


def _risk(core: TradingCore) -> RiskView:
    halted = core.risk.state.halted
    limits = {
        row.key: LimitView(used=row.used, limit=row.limit, fraction=round(row.fraction, 4))
        for row in core.limits_used()
    }
    if halted is None:
        return RiskView(halted=False, limits=limits)
    return RiskView(
        halted=True,
        code=halted.code,
        reason=halted.sentence,
        policy=halted.policy.value,
        halted_at=ist_text(halted.at),
        limits=limits,
    )


def _price(px: Price | Money | None) -> Decimal | None:
    return None if px is None or not int(px) else decimal_rupees(px)
