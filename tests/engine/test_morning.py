"""``kitestring morning`` on a phone, the day that finds itself armed by it, and the broker's clock."""

import asyncio
import io

import pytest
from live_stage import DAY, at, on_stage
from test_live_run import CONFIG, kept_token, request_of

from kitestring.broker.broker_clock import broker_ahead_s
from kitestring.broker.kite_settings import local_settings
from kitestring.cli import live_run, morning_command
from kitestring.cli.morning_command import PHONE, check_lines
from kitestring.domain.errors import AnotherDayIsRunning, ConfigError
from kitestring.domain.events import OperatorCommand
from kitestring.domain.instants import SECOND
from kitestring.engine import preflight
from kitestring.engine.arming import ArmingFile
from kitestring.engine.preflight import Outcome
from kitestring.engine.watching import NobodyWatches
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.instance_lock import InstanceLock
from kitestring.store.run_reader import chosen_run, read_run


class Keyboard(io.StringIO):
    """Somebody is there."""

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _the_phrase_is_typed_at_once(monkeypatch):
    async def here(call, *given):
        return call(*given)

    monkeypatch.setattr(live_run.asyncio, "to_thread", here)


async def armed_by(stage, tmp_path, lines, typed):
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700, exist_ok=True)
    store = kept_token(stage, secrets)
    await asyncio.sleep(2)  # quotes are asked for once a second at most
    await morning_command._arm(
        request_of(CONFIG, tmp_path), lines.append, stage.clock, store, Keyboard(typed)
    )
    return store


def test_the_day_that_starts_later_without_a_keyboard_is_armed(tmp_path):
    lines = []

    async def play(stage):
        store = await armed_by(stage, tmp_path, lines, "TRADE 200000\n")
        kept = ArmingFile(tmp_path).read()
        await asyncio.sleep(2)
        result = await live_run._trade(
            request_of(CONFIG, tmp_path), NobodyWatches(), lines.append, stage.clock, store,
            io.StringIO(""),
        )  # fmt: skip
        return kept, result

    kept, result = on_stage(play, tmp_path, began="15:20:00", opens="15:20")
    assert (kept.date, kept.account, kept.in_use) == (DAY, "KS0001", False)
    assert result.ticks > 300
    words = [
        f.word for f in read_run(chosen_run(tmp_path)).facts() if isinstance(f, OperatorCommand)
    ]
    assert [word.value for word in words] == ["arm"]


def test_everything_fits_a_phone_and_the_phrase_stands_whole(tmp_path):
    lines = []

    async def play(stage):
        await armed_by(stage, tmp_path, lines, "TRADE 200000\n")

    on_stage(play, tmp_path, began="15:20:00", opens="15:20")
    shown = "\n".join(lines)
    assert "KS0001" in shown
    assert "limit" in shown
    assert "TRADE 200000" in " ".join(shown.split())
    assert lines[-2:] == ["The day may start: python -m", "  scripts.run_day --mode live"]
    assert [line for line in lines if len(line) > PHONE] == []


def test_the_wrong_phrase_arms_nothing_and_the_right_one_is_asked_for_once(tmp_path):
    lines = []

    async def play(stage):
        with pytest.raises(ConfigError, match="not the phrase"):
            await armed_by(stage, tmp_path, lines, "TRADE 20000\n")
        nothing = ArmingFile(tmp_path).read()
        HaltFile(tmp_path).write(HaltedBy.GUARD, "no heartbeat", stage.clock.now())
        with pytest.raises(ConfigError, match="HALT stands"):
            await armed_by(stage, tmp_path, lines, "TRADE 200000\n")
        HaltFile(tmp_path).lift()
        await armed_by(stage, tmp_path, lines, "TRADE 200000\n")
        await armed_by(stage, tmp_path, lines, "")
        with (
            InstanceLock(tmp_path, started_at=at("15:20"), name="live"),
            pytest.raises(AnotherDayIsRunning),
        ):
            await armed_by(stage, tmp_path, lines, "")
        return nothing

    assert on_stage(play, tmp_path, began="15:20:00", opens="15:20") is None


def test_a_check_is_a_line_and_one_that_fails_says_what_to_type():
    lines = check_lines(
        [
            preflight.passed(
                "clock", "2026-11-20 08:31:02 in India; within 0.1 s of the broker's."
            ),
            preflight.failed(
                "token", "Nobody is logged in at Kite.", "python -m scripts.login_kite"
            ),
        ]
    )
    assert lines == [
        "✓ clock: 2026-11-20 08:31:02 in India;…",
        "✗ token: Nobody is logged in at Kite.",
        "  → python -m scripts.login_kite",
    ]


@pytest.mark.parametrize("ahead_s", [0.0, 0.4, -0.7, 3.3, -45.0])
def test_the_brokers_clock_is_read_off_its_answers(tmp_path, ahead_s):
    async def play(stage):
        skewed = round(ahead_s * SECOND)
        return await broker_ahead_s(stage.settings, lambda: stage.clock.now() - skewed)

    found = on_stage(play, tmp_path)
    assert found == pytest.approx(ahead_s, abs=0.2)
    check = preflight.check_clock(at("10:00"), found)
    assert check.outcome is (Outcome.FAILED if abs(ahead_s) > 1 else Outcome.PASSED)
    if check.outcome is Outcome.FAILED:
        assert "timedatectl" in check.do


def test_a_broker_that_is_not_there_says_nothing_of_its_clock(tmp_path):
    async def play(stage):
        nobody = local_settings("http://127.0.0.1:8099", api_key="kitestring")
        return await broker_ahead_s(nobody, stage.clock.now)

    assert on_stage(play, tmp_path) is None
