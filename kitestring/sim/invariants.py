"""The promises a trading house makes, each judged by the exchange's truth.

I1 to I20 are the catalogue's; H1 to H8 are judged by the exchange's history alone. ``broken(evidence)`` is what a day has to answer for; an empty list is a good day. Every judge has a
planted mistake in the tests that it must find.
"""

from __future__ import annotations

from typing import Final

from kitestring.sim import promises_of_exits as exits
from kitestring.sim import promises_of_halts as halts
from kitestring.sim import promises_of_history as history
from kitestring.sim import promises_of_orders as orders
from kitestring.sim import promises_of_positions as positions
from kitestring.sim.evidence import Evidence
from kitestring.sim.promises import Broken, Promise

PROMISES: Final = tuple(
    Promise(number=number, judge=judge)
    for number, judge in (
        ("I1", orders.intent_before_send),
        ("I2", orders.at_most_one),
        ("I3", orders.no_blind_resend),
        ("I4", orders.unknown_stays_unknown),
        ("I5", orders.once_over_always_over),
        ("I6", orders.filled_once),
        ("I6b", orders.others_booked_once),
        ("I7", orders.nothing_forgotten),
        ("I8", positions.positions_agree),
        ("I9", positions.failure_is_not_empty),
        ("I10", positions.exposure_within_limits),
        ("I11", positions.exits_only_reduce),
        ("I11b", positions.exits_fit_the_position),
        ("I11c", exits.exits_have_a_position),
        ("I12", positions.protected),
        ("I12b", positions.flat_after_square_off),
        ("I13", positions.results_are_exact),
        ("I12c", positions.naked_for_seconds_only),
        ("I33", halts.recovered_within_a_minute),
        ("I14", halts.losses_end_entries),
        ("I14b", halts.unarmed_enters_nothing),
        ("I15", halts.a_halt_holds),
        ("I16", halts.everything_is_explained),
        ("I17", halts.the_halt_file_needs_nobody),
        ("I18", halts.a_reserve_for_exits),
        ("I19", halts.a_restart_changes_nothing),
        ("I20", halts.a_crash_loses_nothing),
        ("ownership", positions.others_untouched),
        ("H1", history.one_order_a_tag),
        ("H2", history.endings_are_true),
        ("H3", history.an_order_lives_once),
        ("H4", history.positions_are_their_trades),
        ("H5", history.cash_is_its_trades),
        ("H6", history.stops_only_reduce),
        ("H7", history.a_halt_ends_growth),
        ("H8", history.a_cut_off_ends_growth),
    )
)


def broken(evidence: Evidence) -> list[Broken]:
    """Every promise that was not kept, in the order in which it was broken."""
    if evidence.stopped_by:  # The day ended there; what was still to come broke nothing.
        return [Broken(promise=p, at=at, sentence=told) for p, at, told in evidence.stopped_by]
    found = [each for promise in PROMISES for each in promise.broken(evidence)]
    return sorted(found, key=lambda each: each.at)
