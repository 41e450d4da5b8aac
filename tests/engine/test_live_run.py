"""``run_day --mode live`` from its settings to the day: the exchange's own list, closes, token and market."""

import datetime as dt
import io
import json

import pytest
from live_stage import DAY, at, on_stage

from kitestring.broker.kite_session import KiteToken, TokenStore
from kitestring.broker.secret_text import Secret
from kitestring.cli import live_run
from kitestring.cli.config import Engines, Mode, parse_config
from kitestring.cli.day_request import DayRequest
from kitestring.domain.errors import ConfigError
from kitestring.domain.instants import instant
from kitestring.engine.arming import Armed, ArmingFile
from kitestring.engine.live_market import enters_without_stop
from kitestring.engine.own_text import own_text
from kitestring.engine.strategy_files import read_strategy
from kitestring.engine.watching import NobodyWatches

CONFIG = """\
trading:
  mode: live
  live_capital: 2 lakh
  logical_universe: [INFY]
kite: {profile: local, api_root: "http://127.0.0.1:8010"}
strategies:
  - {strategy: ema_trend, instruments: [INFY], timeframe: 1m}
"""


def request_of(text, artifacts):
    return DayRequest(
        file=parse_config(text, "live.yaml", Mode.LIVE),
        engines=Engines.EQUITY,
        feed="synthetic",
        artifacts=artifacts,
    )


def kept_token(stage, folder):
    store = TokenStore(folder, {"KITE_API_KEY": "kitestring"})
    store.keep(
        KiteToken(
            api_key="kitestring",
            access_token=stage.token,
            public_token=Secret("publicpublic"),
            login_at=stage.clock.now(),
            user_id="KS0001",
        )
    )
    return store


def test_a_day_armed_in_the_morning_trades_without_a_keyboard(tmp_path):
    request = request_of(CONFIG, tmp_path)

    async def play(stage):
        secrets = tmp_path / "secrets"
        secrets.mkdir(mode=0o700)
        store = kept_token(stage, secrets)
        lines = []
        config = request.file.config
        ArmingFile(tmp_path).write(
            Armed(
                date=DAY,
                account="KS0001",
                capital=config.trading.live_capital,
                config_hash=config.digest,
                armed_at=at("09:00"),
                build=own_text(),
            )
        )
        result = await live_run._trade(
            request, NobodyWatches(), lines.append, stage.clock, store, io.StringIO("")
        )
        return result, lines, stage.token.reveal()

    result, _, token = on_stage(play, tmp_path, began="15:20:00", opens="15:20")
    assert result.mode == "live"
    assert not result.interrupted
    assert result.ticks > 300
    assert (tmp_path / "instruments" / f"{DAY}.instruments").exists()
    assert (tmp_path / "live" / str(DAY) / "orders.csv").exists()
    for path in tmp_path.rglob("*"):
        if path.is_file() and "secrets" not in path.parts:
            assert token.encode() not in path.read_bytes(), f"the token is in {path}"
    state = json.loads((tmp_path / "checkpoints" / "live_state_latest.json").read_text())
    assert state["mode"] == "live"


def test_nobody_at_the_keyboard_arms_nothing_and_is_told_what_to_type(tmp_path):
    async def play(stage):
        secrets = tmp_path / "secrets"
        secrets.mkdir(mode=0o700)
        lines = []
        with pytest.raises(ConfigError, match="not armed") as refused:
            await live_run._trade(
                request_of(CONFIG, tmp_path), NobodyWatches(), lines.append, stage.clock,
                kept_token(stage, secrets), io.StringIO("TRADE 200000\n"),
            )  # fmt: skip
        return lines, refused.value.do, stage.orders()

    lines, do, orders = on_stage(play, tmp_path, began="15:20:00", opens="15:20")
    assert "Nobody is at the keyboard, so nobody can arm the day." in lines
    assert do.endswith("TRADE 200000")
    assert orders == []


class Stopped:
    """A clock that stands."""

    def __init__(self, day, time):
        self._at = instant(day, time)

    def now(self):
        return self._at


@pytest.mark.parametrize(
    ("clock", "sentence"),
    [
        (Stopped(dt.date(2026, 11, 22), dt.time(9)), "the next trading day is 2026-11-23"),
        (Stopped(DAY, dt.time(20)), "ended at"),
    ],
)
def test_a_day_without_trading_ends_cleanly(tmp_path, clock, sentence):
    lines = []
    request = request_of(CONFIG, tmp_path)
    done = live_run.run_live_day(request, NobodyWatches(), lines.append, clock=clock)
    assert done is None
    assert sentence in lines[0]


def test_no_real_order_leaves_before_live_trading_is_released(tmp_path):
    lines = []
    at_zerodha = "".join(line for line in CONFIG.splitlines(keepends=True) if "kite:" not in line)
    with pytest.raises(ConfigError, match="not released yet") as refused:
        live_run.run_live_day(
            request_of(at_zerodha, tmp_path),
            NobodyWatches(),
            lines.append,
            clock=Stopped(DAY, dt.time(10)),
        )
    assert "127.0.0.1" in refused.value.do
    assert lines == []


@pytest.mark.parametrize(("name", "bare"), [("ema_cross", True), ("ema_trend", False)])
def test_a_strategy_that_enters_without_a_stop_is_known_by_its_text(name, bare):
    from pathlib import Path

    definition = read_strategy(name)
    assert enters_without_stop(definition, Path(definition.path).read_text()) is bare
