"""A live day in an account that its owner and the broker's risk desk use too, judged by the exchange's books."""

import asyncio

import pytest
from house_day import SCRIPTED
from live_stage import on_stage

from kitestring.domain.errors import ConfigError
from kitestring.domain.events import (
    Adjustment,
    BrokerSnapshot,
    Note,
    OperatorCommand,
    OperatorWord,
    Resolution,
)
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.money import price
from kitestring.domain.orders import Product
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.verdicts import Blocked, PlaceOrder
from kitestring.engine.order_story import explain
from kitestring.engine.replay_run import replay_run
from kitestring.engine.watching import NobodyWatches
from kitestring.exchange.desk.form import Form
from kitestring.report.day_report import day_page
from kitestring.report.figures import figures
from kitestring.report.repricing import repriced
from kitestring.report.run_facts import read_run as facts_of
from kitestring.store.run_reader import chosen_run, read_run

SCRIPT = "2 BUY stop=-5; 7 BUY stop=-5"


def said(artifacts, kind):
    return [fact for fact in read_run(chosen_run(artifacts)).facts() if isinstance(fact, kind)]


def kinds(artifacts):
    return [note.kind for note in said(artifacts, Note)]


def is_recorded_whole(artifacts):
    """Its replay decides the same, and its report adds up to the same result and the same charges."""
    facts = facts_of(chosen_run(artifacts))
    assert figures(facts).curve_gap == 0
    assert repriced(facts, figures(facts)).charges_again
    assert day_page(facts)
    done = replay_run(read_run(chosen_run(artifacts)), lambda _: SCRIPTED).replayed
    assert done.difference is None, done.difference


class Phone:
    """The owner's hand, and the exchange's back room."""

    def __init__(self, stage):
        self.stage, self.reach = stage, stage.stage.reach

    def trade(self, side, qty, name="NSE:INFY", product="MIS"):
        exchange, _, symbol = name.partition(":")
        return self.reach.order_from_phone(
            self.stage.exchange.now(), "regular",
            {
                "exchange": exchange, "tradingsymbol": symbol, "transaction_type": side,
                "quantity": str(qty), "product": product, "order_type": "MARKET",
                "validity": "DAY", "market_protection": "-1",
            },
        )  # fmt: skip

    def cancel(self, row):
        exchange = self.stage.exchange
        exchange.desk.cancel(exchange.now(), "regular", row["order_id"])
        exchange.stirred()

    def stops(self):
        return [row for row in self.stage.orders() if row["status"] == "TRIGGER PENDING"]

    def convert(self, qty):
        """Turn a part of an intraday position into delivery: no trade tells of it."""
        exchange = self.stage.exchange
        form = {
            "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY",
            "position_type": "day", "quantity": str(qty), "old_product": "MIS",
            "new_product": "CNC",
        }  # fmt: skip
        assert exchange.portfolio.convert(exchange.now(), Form(form))

    def lets_run(self, script=SCRIPT, **options):
        self.engine = self.stage.engine(script, **options)
        return asyncio.create_task(self.engine.start(NobodyWatches()))

    def resolve(self, how, name="NSE:INFY"):
        self.engine._day.hear(
            OperatorCommand(
                at=self.stage.exchange.now(),
                word=OperatorWord.RESOLVE,
                instrument=name,
                resolution=Resolution(how),
            )
        )


@pytest.mark.parametrize(("sold", "seen"), [("10:04:00", "10:04:05"), ("10:04:08", "10:04:13")])
def test_an_exit_from_the_phone_is_booked_within_seconds_and_ours_is_cleared_away(
    tmp_path, sold, seen
):
    """At both of two moments nearer to each other than two looks by the clock are."""

    async def play(stage):
        phone = Phone(stage)
        day = phone.lets_run()
        await stage.until(sold)
        assert stage.held() == 10
        phone.trade("SELL", 10)
        await stage.until(seen)
        assert phone.stops() == [], "no stop is left that could open a position"
        result = await day
        return result, stage.held(), stage.orders()

    result, held, orders = on_stage(play, tmp_path)
    assert (held, result.open_positions) == (0, {})
    assert [(row["transaction_type"], row["status"]) for row in orders] == [
        ("BUY", "COMPLETE"), ("SELL", "CANCELLED"), ("SELL", "COMPLETE"),
    ]  # fmt: skip
    (trip,) = said(tmp_path, RoundTrip)
    assert trip.exit_reason.value == "by hand"
    by_hand = orders[2]
    last = said(tmp_path, Fill)[-1]
    assert (last.cl_ord_id, int(last.px)) == (
        by_hand["order_id"],
        by_hand["average_price"] * 10_000,
    )
    assert [fact.code for fact in said(tmp_path, Blocked)] == ["TOUCHED_BY_HAND"]
    assert "live: trade of others" in kinds(tmp_path)
    is_recorded_whole(tmp_path)
    day = read_run(chosen_run(tmp_path))
    for name in (last.fill_id, last.cl_ord_id):
        with pytest.raises(ConfigError, match="was not ours: others closed 10 of one"):
            explain(day, name)
    assert [row.cl_ord_id for row in said(tmp_path, PlaceOrder)] == [
        story.row.cl_ord_id for story in explain(day, trip.trade_id).stories
    ]


def test_the_brokers_square_off_is_booked_and_never_turned_round(tmp_path):
    async def play(stage):
        phone = Phone(stage)
        day = phone.lets_run()
        await stage.until("10:04:00")
        phone.reach.square_off(stage.exchange.now())
        await stage.until("10:04:10")
        assert phone.stops() == []
        return await day, stage.held()

    result, held = on_stage(play, tmp_path)
    assert (held, result.open_positions) == (0, {})
    assert [trip.exit_reason.value for trip in said(tmp_path, RoundTrip)] == ["broker's risk desk"]
    is_recorded_whole(tmp_path)


def test_a_stop_cancelled_on_the_phone_stands_again_once_and_then_no_more(tmp_path):
    async def play(stage):
        phone = Phone(stage)
        day = phone.lets_run("2 BUY stop=-5")
        await stage.until("10:04:00")
        (stop,) = phone.stops()
        phone.cancel(stop)
        await stage.until("10:04:10")
        (again,) = phone.stops()
        assert again["order_id"] != stop["order_id"]
        phone.cancel(again)
        await stage.until("10:06:00")
        assert (phone.stops(), stage.held()) == ([], 10)
        return await day, stage.held()

    result, held = on_stage(play, tmp_path)
    assert (held, result.open_positions) == (0, {}), "squared off all the same"
    told = kinds(tmp_path)
    assert told.index("cancelled by hand") < told.index("unprotected position")
    is_recorded_whole(tmp_path)


def test_options_and_shares_of_the_owner_are_untouched_all_day(tmp_path):
    """Holdings, positions carried in, a share traded by hand beside ours, orders that rest by hand."""

    async def play(stage):
        phone, exchange = Phone(stage), stage.exchange
        option = next(
            name
            for name, each in exchange.listing.by_key.items()
            if each.kind in (InstrumentKind.CALL, InstrumentKind.PUT, InstrumentKind.FUTURE)
        )
        reach = phone.reach
        reach.set_position(option, "NRML", -75 * 4, price("100"))
        reach.set_holding("NSE:INFY", 40, price("1400"))
        reach.set_holding("NSE:SBIN", 7, price("700"))
        reach.set_position("NSE:SBIN", "MIS", 33, price("800"))
        day = phone.lets_run("2 BUY stop=-5; 4 EXIT; 6 BUY stop=-5")
        await stage.until("10:01:00")
        phone.trade("BUY", 15)
        resting = reach.order_from_phone(
            exchange.now(), "regular",
            {
                "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY",
                "quantity": "3", "product": "CNC", "order_type": "LIMIT", "price": "1400",
                "validity": "DAY",
            },
        )["order_id"]  # fmt: skip
        await stage.until("10:04:30")
        held_between = stage.held()
        await stage.until("10:08:00")
        phone.engine._day.order(OperatorWord.FLATTEN, "enough")
        await day
        rows = {row["order_id"]: row["status"] for row in stage.orders()}
        account = exchange.floor.account
        return (
            held_between,
            {key: position.net_qty for key, position in account.positions.items()},
            [(h["tradingsymbol"], h["quantity"]) for h in exchange.portfolio.holdings(exchange.now())],
            rows[resting],
            option,
        )  # fmt: skip

    between, positions, holdings, resting, option = on_stage(play, tmp_path)
    assert between == 15, "ours is out, the owner's stands"
    assert positions[("NSE:INFY", Product.MIS)] == 15
    assert positions[("NSE:SBIN", Product.MIS)] == 33
    assert positions[(option, Product.NRML)] == -300
    assert sorted(holdings) == [("INFY", 40), ("SBIN", 7)]
    assert resting == "OPEN"
    assert not {"frozen", "closed by others"} & set(kinds(tmp_path))
    assert {command.intent.instrument for command in said(tmp_path, PlaceOrder)} == {"NSE:INFY"}
    is_recorded_whole(tmp_path)


@pytest.mark.parametrize(
    ("how", "at_broker", "ours", "adjusted"),
    [("adopt", 0, 0, [-6]), ("release", 4, 0, [-10]), ("flatten", 0, 0, [-6])],
)
def test_a_frozen_contract_ends_by_a_persons_word(tmp_path, how, at_broker, ours, adjusted):
    async def play(stage):
        phone = Phone(stage)
        day = phone.lets_run("2 BUY stop=-5")
        await stage.until("10:04:00")
        phone.convert(6)
        await stage.until("10:05:00")
        (stop,) = phone.stops()
        assert stop["quantity"] == 4, "a stop no larger than what is there"
        phone.resolve(how)
        await stage.until("10:06:00")
        between = stage.held(), [row["quantity"] for row in phone.stops()]
        return await day, between, stage.held()

    result, between, held = on_stage(play, tmp_path)
    assert between == {"adopt": (4, [4]), "release": (4, []), "flatten": (0, [])}[how]
    assert held == at_broker
    assert sum(result.open_positions.values()) == ours
    assert [fact.qty for fact in said(tmp_path, Adjustment)] == adjusted
    told = kinds(tmp_path)
    assert told.index("frozen") < told.index("resolved")
    is_recorded_whole(tmp_path)


def test_a_frozen_contract_is_still_frozen_after_a_crash_and_squared_off_to_what_is_there(tmp_path):
    async def play(stage):
        phone = Phone(stage)
        first = phone.lets_run("2 BUY stop=-5")
        await stage.until("10:04:00")
        phone.convert(6)
        await stage.until("10:05:00")
        await stage.die(first)
        result = await phone.lets_run("2 BUY stop=-5")
        return result, stage.held()

    result, held = on_stage(play, tmp_path)
    assert held == 0, "never beyond what the broker confirms"
    assert result.open_positions == {"NSE:INFY": 6}
    assert kinds(tmp_path).count("frozen") == 1
    is_recorded_whole(tmp_path)


@pytest.mark.parametrize("kind", ["error_answer", "no_answer", "html_error"])
def test_books_that_cannot_be_read_are_not_empty_books(tmp_path, kind):
    """For three minutes no read of positions succeeds: stops and exits go on, nothing is entered."""

    async def play(stage):
        phone = Phone(stage)
        day = phone.lets_run("2 BUY stop=-5; 5 EXIT; 6 BUY stop=-5")
        await stage.until("10:04:45")
        assert [row["quantity"] for row in phone.stops()] == [10]
        await stage.until("10:07:00")
        between = stage.held()
        return await day, between, stage.held()

    what = f"kind: {kind}, route: GET /portfolio/positions"
    script = f'faults: [{{{what}, from: "10:03:30", until: "10:08:30", times: 500}}]'
    result, between, held = on_stage(play, tmp_path, script)
    assert (between, held, result.open_positions) == (0, 0, {})
    assert [fact.code for fact in said(tmp_path, Blocked)] == ["ORDER_UNTRUSTED"]
    assert [look.trusted for look in said(tmp_path, BrokerSnapshot)].count(False) > 0
    assert "frozen" not in kinds(tmp_path)
    is_recorded_whole(tmp_path)


def test_positions_that_lag_behind_the_trades_prove_nothing_and_leave_the_stop(tmp_path):
    async def play(stage):
        phone = Phone(stage)
        day = phone.lets_run("2 BUY stop=-5; 4 BUY stop=-5; 6 EXIT; 8 BUY stop=-5")
        await stage.until("10:05:00")
        assert [row["quantity"] for row in phone.stops()] == [10], "it is ours, whatever they show"
        await stage.until("10:07:30")
        return stage.held(), await day, stage.held()

    script = 'faults: [{kind: positions_stale, from: "10:01", until: "10:07"}]'
    between, result, held = on_stage(play, tmp_path, script)
    assert (between, held, result.open_positions) == (0, 0, {})
    untrusted = [look.why for look in said(tmp_path, BrokerSnapshot) if not look.trusted]
    assert any("its own trades make 10" in why for why in untrusted)
    assert "frozen" not in kinds(tmp_path)
    assert len(said(tmp_path, RoundTrip)) == 2, "believed again, it trades again"
    is_recorded_whole(tmp_path)
