"""What a second terminal says to a live day, judged by the exchange's books and the day's journal."""

import asyncio
from types import SimpleNamespace

import pytest
from live_stage import at, on_stage
from second_terminal import Terminal, until

from kitestring.core.risk_engine import NOT_ARMED
from kitestring.domain.errors import ConfigError
from kitestring.domain.events import OperatorCommand, OperatorWord, Resolution
from kitestring.domain.instants import SECOND
from kitestring.domain.verdicts import Blocked, HaltSession
from kitestring.engine.arming import ArmingFile
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.run_reader import chosen_run, read_run

SCRIPT = "2 BUY stop=-5; 5 EXIT; 7 SELL stop=+5"


def said(artifacts, kind):
    facts = read_run(chosen_run(artifacts)).facts()
    return [fact for fact in facts if isinstance(fact, kind)]


def words_heard(artifacts):
    return [fact.word for fact in said(artifacts, OperatorCommand)]


def test_a_halt_is_confirmed_when_entries_are_blocked_and_costs_no_exit(tmp_path):
    async def play(stage):
        terminal = Terminal(tmp_path)
        day = terminal.trade(stage, SCRIPT)
        await stage.until("10:04:00")
        began = stage.clock.now()
        answer = await terminal.say("halt", reason="I go out")
        took = stage.clock.now() - began
        resting = [
            row["order_type"] for row in stage.orders() if row["status"] == "TRIGGER PENDING"
        ]
        again = await terminal.say("halt", reason="twice")
        await day
        return answer, took, resting, again, stage.held(), stage.orders()

    answer, took, resting, again, held, orders = on_stage(play, tmp_path)
    assert answer.ok
    assert answer.says.startswith("Entries are blocked: The operator said halt: I go out.")
    assert took < SECOND // 4
    assert resting == ["SL"], "the stop stays"
    assert again.ok
    assert held == 0
    assert [row["transaction_type"] for row in orders] == ["BUY", "SELL", "SELL"], "no second entry"
    assert [fact.code for fact in said(tmp_path, Blocked)] == ["HALTED"]
    assert words_heard(tmp_path) == [OperatorWord.ARM, OperatorWord.HALT], "told once"
    assert HaltFile(tmp_path).read().reason == "I go out"


@pytest.mark.parametrize("by", [HaltedBy.OPERATOR, HaltedBy.GUARD])
def test_a_halt_file_of_anybody_is_noticed_within_a_quarter_second(tmp_path, by):
    async def play(stage):
        terminal = Terminal(tmp_path)
        day = terminal.trade(stage, SCRIPT)
        await stage.until("10:00:30")
        HaltFile(tmp_path).write(by, "no heartbeat", stage.clock.now())
        began = stage.clock.now()
        await until(lambda: terminal.day.core.risk.state.halted is not None)
        took = stage.clock.now() - began
        armed = ArmingFile(tmp_path).read()
        await day
        return took, armed, stage.orders()

    took, armed, orders = on_stage(play, tmp_path)
    assert took <= SECOND // 4
    assert armed is None, "a halt ends the arming"
    assert orders == []
    assert words_heard(tmp_path) == [OperatorWord.ARM, OperatorWord.HALT]


def test_a_halt_survives_a_restart_and_lifting_it_arms_nothing(tmp_path):
    async def play(stage):
        HaltFile(tmp_path).write(HaltedBy.OPERATOR, "yesterday was enough", stage.clock.now())
        with pytest.raises(ConfigError, match="HALT stands") as refused:
            await stage.trade(SCRIPT)
        HaltFile(tmp_path).lift()
        terminal = Terminal(tmp_path)
        first = terminal.trade(stage, SCRIPT)
        await stage.until("10:00:30")
        await terminal.say("halt", reason="enough")
        await stage.die(first)
        HaltFile(tmp_path).lift()
        await stage.trade(SCRIPT)
        return refused.value.do, stage.orders(), len(stage.asked)

    do, orders, asked = on_stage(play, tmp_path)
    assert "kitestring halt --lift" in do
    assert orders == [], "the day stays halted although the file was lifted and the phrase typed"
    assert asked == 2, "the arming did not outlive the halt"


def test_a_halted_house_that_owns_something_is_taken_up_to_care_for_it(tmp_path):
    async def play(stage):
        terminal = Terminal(tmp_path)
        first = terminal.trade(stage, SCRIPT)
        await stage.until("10:04:00")
        await terminal.say("halt", reason="enough")
        await stage.die(first)
        result = await Terminal(tmp_path).trade(stage, SCRIPT)
        return result, stage.held(), len(stage.asked)

    result, held, asked = on_stage(play, tmp_path)
    assert (held, result.open_positions) == (0, {})
    assert asked == 1, "nothing is armed over a HALT"


def test_flatten_closes_what_is_ours_and_nothing_is_entered_again(tmp_path):
    async def play(stage):
        terminal = Terminal(tmp_path)
        day = terminal.trade(stage, SCRIPT)
        await stage.until("10:04:00")
        assert stage.held() == 10
        answer = await terminal.say("flatten", reason="I go out")
        await asyncio.sleep(10)
        held = stage.held()
        open_rows = [r for r in stage.orders() if r["status"] in ("OPEN", "TRIGGER PENDING")]
        later = await terminal.say("flatten")
        await day
        return answer, held, open_rows, later, stage.orders()

    answer, held, open_rows, later, orders = on_stage(play, tmp_path)
    assert answer.says == "Closing 10 INFY; entries are over for today."
    assert (held, open_rows) == (0, [])
    assert later.says == "Nothing of ours is open; entries are over for today."
    assert [row["transaction_type"] for row in orders] == ["BUY", "SELL", "SELL"]


def test_reconcile_reads_the_books_now_and_says_how_they_stand(tmp_path):
    async def play(stage):
        terminal = Terminal(tmp_path)
        day = terminal.trade(stage, SCRIPT)
        await stage.until("10:04:00")
        before = len(stage.stage.ledger.conversations(method="GET", path="/portfolio/positions"))
        good = await terminal.say("reconcile")
        after = len(stage.stage.ledger.conversations(method="GET", path="/portfolio/positions"))
        stage.stage.reach.flush_tokens()
        unread = await terminal.say("reconcile")
        day.cancel()
        await stage.die(day)
        return good, after - before, unread

    good, reads, unread = on_stage(play, tmp_path)
    assert good.ok
    assert good.says == "The broker's books and ours agree."
    assert reads >= 1
    assert not unread.ok
    assert "could not be read" in unread.says


def test_a_look_at_the_day_says_all_of_it(tmp_path):
    async def play(stage):
        terminal = Terminal(tmp_path)
        day = terminal.trade(stage, SCRIPT)
        await stage.until("10:04:00")
        calm = (await terminal.say("status")).standing
        unknown = await terminal.say("sell everything")
        HaltFile(tmp_path).write(HaltedBy.GUARD, "no heartbeat", stage.clock.now())
        halted = (await terminal.say("status")).standing
        day.cancel()
        await stage.die(day)
        return calm, halted, unknown

    calm, halted, unknown = on_stage(play, tmp_path)
    assert calm.armed
    assert (calm.entries, calm.untrusted, calm.feed, calm.halt_file) == ("", "", "flowing", "")
    assert [row.quantity for row in calm.state.positions] == [10]
    assert "taken over" in halted.guard
    assert "no heartbeat" in halted.entries
    assert not unknown.ok
    assert "status, halt, flatten, reconcile, resolve" in unknown.says


class InboxOnly:
    """A day of which nothing but the inbox is there: what ``resolve`` means is the core's."""

    def __init__(self):
        self.heard = []
        named = ["NSE:INFY", "NFO:NIFTY26NOVFUT", "NSE:SBIN", "BSE:SBIN"]
        state = SimpleNamespace(untrusted="INFY: we say 10, the broker says 0")
        self.frozen = {name: SimpleNamespace(instrument=name) for name in named}
        view = SimpleNamespace(state=SimpleNamespace(frozen=self.frozen))
        self.core = SimpleNamespace(instruments=dict.fromkeys(named), state=state, view=view)
        self.obeys = True

    def order(self, word, reason, **more):
        command = OperatorCommand(at=at("10:00"), word=word, reason=reason, **more)
        self.heard.append(command)
        if self.obeys:
            self.frozen.pop(command.instrument)
        return command

    def waits(self, heard):
        return False


@pytest.mark.parametrize(
    ("symbol", "resolution", "instrument"),
    [
        ("INFY", "release", "NSE:INFY"),
        ("nse:infy", "adopt", "NSE:INFY"),
        ("NIFTY26NOVFUT", "flatten", "NFO:NIFTY26NOVFUT"),
        ("BSE:SBIN", "adopt", "BSE:SBIN"),
    ],
)
def test_a_decision_about_a_position_reaches_the_inbox_whole(
    tmp_path, symbol, resolution, instrument
):
    terminal, day = Terminal(tmp_path), InboxOnly()

    async def whole():
        async with terminal.attend(day, None):
            return await terminal.say(
                "resolve", symbol=symbol, resolution=resolution, reason="my own sale"
            )

    answer = asyncio.run(whole())
    assert answer.ok
    assert "Not explained yet: INFY" in answer.says
    (command,) = day.heard
    assert (command.word, command.reason) == (OperatorWord.RESOLVE, "my own sale")
    assert (command.instrument, command.resolution) == (instrument, Resolution(resolution))


@pytest.mark.parametrize(
    ("symbol", "resolution", "sentence"),
    [
        ("SBIN", "adopt", "is several: NSE:SBIN, BSE:SBIN"),
        ("TCS", "adopt", "TCS is none of ours today: BSE:SBIN, NFO:NIFTY26NOVFUT"),
        ("", "adopt", "An empty name"),
        ("INFY", "sell", "Resolve by one of adopt, release, flatten."),
    ],
)
def test_a_decision_that_is_not_clear_is_not_taken(tmp_path, symbol, resolution, sentence):
    terminal, day = Terminal(tmp_path), InboxOnly()

    async def whole():
        async with terminal.attend(day, None):
            return await terminal.say("resolve", symbol=symbol, resolution=resolution)

    answer = asyncio.run(whole())
    assert not answer.ok
    assert sentence in answer.says
    assert day.heard == []


@pytest.mark.parametrize(
    ("frozen", "sentence", "heard"),
    [
        (False, "NSE:INFY is not frozen: there is nothing to resolve.", 0),
        (True, "NSE:INFY stays frozen: the broker's books are not believed (INFY: we say 10", 1),
    ],
)
def test_a_decision_that_changes_nothing_is_not_said_to_be_taken(tmp_path, frozen, sentence, heard):
    terminal, day = Terminal(tmp_path), InboxOnly()
    day.obeys = False
    if not frozen:
        day.frozen.clear()

    async def whole():
        async with terminal.attend(day, None):
            return await terminal.say("resolve", symbol="INFY", resolution="adopt")

    answer = asyncio.run(whole())
    assert not answer.ok
    assert answer.says.startswith(sentence)
    assert len(day.heard) == heard


def test_only_a_person_or_the_session_arms_again(tmp_path):
    """A halt of the operator over a day that waits for a login stays when the login comes."""

    async def play(stage):
        terminal = Terminal(tmp_path)
        day = terminal.trade(stage, SCRIPT)
        await stage.until("10:00:20")
        stage.stage.reach.flush_tokens()
        await until(lambda: terminal.day.core.risk.state.halted is not None)
        code = terminal.day.core.risk.state.halted.code
        await terminal.say("halt", reason="enough")
        stage.log_in()
        await day
        return code, stage.orders()

    code, orders = on_stage(play, tmp_path)
    assert code == NOT_ARMED
    assert orders == []
    assert words_heard(tmp_path).count(OperatorWord.ARM) == 1
    assert said(tmp_path, HaltSession)
