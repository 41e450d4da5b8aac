"""A day on paper on Kite's own ticks: live's loop, paper's matcher, and not one byte of an order."""

import asyncio
import datetime as dt
import io
import subprocess
import sys

import msgspec
import pytest
from house_day import SCRIPTED
from live_stage import DAY, at, on_stage
from paper_on_stage import paper_engine, trade_on_paper
from test_live_run import kept_token, request_of

from kitestring.broker.kite_client import KiteClient
from kitestring.broker.paper_broker import PaperBroker
from kitestring.broker.reads_only import ReadsOnly
from kitestring.cli import paper_kite
from kitestring.cli.config import Mode, parse_config
from kitestring.domain.errors import InvariantBroken
from kitestring.domain.events import Gap, HistoryLoaded, Note, RunOpened
from kitestring.domain.ids import OrderId
from kitestring.domain.instants import instant
from kitestring.domain.positions import Fill
from kitestring.domain.verdicts import PlaceOrder
from kitestring.engine.replay_run import replay_run
from kitestring.engine.watching import NobodyWatches
from kitestring.exchange.ledger import What, read_entries
from kitestring.store.run_reader import every_run, read_run

SCRIPT = "2 BUY stop=-5; 5 EXIT; 7 SELL stop=+5"
PAPER = """\
trading: {mode: paper, paper_capital: 2 lakh, logical_universe: [INFY]}
kite: {profile: local, api_root: "http://127.0.0.1:8010"}
strategies:
  - {strategy: ema_trend, instruments: [INFY], timeframe: 1m}
"""


def order_requests(stage):
    """What reached an endpoint that could change an order, whatever became of it."""
    return [
        each
        for method in ("POST", "PUT", "DELETE")
        for each in stage.stage.ledger.conversations(method=method)
        if each.heard.path.startswith(("/orders", "/gtt"))
    ]


def of_paper(artifacts):
    (run,) = [each for each in every_run(artifacts) if each.mode == "paper"]
    return read_run(run)


def facts(artifacts, kind):
    return [fact for fact in of_paper(artifacts).facts() if isinstance(fact, kind)]


def test_a_whole_day_trades_on_real_ticks_and_sends_nothing(tmp_path):
    async def play(stage):
        result = await trade_on_paper(stage, SCRIPT)
        return result, stage.orders(), order_requests(stage)

    result, orders, sent = on_stage(play, tmp_path)
    assert (result.mode, result.trades, result.open_positions) == ("paper", 2, {})
    assert (orders, sent) == ([], [])
    assert result.ticks > 1000
    prices = {int(fill.px) for fill in facts(tmp_path, Fill)}
    assert prices <= {1500_0000, 1500_0500, 1500_1000, 1499_9000, 1499_9500}
    assert (tmp_path / "journal" / str(DAY) / "trades.csv").exists()
    (opened,) = facts(tmp_path, RunOpened)
    assert (opened.mode, opened.fill_model, opened.feed) == ("paper", "instant", "Kite, rehearsed")
    done = replay_run(of_paper(tmp_path), lambda _: SCRIPTED).replayed
    assert done.difference is None, done.difference


def resumed_once(artifacts, result):
    """By journal and exchange ledger: flat, no fill twice, each order at the exchange once."""
    assert result.resumed
    assert (result.trades, result.open_positions) == (2, {})
    fills = facts(artifacts, Fill)
    assert sum(fill.side.sign * fill.qty for fill in fills) == 0
    assert len({fill.fill_id for fill in fills}) == len(fills)
    sent = [each.cl_ord_id for each in facts(artifacts, PlaceOrder)]
    ledger = of_paper(artifacts).paths.exchange_ledger.read_bytes().splitlines()
    placed = [each.tag for each in read_entries(ledger) if each.what is What.PLACE]
    assert sorted(placed) == sorted(sent)
    assert len(set(sent)) == len(sent)


@pytest.mark.parametrize(
    "when",
    [
        pytest.param("10:02:01.55", id="an entry on its way"),
        pytest.param("10:02:01.595", id="an entry filled and not told"),
        pytest.param("10:02:01.65", id="a stop on its way"),
        pytest.param("10:05:01.56", id="a cancel on its way"),
        pytest.param("10:05:01.852", id="an exit filled and not told"),
        pytest.param("10:10:00.26", id="a square-off filled and not told"),
    ],
)
def test_killed_with_orders_on_their_way_nothing_is_lost_or_doubled(tmp_path, when):
    """The exchange's ledger may be ahead of the journal by a fill that nobody was told of."""

    async def play(stage):
        first = asyncio.create_task(trade_on_paper(stage, SCRIPT, model="market"))
        await stage.until(when)
        await stage.die(first)
        await stage.until(f"{when[:6]}{int(when[6:8]) + 9:02d}")
        return await trade_on_paper(stage, SCRIPT, model="market")

    resumed_once(tmp_path, on_stage(play, tmp_path))


@pytest.mark.parametrize("nth", [1, 2, 3, 4, 6])
def test_killed_between_the_commit_and_the_exchange_the_order_is_handed_over_again(
    tmp_path, nth, monkeypatch
):
    handed_over = PaperBroker.carry_out
    left = [nth]

    def dying(broker, command, at_):
        left[0] -= 1
        if left[0] == 0:
            raise asyncio.CancelledError
        handed_over(broker, command, at_)

    monkeypatch.setattr(PaperBroker, "carry_out", dying)

    async def play(stage):
        first = asyncio.create_task(trade_on_paper(stage, SCRIPT, model="market"))
        with pytest.raises(asyncio.CancelledError):
            await first
        return await trade_on_paper(stage, SCRIPT, model="market")

    resumed_once(tmp_path, on_stage(play, tmp_path))


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_an_interrupted_day_goes_on_and_its_gap_is_on_record(tmp_path, how):
    async def play(stage):
        engine = paper_engine(stage, SCRIPT)
        first = asyncio.create_task(engine.start(NobodyWatches()))
        await stage.until("10:03:03")
        if how == "killed":
            await stage.die(first)
        else:
            engine.stop()
            assert (await first).interrupted
        await stage.until("10:03:40")
        return await trade_on_paper(stage, SCRIPT), order_requests(stage)

    result, sent = on_stage(play, tmp_path)
    assert (result.resumed, result.trades, result.open_positions, sent) == (True, 2, {}, [])
    (gap,) = [each for each in facts(tmp_path, Gap) if "not running" in each.reason]
    assert gap.start_at <= at("10:03:03")
    assert gap.end_at == at("10:03:40")
    fills = facts(tmp_path, Fill)
    assert sum(fill.side.sign * fill.qty for fill in fills) == 0
    assert len({fill.fill_id for fill in fills}) == len(fills)


def test_a_day_begun_in_the_middle_has_history_and_says_what_nobody_saw(tmp_path):
    async def play(stage):
        await stage.until("10:04:20")
        return await trade_on_paper(stage, "7 SELL stop=+5")

    result = on_stage(play, tmp_path)
    assert result.trades == 1
    joined = [each for each in facts(tmp_path, Gap) if "before the feed began" in each.reason]
    assert [each.start_at for each in joined] == [at("10:04:00")]
    assert facts(tmp_path, HistoryLoaded) == [] or all(
        bar.close_at <= at("10:04:00")
        for each in facts(tmp_path, HistoryLoaded)
        for bar in each.bars
    )


def test_what_a_feed_says_before_the_live_day_listens_is_heard_too(tmp_path):
    async def play(stage):
        await stage.until("10:04:20")
        return await stage.trade("7 SELL stop=+5")

    on_stage(play, tmp_path)
    (run,) = every_run(tmp_path)
    gaps = [fact for fact in read_run(run).facts() if isinstance(fact, Gap)]
    assert [each.start_at for each in gaps if "before the feed" in each.reason] == [at("10:04:00")]


def test_live_and_paper_trade_side_by_side_on_one_account(tmp_path):
    async def play(stage):
        live, paper = await asyncio.gather(stage.trade(SCRIPT), trade_on_paper(stage, SCRIPT))
        return live, paper, len(stage.orders()), len(order_requests(stage))

    live, paper, orders, sent = on_stage(play, tmp_path)
    assert (live.mode, paper.mode) == ("live", "paper")
    assert (live.trades, paper.trades) == (2, 2)
    assert orders == live.orders
    assert sent >= orders
    names = sorted(each.folder.name for each in every_run(tmp_path))
    assert [name[11:15] for name in names] == ["live", "pape"]


def test_from_the_settings_file_to_a_day_on_paper(tmp_path):
    request = msgspec.structs.replace(
        request_of(PAPER, tmp_path), file=parse_config(PAPER, "paper.yaml", Mode.PAPER), feed="kite"
    )

    async def play(stage):
        secrets = tmp_path / "secrets"
        secrets.mkdir(mode=0o700)
        store = kept_token(stage, secrets)
        said = []
        result = await paper_kite.trade_on_kite(
            request, NobodyWatches(), said.append, stage.clock, store
        )
        return result, order_requests(stage), stage.token.reveal()

    result, sent, token = on_stage(play, tmp_path, began="15:20:00", opens="15:20")
    assert (result.mode, result.feed, sent) == ("paper", f"Kite, {DAY}", [])
    assert result.ticks > 300
    for path in tmp_path.rglob("*"):
        if path.is_file() and "secrets" not in path.parts:
            assert token.encode() not in path.read_bytes(), f"the token is in {path}"


def test_nobody_logged_in_is_waited_for(tmp_path):
    request = msgspec.structs.replace(
        request_of(PAPER, tmp_path), file=parse_config(PAPER, "paper.yaml", Mode.PAPER), feed="kite"
    )

    async def play(stage):
        secrets = tmp_path / "secrets"
        secrets.mkdir(mode=0o700)
        from kitestring.broker.kite_session import TokenStore

        said = []
        day = asyncio.create_task(
            paper_kite.trade_on_kite(
                request, NobodyWatches(), said.append, stage.clock,
                TokenStore(secrets, {"KITE_API_KEY": "kitestring"}),
            )
        )  # fmt: skip
        await stage.until("15:21:00")
        assert not day.done()
        assert len(said) == 1
        assert "login_kite" in said[0]
        kept_token(stage, secrets)
        return await day

    assert on_stage(play, tmp_path, began="15:20:00", opens="15:20").ticks > 200


class Standing:
    """A clock that stands."""

    def __init__(self, day, time):
        self._at = instant(day, time)

    def now(self):
        return self._at


def test_a_holiday_is_a_clean_end(tmp_path):
    said = []
    request = msgspec.structs.replace(request_of(PAPER, tmp_path), feed="kite")
    sunday = Standing(dt.date(2026, 11, 22), dt.time(9))
    assert (
        paper_kite.run_paper_on_kite(
            request, NobodyWatches(), said.append, clock=sunday, keyboard=io.StringIO("")
        )
        is None
    )
    assert said == ["No trading on 2026-11-22 (a Sunday); the next trading day is 2026-11-23."]


def test_the_line_of_paper_refuses_to_carry_an_order(tmp_path):
    async def play(stage):
        async with ReadsOnly(stage.settings) as http:
            client = KiteClient(stage.settings, stage.token, http)
            assert (await client.profile()).user_id
            with pytest.raises(InvariantBroken, match="nothing was sent"):
                await client.place({"tradingsymbol": "INFY"})
            with pytest.raises(InvariantBroken, match="nothing was sent"):
                await client.cancel(OrderId("261120000000001"), "regular")
        return order_requests(stage)

    assert on_stage(play, tmp_path) == []


def test_paper_loads_nothing_that_speaks_orders_to_a_broker():
    loaded = subprocess.run(
        [sys.executable, "-c",
         "import sys, kitestring.cli.paper_kite;"
         "print([name for name in sys.modules if 'kite_bridge' in name or 'order_traffic' in name"
         " or 'live_engine' in name or 'live_run' in name])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert loaded.stdout.strip() == "[]"


def test_notes_of_the_feed_reach_the_record(tmp_path):
    on_stage(lambda stage: trade_on_paper(stage, SCRIPT), tmp_path)
    kinds = {each.kind for each in facts(tmp_path, Note)}
    assert "live: feed" in kinds
