"""Names become the contracts of the day, and what cannot be traded is said before the start."""

import datetime as dt

import msgspec
import pytest

from kitestring.cli.config import Engines, parse_config
from kitestring.cli.day_settings import contract_of_the_day, day_settings
from kitestring.core.strategy import StrategyDefinition
from kitestring.domain.errors import ConfigError
from kitestring.domain.instants import instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import price
from kitestring.domain.orders import Product
from kitestring.domain.ports import Manifest
from kitestring.domain.sessions import Session

DAY = dt.date(2026, 11, 20)


def listed(exchange, symbol, kind, segment, name, *, lot=1, expiry=None):
    return Instrument(
        id=f"{exchange}:{symbol}", exchange=exchange, symbol=symbol, token=1, kind=kind,
        segment=segment, name=name, lot_size=lot, tick_size=price("0.05"), expiry=expiry,
    )  # fmt: skip


def future(symbol, name, expiry, lot=65):
    return listed(
        "NFO", symbol, InstrumentKind.FUTURE, Segment.FUTURES, name, lot=lot, expiry=expiry
    )


def share(symbol):
    return listed("NSE", symbol, InstrumentKind.EQUITY, Segment.EQUITY_WITH_DERIVATIVES, symbol)


NIFTY = listed("NSE", "NIFTY 50", InstrumentKind.INDEX, Segment.INDEX, "NIFTY")
NIFTY_NOV = future("NIFTY26NOVFUT", "NIFTY", dt.date(2026, 11, 24))
NIFTY_DEC = future("NIFTY26DECFUT", "NIFTY", dt.date(2026, 12, 29))
RELIANCE_NOV = future("RELIANCE26NOVFUT", "RELIANCE", dt.date(2026, 11, 24), 500)


def session(segment):
    def at(hour, minute):
        return instant(DAY, dt.time(hour, minute))

    return Session(
        date=DAY, segment=segment, open_at=at(9, 15), close_at=at(15, 30),
        entry_cutoff_at=at(15, 0), square_off_at=at(15, 15), phases=(),
    )  # fmt: skip


def market(*instruments):
    return Manifest(
        name="synthetic (seed 1)",
        date=DAY,
        instruments=instruments,
        sessions={segment: session(segment) for segment in Segment},
        digest="abc",
    )


MARKET = market(NIFTY, NIFTY_NOV, NIFTY_DEC, share("RELIANCE"), RELIANCE_NOV, share("INFY"))


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    fast: int = 9
    slow: int = 21
    stop: float | None = None

    def __post_init__(self):
        if self.fast >= self.slow:
            raise ValueError("fast must be shorter than slow")


def shipped(name):
    if name != "ema_trend":
        raise ConfigError(f"There is no strategy called {name}.", do="Choose ema_trend.")
    return StrategyDefinition(
        name=name, path=f"{name}.py", source_hash="f00d", idea="", params_type=Params,
        state_type=Params, indicators=dict, history=lambda _params: 0,
        decide=lambda params, state, _inputs: (state, params),
    )  # fmt: skip


def settle(text, manifest=MARKET, engines=Engines.ALL, identity=("paper",)):
    file = parse_config(text, "my.yaml")
    return day_settings(file, manifest, engines=engines, identity=identity, read_strategy=shipped)


def complaint(text, **how):
    with pytest.raises(ConfigError) as caught:
        settle(text, **how)
    return caught.value.what


ONE = """\
trading: {logical_universe: [NIFTY, RELIANCE, INFY]}
strategies:
  - strategy: ema_trend
"""


def test_an_index_means_its_current_future_and_a_stock_its_share():
    rows = settle(ONE).settings.strategies
    assert [(row.name, row.instrument) for row in rows] == [
        ("ema_trend-NIFTY", "NFO:NIFTY26NOVFUT"),
        ("ema_trend-RELIANCE", "NSE:RELIANCE"),
        ("ema_trend-INFY", "NSE:INFY"),
    ]


def test_engines_fno_trades_futures_only_and_equity_shares_only():
    def traded(engines):
        return [row.instrument for row in settle(ONE, engines=engines).settings.strategies]

    assert traded(Engines.FNO) == ["NFO:NIFTY26NOVFUT", "NFO:RELIANCE26NOVFUT"]
    assert traded(Engines.EQUITY) == ["NSE:RELIANCE", "NSE:INFY"]


def test_the_signal_may_come_from_the_index():
    text = ONE + "    instruments: [NIFTY]\n    signal_from: NIFTY index\n"
    (row,) = settle(text).settings.strategies
    assert (row.source, row.instrument) == ("NSE:NIFTY 50", "NFO:NIFTY26NOVFUT")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("NIFTY INDEX", "NSE:NIFTY 50"),
        ("RELIANCE FUTURE", "NFO:RELIANCE26NOVFUT"),
        ("RELIANCE SHARE", "NSE:RELIANCE"),
        ("NFO:NIFTY26DECFUT", "NFO:NIFTY26DECFUT"),
        ("NIFTY SHARE", None),
        ("TCS", None),
    ],
)
def test_a_name_can_say_outright_what_it_means(name, found):
    instrument = contract_of_the_day(name, MARKET, Engines.ALL)
    assert (instrument.id if instrument else None) == found


def test_what_the_feed_does_not_carry_is_left_out_and_said():
    settled = settle(ONE, manifest=market(share("INFY")))
    assert [row.instrument for row in settled.settings.strategies] == ["NSE:INFY"]
    assert settled.notes == ("not in this feed, so not traded: NIFTY, RELIANCE",)


def test_a_day_with_nothing_to_trade_does_not_start():
    said = complaint(ONE, manifest=market(share("TCS")))
    assert said.startswith("my.yaml: nothing to trade: synthetic (seed 1) carries none")


def test_capital_sizes_times_and_product_reach_the_core():
    settled = settle(
        ONE
        + "    instruments: [NIFTY]\n    lots: 2\n    product: NRML\n    timeframe: 15m\n"
        + "    trade_between: [09:30, 14:00]\n    params: {fast: 5}\n"
        + "risk: {max_daily_loss_pct: 1%}\n"
    )
    (row,) = settled.settings.strategies
    assert (row.lots, row.product, row.minutes, row.params) == (2, Product.NRML, 15, {"fast": 5})
    assert (row.entry_from, row.entry_until) == (dt.time(9, 30), dt.time(14, 0))
    assert int(settled.settings.capital) == 5_000_000_000
    assert settled.settings.risk.max_daily_loss_pct == 0.01
    assert settled.settings.date == DAY


def test_an_unknown_strategy_is_named_with_its_line():
    assert complaint("strategies:\n  - strategy: ema_tend\n") == (
        "my.yaml:2: There is no strategy called ema_tend."
    )


def test_an_unknown_parameter_is_named_with_its_line_and_the_nearest_right_one():
    assert complaint("strategies:\n  - strategy: ema_trend\n    params:\n      fst: 9\n") == (
        "my.yaml:4: ema_trend has no parameter fst; did you mean fast?"
    )


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ("{fast: quick}", "my.yaml:3: ema_trend's fast must be int; it is quick."),
        ("{fast: 9.5}", "my.yaml:3: ema_trend's fast must be int; it is 9.5."),
        ("{fast: true}", "my.yaml:3: ema_trend's fast must be int; it is True."),
        ("{fast: 30}", "my.yaml:3: ema_trend does not take this: fast must be shorter than slow."),
    ],
)
def test_a_wrong_parameter_is_said_with_its_line(params, sentence):
    assert complaint(f"strategies:\n  - strategy: ema_trend\n    params: {params}\n") == sentence


@pytest.mark.parametrize(
    ("product", "instrument", "right"), [("NRML", "RELIANCE", "CNC"), ("CNC", "NIFTY", "NRML")]
)
def test_shares_are_carried_as_cnc_and_futures_as_nrml(product, instrument, right):
    said = complaint(ONE + f"    instruments: [{instrument}]\n    product: {product}\n")
    assert said.startswith("my.yaml:5: ")
    assert right in said


def test_our_own_cut_offs_replace_the_calendars():
    sessions = settle(ONE + "sessions: {equity: {entry_cutoff: 14:30}}\n").sessions
    for segment in (Segment.EQUITY, Segment.EQUITY_WITH_DERIVATIVES):
        assert sessions[segment].entry_cutoff_at == instant(DAY, dt.time(14, 30))
        assert sessions[segment].square_off_at == instant(DAY, dt.time(15, 15))
    assert sessions[Segment.FUTURES] == session(Segment.FUTURES)


def test_an_earlier_square_off_takes_the_entries_with_it():
    sessions = settle(ONE + "sessions: {futures: {square_off: 14:00}}\n").sessions
    assert sessions[Segment.FUTURES].entry_cutoff_at == instant(DAY, dt.time(14, 0))


@pytest.mark.parametrize(
    "times", ["square_off: 15:45", "entry_cutoff: 09:00", "entry_cutoff: 15:20"]
)
def test_cut_offs_outside_the_session_are_refused_with_their_line(times):
    said = complaint(ONE + f"sessions:\n  futures: {{{times}}}\n")
    assert said.startswith("my.yaml:5: entries until")


def test_the_same_day_asked_for_twice_is_one_run_and_any_difference_makes_another():
    key = settle(ONE).settings.run_key
    assert settle("# said otherwise\n" + ONE).settings.run_key == key
    others = [
        settle(ONE + "risk: {max_daily_loss_pct: 1%}\n"),
        settle(ONE, engines=Engines.EQUITY),
        settle(ONE, identity=("paper", "seed 2")),
        settle(ONE, manifest=msgspec.structs.replace(MARKET, digest="abd")),
    ]
    keys = {other.settings.run_key for other in others}
    assert len(keys) == len(others)
    assert key not in keys
