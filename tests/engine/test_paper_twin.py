"""A live day's paper twin: the same ticks and sizes, its own orders, and never the live day's trouble."""

import asyncio

import pytest
from house_day import SCRIPTED
from live_stage import DAY, on_stage
from twin_on_stage import DearMarket, TwinBeside

from kitestring.domain.events import DaySealed, Gap, RunOpened
from kitestring.domain.money import money
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.signals import Signal
from kitestring.engine.paper_twin import PaperTwin, words_of
from kitestring.engine.replay_run import replay_run
from kitestring.exchange.fill_models import fill_model
from kitestring.market.charges import configured_charges
from kitestring.store.run_reader import every_run, read_run

SCRIPT = "2 BUY stop=-5; 5 EXIT; 7 SELL stop=+5"


def run_of(artifacts, mode):
    (run,) = [each for each in every_run(artifacts) if each.mode == mode]
    return run


def facts(artifacts, mode, kind):
    return [each for each in read_run(run_of(artifacts, mode)).facts() if isinstance(each, kind)]


def test_a_twin_beside_a_live_day_takes_the_same_decisions_on_the_same_ticks(tmp_path):
    beside = TwinBeside()

    async def play(stage):
        alone = len(stage.posts())
        result = await stage.trade(SCRIPT, beside=(beside,))
        return result, len(stage.posts()) - alone

    live, sent = on_stage(play, tmp_path)
    twin = beside.twin.result
    assert (twin.mode, twin.trades, twin.open_positions) == ("twin", 2, {})
    assert sent == live.orders, "the twin's orders are its own"
    assert twin.ticks == live.ticks
    decided = [
        [(each.signal_id, each.action, each.bar_close_at) for each in facts(tmp_path, mode, Signal)]
        for mode in ("live", "twin")
    ]
    assert decided[0] == decided[1] != []
    (opened,) = facts(tmp_path, "twin", RunOpened)
    assert (opened.mode, opened.beside) == ("twin", live.run)
    assert (tmp_path / "twin" / str(DAY) / "trades.csv").exists()
    assert (tmp_path / "live" / str(DAY) / "trades.csv").exists()
    done = replay_run(read_run(run_of(tmp_path, "twin")), lambda _: SCRIPTED).replayed
    assert done.difference is None, done.difference


def test_planted_slippage_is_the_difference_to_the_paisa(tmp_path):
    """The exchange asks ₹2.00 above and bids ₹0.50 below the price that paper fills at."""
    beside = TwinBeside("instant")

    async def play(stage):
        result = await stage.trade(
            "2 BUY stop=-5; 5 EXIT",
            beside=(beside,),
            charge_book=configured_charges("flat 0.1%", DAY),
        )
        trades = stage.exchange.desk.trades(stage.exchange.now())
        return result, [
            (row["transaction_type"], row["quantity"], row["average_price"]) for row in trades
        ]

    live, trades = on_stage(play, tmp_path, market=DearMarket())
    assert trades == [("BUY", 10, 1502.0), ("SELL", 10, 1499.5)], "as the exchange has it"
    twin = beside.twin.result
    (paper,) = facts(tmp_path, "twin", RoundTrip)
    assert (paper.qty, paper.entry_px, paper.exit_px) == (10, 1500_0000, 1500_0000)
    # Paper: 10 bought and sold at 1,500.00; 0.1 % of 30,000.00 is 30.00.
    assert twin.net == money("-30.00")
    # Live: 10 bought at 1,502.00, sold at 1,499.50: -25.00; 0.1 % of 30,015.00 is 30.015.
    assert live.net == money("-55.015")


def test_a_twin_made_afterwards_is_the_twin_that_ran_beside_it(tmp_path):
    beside = TwinBeside("market")
    on_stage(lambda stage: stage.trade(SCRIPT, beside=(beside,)), tmp_path)
    run = run_of(tmp_path, "twin")
    made_beside = read_run(run)
    for path in (run.journal, run.tape, run.exchange_ledger):
        path.unlink()
    commits = read_run(run_of(tmp_path, "live")).commits
    with PaperTwin(run_of(tmp_path, "live"), fill_model("market"), read=lambda _: SCRIPTED) as twin:
        for word in words_of(commits):
            twin.hear(word)
    again = read_run(run)
    assert len(again.commits) > 10
    assert again.commits == made_beside.commits


def test_a_live_day_taken_up_again_gives_its_twin_one_whole_day(tmp_path):
    first, second = TwinBeside(), TwinBeside()

    async def play(stage):
        day = asyncio.create_task(stage.trade(SCRIPT, beside=(first,)))
        await stage.until("10:03:03")
        await stage.die(day)
        assert first.twin.result is None
        await stage.until("10:03:40")
        return await stage.trade(SCRIPT, beside=(second,))

    live = on_stage(play, tmp_path)
    assert live.resumed
    twin = second.twin.result
    assert (twin.trades, twin.open_positions) == (2, {})
    assert len(facts(tmp_path, "twin", DaySealed)) == 1
    gaps = facts(tmp_path, "twin", Gap)
    assert gaps == facts(tmp_path, "live", Gap) != []


def test_words_heard_twice_change_nothing(tmp_path):
    beside = TwinBeside()
    on_stage(lambda stage: stage.trade(SCRIPT, beside=(beside,)), tmp_path)
    before = run_of(tmp_path, "twin").journal.read_bytes()
    for word in beside.words:
        beside.twin.hear(word)
    assert run_of(tmp_path, "twin").journal.read_bytes() == before


def test_a_day_told_again_from_its_start_is_taken_in_once(tmp_path):
    """What happens when the live house failed and was rebuilt: its line tells everything again."""
    beside = TwinBeside()
    on_stage(lambda stage: stage.trade(SCRIPT, beside=(beside,)), tmp_path)
    told_once = read_run(run_of(tmp_path, "twin")).commits
    run_of(tmp_path, "twin").journal.unlink()
    half = len(beside.words) // 2
    with PaperTwin(
        run_of(tmp_path, "live"), fill_model("instant"), read=lambda _: SCRIPTED
    ) as twin:
        for word in (*beside.words[:half], *beside.words):
            twin.hear(word)
    assert read_run(run_of(tmp_path, "twin")).commits == told_once


@pytest.mark.parametrize("model", ["instant", "market"])
def test_the_twins_fills_are_on_the_live_tape(tmp_path, model):
    beside = TwinBeside(model)
    on_stage(lambda stage: stage.trade(SCRIPT, beside=(beside,)), tmp_path)
    fills = facts(tmp_path, "twin", Fill)
    assert fills
    step = 1000
    assert {int(each.px) for each in fills} <= {1500_0000 + n * step for n in range(-2, 4)}
