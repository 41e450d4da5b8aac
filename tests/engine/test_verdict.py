"""The verdict on a live day: silent on an honest one, and loud about each fault planted into it."""

from decimal import Decimal

import msgspec
import pytest
from live_stage import on_stage

from kitestring.domain.events import DaySealed, Reports
from kitestring.domain.money import Price
from kitestring.domain.orders import ExecType
from kitestring.domain.positions import Fill
from kitestring.domain.verdicts import PlaceOrder
from kitestring.exchange.wire.journal_witness import holds_tag
from kitestring.exchange.wire.wire_ledger import Did, Heard
from kitestring.sim.verdict import Books, Fault, ToldPosition, judge
from kitestring.store.run_reader import chosen_run, read_run

SCRIPT = "2 BUY stop=-5; 5 EXIT; 7 SELL stop=+5"
change = msgspec.structs.replace


def books(stage):
    exchange, now = stage.exchange, stage.exchange.now()
    return Books.told(
        exchange.desk.orders(now),
        exchange.desk.trades(now),
        exchange.portfolio.positions(now),
        exchange.portfolio.holdings(now),
    )


class Day:
    """An honest day: the journal's facts, the books before and after, the record of the wire."""

    def __init__(self, folder):
        async def play(stage):
            stage.stage.ledger._witness = holds_tag
            before = books(stage)
            await stage.trade(SCRIPT)
            return before, books(stage), stage.stage.ledger.lines()

        self.before, self.after, self.wire = on_stage(play, folder)
        self.facts = list(read_run(chosen_run(folder)).facts())


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    return Day(tmp_path_factory.mktemp("honest"))


def found(day, **planted):
    """The faults the verdict names when something of the day is exchanged."""
    given = {"facts": day.facts, "before": day.before, "after": day.after, "wire": day.wire}
    given |= planted
    verdict = judge(given.pop("facts"), **given)
    assert verdict.holds is not bool(verdict.findings)
    return {finding.fault for finding in verdict.findings}


def facts_with(day, kind, altered):
    """The facts, with ``altered(fact)`` in place of the last one of a kind (``None``: without it)."""
    facts = list(day.facts)
    at = max(number for number, fact in enumerate(facts) if isinstance(fact, kind))
    new = altered(facts[at])
    facts[at : at + 1] = [] if new is None else [new]
    return facts


def test_nothing_is_said_of_an_honest_day(day):
    verdict = judge(day.facts, before=day.before, after=day.after, wire=day.wire)
    assert verdict.findings == ()
    assert verdict.holds
    assert verdict.figures.orders == 6
    assert verdict.figures.fills >= 4
    assert verdict.figures.intents_seen == 6
    assert verdict.figures.turnover == sum(trade.value for trade in day.after.trades)
    assert len(day.before.holdings) > 1


def test_an_order_that_is_there_twice(day):
    double = change(day.after.orders[0], order_id="999")
    doubled = change(day.after, orders=(*day.after.orders, double))
    assert found(day, after=doubled) == {Fault.TWICE}


def test_an_order_that_took_effect_twice_on_the_wire(day):
    did = next(line for line in day.wire if isinstance(line, Did) and line.order_ids)
    again = change(did, order_ids=(*did.order_ids, "999"))
    wire = [again if line is did else line for line in day.wire]
    assert found(day, wire=wire) == {Fault.TWICE}


def test_an_order_that_was_sent_again(day):
    post = next(line for line in day.wire if isinstance(line, Heard) and line.method == "POST")
    assert found(day, wire=[*day.wire, change(post, n=99_999)]) == {Fault.RESENT}


def test_an_intent_that_was_not_on_disk(day):
    post = next(line for line in day.wire if isinstance(line, Heard) and line.method == "POST")
    wire = [change(line, intended=False) if line is post else line for line in day.wire]
    assert found(day, wire=wire) == {Fault.NOT_ON_DISK}


def test_an_order_that_the_journal_lost(day):
    lost = [fact for fact in day.facts if not isinstance(fact, PlaceOrder)]
    assert Fault.NOT_IN_JOURNAL in found(day, facts=lost)


def test_an_order_that_nobody_at_the_exchange_knows(day):
    fewer = change(day.after, orders=day.after.orders[1:])
    assert Fault.NOT_AT_EXCHANGE in found(day, after=fewer)


def test_a_fill_that_was_booked_twice_or_not_at_all(day):
    last = next(fact for fact in reversed(day.facts) if isinstance(fact, Fill))
    assert Fault.FILLS in found(day, facts=[*day.facts, last])
    assert found(day, facts=facts_with(day, Fill, lambda _: None)) == {Fault.FILLS}


def test_a_fill_that_was_booked_a_paisa_off(day):
    cheaper = facts_with(day, Fill, lambda fill: change(fill, px=Price(int(fill.px) + 100)))
    assert found(day, facts=cheaper) == {Fault.MONEY}


def test_a_days_result_that_is_a_paisa_off(day):
    better = facts_with(day, DaySealed, lambda seal: change(seal, realised=seal.realised + 100))
    assert found(day, facts=better) == {Fault.MONEY}


def test_a_day_that_was_never_finished(day):
    assert found(day, facts=facts_with(day, DaySealed, lambda _: None)) == {Fault.NOT_SEALED}
    unsealed = facts_with(day, DaySealed, lambda _: None)
    assert found(day, facts=unsealed, sealed=False) == set()


def test_a_holding_that_was_touched(day):
    sold = change(day.after.holdings[0], used_quantity=1)
    touched = change(day.after, holdings=(sold, *day.after.holdings[1:]))
    assert found(day, after=touched) == {Fault.HOLDINGS}
    gone = change(day.after, holdings=day.after.holdings[1:])
    assert found(day, after=gone) == {Fault.HOLDINGS}


def test_a_foreign_position_that_is_another_one_now(day):
    carried = ToldPosition(
        exchange="NFO", tradingsymbol="NIFTY26NOVFUT", product="NRML",
        quantity=65, overnight_quantity=65,
    )  # fmt: skip
    before = change(day.before, positions=(carried,))
    whole = change(day.after, positions=(*day.after.positions, carried))
    assert found(day, before=before, after=whole) == set()
    assert found(day, before=before) == {Fault.FOREIGN}
    less = change(day.after, positions=(change(carried, quantity=0),))
    assert found(day, before=before, after=less) == {Fault.FOREIGN}


def test_a_position_of_ours_that_stayed_open(day):
    gone = day.after.trades[-1]
    left = change(day.after, trades=day.after.trades[:-1])
    faults = found(day, after=left)
    assert {Fault.NOT_FLAT, Fault.FILLS, Fault.FOREIGN} <= faults
    assert gone.average_price > Decimal(0)


def test_an_order_that_still_works(day):
    working = change(day.after.orders[-1], status="OPEN")
    left = change(day.after, orders=(*day.after.orders[:-1], working))
    assert found(day, after=left) == {Fault.WORKING}


def test_an_order_of_which_nobody_learned_the_end(day):
    silent = [
        fact
        for fact in day.facts
        if not (
            isinstance(fact, Reports)
            and any(report.exec_type is ExecType.CANCELED for report in fact.reports)
        )
    ]
    assert found(day, facts=silent) == {Fault.UNKNOWN}


def test_an_order_left_alive_may_trade_after_the_house_has_gone(day):
    last = next(fact for fact in reversed(day.facts) if isinstance(fact, Fill))
    left = [
        fact
        for fact in day.facts
        if fact is not last
        and not (
            isinstance(fact, Reports)
            and any(report.cl_ord_id == last.cl_ord_id for report in fact.reports)
        )
    ]
    assert found(day, facts=left, flat=False, sealed=False) == set()
    assert Fault.FILLS in found(day, facts=left), "but not on a day that went to its end"
    assert Fault.FILLS in found(day, facts=[*left, last, last], flat=False, sealed=False)
