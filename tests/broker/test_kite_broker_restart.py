"""Killed between journal and answer: after the restart nothing is sent again and nothing is forgotten."""

from kite_rehearsal import DAY, rehearse

from kitestring.broker.governor import Governor
from kitestring.broker.kite_bridge import KiteBroker
from kitestring.core.portfolio import Portfolio
from kitestring.core.reconciler import differences
from kitestring.domain.charges import NO_CHARGES
from kitestring.domain.orders import ExecType

_E = ExecType


async def begin_again(desk):
    """Let go of the broker as a kill does, and start another from what the journal holds."""
    old = desk.broker
    for task in [*old.traffic.under_way, *old._tasks]:
        task.cancel()
    new = KiteBroker(old._client, now=desk.clock.now, governor=Governor())
    waiting = [c for c in desk.commands if hasattr(c, "at") and not hasattr(c, "approved")]
    new.resume(desk.house.table.values(), waiting, desk.commands)
    desk.broker = new
    new.start()
    return old


def test_killed_while_an_order_is_on_its_way_it_is_found_by_its_tag():
    async def play(desk):
        tag = desk.at_market()
        await desk.after(1)  # It is there, and nobody has answered.
        assert desk.held() == 10
        assert desk.told(tag) == []
        await begin_again(desk)
        await desk.until(lambda: desk.booked() == 10)
        await desk.after(30)
        assert desk.posts() == 1
        assert desk.held() == 10
        assert desk.broker.line.governor.orders_today == 1
        await desk.broker.close()

    rehearse(play, "faults:\n  - kind: late_answer\n    route: POST /orders/*\n    nth: 1\n")


def test_killed_before_the_first_byte_the_order_expires_and_is_never_sent():
    async def play(desk):
        tag = desk.at_market()  # Journalled; the task has not run yet.
        await begin_again(desk)
        await desk.until(lambda: _E.REJECTED in desk.told(tag), 400)
        assert "never reached the broker" in desk.of(tag, _E.REJECTED)[0].text
        assert desk.posts() == 0
        await desk.broker.close()

    rehearse(play)


def test_what_was_told_before_the_restart_is_not_told_again():
    async def play(desk):
        filled, rests = desk.at_market(), desk.place()
        await desk.until(lambda: desk.booked() == 10 and _E.NEW in desk.told(rests))
        desk.cancel(rests)
        await desk.after(0.0005)  # The cancel is on its way.
        before = desk.told(filled)
        await begin_again(desk)
        await desk.until(lambda: desk.of(rests, _E.CANCELED))
        await desk.after(60)
        assert desk.told(filled) == before
        assert desk.posts("DELETE") == 1
        assert desk.kinds() == []
        await desk.broker.close()

    rehearse(play)


def test_the_snapshot_agrees_with_the_house_and_orders_on_their_way_are_not_missing():
    async def play(desk):
        from kitestring.exchange.instrument_master import instruments_on

        listed = {each.id: each for each in instruments_on(DAY)}
        portfolio = Portfolio(listed, lambda *_: NO_CHARGES, {})
        desk.place()
        await desk.after(3)
        assert await desk.broker.refresh() == ""
        snapshot = desk.broker.snapshot(desk.clock.now())
        assert snapshot.trusted
        assert snapshot.read_at == desk.clock.now()
        assert differences(snapshot, desk.house, portfolio) == []
        desk.place(px="1390.00")  # It leaves after the books were read.
        later = desk.broker.snapshot(desk.clock.now())
        assert [row.status for row in later.orders] == ["NEW", "PENDING_NEW"]
        assert differences(later, desk.house, portfolio) == []
        await desk.after(10)
        # A failed read keeps the old books, says how old they are, and proves nothing.
        failed = await desk.broker.refresh()
        old = desk.broker.snapshot(desk.clock.now())
        assert "502" in failed
        assert "the books are 10 s old" in old.why
        assert old.orders[:1] == later.orders[:1]
        assert not old.trusted

    rehearse(play, "faults:\n  - kind: html_error\n    route: GET /portfolio/positions\n    nth: 2")
