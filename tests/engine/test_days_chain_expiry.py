"""A name rolls to its next contract; a position keeps its own, and the house closes it on its last day."""

import datetime as dt

import msgspec
import pytest
from day_chain import facts_of, read, run, tables

from kitestring.cli.config import Engines, parse_config
from kitestring.cli.day_request import DayRequest
from kitestring.cli.paper_day import paper_plan
from kitestring.cli.paper_days import days_plan
from kitestring.domain.events import DayOpening, Note
from kitestring.domain.instants import ist_clock
from kitestring.domain.orders import ExitReason, Product
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.signals import Signal
from kitestring.domain.verdicts import Blocked
from kitestring.exchange.instrument_master import instruments_on
from kitestring.exchange.synthetic_market import SyntheticFeed

FRIDAY, EXPIRY, AFTER = dt.date(2026, 11, 20), dt.date(2026, 11, 23), dt.date(2026, 11, 25)
"""24 November 2026 is a holiday, so the contracts of November expire on Monday the 23rd."""

CONFIG = """\
trading:
  paper_capital: 50 lakh
  logical_universe: [NIFTY]
paper:
  charges: flat 0.03%
risk:
  max_drawdown_pct: off
  max_daily_loss_pct: off
  max_symbol_loss_pct: off
strategies:
  - strategy: script
    name: holder
    instruments: [NIFTY]
    timeframe: 1m
    product: NRML
    lots: 1
    params: {buy: 20261120010, sell: 20261125005}
  - strategy: script
    name: late
    instruments: [NIFTY]
    timeframe: 1m
    product: NRML
    lots: 1
    params: {buy: 20261123010}
"""


def three_days(folder):
    request = DayRequest(
        file=parse_config(CONFIG, "week.yaml"),
        engines=Engines.ALL,
        feed="synthetic",
        date=FRIDAY,
        days=3,
        seed=1,
        artifacts=folder,
    )

    def plan_of(day, opening):
        futures = [each for each in instruments_on(day) if each.name == "NIFTY"]
        one = msgspec.structs.replace(request, date=day)
        return paper_plan(one, SyntheticFeed(day, 1, futures), opening, read=read)

    return msgspec.structs.replace(days_plan(request, read=read), plan_of=plan_of)


@pytest.fixture(scope="module")
def week(tmp_path_factory):
    folder = tmp_path_factory.mktemp("expiry")
    plan = three_days(folder)
    assert plan.days == (FRIDAY, EXPIRY, AFTER)
    return folder, run(plan)


@pytest.mark.parametrize("day", [EXPIRY, AFTER])
def test_a_stop_within_a_day_that_carries_positions_changes_nothing(week, tmp_path, day):
    whole, result = week
    stopped = run(three_days(tmp_path), stop_within=day)
    assert stopped.interrupted
    assert len(stopped.rows) == (1 if day == EXPIRY else 2)
    again = run(three_days(tmp_path))
    assert again.rows == result.rows
    assert tables(tmp_path) == tables(whole)
    (opening,) = facts_of(tmp_path, day, DayOpening)
    assert opening == facts_of(whole, day, DayOpening)[0]


def test_a_carried_contract_is_closed_by_the_house_on_its_expiry_day(week):
    folder, result = week
    assert result.rows[0].carried == {"holder-NIFTY|NFO:NIFTY26NOVFUT|NRML": 65}
    (trip,) = facts_of(folder, EXPIRY, RoundTrip)
    assert (trip.instrument, trip.qty) == ("NFO:NIFTY26NOVFUT", 65)
    assert (trip.exit_reason, trip.product) == (ExitReason.EXPIRY, Product.NRML)
    assert ist_clock(trip.exit_at)[:5] == "15:20"
    notes = [note.sentence for note in facts_of(folder, EXPIRY, Note)]
    assert "Closing 1 book(s) of FUTURES that expire today." in notes


def test_the_name_has_rolled_for_whoever_holds_nothing(week):
    folder, _ = week
    (signal,) = facts_of(folder, EXPIRY, Signal)
    assert (signal.strategy, signal.instrument) == ("late-NIFTY", "NFO:NIFTY26DECFUT")


def test_the_strategy_itself_goes_on_in_the_next_contract(week):
    folder, result = week
    (signal,) = facts_of(folder, AFTER, Signal)
    assert (signal.strategy, signal.instrument) == ("holder-NIFTY", "NFO:NIFTY26DECFUT")
    # The other strategy carries that contract long: an opposing entry would cross it.
    (blocked,) = facts_of(folder, AFTER, Blocked)
    assert blocked.code == "BOOK_CONFLICT"
    assert result.rows[2].carried == {"late-NIFTY|NFO:NIFTY26DECFUT|NRML": 65}


def test_the_days_add_up_to_fills_and_marks(week):
    folder, result = week
    cash = 0
    for day in (FRIDAY, EXPIRY, AFTER):
        for fill in facts_of(folder, day, Fill):
            value = int(fill.px) * fill.qty
            cash += -value if fill.side.sign > 0 else value
            cash -= int(fill.charges.total) // 1_000_000
    last = SyntheticFeed(dt.date(2026, 11, 26), 1).manifest.previous_close["NFO:NIFTY26DECFUT"]
    assert int(result.net) == pytest.approx(cash + int(last) * 65, abs=3)
