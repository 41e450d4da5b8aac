"""Paper tells the truth about live: the same market, event by event, and the first lie is named."""

import datetime as dt
from pathlib import Path

import msgspec
import pytest
from beside_stage import FirstHour, OneTape, live_day, paper_day, shortened

from kitestring.cli.config import Engines, load_config
from kitestring.cli.day_request import DayRequest
from kitestring.cli.paper_day import paper_plan
from kitestring.core import exits
from kitestring.core.order_rules import stop_order_shape
from kitestring.domain.instants import instant
from kitestring.domain.orders import OrdType
from kitestring.engine.parting import first_parting, moments
from kitestring.exchange.market_source import MarketSource
from kitestring.exchange.synthetic_market import SyntheticFeed

ROOT = Path(__file__).resolve().parent.parent.parent
DAY = dt.date(2026, 11, 20)
TAPE = next(
    (
        folder / "shared" / "data" / "ticks_2021-04-13"
        for folder in ROOT.parents
        if (folder / "shared" / "data").is_dir()
    ),
    ROOT / "absent",
)
TAPE_DAY = dt.date(2021, 4, 13)


TAPE_SETTINGS = """
trading:
  mode: paper
  paper_capital: 20 lakh
  logical_universe: [RELIANCE, INFY, TCS, SBIN]
paper:
  charges: flat 0.03%
strategies:
  - strategy: donchian_breakout
    instruments: [RELIANCE, INFY, TCS, SBIN]
    timeframe: 1m
    capital: 2 lakh
"""


def at(text, day=DAY):
    return instant(day, dt.time.fromisoformat(text))


def request(artifacts, config=ROOT / "configs" / "paper.yaml", **more):
    asked = {"feed": "synthetic", "engines": Engines.ALL, "seed": 1} | more
    return DayRequest(file=load_config(config), artifacts=artifacts, **asked)


def synthetic_plan(artifacts, until="10:10"):
    """Eight instruments, two strategies on most of them, orders that rest, trail and are squared off."""
    feed = FirstHour(SyntheticFeed(DAY, 1), at(until))
    plan = shortened(paper_plan(request(artifacts), feed), at(until))
    return msgspec.structs.replace(plan, settings=patient(plan.settings))


def patient(settings):
    """Capital that the exchange's account holds, and marks that may be as old as a thin tape's."""
    risk = msgspec.structs.replace(settings.risk, stale_after_s=60.0)
    return msgspec.structs.replace(settings, risk=risk)


def synthetic_market(until="10:10"):
    tape = SyntheticFeed(DAY, 1)
    names = [each.id for each in tape.manifest.instruments]
    return OneTape(FirstHour(tape, at(until)), MarketSource(DAY, 1, watching=names))


def story(recorded):
    return list(moments(recorded))


def test_a_synthetic_day_is_the_same_live_and_on_paper(tmp_path):
    plan = synthetic_plan(tmp_path / "paper")
    paper = story(paper_day(plan))
    live = story(live_day(plan, synthetic_market(), tmp_path / "live", opens_at=at("09:10")))
    parting = first_parting(paper, live)
    assert parting is None, parting.sentence
    kinds = {each.kind for each in paper}
    assert kinds >= {
        "Bar",
        "Signal",
        "PlaceOrder",
        "ModifyOrder",
        "CancelOrder",
        "Fill",
        "RoundTrip",
    }
    assert sum(each.kind == "Fill" for each in paper) > 10


def test_one_line_that_differs_is_found_where_it_first_matters(tmp_path, monkeypatch):
    """The planted difference: the live house lets a stop's limit reach a tick further."""
    plan = synthetic_plan(tmp_path / "paper", "09:40")
    paper = story(paper_day(plan))

    def a_tick_further(instrument, side, stop_px):
        ord_type, limit_px, trigger_px = stop_order_shape(instrument, side, stop_px)
        return ord_type, limit_px + side.sign * instrument.tick_size, trigger_px

    monkeypatch.setattr(exits, "stop_order_shape", a_tick_further)
    live = story(live_day(plan, synthetic_market("09:40"), tmp_path / "live", opens_at=at("09:10")))
    parting = first_parting(paper, live)
    assert parting is not None
    first_stop = next(
        number
        for number, each in enumerate(paper, start=1)
        if each.content.get("approved.intent.ord_type") in (OrdType.SL, OrdType.SL_M)
    )
    assert parting.number == first_stop
    assert parting.sentence.endswith(
        "PlaceOrder order 2 at 09:31:00: approved.intent.price 13830000 and 13831000."
    )


@pytest.mark.skipif(not TAPE.is_dir(), reason="shared data absent")
def test_a_recorded_day_is_the_same_live_and_on_paper(tmp_path):
    config = tmp_path / "tape.yaml"
    config.write_text(TAPE_SETTINGS)
    until = at("10:45", TAPE_DAY)
    asked = request(tmp_path / "paper", config, feed="tape", tape=TAPE)
    whole = paper_plan(asked)
    feed = whole.feed
    plan = shortened(msgspec.structs.replace(whole, feed=FirstHour(feed, until)), until)
    plan = msgspec.structs.replace(plan, settings=patient(plan.settings))
    paper = story(paper_day(plan))
    live = story(
        live_day(
            plan, FirstHour(feed, until), tmp_path / "live", charges="flat 0.03%",
            opens_at=at("09:10", TAPE_DAY),
        )
    )  # fmt: skip
    parting = first_parting(paper, live)
    assert parting is None, parting.sentence
    assert sum(each.kind == "Fill" for each in paper) > 1
