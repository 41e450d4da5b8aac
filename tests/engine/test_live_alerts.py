"""A live day tells whoever is not looking: every kind, at a real receiver, without a secret."""

import asyncio
import datetime as dt
import json

import pytest
from alert_receivers import receiver
from live_stage import on_stage
from second_terminal import Terminal

from kitestring.cli import kite_day
from kitestring.domain.errors import ConfigError
from kitestring.domain.instants import instant
from kitestring.engine import live_alerts
from kitestring.engine.alert_channels import Secret, WebhookChannel

SCRIPT = "2 BUY stop=-5; 5 EXIT; 7 SELL stop=+5"
FAULTS = """\
faults:
- {kind: no_answer, route: POST /orders/regular, nth: 4, reached: false}
- {kind: ticks_silent, from: "10:08:10", for: 25}
"""


@pytest.fixture(autouse=True)
def _threads_are_waited_for(monkeypatch):
    """Virtual time has no threads to wait in; the alerts' own thread is real all the same."""

    async def here(call, *given):
        return call(*given)

    monkeypatch.setattr(live_alerts.asyncio, "to_thread", here)


def test_a_day_tells_everything_worth_telling(tmp_path):
    with receiver() as heard:
        channel = WebhookChannel(url=Secret(f"{heard.root}/?key=canarycanary"))

        async def play(stage):
            terminal = Terminal(tmp_path)
            day = terminal.trade(stage, SCRIPT, alerts=(channel,))
            await stage.until("10:03:40")
            stage.stage.reach.flush_tokens()
            await stage.until("10:04:10")
            stage.log_in()
            await stage.until("10:09:00")
            await terminal.say("halt", reason="enough")
            result = await day
            return result, [stage.token.reveal()]

        result, secrets = on_stage(play, tmp_path, FAULTS, began="09:58:40")
    kinds = {kind for kind, _ in heard.alerts}
    assert kinds >= {
        "armed", "alive", "fill", "halt", "feed silent", "unknown order", "login due", "day summary",
    }  # fmt: skip
    texts = {}
    for kind, text in heard.alerts:
        texts.setdefault(kind, []).append(text)
    assert "Alive at 09:59." in texts["alive"]
    assert "Armed for ₹2,00,000" in texts["armed"][0]
    assert any("enough" in text for text in texts["halt"])
    assert len(texts["day summary"]) == 1
    titles = {rows["title"] for _, rows in heard.heard}
    assert titles == {"Kitestring LIVE 2026-11-20"}
    whole = json.dumps([rows for _, rows in heard.heard])
    for secret in ("canarycanary", *secrets):
        assert secret not in whole
        assert secret not in json.dumps(result.summary(), default=str)
    assert not [note for note in result.notes if note.startswith("alerts")]


def test_a_channel_that_hangs_costs_the_day_nothing_and_is_named_at_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("kitestring.engine.day_alerts.PATIENCE_S", 0.2)
    with receiver(status=500) as heard:
        channel = WebhookChannel(url=Secret(heard.root))

        async def play(stage):
            result = await Terminal(tmp_path).trade(stage, SCRIPT, alerts=(channel,))
            return result, stage.held()

        result, held = on_stage(play, tmp_path)
    assert (held, result.trades) == (0, 2)
    assert any("were not delivered: it answered 500" in note for note in result.notes)


def test_a_day_that_cannot_start_says_so_to_whoever_is_away(tmp_path):
    with receiver() as heard:
        channel = WebhookChannel(url=Secret(heard.root))

        async def play(stage):
            with pytest.raises(ConfigError, match="not armed"):
                await stage.trade(SCRIPT, types=False, alerts=(channel,))

        on_stage(play, tmp_path)
    ((kind, text),) = heard.alerts
    assert kind == "halt"
    assert "Live trading is not armed" in text


class Morning:
    """A clock that jumps to whatever is waited for; at a moment of it something happens."""

    def __init__(self, at, happens_at, happens):
        self._at, self._happens_at, self._happens = at, happens_at, happens

    def now(self):
        return self._at

    async def wait_until(self, at):
        self._at = max(self._at, at)
        if self._at >= self._happens_at:
            self._happens()


def test_nobody_logged_in_is_told_before_the_market_opens_and_not_before_breakfast(tmp_path):
    from kitestring.broker.kite_session import KiteToken, TokenStore
    from kitestring.broker.secret_text import Secret as BrokerSecret

    day = dt.date(2026, 11, 20)
    store = TokenStore(tmp_path / "secrets", {"KITE_API_KEY": "kitestring"})
    lines = []

    def log_in():
        secret = BrokerSecret("tokentoken")
        store.keep(
            KiteToken(
                api_key="kitestring", access_token=secret, public_token=secret,
                login_at=clock.now(), user_id="KS0001",
            )
        )  # fmt: skip

    clock = Morning(instant(day, dt.time(6, 30)), instant(day, dt.time(8, 20)), log_in)
    with receiver() as heard:
        channels = (WebhookChannel(url=Secret(heard.root)),)
        token = asyncio.run(kite_day.todays_token(store, clock, lines.append, channels))
    assert token.user_id == "KS0001"
    assert len(lines) == 1
    assert [kind for kind, _ in heard.alerts] == ["login due"] * 2, "at eight and a quarter past"
    assert "Nobody is logged in at Kite." in heard.alerts[0][1]
    stamps = [row["at"] for _, rows in heard.heard for row in rows["alerts"]]
    assert stamps[0].startswith("2026-11-20T08:00")
