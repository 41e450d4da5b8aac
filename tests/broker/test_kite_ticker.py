"""The ticker against the served exchange and its faults: ticks flow or it is said why not, and what is missing."""

import asyncio
import itertools
import ssl
from pathlib import Path

import pytest
from aiohttp import web
from feed_stage import START, in_virtual_time, on_a_real_socket

from kitestring.broker.kite_texts import BrokerSaid, OrderHint, UnreadableText, read_text
from kitestring.broker.kite_ticker import KiteTicker
from kitestring.broker.secret_text import Secret
from kitestring.broker.ticker_events import FeedState, StateChanged, TickerSettings
from kitestring.domain.errors import ConfigError
from kitestring.domain.instants import MINUTE, SECOND
from kitestring.domain.money import price
from kitestring.exchange.wire.kite_packets import Mode
from kitestring.sim.link_faults import Blackhole, Refused

CONNECTING, SUBSCRIBED, FLOWING, SILENT, DOWN = FeedState


def loop_s():
    return asyncio.get_running_loop().time()


# ── ticks flow ───────────────────────────────────────────────────────────────────────────────────


def test_ticks_flow_in_full_mode_at_the_exchanges_prices():
    async def play(stage):
        stage.listen()
        await stage.flowing()
        await asyncio.sleep(10)
        return stage.notes, stage.ticker

    notes, ticker = in_virtual_time(play)
    assert notes.states == [CONNECTING, SUBSCRIBED, FLOWING]
    assert notes.gaps == []
    seen = notes.ticks_of("NSE:INFY")
    assert len(seen) >= 10
    last = seen[-1]
    assert last.last_px in (price("1500"), price("1500.10"))
    assert last.bid_px < last.last_px < last.ask_px
    assert (last.event_at - START) // SECOND == last.cum_qty - 10_000
    received = [frame.received_at for frame in notes.frames]
    assert received == sorted(received)
    assert all(0 <= f.received_at - f.ticks[-1].event_at < SECOND for f in notes.frames[-5:])
    assert ticker.lines[0].counts.modes_lost == 0


def test_it_does_on_a_real_socket_too():
    async def play(stage):
        stage.listen()
        await stage.flowing()
        await stage.until(lambda: len(stage.notes.frames) > 20)
        return stage.notes

    notes = on_a_real_socket(play)
    assert notes.states == [CONNECTING, SUBSCRIBED, FLOWING]
    assert notes.gaps == []


def test_instruments_are_spread_over_connections():
    async def play(stage):
        stage.listen(instruments_per_line=2)
        await stage.flowing()
        await asyncio.sleep(25)
        return (
            stage.notes,
            len(stage.feed.connections),
            [c.subscribed for c in stage.feed.connections],
        )

    notes, connections, subscribed = in_virtual_time(play)
    assert (connections, subscribed) == (2, [2, 2])
    for name in ("NSE:INFY", "NSE:SBIN", "NSE:RELIANCE", "NSE:TCS"):
        assert notes.ticks_of(name)


def test_more_than_the_connections_can_show_is_refused():
    async def play(stage):
        with pytest.raises(ConfigError, match="4 instruments are to be watched"):
            stage.listen(instruments_per_line=1)

    in_virtual_time(play)


def test_old_ticks_prove_nothing():
    script = 'faults: [{kind: clock_skew, seconds: -60, from: "10:00:00", for: 600}]'

    async def play(stage):
        stage.listen()
        await asyncio.sleep(8)
        return stage.notes

    notes = in_virtual_time(play, script)
    assert notes.states == [CONNECTING, SUBSCRIBED]
    assert notes.frames, "they are handed on all the same: the core judges"


def test_a_feed_that_only_repeats_itself_is_connected_anew():
    script = (
        'faults: [{kind: stale_ticks, how: instead, age: 30, from: "10:00:40", until: "10:00:58"}]'
    )

    async def play(stage):
        stage.listen()
        await asyncio.sleep(65)
        return stage.notes

    notes = in_virtual_time(play, script)
    assert notes.states[3:5] == [SILENT, DOWN]
    assert notes.states[-1] is FLOWING
    assert "no fresh tick" in notes.reasons[0]


def test_received_times_never_go_back_though_the_clock_does():
    async def play(stage):
        clock, back = stage.clock.now, [0]
        stage.clock.now = lambda: clock() - back[0]
        stage.listen()
        await stage.flowing()
        await asyncio.sleep(5)
        back[0] = 3 * SECOND
        await asyncio.sleep(10)
        del stage.clock.now
        return [frame.received_at for frame in stage.notes.frames]

    received = in_virtual_time(play)
    assert received == sorted(received)
    assert received[-1] - received[0] >= 10 * SECOND


def test_a_mode_that_was_lost_is_asked_for_again():
    async def play(stage):
        stage.listen()
        await asyncio.sleep(5)
        (connection,) = stage.feed.connections
        rows = stage.feed._rows(stage.names.values())
        connection.set_mode(rows, Mode.QUOTE)
        lost_at = stage.clock.now()
        await asyncio.sleep(10)
        return lost_at, stage.notes, stage.ticker.lines[0]

    lost_at, notes, line = in_virtual_time(play)
    assert line.counts.modes_lost == 1
    assert notes.states == [CONNECTING, SUBSCRIBED, FLOWING]
    after = [tick.event_at for tick in notes.ticks_of("NSE:INFY") if tick.event_at > lost_at]
    assert after[0] <= lost_at + 3 * SECOND
    assert len(after) >= 7


# ── silence ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["ticks_silent", "half_open"])
def test_a_silent_socket_is_noticed_and_replaced(kind):
    script = f'faults: [{{kind: {kind}, from: "10:00:20", for: 600}}]'

    async def play(stage):
        stage.listen()
        await stage.until(lambda: SILENT in stage.notes.states)
        noticed = stage.clock.now()
        await stage.until(lambda: stage.notes.states[-1] is FLOWING)
        return noticed, stage.clock.now(), stage.notes

    noticed, back, notes = in_virtual_time(play, script)
    assert START + 24 * SECOND < noticed < START + 27 * SECOND
    assert back - noticed < 4 * SECOND
    assert notes.states == [
        *(CONNECTING, SUBSCRIBED, FLOWING, SILENT, DOWN),
        *(CONNECTING, SUBSCRIBED, FLOWING),
    ]
    (gap,) = notes.gaps
    assert START + 18 * SECOND < gap.start_at < START + 21 * SECOND
    assert gap.end_at == START + MINUTE, "to the end of the minute whose bar cannot be whole"
    assert "not even a heartbeat" in gap.reason


def test_heartbeats_alone_are_no_market():
    script = 'faults: [{kind: ticks_silent, heartbeats: true, from: "10:00:20", for: 600}]'

    async def play(stage):
        stage.listen()
        await stage.until(lambda: SILENT in stage.notes.states)
        noticed = stage.clock.now()
        await stage.until(lambda: stage.notes.states[-1] is FLOWING)
        return noticed, stage.notes

    noticed, notes = in_virtual_time(play, script)
    assert START + 29 * SECOND < noticed < START + 32 * SECOND
    assert "no fresh tick came for 10 s" in notes.gaps[0].reason


def test_a_quiet_market_is_left_alone_when_no_ticks_are_expected():
    script = 'faults: [{kind: ticks_silent, heartbeats: true, from: "10:00:20", for: 600}]'

    async def play(stage):
        ticker = stage.listen()
        for line in ticker.lines:
            line._expects_ticks = lambda at: at < START + 15 * SECOND
        await asyncio.sleep(120)
        return stage.notes.states

    assert in_virtual_time(play, script) == [CONNECTING, SUBSCRIBED, FLOWING]


def test_the_market_has_its_time_to_begin_once_it_opens():
    script = 'faults: [{kind: ticks_silent, heartbeats: true, from: "10:00:20", for: 47}]'

    async def play(stage):
        ticker = stage.listen()
        for line in ticker.lines:
            line._expects_ticks = lambda at: not START + 15 * SECOND < at < START + 60 * SECOND
        await asyncio.sleep(90)
        return stage.notes.states

    assert in_virtual_time(play, script) == [CONNECTING, SUBSCRIBED, FLOWING]


def test_patience_grows_when_a_new_connection_is_no_cure():
    script = (
        "faults: [{kind: ticks_silent, heartbeats: true, reconnect_cures: false,"
        ' from: "10:00:20", for: 600}]'
    )

    async def play(stage):
        stage.listen()
        await asyncio.sleep(300)
        return [e for e in stage.notes.of(StateChanged) if e.state is SILENT], stage.notes.gaps

    silences, gaps = in_virtual_time(play, script)
    between = [b.at - a.at for a, b in itertools.pairwise(silences)]
    assert 3 <= len(silences) <= 5
    assert all(later > 1.5 * earlier for earlier, later in itertools.pairwise(between))
    # Every minute of it is told before its bar closes, without holes.
    assert len(gaps) == 5
    assert all(a.end_at == b.start_at for a, b in itertools.pairwise(gaps))
    assert gaps[-1].end_at == START + 5 * MINUTE


def test_a_network_that_swallows_everything_is_noticed_by_its_silence():
    async def play(stage):
        stage.listen()
        await stage.flowing()
        await asyncio.sleep(20)
        stage.network.strike(Blackhole(until_s=loop_s() + 90))
        began = loop_s()
        await stage.until(lambda: SILENT in stage.notes.states)
        noticed = loop_s() - began
        await stage.until(lambda: stage.ticker.state is FLOWING, within=200)
        return noticed, loop_s() - began, stage.notes

    noticed, back, notes = in_virtual_time(play)
    assert 4.9 < noticed < 6.5
    assert 90 <= back < 135
    assert any("no connection within 10 s" in why for why in notes.reasons)
    covered = notes.gaps[0].start_at
    for gap in notes.gaps:
        assert gap.start_at == covered
        covered = gap.end_at
    assert covered - notes.gaps[0].start_at >= 90 * SECOND


# ── the connection ends ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_connection_that_ends_is_replaced_and_subscribed_again(how):
    script = f"faults: [{{kind: socket_closed, how: {how}, nth: 12}}]"

    async def play(stage):
        stage.listen()
        await stage.until(lambda: DOWN in stage.notes.states)
        await stage.until(lambda: stage.notes.states[-1] is FLOWING)
        await asyncio.sleep(5)
        return stage.notes, [each.subscribed for each in stage.feed.connections]

    notes, subscribed = in_virtual_time(play, script)
    assert notes.states == [
        *(CONNECTING, SUBSCRIBED, FLOWING, DOWN),
        *(CONNECTING, SUBSCRIBED, FLOWING),
    ]
    assert subscribed == [4]
    assert len(notes.gaps) == 1


def test_waits_grow_and_are_drawn_anew_for_every_seed():
    async def play(stage):
        stage.network.strike(Refused())
        stage.listen(backoff_first_s=1, backoff_max_s=20)
        await asyncio.sleep(150)
        states = stage.notes.of(StateChanged)
        down = [each.at for each in states if each.state is DOWN]
        up = [each.at for each in states if each.state is CONNECTING][1:]
        return [(u - d) / SECOND for d, u in zip(down, up, strict=False)]

    waits = in_virtual_time(play)
    for place, wait in enumerate(waits):
        full = min(20, 2**place)
        assert full / 2 <= wait <= full + 0.01
    assert len(set(waits[5:])) == len(waits[5:]) > 3, "never the same wait"
    assert in_virtual_time(play) == waits, "but always the same ones of a seed"


def test_a_dead_token_is_not_retried_until_there_is_a_login():
    async def play(stage):
        stage.listen()
        await stage.flowing()
        stage.exchange.sessions.flush()
        await stage.until(lambda: stage.notes.of(StateChanged)[-1].token_dead)
        await asyncio.sleep(600)
        tried = stage.notes.states.count(CONNECTING)
        stage.token = stage.exchange.sessions.log_in(stage.clock.now(), "kitestring").access_token
        stage.ticker.resume()
        await stage.flowing()
        return tried, stage.notes

    tried, notes = in_virtual_time(play)
    assert tried == 2, "the first, and the one that was told 403"
    assert notes.states[-3:] == [CONNECTING, SUBSCRIBED, FLOWING]
    assert any("log in again" in why for why in notes.reasons)


def test_other_refusals_are_tried_again():
    script = "faults: [{kind: upgrade_refused, status: 429, times: 2}]"

    async def play(stage):
        stage.listen()
        await stage.flowing()
        return stage.notes

    notes = in_virtual_time(play, script)
    assert notes.states.count(CONNECTING) == 3
    assert "one connection too many (429)" in notes.reasons[0]


# ── damage ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["wrong_count", "cut", "stub"])
def test_a_damaged_frame_costs_that_frame(how):
    script = f"faults: [{{kind: malformed_frame, how: {how}, nth: [8, 9]}}]"

    async def play(stage):
        stage.listen()
        await asyncio.sleep(15)
        return stage.notes, stage.ticker.lines[0].reader.counts

    notes, counts = in_virtual_time(play, script)
    assert notes.states == [CONNECTING, SUBSCRIBED, FLOWING], "the connection stands"
    assert counts.damaged == 2
    seconds = [tick.cum_qty - 10_000 for tick in notes.ticks_of("NSE:INFY")]
    missing = set(range(seconds[0], seconds[-1] + 1)) - set(seconds)
    assert len(missing) == 2
    (gap,) = notes.gaps
    assert "damaged frame" in gap.reason
    assert gap.start_at <= START + min(missing) * SECOND < gap.end_at


def test_a_packet_of_unknown_length_costs_that_packet():
    script = "faults: [{kind: malformed_frame, how: unknown_length}]"

    async def play(stage):
        stage.listen()
        await asyncio.sleep(10)
        return stage.notes, stage.ticker.lines[0].reader.counts

    notes, counts = in_virtual_time(play, script)
    assert counts.damaged == 0
    assert counts.odd_packets >= 9
    assert len(notes.ticks_of("NSE:SBIN")) >= 9
    assert notes.gaps == []


@pytest.mark.parametrize(
    ("how", "seen"), [("zero", "0"), ("huge", "42949672.95"), ("x100", "150000")]
)
def test_absurd_prices_are_handed_on_for_the_core_to_judge(how, seen):
    script = f"faults: [{{kind: absurd_price, how: {how}, instruments: [NSE:INFY], nth: 10}}]"

    async def play(stage):
        stage.listen()
        await asyncio.sleep(15)
        return stage.notes

    notes = in_virtual_time(play, script)
    prices = [int(tick.last_px) for tick in notes.ticks_of("NSE:INFY")]
    assert sum(px // 10**6 == int(price(seen)) // 10**6 for px in prices) == 1
    assert notes.states == [CONNECTING, SUBSCRIBED, FLOWING]


def test_replayed_ticks_keep_their_age():
    script = "faults: [{kind: stale_ticks, age: 10, nth: 20}]"

    async def play(stage):
        stage.listen()
        await asyncio.sleep(30)
        return stage.notes

    notes = in_virtual_time(play, script)
    times = [tick.event_at for tick in notes.ticks_of("NSE:INFY")]
    back = [a - b for a, b in itertools.pairwise(times) if b < a]
    assert len(back) == 1
    assert back[0] >= 9 * SECOND
    assert notes.states == [CONNECTING, SUBSCRIBED, FLOWING]


def test_a_clock_beyond_belief_leaves_the_feed_unproven():
    script = 'faults: [{kind: clock_skew, seconds: 90, from: "10:00:00", for: 600}]'

    async def play(stage):
        stage.listen()
        await asyncio.sleep(9)
        return stage.notes, stage.ticker.lines[0].reader.counts

    notes, counts = in_virtual_time(play, script)
    assert notes.states == [CONNECTING, SUBSCRIBED]
    assert notes.frames == []
    assert counts.ahead > 20


# ── instruments that go quiet ────────────────────────────────────────────────────────────────────


def test_one_instrument_that_freezes_is_told_and_told_again_when_it_is_back():
    script = (
        'faults: [{kind: instrument_frozen, instruments: [NSE:SBIN], from: "10:01:00", for: 120}]'
    )

    async def play(stage):
        stage.listen(quiet_s=30)
        await asyncio.sleep(240)
        return stage.notes

    notes = in_virtual_time(play, script)
    assert [(each.quiet, each.again) for each in notes.quiet] == [
        (("NSE:SBIN",), ()),
        ((), ("NSE:SBIN",)),
    ]
    assert 89 * SECOND <= notes.quiet[0].at - START <= 92 * SECOND
    assert notes.states == [CONNECTING, SUBSCRIBED, FLOWING]


def test_nobody_is_called_quiet_before_there_was_time_to_speak():
    script = (
        'faults: [{kind: instrument_frozen, instruments: [NSE:SBIN], from: "10:00:00", for: 600}]'
    )

    async def play(stage):
        stage.listen(quiet_s=30)
        await asyncio.sleep(25)
        early = list(stage.notes.quiet)
        await asyncio.sleep(10)
        return early, stage.notes.quiet

    early, later = in_virtual_time(play, script)
    assert early == []
    assert [each.quiet for each in later] == [("NSE:SBIN",)]


# ── texts ────────────────────────────────────────────────────────────────────────────────────────


def test_an_order_update_is_handed_on_as_a_hint():
    async def play(stage):
        stage.listen()
        await stage.flowing()
        order_id = await stage.place(tag="K1")
        await stage.until(lambda: any(h.status == "COMPLETE" for h in stage.notes.hints))
        return order_id, stage.notes.hints

    order_id, hints = in_virtual_time(play)
    assert {hint.order_id for hint in hints} == {order_id}
    assert {hint.tag for hint in hints} == {"K1"}
    assert hints[-1].row["filled_quantity"] == 1


def test_half_an_order_update_is_a_hint_all_the_same():
    async def play(stage):
        stage.listen()
        await stage.flowing()
        await stage.place()
        await stage.until(lambda: stage.notes.of(UnreadableText))
        return stage.notes, stage.ticker.lines[0].counts

    notes, counts = in_virtual_time(play, "faults: [{kind: update_cut}]")
    assert counts.unreadable_texts == len(notes.of(UnreadableText)) >= 1
    assert notes.states == [CONNECTING, SUBSCRIBED, FLOWING]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"type":"order","data":{"order_id":1234567890123456789,"status":"OPEN"}}', OrderHint),
        ('{"type":"error","data":"No"}', BrokerSaid),
        ('{"type":"message","data":{"a":1}}', BrokerSaid),
        ('{"type":"order","data":null}', UnreadableText),
        ("[1]", UnreadableText),
        ("\udc80", UnreadableText),
        ("", UnreadableText),
    ],
)
def test_every_text_is_something(text, kind):
    assert isinstance(read_text(text, 0), kind)


def test_an_order_id_of_19_digits_keeps_them_all():
    hint = read_text('{"type":"order","data":{"order_id":1234567890123456789}}', 0)
    assert hint.order_id == "1234567890123456789"


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────


def test_the_token_is_in_nothing_that_is_said(caplog):
    caplog.set_level(0)
    script = (
        "faults: [{kind: upgrade_refused, status: 500, times: 1}, {kind: socket_closed, nth: 5}]"
    )

    async def play(stage):
        asyncio.get_running_loop().set_debug(False)
        stage.listen()
        await asyncio.sleep(30)
        stage.network.strike(Refused(until_s=loop_s() + 5))
        stage.exchange.sessions.flush()
        await stage.until(lambda: stage.notes.states[-1] is DOWN, within=60)
        await asyncio.sleep(30)
        return stage.token, stage.notes, stage.ticker

    token, notes, ticker = in_virtual_time(play, script)
    said = "\n".join([*map(repr, notes.all), caplog.text, repr(ticker), repr(vars(ticker))])
    assert len(notes.reasons) >= 3
    assert token not in said


def test_an_exception_of_whoever_hears_ends_the_ticker_loudly():
    async def play(stage):
        def broken(frame):
            raise ZeroDivisionError

        ticker = KiteTicker(
            TickerSettings(ws_root=stage.served.ticker, api_key="kitestring"),
            stage.names,
            lambda: Secret(stage.token),
            now=stage.clock.now,
            on_frame=broken,
            on_event=lambda _: None,
            on_text=lambda _: None,
        )
        with pytest.raises(ExceptionGroup) as caught:
            await ticker.run()
        assert caught.group_contains(ZeroDivisionError)

    in_virtual_time(play)


def test_a_redirect_is_not_followed():
    async def play(stage):
        asked = []

        async def elsewhere(request):
            raise web.HTTPFound(f"{stage.served.rest}/?{request.query_string}")

        app = web.Application()
        app.router.add_get("/", elsewhere)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 8020).start()
        stage.listen(ws_root="ws://127.0.0.1:8020")
        await stage.until(lambda: DOWN in stage.notes.states)
        asked += stage.feed.connections
        await runner.cleanup()
        return asked, stage.notes

    asked, notes = in_virtual_time(play)
    assert asked == []
    assert "elsewhere" in notes.reasons[0]


def test_a_certificate_nobody_signed_gets_no_token():
    """The official ticker hands both over, to whoever answers."""
    heard = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).parent / "self_signed.pem")

    async def answer(request):
        heard.append(request.query_string)
        return web.Response()

    async def play():
        app = web.Application()
        app.router.add_get("/", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        port = runner.addresses[0][1]
        said, refused = [], asyncio.Event()

        def hear(event):
            said.append(event)
            if event.why:
                refused.set()

        ticker = KiteTicker(
            TickerSettings(ws_root=f"wss://127.0.0.1:{port}", api_key="key"),
            {1: "NSE:X"},
            lambda: Secret("token-never-to-be-seen"),
            now=lambda: START,
            on_frame=said.append,
            on_event=hear,
            on_text=said.append,
        )
        task = asyncio.create_task(ticker.run())
        await refused.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.cleanup()
        return said

    said = asyncio.run(asyncio.wait_for(play(), 10))
    assert "certificate" in said[-1].why
    assert heard == []
