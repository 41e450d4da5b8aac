"""An order is known by its tag: an answer that names another order changes no hands."""

import pytest
from kite_rehearsal import rehearse

from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_outcomes import Acked
from kitestring.domain.orders import ExecType

_E = ExecType
THEIRS = {
    "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": "40",
    "product": "MIS", "order_type": "LIMIT", "price": "1390", "validity": "DAY",
}  # fmt: skip


class Mistaken(KiteClient):
    """Its next order is answered with the id of another one."""

    wrong = ""

    async def place(self, fields, variety="regular", **more):
        outcome = await super().place(fields, variety, **more)
        wrong, Mistaken.wrong = Mistaken.wrong, ""
        return Acked(order_id=wrong) if wrong else outcome


def test_the_id_of_an_order_of_ours_is_not_believed_for_another():
    async def play(desk):
        first = desk.place(px="1390.00")
        await desk.until(lambda: _E.NEW in desk.told(first))
        Mistaken.wrong = desk.row(first)["order_id"]
        second = desk.at_market()
        await desk.until(lambda: desk.booked() == 10)
        await desk.after(10)
        assert desk.told(second)[0] is _E.UNKNOWN
        assert desk.told(first).count(_E.NEW) == 1
        assert (desk.posts(), desk.posts("DELETE"), desk.held()) == (2, 0, 10)
        assert desk.broker.merge.orders[second].order_id == desk.row(second)["order_id"]

    rehearse(play, client_of=Mistaken)


@pytest.mark.parametrize("seen", [True, False], ids=["known before", "never seen"])
def test_somebody_elses_order_is_neither_booked_nor_withdrawn_as_ours(seen):
    async def play(desk):
        theirs = await KiteClient.place(desk.broker._client, THEIRS)
        if seen:
            desk.broker.hint()
            await desk.after(3)
        Mistaken.wrong = theirs.order_id
        ours = desk.at_market(7)
        await desk.until(lambda: desk.booked() == 7)
        await desk.after(10)
        assert _E.UNKNOWN in desk.told(ours)
        assert ("wrong id" in desk.kinds()) is not seen
        assert desk.posts("DELETE") == 0
        assert desk.broker.merge.orders[ours].order_id == desk.row(ours)["order_id"]
        assert desk.held() == 7

    rehearse(play, client_of=Mistaken)
