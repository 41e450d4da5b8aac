"""``kitestring doctor``: what it looks at, what it says, and that what it cannot know never passes."""

import datetime as dt
import json
from types import MappingProxyType

import pytest
from answered_days import ask

from kitestring.cli import doctor_command
from kitestring.cli.config import Mode, parse_config
from kitestring.cli.doctor_command import doctor_lines, looked_at
from kitestring.core.settings import RiskSettings
from kitestring.domain.instants import instant
from kitestring.domain.money import money
from kitestring.engine import preflight
from kitestring.engine.preflight import Outcome, may_start
from kitestring.store.halt_file import HaltFile
from kitestring.store.instrument_dumps import InstrumentDumps

DAY = dt.date(2026, 11, 20)
MORNING = instant(DAY, dt.time(8, 50))
NO_KEYS = MappingProxyType({})
LIVE = "trading:\n  mode: live\n  live_capital: 2 lakh\n"


def looked(text, tmp_path, now=MORNING, addresses=("10.0.0.7", None), environment=NO_KEYS):
    answers = iter(addresses)
    checks = looked_at(
        parse_config(text, "test.yaml"),
        tmp_path,
        now,
        source=lambda family, towards: next(answers),
        secrets=tmp_path / "secrets",
        environment=environment,
    )
    return {check.name: check for check in checks}


def test_paper_asks_for_no_login_no_list_and_no_address(tmp_path):
    checks = looked("trading: {mode: paper}\n", tmp_path)
    assert set(checks) == {
        "Python", "clock", "calendar", "file modes", "disk", "commits", "open files", "limits",
    }  # fmt: skip
    assert may_start(checks.values())
    assert not list(tmp_path.iterdir()), "looking leaves nothing behind"


def test_live_without_capital_fails_and_says_what_to_write(tmp_path):
    limits = looked("trading: {mode: live}\n", tmp_path)["limits"]
    assert limits.outcome is Outcome.FAILED
    assert "never guessed" in limits.says
    assert "trading.live_capital" in limits.do


def test_limits_are_parts_of_the_capital_that_is_traded(tmp_path):
    text = LIVE + "  paper_capital: 1 crore\nrisk: {max_daily_loss_pct: ₹4000}\n"
    assert "₹4,000" in looked(text, tmp_path)["limits"].says
    paper_first = text.replace("mode: live", "mode: paper")
    asked_live = parse_config(paper_first, "test.yaml", Mode.LIVE)
    assert asked_live.config.risk.max_daily_loss_pct == pytest.approx(0.02)


def test_a_day_that_nothing_would_end_does_not_start():
    check = preflight.check_limits(RiskSettings(max_daily_loss_pct=None), money("100000"), "x")
    assert check.outcome is Outcome.FAILED


def test_what_cannot_be_told_from_inside_is_not_said_to_be_in_order(tmp_path):
    checks = looked(LIVE, tmp_path)
    assert checks["address"].outcome is Outcome.UNKNOWN
    assert "IPv4 10.0.0.7 (private" in checks["address"].says
    assert "IPv6 none" in checks["address"].says
    assert checks["clock"].outcome is Outcome.UNKNOWN
    public = looked(LIVE, tmp_path, addresses=("8.8.4.4", None))["address"]
    assert public.outcome is Outcome.PASSED


def test_the_list_of_today_is_looked_for_where_the_live_day_keeps_it(tmp_path):
    assert looked(LIVE, tmp_path)["instruments"].outcome is Outcome.UNKNOWN
    dumps = InstrumentDumps(tmp_path / "instruments")
    dumps.keep(b"x", day=DAY, fetched_at=MORNING, counts={"NFO": 3, "NSE": 2})
    assert "5 rows" in looked(LIVE, tmp_path)["instruments"].says
    dumps.path_of(DAY).write_bytes(b"{}")
    assert looked(LIVE, tmp_path)["instruments"].outcome is Outcome.FAILED


def test_secrets_that_others_can_read_fail_with_the_command_that_mends_them(tmp_path):
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    kept = folder / "kite.env"
    kept.write_text("KITE_API_SECRET=canary\n")
    kept.chmod(0o644)
    check = looked(LIVE, tmp_path)["file modes"]
    assert check.do == f"chmod 600 {kept}"
    assert "canary" not in check.says
    kept.chmod(0o600)
    assert looked(LIVE, tmp_path)["file modes"].outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("check", "cure"),
    [
        (preflight.check_clock(MORNING, 4.2), "set-ntp"),
        (preflight.check_python((3, 10)), "newer Python"),
        (preflight.check_calendar(dt.date(2027, 1, 4)), "update"),
    ],
)
def test_each_failing_check_says_what_to_type(check, cure):
    assert check.outcome is Outcome.FAILED
    assert cure in check.do
    assert not may_start([check])


def test_a_clock_that_agrees_passes_and_the_horizon_is_named_before_it_is_reached():
    assert preflight.check_clock(MORNING, -0.2).outcome is Outcome.PASSED
    assert preflight.check_calendar(dt.date(2026, 12, 28)).outcome is Outcome.UNKNOWN
    sunday = preflight.check_calendar(dt.date(2026, 11, 22))
    assert "the next is 2026-11-23" in sunday.says


def test_a_full_disk_fails(tmp_path):
    assert preflight.check_disk(tmp_path, lambda _: 1 << 20).outcome is Outcome.FAILED


def test_a_folder_that_takes_nothing_fails(tmp_path):
    place = tmp_path / "file"
    place.write_text("")
    assert preflight.check_commits(place).outcome is Outcome.FAILED


def test_the_command_answers_for_people_and_for_programs(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor_command, "source_address", lambda family, towards: None)
    code, said, _ = ask("doctor", "--artifacts", tmp_path)
    assert "✓ Python" in said
    assert "? clock" in said
    rows = json.loads(ask("doctor", "--artifacts", tmp_path, "--json")[1])
    failing = [row for row in rows if row["outcome"] == "fails"]
    assert code == bool(failing)
    wrong = tmp_path / "live.yaml"
    nobody = "http://127.0.0.1:9"
    wrong.write_text(f"trading: {{mode: live}}\nkite: {{profile: local, api_root: {nobody}}}\n")
    code, said, _ = ask("doctor", "--config", wrong, "--artifacts", tmp_path, "--json")
    assert code == 1
    assert doctor_lines([preflight.failed("x", "y.", "z")]) == ["✗ x: y.", "    → z"]


def test_a_token_is_looked_for_and_never_shown(tmp_path):
    missing = looked(LIVE, tmp_path)["token"]
    assert missing.outcome is Outcome.FAILED
    assert "KITE_API_KEY" in missing.says
    keys = {
        "KITE_API_KEY": "mykey",
        "KITE_TOKEN_API_KEY": "mykey",
        "KITE_ACCESS_TOKEN": "canarycanary",
        "KITE_LOGIN_TS": "2026-11-20T08:30:00+05:30",
    }
    good = looked(LIVE, tmp_path, environment=keys)["token"]
    assert good.outcome is Outcome.PASSED
    assert "2026-11-21 06:00" in good.says
    assert "canary" not in good.says
    dead = looked(LIVE, tmp_path, MORNING + 24 * 3_600_000_000, environment=keys)["token"]
    assert dead.outcome is Outcome.FAILED
    assert "login_kite" in dead.do


def test_the_emergency_stop_is_tried_before_every_live_day(tmp_path, monkeypatch):
    assert looked(LIVE, tmp_path)["drill"].outcome is Outcome.PASSED
    assert list(tmp_path.iterdir()) == [], "the drill leaves nothing behind, least of all a HALT"
    with monkeypatch.context() as broken:
        broken.setattr(HaltFile, "stands", False)
        check = looked(LIVE, tmp_path)["drill"]
        assert (check.outcome, check.says) == (
            Outcome.FAILED,
            "a HALT does not stop entries here.",
        )
    with monkeypatch.context() as broken:
        broken.setattr(preflight, "intent_fields", lambda intent: {"order_type": "MARKET"})
        assert "refused by Kite" in looked(LIVE, tmp_path)["drill"].says
    assert not may_start([check])


def test_too_few_open_files_fail_with_what_raises_them():
    check = preflight.check_descriptors(64)
    assert check.outcome is Outcome.FAILED
    assert check.do == "ulimit -n 512, or LimitNOFILE=512 in the service"
    assert preflight.check_descriptors(1024).outcome is Outcome.PASSED
    assert preflight.check_descriptors(-1).outcome is Outcome.PASSED, "no limit at all"
