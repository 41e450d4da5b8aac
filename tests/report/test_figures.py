"""A day made by hand, small enough to add up on paper."""

from page_reading import Page
from report_days import ENTRY, SHARE, at, hand_made_day

from kitestring.domain.instants import MINUTE
from kitestring.domain.money import money
from kitestring.domain.positions import Fill
from kitestring.report.charts import Step
from kitestring.report.day_report import day_page
from kitestring.report.figures import CurvePoint, deepest_fall, figures
from kitestring.report.price_charts import stop_steps
from kitestring.report.repricing import repriced
from kitestring.store.ledgers import fill_line


def page_of(**changes):
    return Page(day_page(hand_made_day(**changes)).decode())


def test_the_curve_marks_what_is_open_and_takes_every_charge():
    assert figures(hand_made_day()).curve == (
        CurvePoint(at("09:15:00"), money("0")),
        CurvePoint(at("09:16:00"), money("0")),
        CurvePoint(at("09:17:00"), money("41.9985")),
        CurvePoint(at("09:18:00"), money("-58.0015")),
        CurvePoint(at("09:19:00"), money("88.9685")),
        CurvePoint(at("09:20:00"), money("88.9685")),
    )


def test_the_deepest_fall_is_from_the_highest_point_before_it():
    day = figures(hand_made_day())
    assert day.drawdown == money("100")
    assert day.drawdown_at == at("09:18:00")
    rising = [CurvePoint(MINUTE * minute, money(minute)) for minute in range(5)]
    assert deepest_fall(rising) == (money(0), None)
    losing_from_the_start = [CurvePoint(MINUTE, money(-5)), CurvePoint(2 * MINUTE, money(-3))]
    assert deepest_fall(losing_from_the_start) == (money(5), MINUTE)


def test_last_price_paper_claims_the_slippage_less_what_it_changes_in_charges():
    facts = hand_made_day()
    claim = repriced(facts, figures(facts))
    assert claim.gross == money("110")
    assert claim.net == money("103.967")
    assert claim.claimed == money("14.9985")
    assert claim.charges_again
    assert claim.unfilled_qty == 0


def test_charges_stand_as_booked_where_the_rates_do_not_explain_them():
    opened = hand_made_day().opened
    other = type(opened)(
        mode="paper", date="2026-11-23", feed="by hand", seed=1, run_key="0123abcd",
        config_hash="c0ffee", strategy_hashes={}, fill_model="market", charges="flat 0.04%",
        capital=1_000_000_000, version="0.1.0",
    )  # fmt: skip
    facts = hand_made_day(opened=other)
    claim = repriced(facts, figures(facts))
    assert not claim.charges_again
    assert claim.claimed == money("15")
    assert "charges stand as booked" in Page(day_page(facts).decode()).texts["repriced"]


def test_an_entry_that_was_half_filled_is_named():
    whole = hand_made_day()
    first, last = whole.fills
    half = Fill(**{name: getattr(first, name) for name in first.__struct_fields__} | {"qty": 40})
    facts = hand_made_day(fills=(half, last))
    assert repriced(facts, figures(facts)).unfilled_qty == 60
    assert "60 units of entries" in Page(day_page(facts).decode()).texts["repriced"]


def test_a_stop_is_drawn_as_it_was_moved_until_it_was_withdrawn():
    assert stop_steps(hand_made_day(), at("15:30:00")) == {
        SHARE: [
            Step(at("09:16:11"), at("09:17:00"), 990_000),
            Step(at("09:17:00"), at("09:18:29"), 992_000, moved=True),
        ]
    }


def test_the_page_says_what_the_day_was():
    page = page_of()
    assert page.texts["net"] == "+₹88.97"
    assert page.texts["trades"] == "1"
    assert page.texts["win-rate"] == "100 %"
    assert page.texts["drawdown"] == "₹100.00"
    assert page.texts["slippage"] == "₹15.00"
    assert page.texts["equity"] == "₹1,00,088.97"
    assert page.texts["claimed"] == "₹15.00"
    assert page.texts["head"] == "ab" * 32
    assert page.rows("round-trips") == [
        {
            "Time": "09:16:10 → 09:18:30",
            "Instrument": "SBIN",
            "Position": "long 100",
            "Entry → exit": "₹100.05",
            "Gross": "+₹95.00",
            "Charges": "₹6.03",
            "Net": "+₹88.97",
            "R": "+0.89 R",
            "MFE / MAE": "₹95.00",
            "Path": "",
            "Slippage": "₹15.00",
            "Exit": "target",
        }
    ]
    assert page.below("round-trips", "Entry → exit") == ["→ ₹101.00"]
    assert page.below("round-trips", "MFE / MAE") == ["−₹55.00"]
    assert [tuple(row.values()) for row in page.rows("instant")] == [
        ("Gross", "+₹95.00", "+₹110.00", "+₹15.00"),
        ("Charges", "₹6.03", "₹6.03", "₹0.00"),
        ("Net", "+₹88.97", "+₹103.97", "+₹15.00"),
    ]
    assert page.rows("by-hour") == [
        {
            "Closed": "09:00 to 10:00",
            "Trades": "1",
            "Won": "100 %",
            "Charges": "₹6.03",
            "Slippage": "₹15.00",
            "Net": "+₹88.97",
            "Weight": "",
        }
    ]


def test_an_unfinished_day_says_so_and_shows_where_it_stands():
    page = page_of(sealed=None)
    assert "not finished" in "".join(page.words)
    assert page.texts["net"] == "+₹88.97"


def test_a_result_that_holds_more_than_the_curve_is_not_passed_over():
    sealed = hand_made_day().sealed
    more = type(sealed)(
        at=sealed.at, equity=1_002_889_685, realised=950_000, charges=60_315, net=2_889_685,
        orders=3, fills=2, trades=1, carried={},
    )  # fmt: skip
    page = page_of(sealed=more)
    assert page.texts["net"] == "+₹288.97"
    assert "differs by +₹200.00 from the end of the curve" in page.texts["terms"]


def test_a_day_without_a_fill_has_a_page():
    page = page_of(fills=(), trades=(), orders={}, changes=(), minutes={}, sealed=None)
    assert page.texts["net"] == "₹0.00"
    assert "No order was filled" in page.texts["trips"]


def test_a_hand_made_fill_is_one_the_ledgers_would_write():
    first = hand_made_day().fills[0]
    assert first.cl_ord_id == ENTRY
    assert ",100.05,3.0015," in fill_line(first)
