"""The client on a line that breaks at every byte, and its deadlines to the second, in virtual time."""

import asyncio

import msgspec
import pytest
from kite_rig import raw, served

from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_errors import KiteReadFailed, ReadFailure
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_outcomes import Acked, NotSent, Unknown
from kitestring.broker.kite_settings import local_settings
from kitestring.broker.secret_text import Secret
from kitestring.sim.link_faults import Blackhole, Refused, Reset, SlowDrip, Towards
from kitestring.sim.virtual_world import live

ACK = raw('{"status":"success","data":{"order_id":"151220000000000"}}')
ORDER = {"exchange": "NSE", "tradingsymbol": "INFY", "quantity": "10", "tag": "K1"}


def in_a_world(conversation, *faults):
    """What a conversation returns, what the server heard, and how long it took there."""

    async def main(network):
        arrived = bytearray()

        async def answer(request, writer, number):
            arrived.extend(request)
            writer.write(ACK)

        async with served(answer) as (url, heard):
            network.strike(*faults)
            settings = msgspec.structs.replace(local_settings(url), api_key="k")
            async with KiteHttp(settings) as http:
                client = KiteClient(settings, Secret("a-token-of-the-day"), http)
                began = network.loop.time()
                outcome = await conversation(client)
                return outcome, heard, network.loop.time() - began

    return live(main)


def placing(*faults):
    return in_a_world(lambda client: client.place(ORDER), *faults)


def test_a_whole_line_takes_it():
    outcome, heard, _ = placing()
    assert isinstance(outcome, Acked)
    assert len(heard) == 1


@pytest.mark.parametrize("towards", list(Towards))
def test_a_line_that_breaks_at_any_byte_sends_no_order_twice_and_denies_none(towards):
    """The law: what the server heard whole is never called unsent, and nothing is heard twice."""
    _, (request,), _ = placing()
    length = len(request) if towards is Towards.SERVER else len(ACK)
    met = set()
    for byte in range(length + 1):
        outcome, heard, _ = placing(Reset(towards=towards, from_byte=byte))
        met.add(type(outcome))
        assert len(heard) <= 1, byte
        if isinstance(outcome, NotSent):
            assert heard == [], byte
        if isinstance(outcome, Acked):
            assert len(heard) == 1, byte
    assert met <= {Acked, Unknown, NotSent}
    assert Unknown in met


def test_a_refused_connection_sent_nothing():
    outcome, heard, took = placing(Refused())
    assert isinstance(outcome, NotSent)
    assert heard == []
    assert took < 1


def test_a_silent_address_sent_nothing_after_three_seconds():
    outcome, _, took = placing(Blackhole())
    assert isinstance(outcome, NotSent)
    assert took == pytest.approx(3, abs=0.1)


def test_a_line_that_falls_silent_is_unknown_after_ten_seconds():
    for towards in Towards:
        outcome, _, took = placing(Blackhole(towards=towards, from_byte=40))
        assert isinstance(outcome, Unknown)
        assert took == pytest.approx(10, abs=0.1)


def test_an_answer_that_drips_for_minutes_is_unknown_after_ten_seconds():
    outcome, heard, took = placing(SlowDrip(towards=Towards.CLIENT, every_s=1.0))
    assert isinstance(outcome, Unknown)
    assert len(heard) == 1
    assert took == pytest.approx(10, abs=0.1)


def test_a_read_ends_at_its_own_deadline():
    async def read(client):
        with pytest.raises(KiteReadFailed) as caught:
            await client.orders()
        return caught.value.cause

    cause, _, took = in_a_world(read, SlowDrip(towards=Towards.CLIENT, every_s=1.0))
    assert cause is ReadFailure.TIMED_OUT
    assert took == pytest.approx(7, abs=0.1)


def test_the_next_order_after_a_break_has_a_line_of_its_own():
    async def twice(client):
        first = await client.place(ORDER)
        await asyncio.sleep(1)
        return first, await client.place(ORDER | {"tag": "K2"})

    (first, second), heard, _ = in_a_world(
        twice, Reset(connection=1, towards=Towards.CLIENT, from_byte=20)
    )
    assert isinstance(first, Unknown)
    assert isinstance(second, Acked)
    assert len(heard) == 2
