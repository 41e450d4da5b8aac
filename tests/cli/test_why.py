"""``kitestring why``: where each idea of a strategy ended, and what it said on a bar."""

import json
import shutil

import pytest
from answered_days import ask, trade

RULE = "─" * 64


def told(artifacts, *typed):
    code, out, err = ask("why", *typed, "--run", "plainday", "--artifacts", artifacts)
    assert (code, err) == (0, "")
    return out.splitlines()


def test_a_strategy_without_a_size_is_refused_by_risk_and_says_so(answered):
    assert told(answered, "unsized") == [
        "unsized · 1m bars of NIFTY26NOVFUT",
        "Fri 20 Nov 2026 · 2026-11-20-paper-plainday",
        RULE,
        "bars          20 today; it needs 3; decided on 17",
        "ready         09:18:00 on 3 bars; 09:15 to 09:18 was over before it was ready (3 min)",
        "signals       17: 10 BUY, 7 SELL",
        "held          never",
        "refused       09:19:00 BUY NIFTY26NOVFUT NO_STOP: unsized gave no stop, so NIFTY26NOVFUT cannot be",
        "              sized; give the signal a stop, or the strategy fixed lots.",
        "                       and again at 09:20:00, 09:21:00, 09:22:00, 09:30:00, 09:31:00",
        "              09:23:00 SELL NIFTY26NOVFUT BOOK_CONFLICT: another strategy is long NIFTY26NOVFUT; a",
        "              SELL by unsized would work against it.",
        "              09:24:00 SELL NIFTY26NOVFUT NO_STOP: unsized gave no stop, so NIFTY26NOVFUT cannot be",
        "              sized; give the signal a stop, or the strategy fixed lots.",
        "                       and again at 09:25:00, 09:26:00, 09:27:00, 09:28:00",
        "              09:29:00 BUY NIFTY26NOVFUT BOOK_CONFLICT: another strategy is short NIFTY26NOVFUT; a",
        "              BUY by unsized would work against it.",
        "              09:32:00 BUY NIFTY26NOVFUT ENTRY_CUTOFF: no new positions after 09:32:00",
        "                       and again at 09:33:00",
        "              09:34:00 BUY NIFTY26NOVFUT ENTRY_CUTOFF: intraday positions are flat from 09:34:00",
        "              09:35:00 SELL NIFTY26NOVFUT ENTRY_CUTOFF: intraday positions are flat from 09:34:00",
        "traded        no order was sent",
        "",
        "→ signal → refused by risk: NO_STOP: unsized gave no stop, so NIFTY26NOVFUT cannot be sized; give",
        "  the signal a stop, or the strategy fixed lots.",
    ]  # fmt: skip


def test_an_order_the_exchange_refused_is_the_first_blocked_step(answered):
    lines = told(answered, "trend-BANKNIFTY")
    assert lines[6:16] == [
        "held          14 of 16 bars",
        "              7 × no new crossing of the averages",
        "              4 × in the trend",
        "              3 × averages too close together",
        "nearest miss  09:35 averages too close together",
        "              abs(i.fast - i.slow) < params.apart_atr * i.range  [ema_trend.py:105]",
        "              params.apart_atr 0.30 · range 19.99 · fast 58,087.56 · slow 58,088.67",
        "              (the HOLD while flat that was given furthest down the strategy's text: it passed the",
        "              most of its conditions; it says nothing of distance)",
        "rejected      09:30:00 KQTDDC2EK000000080K8: Intraday (MIS) orders are blocked after the square-off",
    ]  # fmt: skip
    assert lines[-2:] == [
        "→ order → rejected by exchange: Intraday (MIS) orders are blocked after the square-off time. Use",
        "  NRML or CNC.",
    ]  # fmt: skip


def test_a_strategy_that_never_had_its_history_says_how_much_was_missing(answered):
    assert told(answered, "slow-ACME")[3:] == [
        "bars          20 today; it needs 200; decided on 0",
        "ready         never",
        "signals       none",
        "held          never",
        "traded        no order was sent",
        "",
        "→ not ready: it was shown 20 bars of the 200 it needs",
    ]
    assert told(answered, "slow-ACME", "--at", "09:20")[3:] == [
        "By 09:20 it had decided on no bar: it was shown 5 and needs 200."
    ]
    assert told(answered, "slow-ACME", "--at", "9:15")[3:] == [
        "By 09:15 no bar of its timeframe had closed."
    ]


def test_one_bar_is_told_with_the_condition_and_the_numbers_it_was_decided_on(answered):
    assert told(answered, "trend-BANKNIFTY", "--at", "09:26:59")[3:] == [
        "bar           09:25 to 09:26 O 58,040.00 H 58,040.00 L 58,020.00 C 58,020.00",
        "said          HOLD: in the trend",
        "because       fast < slow and i.position < 0  [ema_trend.py:85]",
        "              fast 58,029.91 · slow 58,045.18 · position -1",
        "read          fast 58,029.91 · slow 58,045.18 · range 20.00",
        "position      short when it was asked",
    ]


def test_a_bar_that_made_a_signal_is_told_to_its_order(answered):
    assert told(answered, "trend-BANKNIFTY", "--at", "09:24")[4:] == [
        "said          SELL: fast average fell below the slow one",
        "read          fast 58,069.19 · slow 58,076.61 · range 20.00",
        "position      flat when it was asked",
        "verdict       allowed: 30",
        "order         KQTDDC2EK000000030GR FILLED, 30 of 30 filled; kitestring explain KQTDDC2EK000000030GR",
    ]  # fmt: skip


def test_the_bar_asked_for_is_the_last_that_had_closed(answered):
    by_minute = {
        at: told(answered, "cross-NIFTY", "--at", at)[3] for at in ("09:22", "09:22:59", "09:23")
    }
    assert by_minute["09:22"] == by_minute["09:22:59"]
    assert by_minute["09:22"].startswith("bar           09:21 to 09:22 ")
    assert by_minute["09:23"].startswith("bar           09:22 to 09:23 ")


def test_a_machine_gets_the_same_answer(answered):
    (line,) = told(answered, "cross-NIFTY", "--at", "09:22", "--json")
    answer = json.loads(line)
    assert (answer["decided"], answer["fills"], answer["trades"]) == (17, 3, 2)
    assert answer["holds"] == {"already on the side of the trend": 8}
    assert [one["code"] for one in answer["refusals"]] == ["ENTRY_CUTOFF"] * 4
    assert answer["first_blocked_step"] == {
        "step": "signal → refused by risk",
        "what": "ENTRY_CUTOFF: no new positions after 09:32:00",
    }
    assert answer["at"]["condition"] == "i.fast > i.slow"
    assert answer["at"]["inputs"]["fast"] == 24_050.0
    assert answer["note"] == ""


def test_an_interrupted_day_is_told_up_to_where_it_stands(halfway):
    code, out, _ = ask("why", "cross", "--artifacts", halfway)
    assert code == 0
    assert "bars          10 today; it needs 3; decided on 7" in out
    assert out.endswith("→ nothing stood in its way\n")


def test_a_strategy_changed_since_is_not_asked_again(tmp_path):
    trade(tmp_path, hashed="0" * 64)
    code, out, _ = ask("why", "cross-NIFTY", "--artifacts", tmp_path)
    assert code == 0
    assert "held          8 of 17 bars" in out
    assert "ema_cross.py was changed since this day, so no bar is looked at again" in out
    code, out, _ = ask("why", "cross-NIFTY", "--at", "09:22", "--artifacts", tmp_path)
    assert code == 0
    assert out.splitlines()[3] == (
        "note  Not known: ema_cross.py was changed since this day, so no bar is looked at again."
    )


def test_without_its_tape_a_run_still_tells_what_the_journal_knows(answered, tmp_path):
    shutil.copytree(answered, tmp_path / "kept")
    for tape in (tmp_path / "kept").rglob("tape.bin"):
        tape.unlink()
    code, out, err = ask("why", "slow-ACME", "--artifacts", tmp_path / "kept", "--run", "plain")
    assert (code, err) == (0, "")
    assert "→ not ready: it was shown 20 bars\n" in out


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (("nobody",), "There is no strategy nobody in 2026-11-20-paper-plainday."),
        (("ema",), "There is no strategy ema in 2026-11-20-paper-plainday."),
        (("NIFTY",), "NIFTY runs 2 times in 2026-11-20-paper-plainday: cross-NIFTY, trend-BANKNIFTY."),
    ],
)  # fmt: skip
def test_a_name_that_fits_no_strategy_is_answered_with_those_there_are(answered, typed, says):
    code, out, err = ask("why", *typed, "--run", "plainday", "--artifacts", answered)
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == says


@pytest.mark.parametrize("at", ["25:00", "10.35", "noon", "10:60"])
def test_a_time_that_is_none_is_refused(answered, at):
    code, _, err = ask("why", "unsized", "--at", at, "--artifacts", answered)
    assert code == 2
    assert f"{at} is no time of day; write it as 10:35" in err


@pytest.mark.parametrize("strategy", ["cross-NIFTY", "unsized", "trend-BANKNIFTY", "slow-ACME"])
def test_asked_again_a_strategy_answers_as_it_did(answered, halfway, strategy):
    for run, artifacts in (("plainday", answered), ("slowlane", answered), ("plainday", halfway)):
        _, out, _ = ask("why", strategy, "--run", run, "--json", "--artifacts", artifacts)
        assert json.loads(out)["note"] == ""


def test_a_day_that_was_resumed_answers_as_one_that_was_not(answered, tmp_path):
    trade(tmp_path, stop_after=310)
    trade(tmp_path)
    for strategy in ("cross-NIFTY", "trend-BANKNIFTY"):
        whole = told(answered, strategy, "--at", "09:31", "--json")
        assert told(tmp_path, strategy, "--at", "09:31", "--json") == whole
