"""The guard: watches a live engine from another process, and takes the market away from it if it must.

It opens nothing. It withdraws our orders and reduces what we own, and only after it has written HALT,
stopped the engine and waited for the engine's last word to show (docs/decisions/0016).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import msgspec

from kitestring.broker.kite_errors import KiteReadFailed
from kitestring.domain.errors import AnotherDayIsRunning, DiskFailed
from kitestring.domain.instants import NEVER, Instant
from kitestring.domain.money import Money, show_rupees
from kitestring.engine.guard_decision import (
    GuardPolicy,
    Mine,
    Plan,
    Seen,
    Unseen,
    Withdraw,
    decide,
    may_enter,
    order_of,
)
from kitestring.engine.guard_hands import GuardHands
from kitestring.engine.guard_loss import LossWatch
from kitestring.engine.guard_story import ACTS
from kitestring.engine.ownership import confirmed, journalled
from kitestring.store.guard_journal import GuardJournal, GuardLine
from kitestring.store.halt_file import Halt, HaltedBy, HaltFile
from kitestring.store.instance_lock import InstanceLock
from kitestring.store.owned_file import ENGINE_BEATS, GUARD_BEATS, Heartbeat, Owned, OwnedFile

READ_FAILING_S: Final = 30.0
"""Books that cannot be read for so long are said."""


class GuardTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What the guard was told at its start."""

    artifacts: Path
    policy: GuardPolicy = GuardPolicy.KEEP_PROTECTED
    max_loss: Money | None = None
    """The day's loss of what we own at which it takes over and flattens; ``None``: it does not look."""
    write_deadline_s: float = 10.0
    """How long a request of the engine's may be on its way."""
    visible_s: float = 10.0
    """How long an order may take to show in the book."""
    lost_after_s: float = 10.0
    """How long the engine's heartbeat may stand still; it may build itself anew from its journal."""
    tick_s: float = 0.5
    round_s: float = 1.0
    loss_every_s: float = 5.0
    halt_grace_s: float = 10.0
    """After an operator's HALT: how long the engine may take to withdraw its entries."""
    flatten_grace_s: float = 20.0
    """After an operator's HALT that asks to flatten: how long the engine may take."""
    closes_at: Instant = NEVER
    """When the day's last market closes: after that nobody needs a guard."""


EndEngine = Callable[[Owned], Awaitable[str]]
"""Ends exactly the engine that wrote this; empty once it is dead, or why it is not."""


class Guard:
    """One guard of one artifacts folder. ``tell`` reaches a person, whatever has become of the engine."""

    def __init__(
        self,
        terms: GuardTerms,
        hands: GuardHands,
        journal: GuardJournal,
        *,
        now: Callable[[], Instant],
        end_engine: EndEngine,
        tell: Callable[[str], None],
        renew: Callable[[], None] = lambda: None,
    ) -> None:
        self.halts = HaltFile(terms.artifacts)
        self.acted = False
        self._terms = terms
        self._hands = hands
        self._journal = journal
        self._now = now
        self._end_engine = end_engine
        self._tell = tell
        hands.tell = tell
        self._renew = renew
        self._file = OwnedFile(terms.artifacts)
        self._engine = Heartbeat(terms.artifacts, ENGINE_BEATS)
        self._own = Heartbeat(terms.artifacts, GUARD_BEATS)
        self._loss = LossWatch(terms.max_loss)
        self._owned: Owned | None = None
        self._halted_s: float | None = None
        self._flatten_s: float | None = None
        """Since when an operator's HALT is seen, and since when one that asks to flatten."""
        self._next_look_s = 0.0
        self._looking: asyncio.Task[str] | None = None
        self._unwritten = False
        """HALT could not be written: there is none that somebody could lift."""

    async def run(self) -> str:
        """Watch until the day has ended, or until all is done after a takeover; why it ended."""
        beating = asyncio.get_running_loop().create_task(self._beat())
        try:
            unfinished = self._unfinished()
            if self._journal.damage:
                self._tell(
                    f"The guard's journal is damaged: {self._journal.damage}. What that line said is"
                    " not believed; see the broker's order book for what was sent."
                )
            if unfinished is not None:
                return await self._take_over(
                    "an earlier guard died over it", unfinished[1], halt=unfinished[0]
                )
            return await self._watch()
        finally:
            for task in filter(None, (beating, self._looking)):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            self._own.close()

    # ── watching ─────────────────────────────────────────────────────────────────────────────

    async def _watch(self) -> str:
        terms = self._terms
        beats, beat_s, last_s = -1, _loop_s(), _loop_s()
        while True:
            here = _loop_s()
            owned = self._file.read()
            if owned is not None:
                self._owned = owned
            count = self._engine.read()
            asleep = here - last_s > max(terms.lost_after_s / 2, 2 * terms.tick_s)
            last_s = here
            if count != beats or asleep or self._owned is None:
                # After a sleep of our own the engine is given its time anew: it slept, too.
                beats, beat_s = count, here
            if self._owned is not None:
                if self._owned.ended:
                    return "the day has ended"
                if self._now() > terms.closes_at:
                    return "the markets have closed"
                if here - beat_s > terms.lost_after_s:
                    why = f"the engine has shown no sign of life for {here - beat_s:.0f} s"
                    return await self._take_over(why, terms.policy)
                reason = self._looked(self._owned, here)
                if reason:
                    return await self._take_over(reason, GuardPolicy.FLATTEN)
            await asyncio.sleep(terms.tick_s)

    def _looked(self, owned: Owned, here: float) -> str:
        """The HALT file, and what the last look at the broker said; why all must be closed, or nothing."""
        halt = self.halts.read()
        if halt is None or halt.by is HaltedBy.GUARD:
            self._halted_s = None
            self._flatten_s = None
        else:
            if self._halted_s is None:
                self._halted_s = here
            # A HALT that stood all morning gives the engine its time anew once it asks to flatten.
            if not halt.flatten:
                self._flatten_s = None
            elif self._flatten_s is None:
                self._flatten_s = here
        waited_s = 0.0 if self._halted_s is None else here - self._halted_s
        asked_s = 0.0 if self._flatten_s is None else here - self._flatten_s
        if (
            halt is not None
            and self._flatten_s is not None
            and asked_s >= self._terms.flatten_grace_s
        ):
            flat = not any(book.net_qty for book in owned.books) and not owned.orders
            if not flat:
                return f"the operator asked to flatten ({halt.reason}), and it is not flat"
        looking = self._looking
        if looking is not None and looking.done():
            self._looking = None
            return looking.result()
        if looking is None and here >= self._next_look_s:
            self._next_look_s = here + self._terms.loss_every_s
            # In a task of its own: a broker that does not answer must not make us deaf meanwhile.
            halted = waited_s >= self._terms.halt_grace_s > 0
            work = self._look(owned, halted=halted)
            self._looking = asyncio.get_running_loop().create_task(work)
        return ""

    async def _look(self, owned: Owned, *, halted: bool) -> str:
        """One look at the broker: entries that still work under a HALT, and the day's loss."""
        self._renew()
        if halted:
            await self._withdraw_entries(owned, "HALT stands")
        with suppress(KiteReadFailed):  # A price that cannot be read is no loss.
            return await self._loss.look(owned, self._hands)
        return ""

    async def _withdraw_entries(self, owned: Owned, why: str) -> None:
        """No entry of ours goes on working."""
        if not any(order.purpose.value == "ENTRY" for order in owned.orders):
            return
        try:
            rows = await self._hands.orders()
        except KiteReadFailed:
            return  # Looked at again soon.
        for row in rows:
            if may_enter(row, owned):
                await self._hands.withdraw(Withdraw(row=row, why=f"an entry, and {why}"))

    async def _beat(self) -> None:
        while True:
            with suppress(OSError):  # A full disk must not end the one who watches.
                self._own.beat()
            await asyncio.sleep(self._terms.tick_s)

    # ── taking over ──────────────────────────────────────────────────────────────────────────

    async def _take_over(self, why: str, policy: GuardPolicy, halt: Halt | None = None) -> str:
        self.acted = True
        resumed = halt is not None
        if self._looking is not None:
            self._looking.cancel()
        standing = self.halts.read()
        if standing is not None and standing.flatten:
            policy = GuardPolicy.FLATTEN  # Whatever it is that we act on: a person wants out.
        if halt is None:
            halt = self._halt(why)
            self._append("took over", f"Taken over: {why}. Policy: {policy}.", halt, policy=policy)
            self._tell(f"The guard takes over: {why}. Policy: {policy}.")
        else:
            self._hands.take_up(self._journal.last_deed())
        with ExitStack() as held:
            self._hold(held, InstanceLock(self._terms.artifacts, started_at=self._now(), name=ACTS))
            await self._stop_engine(held)
            ended = await self._settle(halt, policy, resumed=resumed)
        self._append("ended", f"The guard ends: {ended}.", halt)
        return ended

    def _halt(self, why: str) -> Halt:
        """HALT, with a new epoch; where the disk takes none, the engine's end has to do instead."""
        try:
            return self.halts.write(HaltedBy.GUARD, why, self._now())
        except DiskFailed as error:
            self._unwritten = True
            self._tell(
                f"{error.what} The guard goes on: it ends the engine, and acts without HALT."
            )
        epoch = self.halts.epoch + 1
        return Halt(epoch=epoch, at=self._now(), by=HaltedBy.GUARD, reason=why, guard_epoch=epoch)

    def _hold(self, held: ExitStack, lock: InstanceLock) -> None:
        """Take a lock; a disk that takes no file must not stop the one who gets us out."""
        try:
            held.enter_context(lock)
        except DiskFailed as error:
            self._tell(f"{error.what} The guard goes on without this lock.")

    async def _stop_engine(self, held: ExitStack) -> None:
        """Returns once no engine lives here, and none can start: its lock is ours."""
        lock = InstanceLock(self._terms.artifacts, started_at=self._now(), name="live")
        said = ""
        while True:
            owned = self._file.read() or self._owned
            if owned is not None:
                self._owned = owned
                why = await self._end_engine(owned)
                if why and why != said:
                    said = why
                    self._tell(f"The engine (process {owned.pid}) could not be stopped: {why}.")
            try:
                self._hold(held, lock)
            except AnotherDayIsRunning as error:
                if error.what != said:
                    said = error.what
                    self._append("note", f"The engine's lock is still held: {error.what}")
                await asyncio.sleep(self._terms.round_s)
                continue
            return

    def _knowledge(self) -> Owned | None:
        """What we own: by the last file and by the journal of an engine that is dead."""
        shown = self._file.read() or self._owned
        if shown is None:
            return None
        return confirmed(shown, journalled(self._terms.artifacts, shown))

    async def _settle(self, halt: Halt, policy: GuardPolicy, *, resumed: bool) -> str:
        owned = self._knowledge()
        if owned is None:
            sentence = (
                "Nobody can say what the house owns: neither owned.json nor the journal can be read."
                " Nothing was touched; see orders and positions at the broker."
            )
            self._append("finished", sentence, halt)
            self._tell(sentence)
            return "nothing is known of what we own"
        if not resumed:
            await self._withdraw_entries(owned, "the guard has taken over")
            await self._pause(self._terms.write_deadline_s + self._terms.visible_s, halt)
        return await self._rounds(owned, halt, policy)

    async def _rounds(self, owned: Owned, halt: Halt, policy: GuardPolicy) -> str:
        idle, told, failing_s = 0, "", None
        while True:
            if not self._still(halt):
                return "the operator has lifted the halt"
            if self._now() > self._terms.closes_at:
                return "the markets have closed"
            self._renew()
            standing = self.halts.read()
            if policy is not GuardPolicy.FLATTEN and standing is not None and standing.flatten:
                policy = GuardPolicy.FLATTEN
                self._append("note", "The operator asks to flatten; stops are withdrawn.", halt)
            books = await self._hands.read()
            if books is None:
                failing_s = _loop_s() if failing_s is None else failing_s
                if _loop_s() - failing_s > READ_FAILING_S:
                    failing_s = _loop_s()
                    self._tell(f"The guard cannot read the books: {self._hands.failed}")
                await self._pause(self._terms.round_s, halt)
                continue
            failing_s = None
            plan = self._plan(books, owned, policy)
            for withdraw in plan.withdraw:
                await self._hands.withdraw(withdraw)
            for reduce in plan.reduce:
                await self._hands.reduce(reduce, owned)
            given_up = all(each.key in self._hands.stuck for each in plan.reduce)
            at_rest = plan.idle or (given_up and not plan.withdraw and not plan.under_way)
            idle = idle + 1 if at_rest else 0
            if idle >= 2:
                said = self._said(plan)
                if said != told:
                    told = said
                    self._append("finished", said, halt)
                    self._tell(said)
                if not plan.open_qty:
                    return "all is closed"
            await self._pause(self._terms.round_s if idle < 2 else self._terms.loss_every_s, halt)

    def _plan(self, books: Seen, owned: Owned, policy: GuardPolicy) -> Plan:
        hands = self._hands
        mine = Mine(owned=owned, guards=hands.tags, fresh=hands.fresh)
        shown = {order.tag for row in books.orders if (order := order_of(owned, row)) is not None}
        unseen = hands.unseen() + self._missing(owned, shown)
        return decide(books, mine, policy, unseen)

    def _missing(self, owned: Owned, shown: set[str]) -> list[Unseen]:
        """Orders of the engine's that the book does not show, as long as they may still appear."""
        return [
            Unseen(
                key=(order.instrument, order.product.value), side=order.side, qty=order.leaves_qty
            )
            for order in owned.orders
            if order.tag not in shown
            and not self._hands.never_came(order.tag, certain=bool(order.order_id))
        ]

    def _said(self, plan: Plan) -> str:
        if not plan.open_qty:
            return "Nothing of ours is open at the broker any more."
        lines: list[str] = []
        for key, qty in plan.open_qty.items():
            stuck = self._hands.stuck.get(key)
            cover = plan.covered.get(key, 0)
            what = f"{qty} {key[0]} ({key[1]})"
            if stuck:
                lines.append(f"{what} is STILL OPEN: {stuck}. Close it at the broker now.")
            else:
                lines.append(f"{what} stays open under a stop for {cover}, dead at the close.")
        return " ".join(lines)

    # ── small things ─────────────────────────────────────────────────────────────────────────

    def _still(self, halt: Halt) -> bool:
        """Whether our halt stands; one that cannot be read (epoch 0) does."""
        standing = self.halts.read()
        return self._unwritten or (standing is not None and standing.epoch in (0, halt.epoch))

    def _unfinished(self) -> tuple[Halt, GuardPolicy] | None:
        """The takeover of a guard that died before its end, if its halt still stands."""
        halt = self.halts.read()
        deed = self._journal.last_deed()
        if halt is None or halt.by is not HaltedBy.GUARD or not deed:
            return None
        if deed[0].epoch != halt.epoch or any(line.kind == "ended" for line in deed):
            return None
        return halt, GuardPolicy(deed[0].policy or GuardPolicy.KEEP_PROTECTED)

    async def _pause(self, seconds: float, halt: Halt) -> None:
        """Wait; not longer than our halt stands."""
        until = _loop_s() + seconds
        # The file may go at any moment, and no event tells of it.
        while (left := until - _loop_s()) > 0 and self._still(halt):  # noqa: ASYNC110
            await asyncio.sleep(min(left, self._terms.tick_s))

    def _append(self, kind: str, sentence: str, halt: Halt | None = None, policy: str = "") -> None:
        self._hands.keep(
            GuardLine(
                at=self._now(),
                kind=kind,
                sentence=sentence,
                epoch=halt.epoch if halt is not None else 0,
                policy=policy,
                run=self._owned.run if self._owned is not None else "",
            )
        )


def loss_text(max_loss: Money | None) -> str:
    """For a person."""
    return "no loss is watched" if max_loss is None else f"at a loss of {show_rupees(max_loss)}"


def _loop_s() -> float:
    return asyncio.get_running_loop().time()
