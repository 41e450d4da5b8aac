"""``kitestring status`` and ``rules-of-risk``: how the day stands, and against which limits."""

import json
import re

from answered_days import ask

from kitestring.core.risk_limits import ENTRY_LIMITS
from kitestring.core.settings import RiskSettings
from kitestring.domain.money import money
from kitestring.engine.risk_rules import rules


def test_a_day_stands_on_a_phone(halfway):
    code, out, err = ask("status", "--artifacts", halfway)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:-1] == [
        "PAPER Fri 20 Nov 2026",
        "09:25:38 interrupted",
        "09:15 ████████░░░░░░░░░░░░ 09:40  43%",
        "",
        "net after charges             +₹2,202.80",
        "  realised                       -₹13.00",
        "  unrealised                  +₹2,762.50",
        "  charges                        ₹546.70",
        "",
        "positions 2",
        "  NIFTY26NOVFUT                      -65",
        "    NO STOP                   +₹1,748.50",
        "  BANKNIFTY26NOVFUT                  -30",
        "    stop ₹58,070.00           +₹1,014.00",
        "working orders 1",
        "  SL BUY 30 BANKNIFTY26NOVFUT ₹58,070.00",
        "warming: slow-ACME",
        "",
        "risk used",
        "  open positions       ███░░░░░░░  33%",
        "  working orders       █░░░░░░░░░   2%",
        "  orders per minute    █░░░░░░░░░   0%",
        "",
        "last refusal 09:25:00 NIFTY26NOVFUT",
        "  NO_STOP: unsized gave no stop, so",
        "  NIFTY26NOVFUT cannot be sized; give",
        "  the signal a stop, or the strategy",
        "  fixed lots.",
        "",
    ]
    assert re.fullmatch(r"written \d+ (s|min) ago", lines[-1])
    assert max(map(len, lines)) == 40


def test_a_machine_gets_the_state_and_what_is_known_of_it(halfway):
    code, out, _ = ask("status", "--json", "--artifacts", halfway)
    answer = json.loads(out)
    assert code == 0
    assert answer["how"] == "interrupted"
    assert answer["last_refusal"]["code"] == "NO_STOP"
    assert answer["state"]["run"] == "2026-11-20-paper-plainday"


def test_without_a_day_status_says_what_to_type(tmp_path):
    code, out, err = ask("status", "--artifacts", tmp_path)
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == f"No paper day has been traded in {tmp_path} yet."


def test_every_rule_that_can_refuse_is_listed_with_its_meaning():
    found = rules(RiskSettings(), money(1_000_000))
    assert [rule.key for rule in found if rule.key] == list(RiskSettings.__struct_fields__)
    codes = {code for rule in found for code in rule.codes}
    assert {limit.code for limit in ENTRY_LIMITS} <= codes
    assert all(rule.meaning.endswith((".", '".')) for rule in found)


def test_every_code_in_the_core_is_explained(request):
    """Codes stand in the text of the core as words of capitals where a refusal is made."""
    core = request.config.rootpath / "kitestring" / "core"
    named = {
        code
        for name in ("risk_engine", "risk_limits", "sizing", "order_rules", "trading_core")
        for code in re.findall(
            r'"([A-Z]{3,}(?:_[A-Z]+)*)"', (core / f"{name}.py").read_text(encoding="utf-8")
        )
    } - {"NFO", "BFO", "NSE", "BSE", "RISK_CELL", "CELL", "HALT_CODES", "MCX", "CDS"}
    codes = {code for rule in rules(RiskSettings(), money(1_000_000)) for code in rule.codes}
    assert named <= codes


def test_a_limit_is_shown_in_rupees_with_what_is_used_of_it(halfway, tmp_path):
    settings = tmp_path / "my.yaml"
    settings.write_text(
        "trading: {mode: paper, paper_capital: 10 lakh}\n"
        "risk: {max_daily_loss_pct: 2%, max_drawdown_pct: off, max_open_positions: 6}\n"
    )
    code, out, _ = ask("rules-of-risk", "--config", settings, "--artifacts", halfway)
    assert code == 0
    lines = out.splitlines()
    assert lines[:2] == [
        f"The rules of risk · {settings}",
        "used: as of run 2026-11-20-paper-plainday",
    ]
    assert "max_daily_loss_pct       ₹20,000.00" in lines
    assert "max_drawdown_pct         off" in lines
    place = lines.index("max_open_positions       6")
    assert lines[place + 1 : place + 4] == [
        "    OPEN_POSITIONS",
        "    ███░░░░░░░  33% 2 of 6",
        "    Not too many positions at once; a reversal replaces the one it closes.",
    ]


def test_rules_are_listed_before_any_day_was_traded(tmp_path):
    code, out, _ = ask("rules-of-risk", "--artifacts", tmp_path)
    assert code == 0
    assert out.splitlines()[1] == "used: no day was traded here yet"
    code, out, _ = ask("rules-of-risk", "--json", "--artifacts", tmp_path)
    assert json.loads(out)[0]["codes"] == ["DAILY_LOSS"]
