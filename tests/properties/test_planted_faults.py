"""The judges are judged: with a safety line taken away, each law must catch it.

The same busy days pass with the line in place.
"""

from __future__ import annotations

import judges
import msgspec
import pytest
from house_day import ACME, NIFTY, RELAXED, scripted
from random_days import Recipe
from test_house_laws import watched
from unruly_broker import Mood

from kitestring.core import order_manager, risk_engine
from kitestring.core.exits import Exits
from kitestring.core.order_manager import OrderManager
from kitestring.core.portfolio import Portfolio
from kitestring.core.risk_engine import RiskEngine
from kitestring.domain.verdicts import Approved, Reduced
from kitestring.engine.trading_day import TradingDay

ROUGH = Mood(partial=60, repeats=50, shuffles=60, refuses=5, delay_ms=3000)
TIGHT = msgspec.structs.replace(
    RELAXED, max_gross_exposure_x=3.0, max_symbol_exposure_x=1.7, max_daily_loss_pct=0.001
)
SCRIPTS = (
    "2 BUY stop=-30; 3 SELL stop=+30; 4 BUY stop=-30; 5 SELL; 6 BUY",
    "2 SELL; 3 EXIT; 4 BUY; 5 SELL",
)


def busy_days():
    """Days on which much happens."""
    for seed in range(40):
        yield Recipe(
            strategies=(
                scripted("a", NIFTY, SCRIPTS[0], lots=4),
                scripted("b", ACME, SCRIPTS[1], lots=900),
            ),
            instruments=(NIFTY, ACME),
            risk=TIGHT,
            seed=seed,
            reach=12,
            mood=ROUGH if seed % 2 else ROUGH._replace(cancels_unasked=60, delay_ms=200),
        )


def after(judge):
    return lambda recipe: judge(recipe.build().run())


def at_every_commit(look):
    return lambda recipe: watched(recipe, look)


def quiet_books(day, number, commit):
    if judges.quiet(day):
        judges.working_orders_fit_the_books(day.core, day.core.state.now)


def restored(day, number, commit):
    judges.restores(day, number)


def limits(day, number, commit):
    if any(isinstance(fact, (Approved, Reduced)) for fact in commit.facts):
        judges.worst_case_within_limits(day.core, day.settings)


def exits_are_not_clipped(patch):
    patch.setattr(Exits, "_market_exits", _twice(Exits._market_exits))


def _twice(real):
    return lambda self, book, trade, qty, last, at: real(self, book, trade, 2 * qty, last, at)


def orders_end_before_their_last_trade(patch):
    patch.setattr(order_manager, "_ended", lambda order, after: after)


def trades_are_booked_each_time_they_are_told(patch):
    real = OrderManager.apply

    def apply(self, report):
        order = self.table.get(report.cl_ord_id)
        if order is not None:
            order.exec_ids.clear()
        return real(self, report)

    patch.setattr(OrderManager, "apply", apply)


def commands_leave_before_they_are_committed(patch):
    real = TradingDay._commit

    def commit(self, commands):
        for command in commands:
            self._broker.carry_out(command, self.core.state.now)
        real(self, ())

    patch.setattr(TradingDay, "_commit", commit)


def the_halt_is_not_heeded(patch):
    real = RiskEngine.check_entry

    def check_entry(self, request, standing):
        kept, self.state.halted = self.state.halted, None
        standing.day_pnl, standing.equity = 0, self.state.peak_equity
        verdict = real(self, request, standing)
        self.state.halted = self.state.halted or kept
        return verdict

    patch.setattr(RiskEngine, "check_entry", check_entry)


def changed_positions_are_not_written(patch):
    patch.setattr(Portfolio, "touch", lambda self, book: None)


def sizes_are_not_cut_to_the_limits(patch):
    patch.setattr(risk_engine, "fitted", lambda size, *_: size)


def stops_are_not_placed(patch):
    patch.setattr(Exits, "_protect", lambda self, *_: [])


FAULTS = [
    (exits_are_not_clipped, after(judges.exits_only_shrink)),
    (orders_end_before_their_last_trade, after(judges.exits_only_shrink)),
    (trades_are_booked_each_time_they_are_told, after(judges.results_are_exact)),
    (
        commands_leave_before_they_are_committed,
        after(judges.nothing_left_before_it_was_journalled),
    ),
    (the_halt_is_not_heeded, after(judges.no_exposure_after_a_halt)),
    (changed_positions_are_not_written, at_every_commit(restored)),
    (sizes_are_not_cut_to_the_limits, at_every_commit(limits)),
    (stops_are_not_placed, at_every_commit(quiet_books)),
]


@pytest.mark.parametrize(("plant", "judge"), FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_planted_fault_is_caught_by_its_law(plant, judge, monkeypatch):
    days = list(busy_days())
    for recipe in days[:2]:
        judge(recipe)
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        judge_all(judge, days)


def judge_all(judge, days):
    for recipe in days:
        judge(recipe)
