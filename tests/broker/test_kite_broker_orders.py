"""Orders at Kite that go well: what is sent, what is told, and that the exchange's books agree."""

from kite_rehearsal import rehearse

from kitestring.domain.money import price
from kitestring.domain.orders import ExecType, OrdType, Purpose, Side

_E = ExecType


def test_a_market_order_is_told_from_receipt_to_fill():
    async def play(desk):
        tag = desk.at_market()
        await desk.until(lambda: desk.held() == 10 and desk.booked() == 10)
        told = desk.told(tag)
        assert told[0] is _E.PENDING_NEW
        assert told[1] is _E.NEW
        assert set(told[2:]) == {_E.TRADE}
        row = desk.row(tag)
        fills = desk.of(tag, _E.TRADE)
        assert {fill.exec_id for fill in fills} == {trade["trade_id"] for trade in desk.trades()}
        assert all(report.order_id == row["order_id"] for report in desk.reports)
        assert fills[-1].cum_qty == 10
        assert desk.posts() == 1
        assert desk.notes == []

    rehearse(play)
    rehearse(play, hints=True)


def test_a_resting_order_is_changed_and_cancelled_as_asked():
    async def play(desk):
        tag = desk.place(px="1400.00")
        await desk.until(lambda: desk.told(tag) == [_E.PENDING_NEW, _E.NEW])
        desk.modify(tag, price=price("1410.00"), order_qty=10)
        await desk.until(lambda: desk.of(tag, _E.REPLACED))
        (replaced,) = desk.of(tag, _E.REPLACED)
        assert replaced.price == price("1410.00")
        assert desk.row(tag)["price"] == 1410
        desk.cancel(tag)
        await desk.until(lambda: desk.of(tag, _E.CANCELED))
        await desk.after(40)
        assert desk.told(tag) == [_E.PENDING_NEW, _E.NEW, _E.REPLACED, _E.CANCELED]
        assert desk.row(tag)["status"] == "CANCELLED"
        assert (desk.posts("POST"), desk.posts("PUT"), desk.posts("DELETE")) == (1, 1, 1)
        assert desk.notes == []

    rehearse(play)
    rehearse(play, hints=True)


def test_a_stop_is_told_as_triggered_before_it_trades():
    async def play(desk):
        desk.at_market(10)
        await desk.until(lambda: desk.booked() == 10)
        tag = desk.place(
            10, Side.SELL, px="1490.00", kind=OrdType.SL, stop="1499.00", purpose=Purpose.STOP
        )
        await desk.until(lambda: _E.NEW in desk.told(tag))
        assert _E.TRIGGERED not in desk.told(tag)
        while not desk.of(tag, _E.REPLACED):  # Refused while the market stands at the trigger.
            desk.modify(tag, price=price("1490.00"), stop_px=price("1500.00"))
            answers = len(desk.reports)
            await desk.until(lambda: len(desk.reports) > answers)  # noqa: B023
        await desk.until(lambda: desk.booked() == 0)
        told = desk.told(tag)
        assert told.index(_E.TRIGGERED) < told.index(_E.TRADE)
        assert told.count(_E.TRIGGERED) == 1
        assert desk.held() == 0

    rehearse(play)


def test_a_partial_fill_is_told_trade_by_trade_and_its_rest_cancelled():
    async def play(desk):
        tag = desk.place(3000, px="1500.10")
        await desk.until(lambda: 0 < desk.booked() < 3000)
        desk.cancel(tag)
        await desk.until(lambda: desk.of(tag, _E.CANCELED) or desk.booked() == 3000)
        (canceled,) = desk.of(tag, _E.CANCELED)
        assert canceled.cum_qty == desk.booked() == desk.held() == desk.row(tag)["filled_quantity"]
        assert desk.told(tag)[-1] is _E.CANCELED

    rehearse(play, hints=True)


def test_an_order_refused_by_the_risk_desk_after_its_ack_is_told_with_its_text():
    async def play(desk):
        tag = desk.at_market()
        await desk.until(lambda: desk.of(tag, _E.REJECTED))
        assert desk.told(tag) == [_E.PENDING_NEW, _E.REJECTED]
        (rejected,) = desk.of(tag, _E.REJECTED)
        assert "circuit limit" in rejected.text
        assert desk.held() == desk.booked() == 0

    rehearse(play, "faults:\n  - kind: rms_rejection\n    nth: 1")


def test_ids_of_nineteen_digits_stay_what_they_are():
    from kitestring.exchange.desk.order_settings import OrderSettings

    async def play(desk):
        tag = desk.place()
        await desk.until(lambda: _E.NEW in desk.told(tag))
        desk.cancel(tag)
        await desk.until(lambda: desk.of(tag, _E.CANCELED))
        order_id = desk.row(tag)["order_id"]
        assert len(order_id) == 19
        assert {report.order_id for report in desk.reports} == {order_id}

    rehearse(play, orders=OrderSettings(order_id_digits=19))


def test_what_the_phone_does_to_our_order_is_told_as_it_is():
    async def play(desk):
        from kitestring.exchange.desk.form import Form
        from kitestring.exchange.desk.order_rows import Source

        tag = desk.place(px="1400.00")
        await desk.until(lambda: _E.NEW in desk.told(tag))
        order_id = desk.row(tag)["order_id"]
        now = desk.clock.now()
        desk.exchange.desk.modify(
            now, "regular", order_id, Form([("price", "1405")]), source=Source.PHONE
        )
        await desk.until(lambda: desk.of(tag, _E.REPLACED))
        desk.exchange.desk.cancel(desk.clock.now(), "regular", order_id)
        await desk.until(lambda: desk.of(tag, _E.CANCELED))
        assert desk.told(tag) == [_E.PENDING_NEW, _E.NEW, _E.REPLACED, _E.CANCELED]

    rehearse(play)


def test_a_cancel_waits_for_its_orders_id_and_an_order_withdrawn_in_line_never_leaves():
    async def play(desk):
        tag = desk.place()
        desk.cancel(tag)  # Before its first byte has left: it does not leave.
        await desk.until(lambda: desk.of(tag, _E.REJECTED))
        assert "withdrawn before it left" in desk.of(tag, _E.REJECTED)[0].text
        other = desk.place()
        await desk.after(0.001)  # On its way now.
        desk.cancel(other)
        # Sent as soon as there is an id to name; Kite will not cancel what it is still checking.
        await desk.until(lambda: desk.of(other, _E.CANCEL_REJECTED))
        assert "being processed" in desk.of(other, _E.CANCEL_REJECTED)[0].text
        await desk.until(lambda: _E.NEW in desk.told(other))
        desk.cancel(other)
        await desk.until(lambda: desk.of(other, _E.CANCELED))
        assert desk.row(other)["status"] == "CANCELLED"
        assert desk.orders(tag) == []
        assert desk.posts() == 1

    rehearse(play)


def test_foreign_orders_are_shown_and_not_booked_and_strangers_with_our_tag_are_said():
    from kite_rehearsal import DAY

    from kitestring.domain.ids import ClOrdIds
    from kitestring.exchange.desk.form import Form
    from kitestring.exchange.desk.order_rows import Source

    def form(tag):
        fields = {
            "exchange": "NSE", "tradingsymbol": "SBIN", "transaction_type": "BUY", "quantity": "5",
            "product": "MIS", "order_type": "MARKET", "market_protection": "-1", "validity": "DAY",
        }  # fmt: skip
        return Form(list((fields | ({"tag": tag} if tag else {})).items()))

    async def play(desk):
        now = desk.clock.now()
        stranger = ClOrdIds("another run", DAY)()
        desk.exchange.desk.place(now, "regular", form(""), source=Source.PHONE)
        desk.exchange.desk.place(now, "regular", form(stranger))
        await desk.after(40)
        assert desk.reports == []
        assert desk.kinds() == ["unknown order"]
        assert stranger in desk.notes[0].sentence
        assert await desk.broker.refresh() == ""
        snapshot = desk.broker.snapshot(desk.clock.now())
        assert sorted(row.cl_ord_id for row in snapshot.orders) == ["", stranger]
        assert {row.status for row in snapshot.orders} == {"FILLED"}
        assert snapshot.net_qty == {"NSE:SBIN/MIS": 10}
        assert snapshot.trusted

    rehearse(play)
