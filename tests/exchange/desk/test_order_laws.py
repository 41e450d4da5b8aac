"""Whatever clients send, the desk answers or refuses in Kite's words, and its books stay true.

Forms are drawn from pools of legal, nearly legal and absurd values; the draws are seeded, so that a
failure names itself and comes back.
"""

import contextlib
import itertools
import json

import pytest
from desk_rig import ALL, CALL, FUTURE, PRICES, SBIN, Rig

from kitestring.domain.instants import SECOND
from kitestring.exchange.desk.alerts import AlertBook
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.gtt import GttBook
from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.desk.order_rows import Source
from kitestring.exchange.desk.order_settings import OrderSettings
from kitestring.exchange.desk.order_status import FOLLOWERS, OrderStatus
from kitestring.exchange.seeded import Stream

ABSURD = (
    "", " ", "0", "-1", "1e5", "NaN", "inf", "-inf", "9" * 30, "१२", "\ud800", "null", "[]", "{}",
    "💥", "a" * 5000, "0.00000001", "1/0", "true", "\x00", "1e-99", "+7", "0x10", "'; drop", "..",
)  # fmt: skip
SENSIBLE = {
    "exchange": ("NSE", "NFO", "BSE", "MCX", "BFO"),
    "tradingsymbol": tuple(each.symbol for each in ALL),
    "transaction_type": ("BUY", "SELL"),
    "quantity": ("1", "10", "65", "130", "1755", "3900", "100", "20000"),
    "product": ("CNC", "NRML", "MIS", "MTF"),
    "order_type": ("MARKET", "LIMIT", "SL", "SL-M"),
    "price": ("800", "799.95", "801", "24000", "23990.1", "100", "0", "9000"),
    "trigger_price": ("780", "820", "23900", "24100", "99", "0"),
    "validity": ("DAY", "IOC", "TTL"),
    "validity_ttl": ("1", "2", "30"),
    "disclosed_quantity": ("0", "1", "10"),
    "market_protection": ("-1", "0", "2", "0.5", "100"),
    "iceberg_legs": ("2", "3", "50"),
    "iceberg_quantity": ("5", "65", "650"),
    "autoslice": ("true", "false", "True"),
    "tag": ("a", "b" * 20, "strategy 7"),
    "auction_number": ("20", "34"),
    "algo_id": ("77",),
}
VARIETIES = ("regular",) * 6 + ("amo", "co", "co", "iceberg", "iceberg", "auction", "bo")


class Fuzzer:
    def __init__(self, seed, rig):
        self.words = iter(Stream(seed, "fuzz").raw(1 << 20).tolist())
        self.rig = rig
        self.gtts = GttBook(rig.desk)
        self.alerts = AlertBook(rig.desk)
        self.refusals = []
        self.answered = 0

    def below(self, bound):
        return (next(self.words) >> 32) * bound >> 32

    def one(self, among):
        return among[self.below(len(among))]

    def chance(self, percent):
        return self.below(100) < percent

    def form(self):
        instrument = self.one((SBIN, SBIN, FUTURE, CALL))
        share = instrument is SBIN
        fields = {
            "exchange": instrument.exchange,
            "tradingsymbol": instrument.symbol,
            "transaction_type": self.one(("BUY", "SELL")),
            "quantity": str(self.one((1, 2, 4, 40)) * (10 if share else 65)),
            "product": self.one(("MIS", "CNC" if share else "NRML")),
            "order_type": self.one(("MARKET", "LIMIT", "LIMIT", "SL", "SL-M")),
            "price": str(PRICES[instrument] + self.below(7) - 3),
            "trigger_price": str(PRICES[instrument] + self.below(41) - 20),
            "market_protection": "-1",
            "validity": self.one(("DAY", "DAY", "DAY", "IOC", "TTL")),
            "validity_ttl": "1",
            "iceberg_legs": self.one(("2", "3")),
        }
        for _ in range(self.one((0, 0, 0, 1, 1, 4))):
            name = self.one(tuple(SENSIBLE))
            fields[name] = self.one(ABSURD if self.chance(50) else SENSIBLE[name])
        if self.chance(3):
            fields.pop(self.one(tuple(fields)))
        return Form(fields)

    def change(self):
        fields = {"order_type": self.one(SENSIBLE["order_type"])} if self.chance(25) else {}
        for _ in range(self.one((0, 1, 1, 2, 3))):
            name = self.one(("quantity", "price", "trigger_price", "validity", "validity_ttl",
                             "disclosed_quantity", "market_protection"))  # fmt: skip
            fields[name] = self.one(ABSURD if self.chance(25) else SENSIBLE[name])
        return Form(fields)

    def json_text(self):
        """JSON that a trigger or a basket might be, often spoilt."""

        def leaf():
            return self.one(
                (1, 0, -1, 1.5, "SBIN", "NSE", "", None, True, 10**30, [], {}, "x" * 99)
            )

        condition = {
            "exchange": "NSE",
            "tradingsymbol": "SBIN",
            "trigger_values": [self.one((780, 820, 800.05)) for _ in range(self.one((1, 1, 2, 3)))],
            "last_price": 800,
        }
        order = {
            "exchange": "NSE",
            "tradingsymbol": "SBIN",
            "transaction_type": self.one(("BUY", "SELL")),
            "quantity": 1,
            "order_type": "LIMIT",
            "product": "CNC",
            "price": 800,
        }
        orders = [dict(order) for _ in condition["trigger_values"]]
        basket = {"items": [{"exchange": "NSE", "tradingsymbol": "SBIN", "params": dict(order)}]}
        for target in (condition, order, *orders, basket["items"][0], basket["items"][0]["params"]):
            if self.chance(8):
                target[self.one(tuple(target))] = leaf()
        texts = [json.dumps(each) for each in (condition, orders, basket)]
        if self.chance(5):
            texts[self.one((0, 1, 2))] = self.one(
                (*ABSURD, "[" * 3000, '{"a":1e400}', '["\\ud800"]')
            )
        return texts

    def act(self):
        rig, now = self.rig, self.rig.now
        known = list(rig.desk._orders)
        order_id = self.one(known) if known and self.chance(95) else self.one(ABSURD)
        if known and self.chance(60):
            order_id = known[-1 - self.below(min(len(known), 8))]
        order = rig.desk._orders.get(order_id)
        variety = order.ticket.variety if order and self.chance(90) else self.one(VARIETIES)
        choice = self.below(100)
        condition, orders, basket = self.json_text()
        if choice < 45:
            source = Source.APP if self.chance(85) else self.one(tuple(Source))
            return rig.desk.place(now, self.one(VARIETIES), self.form(), source=source)
        if choice < 65:
            return rig.desk.modify(now, variety, order_id, self.change())
        if choice < 80:
            parent = order.parent_order_id or "" if order and self.chance(90) else self.one(ABSURD)
            return rig.desk.cancel(now, variety, order_id, parent)
        if choice < 84:
            return (rig.desk.history(now, order_id), rig.desk.order_trades(now, order_id))
        gtt_id = str(100_000 + self.below(40)) if self.chance(90) else self.one(ABSURD)
        form = Form(
            {
                "type": self.one(("single", "single", "two-leg", "")),
                "condition": condition,
                "orders": orders,
            }
        )
        if choice < 88:
            return self.gtts.place(now, form)
        if choice < 90:
            return self.gtts.modify(now, gtt_id, form)
        if choice < 92:
            return (self.gtts.trigger(gtt_id), self.gtts.delete(now, gtt_id))
        uuids = list(self.alerts._alerts)
        uuid = self.one(uuids) if uuids and self.chance(90) else self.one(ABSURD)
        form = Form(
            {
                "name": self.one(("x", "y" * 200)),
                "type": self.one(("simple", "ato", "")),
                "lhs_exchange": self.one(("NSE", "INDICES", "")),
                "lhs_tradingsymbol": self.one(("SBIN", "NIFTY 50")),
                "lhs_attribute": "LastTradedPrice",
                "operator": self.one(("<=", ">=", "<", ">", "==", "!=")),
                "rhs_type": self.one(("constant", "instrument", "")),
                "rhs_constant": self.one(("800", "801", *ABSURD)),
                "rhs_exchange": "NSE",
                "rhs_tradingsymbol": self.one(("SBIN", "BHEL")),
                "rhs_attribute": "LastTradedPrice",
                "basket": basket,
            }
        )
        if choice < 96:
            return self.alerts.create(now, form)
        if choice < 98:
            return self.alerts.modify(now, uuid, form)
        self.alerts.delete(now, [uuid])
        return self.alerts.alerts(Form({"status": self.one(("", "enabled", "gone"))}))

    def run(self, requests):
        rig = self.rig
        last = {SBIN: 800.0, FUTURE: 24000.0, CALL: 100.0}
        for number in range(requests):
            if self.chance(30):
                instrument = self.one(tuple(last))
                last[instrument] = round(last[instrument] + (self.below(5) - 2) * 0.5, 2)
                rig.tick(instrument, last[instrument], qty=self.one((65, 200, 5000)), traded=500)
                last_px = lambda id_: rig.floor.markets[id_].last_px(rig.now)  # noqa: E731
                self.gtts.advance(rig.now, last_px)
                self.alerts.advance(rig.now, last_px)
            else:
                rig.run_to(rig.now + self.one((0, 1, 20_000, 100_000, SECOND)))
            try:
                answer = self.act()
            except KiteError as refusal:
                self.refusals.append((refusal.status, refusal.error_type, bool(refusal.message)))
            else:
                self.answered += 1
                json.dumps(answer, allow_nan=False)
            if number % 2_000 == 1_999:
                rig.check_laws()
                json.dumps(self.gtts.triggers(rig.now))


@pytest.mark.parametrize(("digits", "requests"), [(15, 2_500), ("both", 10_000)])
def test_ten_thousand_requests_do_no_worse_than_be_refused(digits, requests):
    rig = Rig(settings=OrderSettings(order_id_digits=digits)).open_market()
    fuzzer = Fuzzer(20261120, rig)
    fuzzer.run(requests)
    rig.wait(5)
    rig.check_laws()
    rows = rig.desk.orders(rig.now)
    # The fuzz is worth something only if it comes everywhere.
    assert len(fuzzer.refusals) > requests // 5
    assert set(fuzzer.refusals) == {
        (400, "InputException", True),
        (400, "OrderException", True),
        (404, "GeneralException", True),
    }
    assert fuzzer.answered > requests // 5
    assert {row["variety"] for row in rows} == {"regular", "co", "iceberg"}
    walked = set()
    for row in rows:
        statuses = rig.statuses(row["order_id"])
        walked |= set(itertools.pairwise(statuses))
    assert len(walked) >= 20, walked
    pushed = [each for each in rig.updates if each.row["status"] == "UPDATE"]
    assert len(pushed) > 50


def test_an_order_ends_with_exactly_one_last_word():
    """Of every order that is over exactly one terminal update was pushed; of none two."""
    rig = Rig().open_market()
    Fuzzer(5, rig).run(2_000)
    rig.wait(5)
    for row in rig.desk.orders(rig.now):
        ends = [s for s in rig.pushed(row["order_id"]) if s != "UPDATE"]
        over = OrderStatus(row["status"]).over
        expected = [row["status"].replace("CANCELLED AMO", "CANCELLED")] if over else []
        assert ends == expected


def test_the_same_requests_make_the_same_day():
    days = []
    for _ in range(2):
        rig = Rig().open_market()
        fuzzer = Fuzzer(11, rig)
        with contextlib.suppress(KiteError):
            fuzzer.run(600)
        days.append((rig.desk.orders(rig.now), rig.desk.trades(rig.now), rig.updates))
    assert days[0] == days[1]


def test_every_name_has_its_followers_and_only_ends_have_none():
    assert set(FOLLOWERS) == set(OrderStatus)
    assert {status for status in OrderStatus if not FOLLOWERS[status]} == {
        OrderStatus.COMPLETE,
        OrderStatus.CANCELLED,
        OrderStatus.CANCELLED_AMO,
        OrderStatus.REJECTED,
    }
