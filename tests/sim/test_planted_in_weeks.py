"""Every judge of weeks has a mistake that it must find: planted in the record of a good week, or in the house."""

import datetime as dt
from types import MappingProxyType

import msgspec
import pytest

from kitestring.domain.events import DayOpening, DaySealed, OperatorCommand
from kitestring.domain.ids import StrategyId
from kitestring.domain.orders import Product, Purpose
from kitestring.domain.verdicts import PlaceOrder
from kitestring.engine import carrying_in, live_engine, overnight_stops
from kitestring.engine.live_day import LiveDay
from kitestring.engine.live_engine import LiveEngine
from kitestring.exchange.ledger import What
from kitestring.sim.evidence import Sent
from kitestring.sim.simulated_week import simulate_week
from kitestring.sim.week_evidence import TriggerThen
from kitestring.sim.week_judges import JUDGES, broken_week
from kitestring.sim.week_plan import WeekDay, WeekRow, week_of


def plan_of_a_good_week():
    """Over a weekend, an expiry and a holiday: a future and shares, bought, carried, and sold."""

    def day(text, *scripts):
        return WeekDay(date=dt.date.fromisoformat(text), gaps_bp={}, scripts=scripts)

    plan = week_of(1)
    return changed(
        plan,
        days=(
            day(
                "2026-11-20",
                "2 BUY stop=-1000; 3 BUY stop=-1000; 4 BUY stop=-1000",
                "2 BUY stop=-60; 3 BUY stop=-60; 4 BUY stop=-60",
            ),
            day("2026-11-23", "4 BUY stop=-1000", ""),
            day("2026-11-25", "", "2 EXIT; 3 EXIT; 4 EXIT"),
        ),
        rows=(
            WeekRow(name=StrategyId("s0"), market="NIFTY", product=Product.NRML, lots=2),
            WeekRow(name=StrategyId("s1"), market="INFY", product=Product.CNC, lots=20),
        ),
        risk=changed(plan.risk, max_daily_loss_pct=0.5, max_drawdown_pct=None),
        guard=None,
        foreign=(),
        sd_bp=1,
        jump_one_in=0,
    )


def changed(thing, **fields):
    return msgspec.structs.replace(thing, **fields)


@pytest.fixture(scope="module")
def good():
    week = simulate_week(plan_of_a_good_week(), replays=True)
    assert broken_week(week) == []
    assert [len(day.night.positions) + len(day.night.holdings) for day in week.days] == [2, 1, 0]
    assert week.days[1].day.date - week.days[0].day.date == dt.timedelta(days=3)
    return week


def with_day(week, place, **fields):
    days = list(week.days)
    days[place] = changed(days[place], **fields)
    return changed(week, days=days)


def with_look(week, place, label, **fields):
    looks = [
        changed(look, **fields) if look.label == label else look for look in week.days[place].looks
    ]
    return with_day(week, place, looks=looks)


def with_facts(week, place, rewrite):
    runs = tuple(
        changed(
            run,
            commits=tuple(
                (no, changed(commit, facts=tuple(map(rewrite, commit.facts))))
                for no, commit in run.commits
            ),
        )
        for run in week.days[place].runs
    )
    return with_day(week, place, runs=runs)


def forgets_a_position(week):
    return with_facts(
        week, 1, lambda f: changed(f, positions=f.positions[1:]) if isinstance(f, DayOpening) else f
    )


def holds_one_more(week):
    books = week.days[1].last("well").books
    return with_look(week, 1, "well", books=(changed(books[0], net=books[0].net + 1), *books[1:]))


def is_not_there(week):
    return with_look(week, 1, "well", alive=False, books=())


def enters_on_the_last_day(week):
    day = week.days[0]
    name = next(each.intent.instrument for each in day.placed.values())
    listed = {**day.listed, name: changed(day.listed[name], expiry=day.day.date)}
    return with_day(week, 0, listed=MappingProxyType(listed))


def no_trigger(week):
    return with_look(week, 0, "evening", triggers=())


def sells_twice(week):
    day = week.days[0]
    twice = [changed(look, triggers=look.triggers * 2) for look in day.samples]
    return with_day(week, 0, samples=twice)


def an_orphan(week):
    trigger = TriggerThen(number=7, key="NSE:SBIN/CNC", side=-1, qty=5)
    return with_look(week, 1, "morning", triggers=(trigger,))


def naked(week):
    return with_look(week, 1, "well", resting=())


def under_halt(week):
    first = week.days[0].sent[0].at
    return with_day(week, 0, halts=[(first - 60_000_000, "operator")])


def unarmed(week):
    return with_day(week, 0, typed=[])


def not_said_to_be_armed(week):
    return with_facts(
        week, 0, lambda f: changed(f, word="stop") if isinstance(f, OperatorCommand) else f
    )


def loosened(week):
    return with_day(week, 1, loosened=True)


def a_paisa_more(week):
    return with_facts(
        week, 1, lambda f: changed(f, net=f.net + 100) if isinstance(f, DaySealed) else f
    )


def torn(week):
    return with_day(week, 1, runs=(changed(week.days[1].runs[0], damage="a byte is another"),))


def never_sealed(week):
    return with_day(week, 1, sealed=False)


def touches_yesterdays(week):
    old = str(week.days[0].rows[0]["order_id"])
    sent = Sent(
        at=week.days[1].looks[0].at, method="DELETE", tag="", order_id=old, durable=True, status=404
    )
    return with_day(week, 1, sent=[*week.days[1].sent, sent])


def half_a_lot(week):
    def rewrite(fact):
        if isinstance(fact, PlaceOrder) and fact.intent.instrument.startswith("NFO"):
            intent = changed(fact.intent, order_qty=fact.intent.order_qty - 1)
            return changed(fact, approved=changed(fact.approved, intent=intent))
        return fact

    return with_facts(week, 0, rewrite)


def closes_too_much(week):
    day = week.days[1]
    exits = {
        name
        for name, order in day.real.items()
        if order.owner == "ours" and order.purpose not in (Purpose.ENTRY, "")
    }
    ledger = [
        changed(entry, last_qty=entry.last_qty + 65)
        if entry.what is What.TRADE and entry.tag in exits
        else entry
        for entry in day.ledger
    ]
    return with_day(week, 1, ledger=ledger)


def stops_stay_for_ever(week):
    def stays(day, entry):
        order = day.real.get(entry.tag)
        stop = order is not None and order.purpose == Purpose.STOP
        return stop and entry.what is What.CANCELED

    for place, day in enumerate(week.days):
        ledger = [entry for entry in day.ledger if not stays(day, entry)]
        week = with_day(week, place, ledger=ledger)
    return week


def not_on_disk(week):
    sent = [changed(each, durable=False) for each in week.days[0].sent]
    return with_day(week, 0, sent=sent)


PLANTED = {
    "nothing is forgotten overnight": forgets_a_position,
    "owned is held": holds_one_more,
    "nobody is left alone": is_not_there,
    "what expires is closed": enters_on_the_last_day,
    "stops stand overnight": no_trigger,
    "never more for sale than owned": sells_twice,
    "no stop is orphaned": an_orphan,
    "protected by day": naked,
    "halts hold overnight": under_halt,
    "only an armed day enters": unarmed,
    "limits only tighten": loosened,
    "results chain": a_paisa_more,
    "journals verify": torn,
    "days are sealed": never_sealed,
    "yesterdays orders are left alone": touches_yesterdays,
    "sizes fit today": half_a_lot,
    "exits only reduce": closes_too_much,
    "exits have a position": stops_stay_for_ever,
    "days keep their own": not_on_disk,
}


def test_every_judge_has_a_planted_mistake():
    assert set(PLANTED) == {judge.__name__.replace("_", " ") for judge in JUDGES}


@pytest.mark.parametrize("promise", PLANTED)
def test_a_planted_mistake_is_found(good, promise):
    found = {each.promise for each in broken_week(PLANTED[promise](good))}
    assert promise in found


def test_an_entry_before_anybody_has_armed_is_found(good):
    assert "only an armed day enters" in promises(not_said_to_be_armed(good))


# ── mistakes of the house itself ─────────────────────────────────────────────────────────────────


def promises(week):
    return {each.promise for each in broken_week(week)}


def lived():
    return promises(simulate_week(plan_of_a_good_week()))


def test_a_house_that_forgets_the_demat_account_freezes_shares_and_is_found(monkeypatch):
    async def none(link):
        return {}

    monkeypatch.setattr(carrying_in, "shares_at_broker", none)
    monkeypatch.setattr(carrying_in, "_naked", lambda *_: ())
    assert "protected by day" in lived()


def test_a_house_that_leaves_no_stop_overnight_is_found(monkeypatch):
    async def nothing(*_):
        return None

    monkeypatch.setattr(live_engine, "leave_stops", nothing)
    assert "stops stand overnight" in lived()


def test_a_house_that_does_not_take_its_triggers_back_is_found(monkeypatch):
    async def not_asked(desk, stop, now, looks=0):
        return changed(stop, step="gone", sentence="It is gone.")

    monkeypatch.setattr(overnight_stops, "_taken_back", not_asked)
    assert {"no stop is orphaned", "never more for sale than owned"} <= lived()


def test_a_house_that_needs_no_phrase_is_found(monkeypatch):
    async def armed(self, core, terms, now, attempt):
        return live_engine.arming.armed_by(terms, now)

    monkeypatch.setattr(LiveEngine, "_armed", armed)
    assert "only an armed day enters" in lived()


def test_a_house_that_opens_without_what_it_carried_is_found(monkeypatch):
    async def nothing(opening, overnight, link, settings):
        return carrying_in.TakenOver()

    monkeypatch.setattr(live_engine, "carried_in", nothing)
    assert "nothing is forgotten overnight" in lived()


def test_a_restarted_house_that_sends_before_it_looks_is_found(monkeypatch):
    """The guard withdrew the stop and closed the position; the house hears of the stop first."""
    monkeypatch.setattr(LiveDay, "look_before_sending", LiveDay.look_at_the_books)
    assert promises(simulate_week(week_of(35))) == {"exits have a position"}
