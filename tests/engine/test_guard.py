"""The guard in virtual time, beside the real engine at the exchange's real handlers; the exchange judges."""

import asyncio
from contextlib import suppress

import msgspec
import pytest
from guard_stage import guard_beside
from live_stage import DAY, on_stage

from kitestring.domain.errors import AnotherDayIsRunning, ConfigError, DiskFailed
from kitestring.domain.events import Note, OperatorCommand, OperatorWord
from kitestring.domain.ids import ClOrdIds, is_guards, is_ours
from kitestring.domain.instants import SECOND
from kitestring.domain.money import money, price
from kitestring.domain.orders import ExitReason, Product, Purpose, Side
from kitestring.domain.positions import RoundTrip
from kitestring.engine import pulse
from kitestring.engine.guard_decision import GuardPolicy
from kitestring.engine.guard_story import guard_lines
from kitestring.engine.halt_watch import HaltWatch
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.owned_file import ENGINE_BEATS, Heartbeat, Owned, OwnedFile, OwnedOrder
from kitestring.store.run_reader import chosen_run, read_run

COVERED = "2 BUY stop=-5; 6 EXIT"
BARE = "2 BUY; 6 EXIT"


def facts(artifacts):
    return read_run(chosen_run(artifacts)).facts()


def told_by_engine(artifacts, kind):
    return [
        fact.sentence
        for fact in facts(artifacts)
        if isinstance(fact, Note) and fact.kind == f"live: {kind}"
    ]


def phone(stage, side, qty, name="INFY"):
    """The owner's own order, from the phone, in the contract the house trades too."""
    return stage.stage.reach.order_from_phone(stage.exchange.now(), "regular", {
        "exchange": "NSE", "tradingsymbol": name, "transaction_type": side, "quantity": str(qty),
        "product": "MIS", "order_type": "MARKET", "validity": "DAY", "market_protection": "2",
    })  # fmt: skip


def guards(stage):
    return [row for row in stage.orders() if is_guards(row["tag"] or "")]


async def ends(task, within=900):
    async with asyncio.timeout(within):
        return await task


def test_a_dead_engine_leaves_its_stop_in_place_and_no_entry(tmp_path):
    async def play(stage):
        async with guard_beside(stage) as beside:
            house = asyncio.create_task(stage.trade(COVERED))
            await stage.until("10:01:00")
            watching = beside.start()
            await stage.until("10:04:00")
            assert not beside.guard.acted, "while the engine lives, nothing is done"
            await stage.die(house)
            await stage.until("10:06:00")
            assert HaltFile(tmp_path).read().by is HaltedBy.GUARD
            with pytest.raises(AnotherDayIsRunning, match="guard has taken over"):
                await stage.trade(COVERED)
            HaltFile(tmp_path).lift()
            return await ends(watching), stage.held(), stage.orders(), beside.told, beside.intents()

    why, held, orders, told, intents = on_stage(play, tmp_path)
    assert held == 10
    assert [(row["transaction_type"], row["status"]) for row in orders] == [
        ("BUY", "COMPLETE"), ("SELL", "TRIGGER PENDING"),
    ]  # fmt: skip
    assert intents == []
    assert why == "the operator has lifted the halt"
    assert told[0].startswith("The guard takes over: the engine has shown no sign of life for ")
    assert "10 NSE:INFY (MIS) stays open under a stop for 10" in told[1]


@pytest.mark.parametrize("policy", list(GuardPolicy))
def test_what_nothing_protects_is_closed_and_what_is_not_ours_stays(tmp_path, policy):
    async def play(stage):
        phone(stage, "BUY", 7)
        phone(stage, "SELL", 3, "SBIN")
        async with guard_beside(stage, policy=policy) as beside:
            house = asyncio.create_task(
                stage.trade(BARE if policy == "keep_protected" else COVERED)
            )
            await stage.until("10:03:00")
            watching = beside.start()
            await stage.die(house)
            why = await ends(watching)
            return (
                why,
                stage.held(),
                stage.held("NSE:SBIN"),
                guards(stage),
                beside.told,
                stage.posts(),
                list(beside.journal.lines()),
            )

    why, held, other, sent, told, posts, lines = on_stage(play, tmp_path, began="10:00:10")
    assert (held, other) == (7, -3), "ours is closed, the owner's stays"
    assert [(row["transaction_type"], row["filled_quantity"]) for row in sent] == [("SELL", 10)]
    assert why == "all is closed"
    assert told[-1] == "Nothing of ours is open at the broker any more."
    assert len({row["tag"] for row in sent}) == len(sent)
    assert len(posts) == (2 if policy == "keep_protected" else 3)
    taken_over = next(line.at for line in lines if line.kind == "took over")
    first = next(line.at for line in lines if line.kind == "intent" and line.tag)
    # What the engine sent last may be ten seconds on its way, and take ten to show.
    assert first - taken_over >= 20 * SECOND


@pytest.mark.parametrize("script", [COVERED, BARE], ids=["with a cancel", "with an order"])
def test_an_engine_that_wakes_up_after_the_guard_sends_nothing_and_ends_its_day(
    tmp_path, monkeypatch, script
):
    """Its loop runs all the while and wants to exit; only its heart stands still, and nobody killed it."""
    monkeypatch.setattr(pulse, "BEAT_S", 100_000.0)  # it looks for the fence when it writes only

    async def play(stage):
        async with guard_beside(stage, policy=GuardPolicy.FLATTEN) as beside:
            house = asyncio.create_task(stage.trade(script))
            await stage.until("10:04:30")
            watching = beside.start()
            await stage.until("10:05:00")
            halt = HaltFile(tmp_path).read()
            assert halt.by is HaltedBy.GUARD
            assert stage.held() == 10, (
                "the guard waits for the lock of an engine that it cannot end"
            )
            result = await house
            writes = [
                row for row in stage.stage.ledger.conversations(path="/orders/")
                if row.heard.method != "GET" and row.heard.at > halt.at
            ]  # fmt: skip
            tags = [row for row in stage.orders() if is_ours(row["tag"] or "")]
            why = await ends(watching)
            return result, writes, len(tags), why, stage.held(), guards(stage)

    result, writes, tags, why, held, sent = on_stage(play, tmp_path)
    assert result.interrupted
    assert writes == [], "not one request of the engine's after the halt"
    assert tags == (2 if script == COVERED else 1), "all of them from before"
    assert (why, held) == ("all is closed", 0)
    assert [row["filled_quantity"] for row in sent] == [10]
    (sentence,) = told_by_engine(tmp_path, "guard acted")
    assert "the guard has taken over" in sentence
    assert not (tmp_path / "live" / "arming.json").exists()


def test_a_loss_at_the_broker_closes_all_although_the_engine_lives(tmp_path):
    async def play(stage):
        async with guard_beside(stage, max_loss=money("400")) as beside:
            house = asyncio.create_task(stage.trade("2 BUY stop=-200; 6 EXIT"))
            watching = beside.start()
            await stage.until("10:03:30")
            assert not beside.guard.acted
            infy = stage.market.shown[0]
            stage.stage.reach.jump_to(stage.exchange.now(), infy.id, price("1450"), 600_000_000)
            beside.end_engine = lambda owned: stage.die(house)
            why = await ends(watching)
            with suppress(asyncio.CancelledError):
                await house
            return why, stage.held(), stage.orders(), beside.told

    why, held, orders, told = on_stage(play, tmp_path)
    assert (why, held) == ("all is closed", 0)
    assert "by the broker's prices, beyond the limit of ₹400" in told[0]
    assert [row["status"] for row in orders] == ["COMPLETE", "CANCELLED", "COMPLETE"]
    assert is_guards(orders[2]["tag"])


OF_THE_GUARDS_ORDER = {
    "connection lost after acceptance": "connection_lost, nth: 2, route: POST /orders/*, reached: true",
    "accepted, then silence": "no_answer, nth: 2, route: POST /orders/*, reached: true",
    "400 timed out, but live": "timed_out_400, nth: 2",
    "shown late": "order_shown_late, from: '10:03:10', seconds: 15",
    "arrives after the guard gave up": "late_arrival, nth: 2, route: POST /orders/*, seconds: 14",
    "positions are old": "positions_stale, from: '10:03:10', for: 60",
}


@pytest.mark.parametrize("fault", OF_THE_GUARDS_ORDER)
def test_a_guard_without_an_answer_looks_for_its_order_and_sends_no_second_one(tmp_path, fault):
    async def play(stage):
        async with guard_beside(stage) as beside:
            house = asyncio.create_task(stage.trade(BARE))
            await stage.until("10:03:00")
            watching = beside.start()
            await stage.die(house)
            why = await ends(watching)
            struck = stage.stage.faults.strikes
            return why, stage.held(), guards(stage), len(struck)

    script = f"faults:\n  - {{kind: {OF_THE_GUARDS_ORDER[fault]}}}\n"
    why, held, sent, struck = on_stage(play, tmp_path, script)
    assert struck
    assert (why, held, len(sent)) == ("all is closed", 0, 1)


def test_the_last_order_of_a_dead_engine_that_shows_late_is_withdrawn_or_closed(tmp_path):
    """It was on its way when the engine died, and takes effect 45 s later."""

    async def play(stage):
        async with guard_beside(stage) as beside:
            house = asyncio.create_task(stage.trade(BARE))
            watching = beside.start()
            while not stage.posts():  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)
            await stage.die(house)
            assert stage.orders() == []
            return await ends(watching), stage.held(), stage.orders()

    script = "faults:\n  - {kind: late_arrival, nth: 1, route: POST /orders/*, seconds: 45}\n"
    why, held, orders = on_stage(play, tmp_path, script)
    assert (why, held) == ("all is closed", 0)
    assert [(row["transaction_type"], row["status"]) for row in orders] == [
        ("BUY", "COMPLETE"), ("SELL", "COMPLETE"),
    ]  # fmt: skip
    assert is_guards(orders[1]["tag"])


def test_a_guard_that_dies_over_it_is_taken_up_by_the_next_one(tmp_path):
    async def play(stage):
        async with guard_beside(stage) as beside:
            phone(stage, "BUY", 7)
            house = asyncio.create_task(stage.trade(BARE))
            await stage.until("10:03:00")
            watching = beside.start()
            await stage.die(house)
            while not guards(stage):  # noqa: ASYNC110 - the exchange rings no bell for us
                await asyncio.sleep(0.05)
            await stage.die(watching)
        async with guard_beside(stage) as second:
            why = await ends(second.start())
            return why, stage.held(), guards(stage), HaltFile(tmp_path).read().epoch

    why, held, sent, epoch = on_stage(play, tmp_path, began="10:00:10")
    assert (why, held, len(sent), epoch) == ("all is closed", 7, 1, 1)


def test_a_full_disk_does_not_keep_the_guard_from_acting(tmp_path, monkeypatch):
    def full(self, by, reason, at, *, flatten=False):
        raise DiskFailed("HALT cannot be written: no space left.")

    async def play(stage):
        # Its own journal is on another disk.
        async with guard_beside(stage) as beside:
            house = asyncio.create_task(stage.trade(BARE))
            await stage.until("10:03:00")
            monkeypatch.setattr(HaltFile, "write", full)
            watching = beside.start()
            await stage.die(house)
            return await ends(watching), stage.held(), beside.told

    why, held, told = on_stage(play, tmp_path)
    assert (why, held) == ("all is closed", 0)
    assert "acts without HALT" in told[0]


def test_a_halt_of_the_operator_leaves_the_engine_in_peace(tmp_path):
    async def play(stage):
        async with guard_beside(stage) as beside:
            house = asyncio.create_task(stage.trade(COVERED))
            watching = beside.start()
            await stage.until("10:03:30")
            HaltFile(tmp_path).write(HaltedBy.OPERATOR, "lunch", stage.clock.now())
            result = await house
            why = await ends(watching)
            return result, why, stage.held(), beside.intents(), beside.guard.acted

    result, why, held, intents, acted = on_stage(play, tmp_path)
    assert not result.interrupted
    assert why == "the day has ended"
    assert (held, intents, acted) == (0, [], False)


def test_a_wish_to_flatten_is_the_engines_first(tmp_path):
    async def play(stage):
        async with guard_beside(stage) as beside:
            watch = (HaltWatch(tmp_path),)
            house = asyncio.create_task(stage.trade(COVERED, beside=watch))
            watching = beside.start()
            await stage.until("10:03:30")
            HaltFile(tmp_path).write(HaltedBy.OPERATOR, "out", stage.clock.now(), flatten=True)
            await stage.until("10:04:30")
            sent = (stage.held(), guards(stage), beside.guard.acted)
            await house
            await ends(watching)
            return sent

    assert on_stage(play, tmp_path) == (0, [], False)
    words = [fact for fact in facts(tmp_path) if isinstance(fact, OperatorCommand)]
    assert [fact.word for fact in words] == [OperatorWord.ARM, OperatorWord.FLATTEN], "told once"


@pytest.mark.parametrize("before", ["", "lunch"], ids=["at once", "under a halt that stood before"])
def test_the_guard_flattens_twenty_seconds_after_a_wish_that_the_engine_does_not_heed(
    tmp_path, before
):
    """The engine's heart beats, but nothing in it looks for HALT."""

    async def play(stage):
        halts = HaltFile(tmp_path)
        async with guard_beside(stage) as beside:
            house = asyncio.create_task(stage.trade("2 BUY stop=-5"))
            beside.end_engine = lambda owned: stage.die(house)
            watching = beside.start()
            await stage.until("10:02:30")
            if before:
                halts.write(HaltedBy.OPERATOR, before, stage.clock.now())
            await stage.until("10:03:30")
            halts.write(HaltedBy.OPERATOR, "out", stage.clock.now(), flatten=True)
            await stage.until("10:03:49")
            early = (stage.held(), beside.guard.acted)
            await stage.until("10:03:52")
            acted = beside.guard.acted
            why = await ends(watching)
            return early, acted, why, stage.held(), stage.orders(), beside.told, halts.read()

    early, acted, why, held, orders, told, halt = on_stage(play, tmp_path)
    assert early == (10, False), "the engine has its twenty seconds, whatever stood before"
    assert (acted, why, held) == (True, "all is closed", 0)
    assert [(row["transaction_type"], row["status"]) for row in orders] == [
        ("BUY", "COMPLETE"), ("SELL", "CANCELLED"), ("SELL", "COMPLETE"),
    ]  # fmt: skip
    assert is_guards(orders[2]["tag"])
    assert told[0].startswith(
        "The guard takes over: the operator asked to flatten (out), and it is"
    )
    assert (halt.by, halt.flatten) == (HaltedBy.GUARD, True)


@pytest.mark.parametrize("when", ["before the guard acts", "while it watches over a stop"])
def test_a_wish_to_flatten_reaches_the_guard_of_a_dead_engine(tmp_path, when):
    async def play(stage):
        halts = HaltFile(tmp_path)
        async with guard_beside(stage) as beside:
            house = asyncio.create_task(stage.trade("2 BUY stop=-5"))
            await stage.until("10:03:00")
            watching = beside.start()
            await stage.die(house)
            if when == "while it watches over a stop":
                await stage.until("10:05:00")
                assert (stage.held(), beside.guard.acted) == (10, True)
            halts.write(HaltedBy.OPERATOR, "out", stage.clock.now(), flatten=True)
            return await ends(watching), stage.held(), stage.orders(), halts.read()

    why, held, orders, halt = on_stage(play, tmp_path)
    assert (why, held) == ("all is closed", 0)
    assert [(row["transaction_type"], row["status"]) for row in orders] == [
        ("BUY", "COMPLETE"), ("SELL", "CANCELLED"), ("SELL", "COMPLETE"),
    ]  # fmt: skip
    assert (halt.by, halt.flatten, halt.epoch) == (
        HaltedBy.GUARD, True, 1 if when == "while it watches over a stop" else 2,
    )  # fmt: skip


def test_under_a_plain_halt_the_guard_withdraws_entries_that_still_rest_and_nothing_else(tmp_path):
    """The engine's heart beats, but it has not withdrawn its entry; its stop and the owner's order stay."""

    async def play(stage):
        new_tag, shown = ClOrdIds("livetest", DAY), OwnedFile(tmp_path)
        entry, stop = new_tag(), new_tag()
        for side, px, tag in (("BUY", "1490", entry), ("SELL", "1510", stop), ("BUY", "1489", "")):
            stage.stage.reach.order_from_phone(stage.exchange.now(), "regular", {
                "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": side,
                "quantity": "10", "product": "MIS", "order_type": "LIMIT", "price": px,
                "validity": "DAY", "tag": tag,
            })  # fmt: skip
        orders = tuple(
            OwnedOrder(
                tag=tag, instrument="NSE:INFY", product=Product.MIS, side=side, purpose=purpose,
                leaves_qty=10, cum_qty=0,
            )
            for tag, side, purpose in (
                (entry, Side.BUY, Purpose.ENTRY), (stop, Side.SELL, Purpose.STOP),
            )
        )  # fmt: skip
        owned = Owned(
            pid=1, born="tick 1", run="r", run_key="livetest", date=str(DAY), commit=1, at=1,
            books=(), orders=orders,
        )  # fmt: skip
        shown.write(owned)
        heart = Heartbeat(tmp_path, ENGINE_BEATS)

        async def beats():
            while True:
                heart.beat()
                await asyncio.sleep(0.5)

        beating = asyncio.create_task(beats())
        async with guard_beside(stage) as beside:
            watching = beside.start()
            await stage.until("10:03:30")
            HaltFile(tmp_path).write(HaltedBy.OPERATOR, "lunch", stage.clock.now())
            await stage.until("10:03:39")
            early = [row["status"] for row in stage.orders()]
            await stage.until("10:03:47")
            late = [row["status"] for row in stage.orders()]
            shown.write(msgspec.structs.replace(owned, ended=True))
            why = await ends(watching)
        await stage.die(beating)
        heart.close()
        return early, late, why, beside.guard.acted, beside.intents()

    early, late, why, acted, intents = on_stage(play, tmp_path, began="10:00:10")
    assert early == ["OPEN", "OPEN", "OPEN"], "the engine has its ten seconds"
    assert late == ["CANCELLED", "OPEN", "OPEN"]
    assert (why, acted) == ("the day has ended", False)
    assert [line.sentence.endswith("an entry, and HALT stands") for line in intents] == [True]


def test_a_halt_that_stands_is_not_armed_over_and_says_what_was_done(tmp_path):
    async def play(stage):
        async with guard_beside(stage) as beside:
            house = asyncio.create_task(stage.trade(BARE))
            await stage.until("10:03:00")
            watching = beside.start()
            await stage.die(house)
            await ends(watching)
        posts = len(stage.posts())
        # The journal still holds the position, so the next house reconciles and exits only.
        with pytest.raises(
            ConfigError, match=r"HALT stands since .* written by the guard"
        ) as refused:
            await stage.engine("2 BUY", fresh=True).start(_Nobody())
        return refused.value, posts, len(stage.posts()), guard_lines(tmp_path)

    refused, before, after, lines = on_stage(play, tmp_path)
    sentence = refused.what
    assert before == after
    assert "kitestring halt --lift" in refused.do
    assert "Nothing of ours is open at the broker any more" in sentence
    assert any("reduce: SELL 10 NSE:INFY (MIS) at market, within 1 %" in line for line in lines)


def test_what_is_owned_is_shown_before_an_order_can_leave(tmp_path):
    seen = []

    async def play(stage):
        place = stage.exchange.desk.place

        def looked(now, variety, form, **more):
            owned = OwnedFile(tmp_path).read()
            seen.append([order.tag for order in owned.orders])
            return place(now, variety, form, **more)

        stage.exchange.desk.place = looked
        await stage.trade(COVERED)
        return [row["tag"] for row in stage.orders()], OwnedFile(tmp_path).read()

    tags, owned = on_stage(play, tmp_path)
    assert [tag in shown for tag, shown in zip(tags, seen, strict=True)] == [True] * len(tags)
    assert owned.ended
    assert not any(each.net_qty for each in owned.books)


class _Nobody:
    def __getattr__(self, name):
        return lambda *_, **__: None


def test_a_house_that_starts_again_after_the_guard_never_sells_what_is_gone(tmp_path):
    async def play(stage):
        async with guard_beside(stage) as beside:
            house = asyncio.create_task(stage.trade("2 BUY"))
            await stage.until("10:03:00")
            watching = beside.start()
            await stage.die(house)
            await ends(watching)
        HaltFile(tmp_path).lift()
        await stage.trade("2 BUY")
        return stage.held(), [(row["transaction_type"], row["status"]) for row in stage.orders()]

    held, orders = on_stage(play, tmp_path)
    assert held == 0
    assert orders == [("BUY", "COMPLETE"), ("SELL", "COMPLETE")]
    (closed,) = [fact for fact in facts(tmp_path) if isinstance(fact, RoundTrip)]
    assert (closed.qty, closed.exit_reason) == (10, ExitReason.GUARD)
    (sentence,) = [
        fact.sentence
        for fact in facts(tmp_path)
        if isinstance(fact, Note) and fact.kind.endswith("closed by others")
    ]
    assert "10 INFY of ours were sold by the guard at ₹" in sentence
