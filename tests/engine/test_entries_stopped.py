"""What is asked as an entry leaves, after all it waited for: the guard, HALT, the day, its halt, its books."""

from types import SimpleNamespace

import pytest

from kitestring.domain.errors import AnotherDayIsRunning
from kitestring.engine.guard_story import ACTS
from kitestring.engine.live_engine import LiveEngine
from kitestring.store.halt_file import HaltedBy
from kitestring.store.instance_lock import InstanceLock


def test_the_first_reason_that_holds_an_entry_back_is_said(tmp_path):
    said = {"guard": "nobody watches"}
    engine = LiveEngine(
        SimpleNamespace(artifacts=tmp_path), None, None, unguarded=lambda: said["guard"]
    )
    assert engine._entries_stopped() == "nobody watches"
    said["guard"] = ""
    assert engine._entries_stopped() == "the day is not running"
    state = SimpleNamespace(untrusted="")
    risk = SimpleNamespace(state=SimpleNamespace(halted=None))
    engine._day = SimpleNamespace(core=SimpleNamespace(state=state, risk=risk))
    assert engine._entries_stopped() == ""
    state.untrusted = "two books differ"
    assert engine._entries_stopped() == "two books differ"
    risk.state.halted = SimpleNamespace(sentence="the day has lost enough")
    assert engine._entries_stopped() == "the day has lost enough"
    engine.halts.write(HaltedBy.OPERATOR, "going out", 1)
    assert "going out" in engine._entries_stopped()
    risk.state.halted, state.untrusted = None, ""
    assert "going out" in engine._entries_stopped()
    engine.halts.lift()
    assert engine._entries_stopped() == ""


def test_no_house_starts_beside_a_guard_that_acts(tmp_path):
    engine = LiveEngine(SimpleNamespace(artifacts=tmp_path), None, None)
    with (
        InstanceLock(tmp_path, started_at=1, name=ACTS),
        pytest.raises(AnotherDayIsRunning, match="guard has taken over"),
    ):
        engine.run(None)


def test_the_fence_ends_the_day_it_falls_on(tmp_path):
    engine = LiveEngine(SimpleNamespace(artifacts=tmp_path), None, None)
    assert engine._fenced() == ""
    engine.halts.write(HaltedBy.OPERATOR, "going out", 1)
    assert engine._fenced() == ""
    engine.halts.write(HaltedBy.GUARD, "no heartbeat", 2)
    stopped = []
    engine._day = SimpleNamespace(stop=lambda: stopped.append(True))
    assert "no heartbeat" in engine._fenced()
    assert stopped == [True]
    engine.halts.lift()
    assert "no heartbeat" in engine._fenced()
    assert LiveEngine(SimpleNamespace(artifacts=tmp_path), None, None)._fenced() == ""
