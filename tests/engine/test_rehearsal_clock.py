"""The clock of a rehearsal: another process's time at another speed, in virtual time at the real exchange."""

import asyncio
from functools import partial

import pytest
from live_stage import CalmMarket, at

from kitestring.broker.exchange_time import ExchangeTime, exchange_time
from kitestring.broker.kite_errors import KiteReadFailed
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_settings import KiteSettings, TimeOf, local_settings
from kitestring.domain.errors import ConfigError, FeedError
from kitestring.domain.instants import SECOND
from kitestring.engine.rehearsal_clock import ASKED_EVERY_S, RehearsalClock
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.feed_routes import add_feed
from kitestring.exchange.wire.rehearsal_stage import RehearsalStage
from kitestring.exchange.wire.serving import Served
from kitestring.sim.virtual_world import live

BEGAN = at("10:00:00")


def beside_an_exchange(play, *, speed=1.0, admin=True):
    """``play(clock, exchange_clock, served)`` with a clock that has looked once."""

    async def whole(network):
        del network
        theirs = ExchangeClock(BEGAN, speed)
        exchange = LocalExchange(ExchangeSettings(), CalmMarket(seconds=3000), theirs)
        stage = RehearsalStage(exchange, theirs, admin=admin)
        served = Served(
            exchange,
            port=8010,
            middlewares=stage.middlewares,
            set_up=[lambda app, local: add_feed(app, local, theirs), stage.set_up],
        )
        await served.start()
        ours = RehearsalClock(seconds=asyncio.get_running_loop().time)
        try:
            async with KiteHttp(local_settings(served.rest, api_key="kitestring")) as http:
                ask = partial(exchange_time, http)
                await ours.look(ask)
                return await play(ours, theirs, ask)
        finally:
            await served.stop()

    return live(whole, seed=1)


def error_s(ours, theirs):
    """How far ours is ahead, in exchange seconds."""
    return (ours.now() - theirs.now()) / SECOND


@pytest.mark.parametrize("speed", [1.0, 60.0, 300.0])
def test_it_keeps_the_time_of_another_process(speed):
    async def play(ours, theirs, ask):
        errors = []
        async with ours.following(ask):
            for _ in range(50):
                await asyncio.sleep(0.04)
                errors.append(error_s(ours, theirs))
        return errors

    errors = beside_an_exchange(play, speed=speed)
    # Rather late than early: by the way of an answer, and never ahead of the exchange.
    assert max(errors) <= 0.001
    assert min(errors) > -0.02 * speed


def test_it_follows_a_change_of_speed_and_never_goes_back():
    async def play(ours, theirs, ask):
        seen = []
        async with ours.following(ask):
            for speed in (300, 5, 120):
                theirs.set_speed(speed)
                for _ in range(40):
                    await asyncio.sleep(0.05)
                    seen.append(ours.now())
                assert abs(error_s(ours, theirs)) < 0.05 * speed, speed
            theirs.pause()
            await asyncio.sleep(0.2)
            stood = ours.now()
            await asyncio.sleep(3)
            assert ours.now() == stood
            theirs.resume()
            await asyncio.sleep(1)
            assert abs(error_s(ours, theirs)) < 0.05 * 120
        return seen

    seen = beside_an_exchange(play)
    assert seen == sorted(seen)
    assert seen[-1] - BEGAN > 700 * SECOND


def test_it_is_woken_at_the_exchanges_time_also_when_the_speed_changes_meanwhile():
    async def play(ours, theirs, ask):
        async with ours.following(ask):
            late = []
            for text, speed in (("10:00:30", 1), ("10:05:00", 100), ("10:06:00", 20)):
                theirs.set_speed(speed)
                await ours.wait_until(at(text))
                late.append(((theirs.now() - at(text)) / SECOND, speed))
            waiting = asyncio.ensure_future(ours.wait_until(at("10:20:00")))
            await asyncio.sleep(0.5)
            theirs.set_speed(300)
            await waiting
            late.append(((theirs.now() - at("10:20:00")) / SECOND, 300))
        return late

    for late_s, speed in beside_an_exchange(play):
        assert 0 <= late_s <= 0.03 * speed, speed


def test_an_exchange_that_is_not_heard_has_no_time():
    async def unheard():
        raise FeedError("nobody answers", do="wait")

    answers = [ExchangeTime(at=BEGAN, speed=60.0)]

    async def play(network):
        del network
        clock = RehearsalClock(seconds=asyncio.get_running_loop().time)

        async def ask():
            return answers.pop() if answers else await unheard()

        await clock.look(ask)
        async with clock.following(ask):
            await asyncio.sleep(1)
            stood = clock.now()
            await asyncio.sleep(60)
            assert clock.now() == stood
            assert "nobody answers" in clock.unanswered
            answers.append(ExchangeTime(at=BEGAN + 100 * SECOND, speed=60.0))
            await asyncio.sleep(2 * ASKED_EVERY_S)
            assert clock.now() > BEGAN + 100 * SECOND
            assert clock.unanswered
        return (stood - BEGAN) / SECOND

    assert live(play, seed=1) < 15


def test_without_the_admins_interface_there_is_no_time_to_be_had():
    async def play(ours, theirs, ask):
        pytest.fail("it looked")

    with pytest.raises(KiteReadFailed, match="--admin"):
        beside_an_exchange(play, admin=False)


def test_only_a_local_exchange_lends_its_clock():
    with pytest.raises(ConfigError, match="no local exchange") as refused:
        KiteSettings(clock=TimeOf.EXCHANGE)
    assert "kite.clock" in refused.value.what
