"""A live day's panel and keys: what stands, why nothing is entered, and nothing final on one key."""

import datetime as dt
from decimal import Decimal

import msgspec
import pytest
from rich.console import Console

from kitestring.cli.keyboard import LiveKeys
from kitestring.cli.screen import Picture, panel
from kitestring.cli.status_lines import PHONE, live_lines
from kitestring.domain.instants import instant
from kitestring.domain.money import money
from kitestring.engine.live_standing import LiveStanding
from kitestring.engine.watching import DaySnapshot
from kitestring.store.state_store import OrderView, PositionView, RiskView, StateView

AT = instant(dt.date(2026, 11, 20), dt.time(10, 25))
STATE = StateView(
    timestamp="2026-11-20T10:25:00+05:30", mode="live", run="r", date="2026-11-20",
    capital=Decimal(200_000), cash=Decimal(200_000), realised_pnl=Decimal(0),
    unrealised_pnl=Decimal("12.50"), charges=Decimal(0), net_pnl=Decimal("12.50"),
    positions=(
        PositionView(
            strategy="one", symbol="INFY", exchange="NSE", product="MIS", quantity=10,
            average_price=Decimal(1500), last_price=Decimal("1501.25"), realised_pnl=Decimal(0),
            unrealised_pnl=Decimal("12.50"), charges=Decimal(0), stop_price=Decimal(1495),
        ),
    ),
    open_orders=(), strategies={}, risk=RiskView(halted=False),
    last_prices={"NSE:INFY": Decimal("1501.25"), "NSE:SBIN": Decimal(800)},
)  # fmt: skip
CALM = LiveStanding(
    state=STATE, armed=True, entries="", untrusted="", feed="flowing", halt_file="", guard="",
    waiting=0,
)  # fmt: skip
DEAD = "The session with Kite has died. Log in: python -m scripts.login_kite in any terminal."
HALTED = msgspec.structs.replace(
    STATE, risk=RiskView(halted=True, reason=DEAD, halted_at="2026-11-20 10:24:00.000")
)


def drawn(live, width=100, height=40, **more):
    picture = Picture(
        title="LIVE", at=AT, view=live.state, live=live, keys=True,
        snapshot=DaySnapshot(money("12.50"), money("12.50"), 1, 0, 0), **more,
    )  # fmt: skip
    console = Console(width=width, height=height, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    try:
        console.print(panel(picture, width, height))
    finally:
        console.file.close()
    return console.export_text().splitlines()


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "ARMED · feed flowing"),
        ({"armed": False, "entries": DEAD, "state": HALTED}, "REDUCE ONLY · feed flowing"),
        ({"entries": "enough", "state": HALTED}, "HALTED · feed flowing"),
        ({"entries": "x", "halt_file": "HALT stands since 10:24."}, "HALTED · feed flowing"),
        ({"feed": "down"}, "ARMED · feed down"),
        ({"untrusted": "INFY: 10, 0", "entries": "INFY: 10, 0"}, "WAITING · feed flowing"),
        ({"guard": "watches"}, "ARMED · feed flowing · guard watches"),
    ],
)
@pytest.mark.parametrize("width", [100, 60, 40])
def test_what_stands_and_why_nothing_is_entered_is_on_top(changes, shown, width):
    lines = drawn(msgspec.structs.replace(CALM, **changes), width)
    assert shown in lines[2]
    whole = " ".join(line.strip("│ ") for line in lines)
    assert changes.get("entries", "") in whole
    assert "₹1,501.25" in whole, "prices"
    assert "INFY" in whole
    assert max(map(len, lines)) <= width


def test_a_low_terminal_keeps_what_matters_and_a_key_that_asks_is_the_last_line():
    asks = "h again: HALT, no new entries any more today"
    lines = drawn(msgspec.structs.replace(CALM, entries=DEAD, armed=False), 100, 9, asks=asks)
    assert len(lines) <= 9
    assert "REDUCE ONLY" in lines[2]
    assert asks in lines[-2]


def test_forty_columns_keep_the_price_of_an_order_the_price_of_what_is_held_and_the_key():
    stop = OrderView(
        order_id="K1", broker_order_id="1", strategy="one", symbol="BANKNIFTY26NOVFUT", exchange="NFO",
        product="MIS", purpose="STOP", side="SELL", order_type="SL", quantity=30,
        filled_quantity=0, price=Decimal("56983.40"), trigger_price=Decimal("57269.80"),
        status="NEW",
    )  # fmt: skip
    state = msgspec.structs.replace(
        STATE,
        open_orders=(stop,),
        last_prices={"NSE:LONG NAME OF NOBODY": Decimal(1), **STATE.last_prices},
    )
    live = msgspec.structs.replace(CALM, state=state)
    lines = drawn(live, 40, asks="f again: FLATTEN, close everything that is ours")
    assert "│   SELL 30 BANKNIFTY26… SL ₹57,269.80 │" in lines
    assert any(line.startswith("│ INFY ₹1,501.25") for line in lines)
    assert lines[-2].startswith("│ f again: FLATTEN")
    status = live_lines(live)
    assert "  SL SELL 30 BANKNIFTY26NOVFU ₹57,269.80" in status


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "running, armed"),
        ({"armed": False, "entries": DEAD, "state": HALTED}, "running, reduce only"),
        ({"halt_file": "HALT stands."}, "running, halted"),
        ({"untrusted": "INFY: we say 10, the broker says 0"}, "NOT EXPLAINED: INFY: we say 10,"),
        ({"waiting": 4000}, "4000 things wait"),
    ],
)
def test_the_same_on_a_phone(changes, sentence):
    lines = live_lines(msgspec.structs.replace(CALM, **changes))
    assert sentence in "\n".join(lines)
    assert lines[-1] == "asked just now"
    assert max(map(len, lines)) <= PHONE


class Helm:
    def __init__(self):
        self.done = []

    def halt(self):
        self.done.append("halt")

    def flatten(self):
        self.done.append("flatten")

    def stop(self):
        self.done.append("stop")


@pytest.mark.parametrize(
    ("keys", "done"),
    [
        ("h", []),
        ("hh", ["halt"]),
        ("HH", ["halt"]),
        ("hf", []),
        ("hff", ["flatten"]),
        ("hxh", []),
        ("h\x1b[Ah", []),
        ("hhhh", ["halt", "halt"]),
        ("q", ["stop"]),
        (" +-m1", []),
    ],
)
def test_what_cannot_be_taken_back_is_asked_again(keys, done):
    helm, listening = Helm(), LiveKeys(lambda: 0.0)
    for key in [keys[0], "\x1b[A", keys[-1]] if "\x1b" in keys else keys:
        listening.press(helm, key)
    assert helm.done == done


def test_a_question_is_forgotten_after_some_seconds():
    now = [0.0]
    helm, keys = Helm(), LiveKeys(lambda: now[0])
    assert keys.press(helm, "f")
    assert keys.asks == "f again: FLATTEN, close everything that is ours"
    now[0] = 6.0
    assert keys.asks == ""
    keys.press(helm, "f")
    assert helm.done == []
