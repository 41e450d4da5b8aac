"""``kitestring guard`` as it is typed: what it refuses, and that only one watches a folder."""

import datetime as dt

from kitestring.broker.kite_session import KiteToken, TokenStore
from kitestring.broker.secret_text import Secret
from kitestring.cli.commands import house
from kitestring.cli.run_day import run_command
from kitestring.domain.instants import instant
from kitestring.engine.clocks import wall_now
from kitestring.store.instance_lock import InstanceLock

CONFIG = """\
trading: {mode: live, live_capital: 2 lakh, logical_universe: [INFY]}
kite: {profile: local, api_root: "http://127.0.0.1:1"}
strategies:
  - {strategy: ema_trend, instruments: [INFY], timeframe: 1m}
"""


def typed(tmp_path, *more):
    (tmp_path / "live.yaml").write_text(CONFIG)
    return run_command(house, [
        "guard", "--config", str(tmp_path / "live.yaml"), "--artifacts", str(tmp_path / "artifacts"),
        "--secrets", str(tmp_path / "secrets"), *more,
    ])  # fmt: skip


def test_without_a_login_it_says_so_and_does_not_pretend_to_watch(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KITE_API_KEY", "kitestring")
    assert typed(tmp_path) == 1
    told = capsys.readouterr()
    assert "The guard has ended: Nobody is logged in at Kite." in told.out
    assert "scripts.login_kite" in told.err


def test_a_second_guard_of_the_same_folder_leaves_at_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KITE_API_KEY", "kitestring")
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    TokenStore(secrets, {"KITE_API_KEY": "kitestring"}).keep(
        KiteToken(
            api_key="kitestring", access_token=Secret("a" * 32), public_token=Secret("p" * 32),
            user_id="KS0001", login_at=instant(dt.date(2026, 11, 20), dt.time(9)),
        )
    )  # fmt: skip
    with InstanceLock(tmp_path / "artifacts", started_at=wall_now(), name="guard"):
        assert typed(tmp_path) == 4
    assert "A guard watches" in capsys.readouterr().err
