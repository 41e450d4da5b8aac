"""``kitestring explain``: the way of one order, fact by fact."""

import json

import pytest
from answered_days import ask


def told(artifacts, *typed):
    code, out, err = ask("explain", *typed, "--run", "plainday", "--artifacts", artifacts)
    assert (code, err) == (0, "")
    return out.splitlines()


ENTRY = [
    "SELL 130 NIFTY26NOVFUT MARKET · entry of cross-NIFTY · FILLED",
    "KQTDDC2EK000000020G8 · broker 261120000000002 · 2026-11-20-paper-plainday",
    "─" * 64,
    "09:22:58.000           tick     NIFTY26NOVFUT ₹24,040.00, bid ₹24,039.90, ask ₹24,040.10",
    "09:23:00.000   +2.0 s  tick     NIFTY26NOVFUT ₹24,040.00, bid ₹24,039.90, ask ₹24,040.10",
    "09:23:00.000           bar      09:22 to 09:23 O ₹24,050.00 H ₹24,050.00 L ₹24,040.00 C ₹24,040.00",
    "09:23:00.000           signal   SELL: fast EMA below slow",
    "09:23:00.000           verdict  allowed",
    "09:23:00.000           order    SELL 130 MARKET, decided at ₹24,040.00: fast EMA below slow",
    "09:23:00.124  +125 ms  report   NEW, at the exchange 09:23:00.115",
    "09:23:00.124           report   TRADE 130 at ₹24,039.90, at the exchange 09:23:00.115",
    "",
    "filled        130 of 130 at ₹24,039.90 on average",
    "slippage      ₹13.00 lost, against the price it was decided at",
    "charges       ₹332.52 (brokerage ₹20.00, STT ₹312.52)",
    "round trip    cross-NIFTY-001: long 65 NIFTY26NOVFUT, 09:19:00 ₹24,040.10 → 09:23:00 ₹24,039.90 by",
    "              reversal; gross -₹13.00, charges ₹186.26, net -₹199.26",
    "round trip    cross-NIFTY-002: short 65 NIFTY26NOVFUT, 09:23:00 ₹24,039.90 → 09:29:00 ₹24,020.10 by",
    "              reversal; gross +₹1,287.00, charges ₹186.26, net +₹1,100.74",
]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["KQTDDC2EK000000020G8", "000000020G8", "261120000000002", "'261120000000002", "261120000000002-1"],
)  # fmt: skip
def test_tag_broker_id_fill_and_a_part_of_them_mean_the_same_order(answered, name):
    assert told(answered, name) == ENTRY


def test_a_stop_is_told_with_its_position_and_every_level(answered):
    lines = told(answered, "KQTDDC2EK000000040H8")
    assert lines[0] == "BUY 30 BANKNIFTY26NOVFUT SL · stop of trend-BANKNIFTY · FILLED"
    assert [line for line in lines if line[23:].startswith(("entry", "change"))] == [
        "09:24:00.000           entry    KQTDDC2EK000000030GR: short 30 at ₹58,059.80",
        "09:25:00.000  +59.6 s  change   stop ₹58,080.00 → ₹58,070.00",
        "09:26:00.000  +59.9 s  change   stop ₹58,070.00 → ₹58,050.00",
        "09:27:00.000  +59.7 s  change   stop ₹58,050.00 → ₹58,030.00",
    ]
    assert (
        "protected     the position of KQTDDC2EK000000030GR; trailed 3 times, ₹58,080.00 → ₹58,030.00"
        in lines
    )


def test_a_round_trip_is_told_order_by_order(answered):
    lines = told(answered, "trend-BANKNIFTY-001")
    assert lines[2:4] == [
        "round trip    short 30 BANKNIFTY26NOVFUT, 09:24:00 ₹58,059.80 → 09:28:30 ₹58,030.20 by trailing",
        "              stop; gross +₹888.00, charges ₹214.18, net +₹673.82, +1.11 R",
    ]  # fmt: skip
    assert [line for line in lines if " of trend-BANKNIFTY · " in line] == [
        "SELL 30 BANKNIFTY26NOVFUT MARKET · entry of trend-BANKNIFTY · FILLED",
        "BUY 30 BANKNIFTY26NOVFUT SL · stop of trend-BANKNIFTY · FILLED",
    ]


def test_a_rejected_order_keeps_the_exchanges_sentence_and_has_no_round_trip(answered):
    lines = told(answered, "KQTDDC2EK000000050HR")
    assert lines[-2:] == [
        "filled        nothing of 130 (rejected: Intraday (MIS) orders are blocked after the square-off time.",
        "              Use NRML or CNC.)",
    ]  # fmt: skip


def test_a_machine_gets_every_step(answered):
    (line,) = told(answered, "KQTDDC2EK000000020G8", "--json")
    (order,) = json.loads(line)["orders"]
    assert [step["what"] for step in order["steps"]] == [
        *("tick", "tick", "bar", "signal", "verdict", "order", "report", "report"),
    ]
    assert order["slippage"] == 13
    assert order["charges"] == 332.5187
    assert order["trades"] == ["cross-NIFTY-001", "cross-NIFTY-002"]


def test_an_id_that_nothing_has_is_answered_with_where_to_look(answered):
    code, out, err = ask("explain", "KABC", "--run", "plainday", "--artifacts", answered)
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == (
        "There is no order, fill or round trip KABC in 2026-11-20-paper-plainday."
    )
    assert "orders.csv of the run has every tag" in err


def test_a_part_that_several_ids_have_names_them(answered):
    code, _, err = ask("explain", "KQTDD", "--run", "plainday", "--artifacts", answered)
    assert code == 2
    assert err.startswith(
        "KQTDD is part of 9 ids of 2026-11-20-paper-plainday: KQTDDC2EK000000010FR,"
    )
