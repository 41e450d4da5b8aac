"""The reconciler against an account: looks that lag, fail or are frozen, and people who trade past us.

The account's truth is a list of trades: ours, a person's, the risk desk's, and some that nothing shows.
A real core owns a position; looks at the books are taken from any earlier moment, or cannot be believed.
The house never books what did not trade, never acts on one look alone, never sends exits for more than
the broker confirms once it knows, and agrees with the account once looks are fresh and all is told.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kitestring.core.settings import DaySettings, StrategySettings
from kitestring.core.trading_core import TradingCore
from kitestring.domain.events import (
    Adjustment,
    BrokerOrderRow,
    BrokerPosition,
    BrokerSnapshot,
    OperatorCommand,
    OperatorWord,
    OthersTrade,
    Reports,
    Resolution,
    TimerFired,
)
from kitestring.domain.ids import ExecId, OrderId, StrategyId
from kitestring.domain.instants import SECOND, Instant
from kitestring.domain.money import Price, money
from kitestring.domain.orders import (
    ExecType,
    ExecutionReport,
    OrderIntent,
    OrdStatus,
    OrdType,
    Product,
    Purpose,
    Side,
)
from kitestring.domain.positions import Fill
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.domain.verdicts import (
    Approved,
    CancelOrder,
    Command,
    ModifyOrder,
    PlaceOrder,
)
from kitestring.market.sessions import session
from kitestring.sim.scripted_strategy import SCRIPTED
from proof.exit_day import NO_LIMITS, Free
from proof.exit_plan import DAY, SHARE

ONE: Final = StrategyId("one")
KEY: Final = f"{SHARE.id}/MIS"
PX: Final = Price(5_000_000)


class BrokerBooksMachine(RuleBasedStateMachine):
    """Rules are trades of anybody's, reports, and looks."""

    def __init__(self) -> None:
        super().__init__()
        hours = session(DAY, SHARE.segment)
        self.now: Instant = hours.open_at + 60 * SECOND
        settings = DaySettings(
            date=DAY,
            capital=money("100000000"),
            run_key="books",
            strategies=(
                StrategySettings(
                    name=ONE,
                    strategy="scripted",
                    source=SHARE.id,
                    instrument=SHARE.id,
                    minutes=1,
                    params={"script": ""},
                ),
            ),
            risk=NO_LIMITS,
        )
        free = Free()
        self.core = TradingCore(
            settings,
            instruments=(SHARE,),
            sessions={SHARE.segment: hours},
            definitions={"scripted": SCRIPTED},
            charge_book=free,
            margins=free,
            previous_close={},
        )
        self.orders: dict[str, tuple[OrderIntent, int]] = {}
        """By tag: what was asked for, and how much of it has traded."""
        self.ended: dict[str, OrdStatus] = {}
        self.asked: dict[str, list[ModifyOrder | CancelOrder]] = {}
        self.others: list[OthersTrade] = []
        self.hidden = 0
        """Net of what left or entered the account without a trace."""
        self.untold: list[ExecutionReport] = []
        self.past: list[BrokerSnapshot] = []
        self.told_fills: set[str] = set()
        self.real_fills: dict[str, int] = {}
        self.adjusted = 0
        self.looks_since_change = 0
        self.reads = 0

    # ── the core ────────────────────────────────────────────────────────────────────────────────

    def _step(self, event: Any) -> None:
        commands = self.core.step(event)
        for command in commands:
            self._take(command)
        facts, _ = self.core.take()
        for fact in facts:
            if isinstance(fact, Fill):
                assert fact.fill_id not in self.told_fills, f"{fact.fill_id} was booked twice"
                self.told_fills.add(fact.fill_id)
                name = fact.fill_id.split("/", 1)[0]
                assert name in self.real_fills, f"{fact.fill_id} never traded"
            elif isinstance(fact, Adjustment):
                self.adjusted += fact.qty

    def _take(self, command: Command) -> None:
        match command:
            case PlaceOrder():
                self.orders[command.cl_ord_id] = (command.intent, 0)
                core = self.core
                if KEY in core.view.state.frozen and command.intent.purpose is not Purpose.ENTRY:
                    exits = sum(
                        each.leaves_qty for each in core.orders.working(ONE) if each.is_exit
                    )
                    held = core.view.held(core.portfolio.books[ONE])
                    assert exits <= held, f"exits for {exits} are sent, the broker confirms {held}"
                self._report(command.cl_ord_id, ExecType.NEW)
            case ModifyOrder() | CancelOrder():
                self.asked.setdefault(command.cl_ord_id, []).append(command)

    def _report(self, tag: str, kind: ExecType, *, last: int = 0) -> None:
        intent, filled = self.orders[tag]
        exec_id = None
        if last:
            exec_id = ExecId(f"{tag}-{filled}")
            self.real_fills[exec_id] = last * intent.side.sign
        self.untold.append(
            ExecutionReport(
                cl_ord_id=tag,  # type: ignore[arg-type]
                exec_type=kind,
                event_at=self.now,
                order_id=OrderId(f"B{tag}"),
                exec_id=exec_id,
                last_qty=last,
                last_px=PX if last else Price(0),
                cum_qty=filled,
                order_qty=intent.order_qty,
                text="" if kind is not ExecType.REJECTED else "no",
            )
        )

    @initialize(
        qty=st.integers(1, 20), side=st.sampled_from(list(Side)), filled=st.sampled_from((1, 1, 0))
    )
    def begin(self, qty: int, side: Side, filled: int) -> None:
        """A position is entered."""
        self._tick()
        intent = OrderIntent(
            strategy=ONE,
            instrument=SHARE.id,
            side=side,
            order_qty=qty,
            ord_type=OrdType.MARKET,
            product=Product.MIS,
            purpose=Purpose.ENTRY,
            reason="",
            decision_px=PX,
            decided_at=self.now,
        )
        self.core._place(Approved(intent=intent, at=self.now), self.now, None)  # noqa: SLF001
        for command in self.core._commands:  # noqa: SLF001 - the only way past a strategy
            self._take(command)
        self.core._commands.clear()  # noqa: SLF001
        self.core.take()
        if filled:
            self.ours_trades(0, qty)
            self.tell(4)

    def _tick(self) -> None:
        tick = Tick(SHARE.id, self.now, PX, 1, Price(4_999_500), 1 << 20, Price(5_000_500), 1 << 20)
        self._step(TickFrame(self.now, (tick,)))

    # ── what happens ────────────────────────────────────────────────────────────────────────────

    @rule(seconds=st.integers(1, 20))
    def pass_time(self, seconds: int) -> None:
        until = self.now + seconds * SECOND
        while (due := self.core.next_due_at) <= until:
            self.now = max(self.now, due)
            self._step(TimerFired(due))
        self.now = until
        self._tick()

    @rule(place=st.integers(0, 99), qty=st.integers(1, 20))
    def ours_trades(self, place: int, qty: int) -> None:
        open_ = [
            tag
            for tag, (intent, filled) in self.orders.items()
            if tag not in self.ended and filled < intent.order_qty
        ]
        if not open_:
            return
        tag = open_[place % len(open_)]
        intent, filled = self.orders[tag]
        qty = min(qty, intent.order_qty - filled)
        self.orders[tag] = (intent, filled + qty)
        if filled + qty == intent.order_qty:
            self.ended[tag] = OrdStatus.FILLED
        self._report(tag, ExecType.TRADE, last=qty)
        self.looks_since_change = 0

    @precondition(lambda self: self.asked)
    @rule(grants=st.booleans())
    def answer(self, grants: bool) -> None:
        tag, asked = next(iter(self.asked.items()))
        command = asked.pop(0)
        if not asked:
            del self.asked[tag]
        cancels = isinstance(command, CancelOrder)
        if tag in self.ended or (not grants and cancels) or not cancels:
            kind = ExecType.CANCEL_REJECTED if cancels else ExecType.REPLACE_REJECTED
        else:
            kind = ExecType.CANCELED
            self.ended[tag] = OrdStatus.CANCELED
        self._report(tag, kind)

    @precondition(lambda self: self.untold)
    @rule(count=st.integers(1, 4))
    def tell(self, count: int) -> None:
        self.now += 1
        told, self.untold = tuple(self.untold[:count]), self.untold[count:]
        self._step(Reports(self.now, told))
        self.looks_since_change = 0

    @rule(qty=st.integers(1, 25), with_us=st.booleans(), rms=st.booleans(), shown=st.booleans())
    def others_trade(self, qty: int, with_us: bool, rms: bool, shown: bool) -> None:
        """A person, or the risk desk; or something that no trade shows."""
        net = self._true_net()
        if not net:
            return
        side = Side.BUY if (net > 0) is with_us else Side.SELL
        self.looks_since_change = 0
        if not shown:
            self.hidden += qty * side.sign
            return
        number = len(self.others)
        self.others.append(
            OthersTrade(
                trade_id=f"X{number}",
                order_id=f"Y{number}",
                instrument=SHARE.id,
                product="MIS",
                side=side,
                qty=qty,
                px=PX,
                at=self.now,
                rms=rms,
            )
        )
        self.real_fills[f"X{number}"] = qty * side.sign

    def _true_net(self) -> int:
        ours = sum(filled * intent.side.sign for intent, filled in self.orders.values())
        return ours + sum(each.qty * each.side.sign for each in self.others) + self.hidden

    # ── looks ───────────────────────────────────────────────────────────────────────────────────

    def _books(self) -> BrokerSnapshot:
        net = self._true_net()
        rows = tuple(
            BrokerOrderRow(
                cl_ord_id=tag,
                order_id=f"B{tag}",
                instrument=SHARE.id,
                status=(
                    self.ended.get(tag) or (OrdStatus.PARTIALLY_FILLED if filled else OrdStatus.NEW)
                ).value,
                order_qty=intent.order_qty,
                cum_qty=filled,
            )
            for tag, (intent, filled) in self.orders.items()
        )
        return BrokerSnapshot(
            at=self.now,
            read_at=self.now,
            orders=rows,
            net_qty={KEY: net} if net else {},
            others=tuple(self.others),
            positions=(
                BrokerPosition(
                    instrument=SHARE.id,
                    product="MIS",
                    net_qty=net,
                    overnight_qty=0,
                    average_px=PX,
                    last_px=PX,
                ),
            ),
        )

    @rule()
    def look(self) -> None:
        self._pause()
        books = self._books()
        self.past.append(books)
        before = self.core.portfolio.books[ONE].net_qty
        seen = set(self.core.view.state.seen)
        self._step(books)
        self.looks_since_change += 1
        if not seen:
            after = self.core.portfolio.books[ONE].net_qty
            assert after == before, "one look alone changed what is owned"
            assert not self.core.view.state.frozen, "one look alone froze a position"

    @precondition(lambda self: self.past)
    @rule(place=st.integers(0, 99), times=st.integers(1, 3))
    def the_same_read_again(self, place: int, times: int) -> None:
        """A page served again, however often, is one look and not two."""
        del place
        self._pause()
        last = self.past[-1]
        if last.read_at != self.core.view.state.read_at:
            return
        before = self.core.portfolio.books[ONE].net_qty
        for _ in range(times):
            self._step(msgspec.structs.replace(last, at=self.now))
        assert self.core.portfolio.books[ONE].net_qty == before
        self.looks_since_change = 0

    @rule()
    def look_that_cannot_be_believed(self) -> None:
        self._pause()
        before = self.core.portfolio.books[ONE].net_qty
        frozen = set(self.core.view.state.frozen)
        self._step(
            BrokerSnapshot(at=self.now, orders=(), net_qty={}, trusted=False, why="a failed read")
        )
        assert self.core.portfolio.books[ONE].net_qty == before
        assert set(self.core.view.state.frozen) == frozen
        assert self.core.state.untrusted

    @rule(how=st.sampled_from(list(Resolution)))
    def resolve(self, how: Resolution) -> None:
        self._pause()
        self._step(
            OperatorCommand(
                at=self.now, word=OperatorWord.RESOLVE, instrument=SHARE.id, resolution=how
            )
        )
        self.looks_since_change = 0

    @precondition(lambda self: self.core.view.state.frozen)
    @rule()
    def flatten(self) -> None:
        self._pause()
        self._step(OperatorCommand(at=self.now, word=OperatorWord.FLATTEN))
        self.looks_since_change = 0

    def _pause(self) -> None:
        self.now += SECOND

    @invariant()
    def what_is_owned_is_what_traded(self) -> None:
        """Never a share from nowhere: fills told, others' trades booked, a person's adjustments."""
        book = self.core.portfolio.books[ONE]
        state = self.core.view.state
        by_name = {f"{each.order_id}/{each.trade_id}": each for each in self.others}
        booked = sum(qty * by_name[name].side.sign for name, qty in state.booked.items())
        assert all(0 < qty <= by_name[name].qty for name, qty in state.booked.items())
        told = sum(order.cum_qty * order.side.sign for order in self.core.orders.table.values())
        assert book.net_qty == told + booked + self.adjusted

    @invariant()
    def once_certain_exits_fit_what_is_confirmed(self) -> None:
        """Two looks agreed and nothing has happened since: no *new* exit is larger than the broker shows."""
        core = self.core
        book = core.portfolio.books[ONE]
        if KEY not in core.view.state.frozen or self.untold or self.asked:
            return
        if self.looks_since_change < 2:
            return
        exits = sum(order.leaves_qty for order in core.orders.working(ONE) if order.is_exit)
        held = core.view.held(book)
        true = self._true_net()
        assert held <= max(abs(true), 0) or true * book.net_qty <= 0
        resting = [
            order
            for order in core.orders.working(ONE)
            if order.is_exit and order.status in (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED)
        ]
        assert (
            exits <= held
            or not resting
            or book.trade is None
            or core.state.now < book.trade.retry_at
        ), f"exits for {exits}, the broker confirms {held}"

    def teardown(self) -> None:
        """Once all is told, three fresh looks leave nothing unsaid: agreed, or frozen by name."""
        if not self.orders:
            return
        for _ in range(40):
            while self.untold:
                self.tell(4)
            if not self.asked:
                break
            self.answer(grants=True)
        for _ in range(5):
            self._pause()
            self._step(self._books())
            while self.untold:
                self.tell(4)
        book, net = self.core.portfolio.books[ONE], self._true_net()
        covered = abs(net) >= abs(book.net_qty) and net * book.net_qty >= 0
        assert covered or KEY in self.core.view.state.frozen, (
            f"we own {book.net_qty}, the broker shows {net}, and nothing is said of it"
        )


MACHINE: type[Any] = BrokerBooksMachine
