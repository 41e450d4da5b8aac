"""The guard's decisions, round after round, in an account that goes on moving beneath them.

The engine is dead; its stops fire, its last requests still arrive, a stranger trades, the guard's own
orders are seen late, fill in part or are lost. Round by round the guard may only withdraw what is ours
and reduce what we own: never open, never flip, never more at work than both sides have, never beyond its
own small budget; and once everything is seen and fills, nothing of ours is left unprotected.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from kitestring.broker.governor import Call, Governor
from kitestring.broker.kite_rows import KiteProduct, KiteStatus, OrderRow, PositionRow
from kitestring.domain.ids import GUARDS, ClOrdIds, InstrumentId, OrderId, StrategyId
from kitestring.domain.instants import MINUTE, SECOND, Instant
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import OrdType, Product, Purpose, Side
from kitestring.engine import guard_decision
from kitestring.engine.guard_decision import GuardPolicy, Mine, Plan, Reduce, Seen, Unseen
from kitestring.engine.guard_hands import LIMITS
from kitestring.store.owned_file import Owned, OwnedBook, OwnedOrder

DAY: Final = dt.date(2026, 11, 20)
NAME: Final = InstrumentId("NSE:ACME")
KEY: Final = (NAME, "MIS")


class There:
    """One order as the broker has it."""

    def __init__(self, tag: str, side: Side, qty: int, status: KiteStatus) -> None:
        self.tag, self.side, self.qty, self.status = tag, side, qty, status
        self.filled = 0
        self.shown = True
        self.order_id = tag

    @property
    def live(self) -> bool:
        """It may still trade."""
        return not self.status.over


class TakeoverMachine(RuleBasedStateMachine):
    """Rules are what the account does, and rounds of the guard."""

    def __init__(self) -> None:
        super().__init__()
        self.there: list[There] = []
        self.owned_net = self.stranger = 0
        """What the engine's last file says we own; what others hold."""
        self.orders: tuple[OwnedOrder, ...] = ()
        self.guards: set[str] = set()
        self.old: set[str] = set()
        self.ids = ClOrdIds("takeover", DAY)
        self.guard_ids = ClOrdIds("takeover", DAY, letter=GUARDS)
        self.governor = Governor(LIMITS)
        self.now: Instant = 1_795_149_000 * SECOND
        self.sent: list[Instant] = []
        self.foreign_moved = False

    @initialize(
        net=st.integers(-12, 12),
        stop=st.integers(0, 12),
        entry=st.integers(0, 6),
        late=st.booleans(),
        stranger=st.integers(-8, 8),
        policy=st.sampled_from(list(GuardPolicy)),
    )
    def begin(
        self, net: int, stop: int, entry: int, late: bool, stranger: int, policy: GuardPolicy
    ) -> None:
        self.owned_net, self.stranger, self.policy = net, stranger, policy
        owned: list[OwnedOrder] = []
        closing = Side.SELL if net > 0 else Side.BUY
        stop = min(stop, abs(net))
        for purpose, side, qty, status in (
            (Purpose.STOP, closing, stop, KiteStatus.TRIGGER_PENDING),
            (Purpose.ENTRY, closing.opposite, entry, KiteStatus.OPEN),
        ):
            if qty:
                order = There(self.ids(), side, qty, status)
                order.shown = not (late and purpose is Purpose.ENTRY)
                self.there.append(order)
                owned.append(
                    OwnedOrder(
                        tag=order.tag,
                        instrument=NAME,
                        product=Product.MIS,
                        side=side,
                        purpose=purpose,
                        leaves_qty=qty,
                        cum_qty=0,
                        order_id="",
                    )
                )
        self.orders = tuple(owned)

    # ── the truth ───────────────────────────────────────────────────────────────────────────────

    @property
    def ours(self) -> int:
        """What is really ours now."""
        return self.owned_net + sum(each.filled * each.side.sign for each in self.there)

    @property
    def account(self) -> int:
        """What the broker shows."""
        return self.ours + self.stranger

    # ── the account goes on ─────────────────────────────────────────────────────────────────────

    @precondition(lambda self: any(each.live for each in self.there))
    @rule(place=st.integers(0, 9), qty=st.integers(1, 12))
    def trade(self, place: int, qty: int) -> None:
        """Any order of ours that lives trades, a stop because it fired."""
        live = [each for each in self.there if each.live]
        order = live[place % len(live)]
        self._fill(order, min(qty, order.qty - order.filled))

    def _fill(self, order: There, qty: int) -> None:
        before, account = self.ours, self.account
        order.filled += qty
        if order.status is KiteStatus.TRIGGER_PENDING:
            order.status = KiteStatus.OPEN
        if order.filled == order.qty:
            order.status = KiteStatus.COMPLETE
        if order.tag in self.guards:
            assert abs(self.ours) == abs(before) - qty, (
                f"the guard took {before:+} to {self.ours:+}"
            )
            assert account * self.account >= 0 or self.foreign_moved, (
                "the guard flipped the account"
            )

    @rule(qty=st.integers(-6, 6).filter(bool))
    def a_stranger_trades(self, qty: int) -> None:
        self.stranger += qty
        self.foreign_moved = True

    @precondition(lambda self: any(not each.shown for each in self.there))
    @rule()
    def what_was_late_shows(self) -> None:
        next(each for each in self.there if not each.shown).shown = True

    @precondition(lambda self: any(each.live for each in self.there))
    @rule(
        place=st.integers(0, 9),
        status=st.sampled_from(
            [KiteStatus.CANCEL_PENDING, KiteStatus.MODIFY_PENDING, KiteStatus.OPEN_PENDING]
        ),
    )
    def a_link_hangs(self, place: int, status: KiteStatus) -> None:
        live = [each for each in self.there if each.live]
        live[place % len(live)].status = status

    @rule(seconds=st.integers(1, 30))
    def pass_time(self, seconds: int) -> None:
        """The guard's orders have had their time."""
        self.now += seconds * SECOND
        if seconds > 3:
            self.old |= self.guards

    @precondition(lambda self: self.policy is GuardPolicy.KEEP_PROTECTED)
    @rule()
    def the_operator_asks_to_flatten(self) -> None:
        self.policy = GuardPolicy.FLATTEN

    # ── the guard ───────────────────────────────────────────────────────────────────────────────

    def _seen(self) -> Seen:
        strangers = [There("", side, 5, KiteStatus.OPEN) for side in Side]
        rows = tuple(_row(each) for each in (*strangers, *(o for o in self.there if o.shown)))
        return Seen(rows, (_position(self.account),))

    def _decide(self) -> Plan:
        owned = Owned(
            pid=1, born="tick 1", run="r", run_key="takeover", date=str(DAY), commit=1, at=1,
            books=(
                OwnedBook(
                    strategy=StrategyId("one"),
                    instrument=NAME,
                    product=Product.MIS,
                    net_qty=self.owned_net,
                    freeze_qty=0,
                ),
            ),
            orders=self.orders,
        )  # fmt: skip
        mine = Mine(
            owned=owned,
            guards=frozenset(self.guards),
            fresh=frozenset(self.guards - self.old),
        )
        unseen = [
            Unseen(key=KEY, side=each.side, qty=each.qty) for each in self.there if not each.shown
        ]
        return guard_decision.decide(self._seen(), mine, self.policy, unseen)

    @rule(hears=st.booleans(), arrives=st.booleans(), shows=st.booleans(), fills=st.integers(0, 12))
    def a_round(self, hears: bool, arrives: bool, shows: bool, fills: int) -> None:
        """Look, decide, send: a withdrawal may be refused, an order of ours lost, late or filled at once."""
        self.foreign_moved = False
        plan = self._decide()
        self._may(plan)
        for withdraw in plan.withdraw:
            if not self._sends(Call.CANCEL):
                continue
            order = next(each for each in self.there if each.order_id == withdraw.row.order_id)
            if hears and order.live:
                order.status = KiteStatus.CANCELLED
        for reduce in plan.reduce:
            if self._sends(Call.PLACE) and arrives:
                order = There(self.guard_ids(), reduce.side, reduce.qty, KiteStatus.OPEN)
                order.shown = shows
                self.guards.add(order.tag)
                self.there.append(order)
                if fills:
                    self._fill(order, min(fills, order.qty))

    def _sends(self, call: Call) -> bool:
        """The guard's own budget: two a second, forty a minute, whatever it wants."""
        ticket = self.governor.ask(call, self.now, exits=True)
        released = self.governor.released(self.now)
        if ticket not in released or ticket.refused:
            self.governor.leave(ticket)
            return False
        self.governor.answered(ticket, self.now)
        self.sent.append(self.now)
        assert sum(at > self.now - SECOND for at in self.sent) <= 2
        assert sum(at > self.now - MINUTE for at in self.sent) <= 40
        return True

    def _may(self, plan: Plan) -> None:
        """What a plan may hold at all."""
        ours = {each.order_id for each in self.there}
        assert {each.row.order_id for each in plan.withdraw} <= ours, "a stranger's order"
        known = self.owned_net + sum(
            each.filled * each.side.sign for each in self.there if each.shown
        )
        have = min(abs(known), abs(self.account)) if known * self.account > 0 else 0
        for reduce in plan.reduce:
            assert isinstance(reduce, Reduce)
            assert reduce.side.sign * known < 0, "an order that would grow what we own"
            at_work = sum(
                each.qty - (each.filled if each.shown else 0)
                for each in self.there
                if (each.live or not each.shown) and each.side is reduce.side
            )
            assert at_work + reduce.qty <= have, (
                f"{reduce.qty} beside {at_work} at work, and only {have} are to be had"
            )

    def teardown(self) -> None:
        """Everything shows, withdrawals are heard and orders fill: what is left is covered, or nobody's."""
        if not hasattr(self, "policy"):
            return
        for order in self.there:
            order.shown = True
            if order.live and order.status is not KiteStatus.TRIGGER_PENDING:
                order.status = KiteStatus.OPEN
        for _ in range(30):
            self.now += 5 * SECOND
            plan = self._decide()
            if plan.idle:
                break
            self.a_round(hears=True, arrives=True, shows=True, fills=12)
            self.old |= self.guards
        plan = self._decide()
        assert plan.idle, f"the guard does not come to rest: {plan}"
        left = self.ours if self.ours * self.account > 0 else 0
        left = min(abs(left), abs(self.account))
        covered = sum(
            each.qty - each.filled
            for each in self.there
            if each.live and each.side.sign * self.ours < 0
        )
        if self.policy is GuardPolicy.FLATTEN:
            assert left == 0, f"{left} of ours are still open"
        else:
            assert covered >= left, f"{left} of ours are open, {covered} are covered"
        assert not any(each.live and each.side.sign * self.ours >= 0 for each in self.there)


def _row(order: There) -> OrderRow:
    return OrderRow(
        order_id=OrderId(order.order_id), status=order.status, instrument=NAME, instrument_token=1,
        side=order.side, ord_type=OrdType.LIMIT, product=KiteProduct.MIS, variety="regular",
        validity="DAY", order_qty=order.qty, cum_qty=order.filled,
        pending_qty=order.qty - order.filled, cancelled_qty=0, price=Price(1), stop_px=Price(0),
        average_px=Price(1), tag=order.tag, tags=(), status_message="", status_message_raw="",
        exchange_order_id="x", parent_order_id="", order_at=1, exchange_at=1,
        exchange_update_at=1, modified=False, placed_by="", guid="",
    )  # fmt: skip


def _position(net: int) -> PositionRow:
    nothing = Money(0)
    return PositionRow(
        instrument=NAME, instrument_token=1, product=KiteProduct.MIS, net_qty=net,
        overnight_qty=0, multiplier=Decimal(1), average_px=Price(1), close_px=Price(1), last_px=Price(1),
        value=nothing, pnl=nothing, m2m=nothing, buy_qty=0, buy_value=nothing, sell_qty=0,
        sell_value=nothing, day_buy_qty=0, day_buy_value=nothing, day_sell_qty=0,
        day_sell_value=nothing,
    )  # fmt: skip


MACHINE: type[Any] = TakeoverMachine
