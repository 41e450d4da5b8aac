"""Laws of risk that hold for every trade, not only for the ones we thought of."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from risk_desk import NIFTY, SHARE, TEN, engine, intent, request, standing, strategy

from kitestring.core.settings import RiskSettings
from kitestring.domain.money import money, rupees_text
from kitestring.domain.orders import Purpose, Side
from kitestring.domain.verdicts import Approved, Blocked, HaltPolicy, HaltSession, Reduced


def new_qty(verdict):
    """What a verdict opens."""
    if isinstance(verdict, Reduced):
        verdict = verdict.approved
    if isinstance(verdict, Approved):
        return verdict.intent.order_qty - verdict.intent.closes_qty
    return 0


@st.composite
def requests(draw):
    instrument = draw(st.sampled_from([NIFTY, SHARE]))
    px = draw(st.integers(500, 300_000)) * 1000
    distance = draw(st.none() | st.integers(1, 4000))
    side = draw(st.sampled_from(list(Side)))
    stop = None if distance is None else px - side.sign * distance * 1000
    half = draw(st.integers(0, 20)) * 500
    return request(
        instrument=instrument,
        side=side,
        px=rupees_text(px),
        stop=None if stop is None else rupees_text(stop),
        bid=rupees_text(max(px - half, 0)),
        ask=rupees_text(px + half),
        lots=draw(st.none() | st.integers(1, 400)),
        closes=draw(st.integers(0, 3)) * instrument.lot_size,
    )


@st.composite
def standings(draw):
    rupees = st.integers(-12_000_000, 12_000_000)
    return standing(
        TEN,
        pnl=str(draw(st.integers(-40_000, 40_000))),
        open_positions=draw(st.integers(0, 8)),
        working_orders=draw(st.integers(0, 60)),
        gross=money(abs(draw(rupees))),
        net=money(draw(rupees)),
        symbol_worst=money(abs(draw(rupees))),
        symbol_pnl=money(draw(st.integers(-20_000, 20_000))),
        available_cash=draw(st.none() | st.integers(-10, 2_000_000).map(money)),
        margin_per_unit=money(draw(st.integers(1, 5000))),
    )


SETTINGS = st.builds(
    RiskSettings,
    max_daily_loss_pct=st.none() | st.floats(0.001, 0.05),
    per_trade_risk_pct=st.floats(0.0001, 0.05),
    max_symbol_loss_pct=st.none() | st.floats(0.001, 0.05),
    max_drawdown_pct=st.none() | st.floats(0.001, 0.05),
    max_open_positions=st.none() | st.integers(1, 10),
    max_working_orders=st.none() | st.integers(1, 80),
    max_gross_exposure_x=st.none() | st.floats(0.1, 20),
    max_net_exposure_x=st.none() | st.floats(0.1, 20),
    max_symbol_exposure_x=st.none() | st.floats(0.1, 20),
    max_orders_per_second=st.none() | st.integers(1, 12),
    max_orders_per_minute=st.none() | st.integers(1, 12),
    max_orders_per_day=st.none() | st.integers(1, 12),
    spread_pct_max=st.none() | st.floats(0.0001, 0.05),
)


@given(asked=requests(), account=standings(), settings=SETTINGS)
def test_the_approved_quantity_is_whole_lots_and_within_the_risk_of_one_trade(
    asked, account, settings
):
    desk = engine(settings)
    opened = new_qty(desk.check_entry(asked, account))
    assert opened % asked.instrument.lot_size == 0
    if asked.stop_px is not None:
        at_risk = opened * abs(asked.decision_px - asked.stop_px)
        assert at_risk <= 1_000_000 * 10_000 * settings.per_trade_risk_pct + 1


@given(asked=requests(), account=standings(), settings=SETTINGS)
def test_no_approval_passes_an_exposure_limit(asked, account, settings):
    opened = new_qty(engine(settings).check_entry(asked, account))
    if not opened:
        return
    value, closed = opened * asked.decision_px, asked.closes_qty * asked.decision_px
    million = 1_000_000 * 10_000
    if settings.max_gross_exposure_x is not None:
        after = max(0, account.gross - closed) + value
        assert after <= million * settings.max_gross_exposure_x + 1
    if settings.max_net_exposure_x is not None:
        after = account.net + asked.side.sign * (value + closed)
        assert after * asked.side.sign <= million * settings.max_net_exposure_x + 1
    if account.available_cash is not None:
        assert opened * account.margin_per_unit <= account.available_cash


TIGHTER = {
    "max_daily_loss_pct": 0.5,
    "per_trade_risk_pct": 0.5,
    "max_symbol_loss_pct": 0.5,
    "max_drawdown_pct": 0.5,
    "max_open_positions": 1,
    "max_working_orders": 1,
    "max_gross_exposure_x": 0.5,
    "max_net_exposure_x": 0.5,
    "max_symbol_exposure_x": 0.5,
    "max_orders_per_second": 1,
    "max_orders_per_minute": 1,
    "max_orders_per_day": 1,
    "spread_pct_max": 0.5,
}


@given(
    asked=requests(),
    account=standings(),
    settings=SETTINGS,
    key=st.sampled_from(sorted(TIGHTER)),
    sent=st.integers(0, 8),
    share=st.floats(0.05, 1.0),
)
def test_tightening_any_limit_never_enlarges_an_order(
    *, asked, account, settings, key, sent, share
):
    now = getattr(settings, key)
    if isinstance(TIGHTER[key], int):
        tighter = max(1, int((now or 12) * share))
    else:
        tighter = max((now or 0.05) * share, 0.0001)
    loose, tight = (
        engine(settings),
        engine(msgspec.structs.replace(settings, **{key: tighter})),
    )
    for desk in (loose, tight):
        for _ in range(sent):
            desk.order_sent(TEN, is_entry=True)
    assert new_qty(tight.check_entry(asked, account)) <= new_qty(loose.check_entry(asked, account))


@given(
    asked=requests(),
    accounts=st.lists(standings(), min_size=1, max_size=4),
    policy=st.sampled_from(list(HaltPolicy)),
)
def test_after_a_halt_no_entry_is_ever_approved_and_exits_always_are(asked, accounts, policy):
    desk = engine()
    assert desk.halt("TEST", "stop", policy, TEN) is not None
    for account in accounts:
        desk.watch(account)
        assert isinstance(desk.check_entry(asked, account), Blocked | HaltSession)
        leaving = intent(Purpose.EXIT, side=asked.side.opposite, qty=1)
        assert desk.approve_exit(leaving, TEN).intent is leaving


@given(asked=requests(), account=standings())
def test_the_same_question_gets_the_same_answer(asked, account):
    assert engine().check_entry(asked, account) == engine().check_entry(asked, account)


def test_settings_of_two_strategies_are_not_confused():
    desk = engine()
    small = request(settings=strategy("small", capital=money(400_000)))
    large = request(settings=strategy("large"))
    sizes = [new_qty(desk.check_entry(asked, standing())) for asked in (small, large, small)]
    assert sizes == [100, 250, 100]
    changed = request(settings=strategy("small", capital=money(200_000)))
    assert new_qty(desk.check_entry(changed, standing())) == 50
