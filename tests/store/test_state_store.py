from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from kitestring.domain.errors import StoreError
from kitestring.store.state_store import (
    LimitView,
    OrderView,
    PositionView,
    RiskView,
    StateStore,
    StateView,
    StrategyView,
)

VIEW = StateView(
    timestamp="2026-11-23T10:05:00.120+05:30",
    mode="paper",
    run="1a2b3c4d",
    date="2026-11-23",
    capital=Decimal(500000),
    cash=Decimal("499912.3456"),
    realised_pnl=Decimal("3750.10"),
    unrealised_pnl=Decimal("-0.0001"),
    charges=Decimal("94.5008905000"),
    net_pnl=Decimal("3655.5991094999"),
    positions=(
        PositionView(
            strategy="ema_trend-NIFTY",
            symbol="NIFTY26NOVFUT",
            exchange="NFO",
            product="MIS",
            quantity=75,
            average_price=Decimal("22105.95"),
            last_price=Decimal("22110.05"),
            realised_pnl=Decimal(0),
            unrealised_pnl=Decimal("307.50"),
            charges=Decimal("94.5008905"),
        ),
    ),
    open_orders=(
        OrderView(
            order_id="KRUN0127P00000001ABC",
            broker_order_id="261123000000017123",
            strategy="ema_trend-NIFTY",
            symbol="NIFTY26NOVFUT",
            exchange="NFO",
            side="SELL",
            quantity=75,
            filled_quantity=25,
            order_type="LIMIT",
            product="MIS",
            status="PARTIALLY_FILLED",
            price=Decimal("22150.00"),
        ),
    ),
    strategies={
        "ema_trend-NIFTY": StrategyView(
            on=True, ready=True, instrument="NFO:NIFTY26NOVFUT", state={"armed": True, "atr": 12.5}
        )
    },
    risk=RiskView(
        halted=True,
        code="DAILY_LOSS",
        reason="the day has lost ₹10 000",
        policy="flatten",
        limits={"daily_loss": LimitView(used="₹5 000", limit="₹10 000", fraction=0.5)},
    ),
    last_prices={"NFO:NIFTY26NOVFUT": Decimal("22110.05")},
)


def test_the_state_is_read_back_exactly_as_it_was_written(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "checkpoints" / "paper_state_latest.json")
    assert store.load() is None
    assert store.write(VIEW)
    assert store.load() == VIEW


def test_the_file_has_the_keys_people_look_for_and_exact_numbers(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "paper_state_latest.json")
    store.write(VIEW)
    text = store.path.read_text(encoding="utf-8")
    state = json.loads(text)
    expected = {"timestamp", "mode", "run", "capital", "cash", "realised_pnl", "unrealised_pnl"}
    expected |= {"charges", "net_pnl", "positions", "open_orders", "strategies", "risk"}
    assert expected | {"last_prices"} <= state.keys()
    assert '"net_pnl": 3655.5991094999' in text
    assert state["last_prices"] == {"NFO:NIFTY26NOVFUT": 22110.05}
    assert (state["risk"]["halted"], state["risk"]["code"]) == (True, "DAILY_LOSS")


def test_a_file_that_is_held_is_written_the_next_time(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "paper_state_latest.json")
    store.path.mkdir()
    assert not store.write(VIEW)
    assert store.failures == 1
    assert [path.name for path in tmp_path.iterdir()] == ["paper_state_latest.json"]
    store.path.rmdir()
    assert store.write(VIEW)
    assert [path.name for path in tmp_path.iterdir()] == ["paper_state_latest.json"]


def test_a_file_somebody_broke_is_said_with_what_to_do(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "paper_state_latest.json")
    store.path.write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        store.load()
