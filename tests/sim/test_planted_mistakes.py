"""Every promise has a mistake that it must find: planted in the record of a good day, or in the house."""

import json

import msgspec
import pytest

from kitestring.broker import order_traffic
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_outcomes import Acked, NotSent
from kitestring.core.broker_view import BrokerView
from kitestring.core.exits import Exits
from kitestring.domain.events import Note, OperatorCommand, OperatorWord, Reports
from kitestring.domain.instants import SECOND
from kitestring.domain.orders import Order, OrdStatus, Purpose
from kitestring.domain.positions import Fill
from kitestring.domain.verdicts import Blocked, HaltPolicy, HaltSession, PlaceOrder
from kitestring.exchange.ledger import LedgerEntry, What, line_bytes
from kitestring.exchange.wire.faults import Fault
from kitestring.exchange.wire.wire_ledger import Heard
from kitestring.sim.day_plan import Halt, Meddling, plan_of
from kitestring.sim.every_step import StepWatch
from kitestring.sim.evidence import Naked
from kitestring.sim.invariants import PROMISES, broken
from kitestring.sim.power import MortalJournal
from kitestring.sim.promises_of_positions import exits_only_reduce
from kitestring.sim.simulated_day import simulate
from kitestring.store.halt_file import HaltFile

QUIET = 22
"""A day on which nothing is asked to go wrong and much is traded."""


def quiet(**fields):
    """Its plan; nobody but the house touches what is the house's, unless asked for."""
    return changed(plan_of(QUIET), **{"meddling": (), **fields})


@pytest.fixture(scope="module")
def good():
    day = simulate(quiet())
    assert broken(day) == []
    return day


def changed(thing, **fields):
    return msgspec.structs.replace(thing, **fields)


def entries_of(day, what, purpose=None):
    return [
        place
        for place, entry in enumerate(day.ledger)
        if entry.what is what
        and (order := day.real.get(entry.tag)) is not None
        and order.owner == "ours"
        and purpose in (None, order.purpose)
    ]


def with_entry(day, place, **fields):
    ledger = list(day.ledger)
    ledger[place] = changed(ledger[place], **fields)
    return changed(day, ledger=ledger)


def with_facts(day, rewrite):
    """The journal with every commit's facts rewritten."""
    commits = [(no, changed(commit, facts=tuple(rewrite(commit)))) for no, commit in day.commits]
    return changed(day, commits=commits)


def with_look(day, place=-1, **fields):
    looks = list(day.looks)
    looks[place] = changed(looks[place], **fields)
    return changed(day, looks=looks)


def after_the_first(day, fact_of):
    """A fact put behind the first entry that the house sent."""
    first = min(each.at for each in day.sent)
    done = []

    def rewrite(commit):
        yield from commit.facts
        if commit.at >= first and not done:
            done.append(True)
            yield fact_of(commit.at)

    return with_facts(day, rewrite)


def not_on_disk(day):
    first = next(i for i, each in enumerate(day.sent) if each.method == "POST")
    sent = list(day.sent)
    sent[first] = changed(sent[first], durable=False)
    return changed(day, sent=sent)


def sent_again(day):
    return changed(day, sent=[*day.sent, next(e for e in day.sent if e.method == "POST")])


def never_heard_of(day):
    return with_facts(day, lambda commit: [f for f in commit.facts if not isinstance(f, Reports)])


def called_rejected(day):
    last = day.looks[-1]
    traded = {order.tag for _, order in day.trades()}
    orders = tuple(
        changed(each, status="REJECTED", over=True) if each.tag in traded else each
        for each in last.orders
    )
    return with_look(day, orders=orders)


def lives_again(day):
    ended = {}
    for number, commit in day.commits:
        for key, cell in commit.cells.items():
            if key.startswith("order/") and cell is not None:
                order = msgspec.msgpack.decode(cell, type=Order)
                if order.status.terminal:
                    ended[key] = (number, order)
    key, (number, order) = next(iter(ended.items()))
    order.status = OrdStatus.NEW
    commits = list(day.commits)
    no, last = commits[-1]
    assert no > number
    cell = msgspec.Raw(msgspec.msgpack.encode(order))
    commits[-1] = (no, changed(last, cells={**last.cells, key: cell}))
    return changed(day, commits=commits)


def booked_twice(day):
    return with_facts(
        day,
        lambda c: [g for f in c.facts for g in ([f, f] if isinstance(f, Fill) else [f])],
    )


def forgotten(day):
    return with_facts(
        day, lambda commit: [fact for fact in commit.facts if not isinstance(fact, PlaceOrder)]
    )


def a_lot_off(day):
    books = day.looks[0].books
    return with_look(day, 0, books=(changed(books[0], net=books[0].net + 1), *books[1:]))


def booked_before_it_traded(day):
    place = entries_of(day, What.TRADE)[0]
    later = changed(day.ledger[place], at=day.ledger[place].at + 600 * SECOND)
    return changed(day, ledger=[*day.ledger[:place], *day.ledger[place + 1 :], later])


def ten_times_as_large(day):
    place = entries_of(day, What.PLACE, "ENTRY")[0]
    return with_entry(day, place, qty=day.ledger[place].qty * 100_000)


def exit_too_large(day):
    place = entries_of(day, What.TRADE, "EXIT")[0]
    return with_entry(day, place, last_qty=day.ledger[place].last_qty * 3)


def exits_twice(day):
    place = entries_of(day, What.PLACE, "STOP")[0]
    return with_entry(day, place, qty=day.ledger[place].qty * 2)


def orphan_stop(day):
    ends = set(entries_of(day, What.CANCELED, "STOP"))
    assert ends
    return changed(day, ledger=[e for i, e in enumerate(day.ledger) if i not in ends])


def never_squared_off(day):
    place = entries_of(day, What.TRADE, "EXIT")[-1]
    return changed(day, ledger=[e for i, e in enumerate(day.ledger) if i != place])


def a_paisa_off(day):
    return with_look(day, realised=day.looks[-1].realised + 1)


def a_loss_ignored(day):
    return after_the_first(
        day,
        lambda at: HaltSession(
            code="daily_loss", sentence="lost", policy=HaltPolicy.FLATTEN, at=at
        ),
    )


def disarmed_and_ignored(day):
    return after_the_first(
        day,
        lambda at: HaltSession(
            code="NOT_ARMED", sentence="no session", policy=HaltPolicy.KEEP_PROTECTED, at=at
        ),
    )


def a_trade_of_nobody(day):
    def foreign(commit):
        return [
            changed(fact, cl_ord_id="no-such-order") if isinstance(fact, Fill) else fact
            for fact in commit.facts
        ]

    return with_facts(day, foreign)


def a_halt_ignored(day):
    return after_the_first(day, lambda at: OperatorCommand(at=at, word=OperatorWord.HALT))


def unexplained(day):
    row = day.plan.strategies[0]
    return after_the_first(
        day,
        lambda at: Blocked(
            strategy=row.name, instrument=row.instrument, side="BUY", code="", sentence="", at=at
        ),
    )


def the_file_ignored(day):
    plan = changed(day.plan, halt=Halt(at_s=1, by_file=True))
    return changed(day, plan=plan, halted_at=min(each.at for each in day.sent))


def throttled(day):
    return changed(day, sent=[changed(day.sent[0], status=429), *day.sent[1:]])


def remembers_otherwise(day):
    one, other = day.twice
    key = next(iter(one))
    return changed(day, twice=(one, {**other, key: b"other"}))


def a_commit_lost(day):
    return changed(day, commits=day.commits[:5] + day.commits[6:])


def took_what_is_others(day):
    name = "NSE:ICICIBANK/MIS"
    return changed(day, foreign={**day.foreign, name: day.foreign.get(name, 0) + 7})


def rewritten(day, rewrite):
    """The exchange's ledger with every entry rewritten, as JSON."""
    records = []
    for record in day.records:
        line = json.loads(record)
        line["entries"] = [each for entry in line["entries"] for each in rewrite(entry)]
        records.append(json.dumps(line).encode())
    return changed(day, records=records)


def invoked_again(day):
    heard = next(e for e in day.wire if isinstance(e, Heard) and e.method == "POST")
    return changed(day, wire=[*day.wire, changed(heard, n=10**6)])


def unasked(day):
    return changed(day, wire=[e for e in day.wire if not isinstance(e, Heard)])


def a_trade_repeated(day):
    return rewritten(day, lambda e: [e, e] if e["what"] == "TRADE" else [e])


def a_share_from_nowhere(day):
    before, after = day.cards
    key = next(iter(after.net))
    return changed(day, cards=(before, changed(after, net={**after.net, key: 1_000})))


def a_unit_short(day):
    before, after = day.cards
    return changed(day, cards=(before, changed(after, cash=after.cash - 1)))


def every_order_a_stop(day):
    return rewritten(
        day, lambda e: [{**e, "order_type": "SL"}] if e["what"] in ("PLACE", "REPLACED") else [e]
    )


def halted_all_day(day):
    return changed(day, halted_at=day.plan.at(-60))


def sent_in_the_evening(day):
    late = 3600 * SECOND
    return rewritten(day, lambda e: [{**e, "at": e["at"] + late}] if e["what"] == "PLACE" else [e])


def naked_for_long(day):
    row = day.plan.strategies[0]
    bare = Naked(
        at=day.plan.at(60), strategy=row.name, instrument=row.instrument, lasted=6 * SECOND
    )
    market = changed(day.plan.market, thin=False, silences=(), locks=())
    return changed(day, naked=(bare,), plan=changed(day.plan, market=market, hand=()))


def never_recovered(day):
    return with_look(changed(day, ended=False), 0, untrusted="a difference nobody explains")


def a_stop_that_stays(day):
    gone = set(entries_of(day, What.CANCELED, Purpose.STOP))
    ledger = [entry for place, entry in enumerate(day.ledger) if place not in gone]
    return changed(day, ledger=ledger)


PLANTED = {
    "I1": not_on_disk,
    "I2": sent_again,
    "I3": never_heard_of,
    "I4": called_rejected,
    "I5": lives_again,
    "I6": booked_twice,
    "I6b": a_trade_of_nobody,
    "I7": forgotten,
    "I8": a_lot_off,
    "I9": booked_before_it_traded,
    "I10": ten_times_as_large,
    "I11": exit_too_large,
    "I11b": exits_twice,
    "I11c": a_stop_that_stays,
    "I12": orphan_stop,
    "I12b": never_squared_off,
    "I13": a_paisa_off,
    "I14": a_loss_ignored,
    "I14b": disarmed_and_ignored,
    "I15": a_halt_ignored,
    "I16": unexplained,
    "I17": the_file_ignored,
    "I18": throttled,
    "I19": remembers_otherwise,
    "I20": a_commit_lost,
    "ownership": took_what_is_others,
    "I12c": naked_for_long,
    "I33": never_recovered,
    "H1": invoked_again,
    "H2": unasked,
    "H3": a_trade_repeated,
    "H4": a_share_from_nowhere,
    "H5": a_unit_short,
    "H6": every_order_a_stop,
    "H7": halted_all_day,
    "H8": sent_in_the_evening,
}


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.number)
def test_a_planted_mistake_is_found(good, promise):
    assert promise.broken(good) == []
    assert promise.broken(PLANTED[promise.number](good))


# ── mistakes planted in the house itself ────────────────────────────────────────────────────────


def numbers(day):
    return {each.promise.split()[0] for each in broken(day)}


def test_an_order_sent_again_after_a_time_out_is_found(monkeypatch):
    place = KiteClient.place

    async def again(self, fields, variety="regular", **more):
        outcome = await place(self, fields, variety, **more)
        return outcome if isinstance(outcome, Acked) else await place(self, fields, variety, **more)

    monkeypatch.setattr(KiteClient, "place", again)
    plan = changed(quiet(), faults=(Fault(kind="timed_out_400", route="POST /orders/*"),))
    assert "I2" in numbers(simulate(plan))


def test_an_order_that_no_disk_holds_is_found(monkeypatch):
    commit = MortalJournal.commit

    def lazy(self, step):
        placed = any(isinstance(fact, PlaceOrder) for fact in step.facts)
        return self.count + 1 if placed else commit(self, step)

    monkeypatch.setattr(MortalJournal, "commit", lazy)
    assert "I1" in numbers(simulate(quiet()))


def test_a_time_out_taken_for_a_rejection_is_found(monkeypatch):
    place = KiteClient.place

    async def sure(self, fields, variety="regular", **more):
        outcome = await place(self, fields, variety, **more)
        return outcome if isinstance(outcome, Acked) else NotSent(why="the answer was not good")

    monkeypatch.setattr(KiteClient, "place", sure)
    plan = changed(quiet(), faults=(Fault(kind="timed_out_400", route="POST /orders/*"),))
    assert numbers(simulate(plan)) & {"I4", "I5", "I7", "I8"}


def test_an_exit_of_twice_the_size_is_found(monkeypatch):
    def doubled(command):
        fields = place_fields(command)
        if command.intent.purpose is Purpose.EXIT:
            fields = {**fields, "quantity": str(2 * int(fields["quantity"]))}
        return fields

    place_fields = order_traffic.place_fields
    monkeypatch.setattr(order_traffic, "place_fields", doubled)
    assert "I11" in numbers(simulate(quiet()))


def test_a_halt_that_nobody_heeds_is_found(monkeypatch):
    plan = changed(quiet(), halt=Halt(at_s=70, by_file=True))
    assert broken(simulate(plan)) == []
    monkeypatch.setattr(HaltFile, "stands", False)
    assert "I15" in numbers(simulate(plan))


def test_a_position_closed_by_hand_that_nobody_notices_is_found(monkeypatch):
    plan = quiet(meddling=(Meddling(at_s=1230, what="closes"),))
    day = simulate(plan)
    assert broken(day) == []
    booked = [
        fact
        for _, fact in day.facts()
        if isinstance(fact, Fill) and fact.cl_ord_id not in day.placed
    ]
    assert booked, "the person closed something of ours"
    monkeypatch.setattr(BrokerView, "_certain", lambda *_: None)
    assert "I8" in numbers(simulate(plan))


def test_what_a_person_closed_is_gone_for_the_exits_after_it(good):
    """The same day, had a person sent one exit: what follows is judged from flat."""

    def by_hand(place):
        name = good.ledger[place].tag
        rows = [{**row, "tag": None} if str(row["order_id"]) == name else row for row in good.rows]
        return good.real[name], changed(good, rows=rows)

    exits = [
        by_hand(p)
        for p in entries_of(good, What.TRADE)
        if good.real[good.ledger[p].tag].purpose != "ENTRY"
    ]
    exit_, day = next(each for each in exits if list(exits_only_reduce(each[1])))

    def booked(commit):
        for fact in commit.facts:
            mine = isinstance(fact, Fill) and fact.cl_ord_id == exit_.tag
            yield changed(fact, cl_ord_id=exit_.order_id) if mine else fact

    day = with_facts(day, booked)
    assert list(exits_only_reduce(day)) == []


def test_a_stop_withdrawn_by_hand_that_is_not_sent_again_is_found(monkeypatch):
    plan = quiet(meddling=(Meddling(at_s=1230, what="cancels the stop"),))
    day = simulate(plan)
    assert broken(day) == []
    assert any(
        isinstance(fact, Note) and fact.kind == "cancelled by hand" for _, fact in day.facts()
    )
    monkeypatch.setattr(Exits, "_stop_orders", lambda *_: [])
    assert "I12" in numbers(simulate(plan))


# ── steps: what is broken ends the day there ────────────────────────────────────────────────────


def test_a_broken_step_ends_the_day(monkeypatch):
    def doubled(command):
        fields = place_fields(command)
        if command.intent.purpose is Purpose.EXIT:
            fields = {**fields, "quantity": str(2 * int(fields["quantity"]))}
        return fields

    place_fields = order_traffic.place_fields
    monkeypatch.setattr(order_traffic, "place_fields", doubled)
    day = simulate(quiet())
    assert day.stopped_by[0][0].startswith("I11 ")
    first = day.stopped_by[0][1]
    assert all(entry.at <= first + 2 * SECOND for entry in day.ledger)


def test_every_step_finds_its_planted_mistake(good):
    day, watch = good, StepWatch(lambda: None, slow=False)
    command = next(iter(day.placed.values()))
    assert command.intent.purpose is Purpose.ENTRY
    _, plain = day.commits[0]

    def step(facts=(), cells=None):
        return changed(plain, at=at, facts=facts, cells=cells or {})

    at, tag = command.approved.at, command.cl_ord_id
    sent = step((command,))
    place = LedgerEntry(
        What.PLACE,
        at,
        tag="1",
        qty=command.intent.order_qty,
        journey=tag,
        instrument="X",
        side="BUY",
    )
    trade = LedgerEntry(
        What.TRADE, at, tag="1", qty=place.qty, last_qty=place.qty, filled_qty=place.qty
    )
    watch.intends(sent)
    watch.stroke(line_bytes(0, [place, trade]))
    assert watch.found == []
    watch.stroke(line_bytes(0, [place]))
    assert watch.found[-1][0].startswith("I2 ")
    watch.stroke(line_bytes(0, [trade]))
    assert watch.found[-1][0].startswith("I5 ")
    watch.halted_at = at - 60 * SECOND
    watch.intends(step((changed(command, cl_ord_id="later"),)))
    watch.stroke(line_bytes(0, [changed(place, tag="2", journey="later")]))
    assert watch.found[-1][0].startswith("I15 ")
    watch.stroke(line_bytes(0, [changed(place, tag="3", journey="nobody's")]))
    assert watch.found[-1][0].startswith("I1 ")
    fill = next(f for _, f in day.facts() if isinstance(f, Fill))
    watch.committed(step((changed(fill, cl_ord_id="later"),)))
    assert watch.found[-1][0].startswith("I6 ")
    number, commit = next((n, c) for n, c in day.commits if any(k[:6] == "order/" for k in c.cells))
    assert number
    key, cell = next((k, c) for k, c in commit.cells.items() if k.startswith("order/"))
    order = msgspec.msgpack.decode(cell, type=Order)
    order.cum_qty = 7
    watch.committed(step(cells={key: msgspec.Raw(msgspec.msgpack.encode(order))}))
    order.cum_qty = 6
    watch.committed(step(cells={key: msgspec.Raw(msgspec.msgpack.encode(order))}))
    assert watch.found[-1][0].startswith("I5 ")
    assert watch.broke.is_set()
