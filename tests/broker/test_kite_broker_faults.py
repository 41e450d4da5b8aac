"""What goes wrong at Kite on the way out and back, one fault each, judged by the exchange's own books.

Never a second order, nothing lost, nothing told twice, and an order that may exist is never forgotten.
"""

import pytest
from kite_rehearsal import rehearse

from kitestring.broker.governor import Governor, Limits
from kitestring.broker.kite_client import KiteClient
from kitestring.domain.money import price
from kitestring.domain.orders import ExecType, OrdType, Purpose, Side

_E = ExecType
POST = "    route: POST /orders/*\n    nth: 1\n"


def script(*faults):
    return "faults:\n" + "".join(f"  - kind: {fault}" for fault in faults)


AFTER_THE_ORDER = {
    "accepted, then silence": script("no_answer\n" + POST + "    reached: true\n"),
    "400 timed out, but live": script("timed_out_400\n    nth: 1\n"),
    "HTML 502 after acceptance": script("html_error\n" + POST + "    reached: true\n"),
    "connection reset after acceptance": script("connection_lost\n" + POST + "    reached: true\n"),
    "empty body": script("empty_body\n" + POST),
    "truncated body": script("truncated\n" + POST),
    "no content type": script("no_content_type\n" + POST),
    "data missing": script("field_missing\n" + POST),
    "redirect after acceptance": script("redirect\n" + POST + "    reached: true\n"),
    "an error type nobody knows": script(
        "error_answer\n" + POST + "    status: 400\n    error_type: NewException\n"
        "    reached: true\n"
    ),
    "an answer after 20 s": script("late_answer\n" + POST + "    seconds: 20\n"),
    "an answer that trickles": script("slow_drip\n" + POST),
    "an HTML content type": script("wrong_content_type\n" + POST),
    "it lies about for 9 s": script("late_arrival\n" + POST + "    seconds: 9\n"),
    "it lies about for 40 s": script("late_arrival\n" + POST + "    seconds: 40\n"),
}


@pytest.mark.parametrize("fault", AFTER_THE_ORDER, ids=str)
def test_an_order_without_a_clean_answer_is_found_by_its_tag_and_never_sent_again(fault):
    async def play(desk):
        tag = desk.at_market()
        await desk.until(lambda: desk.booked() == 10, 80)
        await desk.after(200)
        assert desk.posts() == 1
        assert len(desk.orders(tag)) == 1
        assert desk.held() == desk.booked() == 10
        told = desk.told(tag)
        assert told.count(_E.UNKNOWN) <= 1
        assert _E.REJECTED not in told
        assert told.count(_E.NEW) == 1
        return told

    told = rehearse(play, AFTER_THE_ORDER[fault])
    if "lies about for 9" not in fault:
        assert told[0] is _E.UNKNOWN


BEFORE_THE_ORDER = {
    "HTML 502 before acceptance": script("html_error\n" + POST),
    "connection reset before acceptance": script(
        "connection_lost\n" + POST + "    reached: false\n"
    ),
    "taken and never answered, nor carried out": script(
        "no_answer\n" + POST + "    reached: false\n"
    ),
    "maintenance": script('maintenance\n    route: POST /orders/*\n    until: "10:00:15"\n'),
}


@pytest.mark.parametrize("fault", BEFORE_THE_ORDER, ids=str)
@pytest.mark.parametrize("alive", [True, False], ids=["busy book", "quiet book"])
def test_an_order_that_never_arrived_is_given_up_only_after_minutes_of_looking(fault, alive):
    async def play(desk):
        loop_s = desk.network.loop.time
        tag = desk.at_market()
        await desk.until(lambda: desk.told(tag) == [_E.UNKNOWN])
        unknown_s = loop_s()
        if alive:
            await desk.after(20)
            desk.place(px="1390.00")
        await desk.until(lambda: _E.REJECTED in desk.told(tag), 400)
        assert loop_s() - unknown_s >= (120 if alive else 300)
        assert loop_s() - unknown_s < (130 if alive else 310)
        assert "never reached the broker" in desk.of(tag, _E.REJECTED)[0].text
        assert desk.orders(tag) == []
        assert desk.posts() == (2 if alive else 1)

    rehearse(play, BEFORE_THE_ORDER[fault])


LOST_SECOND = script("no_answer\n    route: POST /orders/*\n    nth: 2\n    reached: false\n")


@pytest.mark.parametrize(
    ("quiet_s", "purpose", "least_s"),
    [(1, Purpose.STOP, 120), (1, Purpose.ENTRY, 300), (60, Purpose.STOP, 300)],
    ids=["a stop after its entry", "an entry", "a stop in a book that was quiet before"],
)
def test_an_exit_that_never_arrived_is_given_up_sooner_where_the_book_has_just_moved(
    quiet_s, purpose, least_s
):
    async def play(desk):
        first = desk.at_market()
        await desk.until(lambda: desk.booked() == 10)
        await desk.after(quiet_s)
        tag = desk.place(side=Side.SELL, px="1390.00", kind=OrdType.SL, stop="1395.00",
                         purpose=purpose)  # fmt: skip
        await desk.until(lambda: desk.told(tag) == [_E.UNKNOWN])
        waited_s = await desk.until(lambda: _E.REJECTED in desk.told(tag), 400)
        assert least_s <= waited_s < least_s + 10
        assert [row["tag"] for row in desk.orders()] == [first]
        assert desk.posts() == 2

    rehearse(play, LOST_SECOND)


def test_a_book_that_froze_as_an_exit_was_sent_costs_a_second_look_and_no_second_order():
    """The risk that is taken for it: what was believed lost is there, and is withdrawn once it shows."""

    async def play(desk):
        desk.at_market()
        await desk.until(lambda: desk.booked() == 10)
        await desk.after(4)  # Frozen from 10:00:04 on.
        stop = desk.place(side=Side.SELL, px="1390.00", kind=OrdType.SL, stop="1395.00",
                          purpose=Purpose.STOP)  # fmt: skip
        await desk.until(lambda: _E.REJECTED in desk.told(stop), 400)
        await desk.until(lambda: desk.row(stop)["status"] == "CANCELLED", 400)
        assert "order came back" in desk.kinds()
        assert (desk.posts(), desk.posts("DELETE"), desk.held()) == (2, 1, 10)

    rehearse(
        play,
        script(
            'book_frozen\n    from: "10:00:04"\n    for: 300\n',
            "no_answer\n    route: POST /orders/*\n    nth: 2\n    close_after: 1\n",
        ),
        at_end=False,
    )


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (script("too_many_requests\n" + POST), "Too many requests"),
        (script("ip_refused\n    for: 60\n"), "not allowed"),
        (
            script(
                "error_answer\n" + POST + "    status: 400\n    error_type: InputException\n"
                "    message: No such thing.\n"
            ),
            "No such thing",
        ),
    ],
    ids=["429", "address", "input"],
)
def test_a_definite_no_is_told_as_such_at_once_and_nothing_is_sent_again(fault, word):
    async def play(desk):
        tag = desk.at_market()
        assert await desk.until(lambda: desk.reports) < 1
        await desk.after(150)
        assert desk.told(tag) == [_E.REJECTED]
        assert word in desk.reports[0].text
        assert desk.posts() == 1
        assert desk.held() == 0
        return desk.kinds()

    kinds = rehearse(play, fault)
    assert kinds == (["refused: throttled"] if "Too" in word else
                     ["refused: address"] if "allowed" in word else [])  # fmt: skip


def test_nothing_leaves_where_there_is_no_connection():
    from kitestring.broker.kite_settings import local_settings

    def elsewhere(settings, token, http):
        http.settings = local_settings("http://127.0.0.1:8999", api_key="kitestring")
        return KiteClient(settings, token, http)

    async def play(desk):
        tag = desk.at_market()
        await desk.until(lambda: desk.reports)
        assert desk.told(tag) == [_E.REJECTED]
        assert desk.reports[0].text.startswith("not sent: no connection")
        assert desk.posts() == 0

    rehearse(play, client_of=elsewhere)


def test_an_answer_that_comes_twice_is_one_order():
    async def play(desk):
        first = desk.at_market()
        await desk.until(lambda: desk.booked() == 10)
        second = desk.at_market()
        await desk.until(lambda: desk.booked() == 20)
        assert [row["tag"] for row in desk.orders()] == [first, second]
        assert (desk.posts(), desk.held()) == (2, 20)

    rehearse(play, script("answered_twice\n" + POST))


def test_an_order_that_is_shown_late_is_waited_for():
    async def play(desk):
        tag = desk.place()
        await desk.after(15)
        assert desk.told(tag) == [_E.PENDING_NEW]
        assert desk.kinds() == ["order not shown"]
        await desk.until(lambda: _E.NEW in desk.told(tag))
        assert desk.broker.distrust == ""
        assert desk.posts() == 1

    rehearse(play, script("order_shown_late\n    seconds: 20\n"))


def test_in_a_frozen_book_nothing_is_believed_to_be_absent():
    async def play(desk):
        early = desk.place()
        await desk.until(lambda: _E.NEW in desk.told(early))
        await desk.after(30)  # Frozen from 10:00:20 on.
        unknown, acked = desk.at_market(), desk.place(px="1395.00")
        await desk.after(20)
        assert desk.broker.distrust == ""
        await desk.after(20)
        assert "VIEW_UNTRUSTED" in desk.kinds()
        assert acked in desk.broker.distrust
        await desk.broker.refresh()
        snapshot = desk.broker.snapshot(desk.clock.now())
        assert not snapshot.trusted
        assert acked in snapshot.why
        await desk.after(400)
        assert desk.told(unknown) == [_E.UNKNOWN]
        assert desk.told(acked) == [_E.PENDING_NEW]
        assert desk.told(early) == [_E.PENDING_NEW, _E.NEW]
        await desk.until(lambda: desk.booked() == 10, 300)  # It thaws at 10:10.
        assert _E.NEW in desk.told(acked)
        await desk.after(5)
        assert desk.broker.distrust == ""
        assert desk.kinds()[-1] == "view trusted"
        assert (desk.posts(), desk.held()) == (3, 10)

    rehearse(
        play,
        script(
            'book_frozen\n    from: "10:00:20"\n    for: 580\n',
            "no_answer\n    route: POST /orders/*\n    nth: 2\n    close_after: 1\n",
        ),
    )


def test_an_update_of_the_socket_proves_that_an_unknown_order_exists():
    async def play(desk):
        await desk.after(10)
        unknown = desk.at_market()
        await desk.after(360)  # A quiet frozen book for longer than any patience.
        assert desk.held() == 10
        assert desk.told(unknown) == [_E.PENDING_NEW]
        assert unknown in desk.broker.distrust
        await desk.until(lambda: desk.booked() == 10, 400)
        assert desk.posts() == 1

    rehearse(
        play,
        script(
            'book_frozen\n    from: "10:00:05"\n    for: 600\n',
            "no_answer\n" + POST + "    close_after: 1\n",
        ),
        hints=True,
    )


def test_an_order_believed_dead_that_comes_back_is_withdrawn_and_shouted_about():
    async def play(desk):
        tag = desk.place()
        await desk.until(lambda: _E.REJECTED in desk.told(tag), 400)
        await desk.until(lambda: desk.orders(tag) and desk.row(tag)["status"] == "CANCELLED", 400)
        assert "order came back" in desk.kinds()
        assert desk.posts() == 1
        assert desk.posts("DELETE") == 1

    rehearse(play, script("late_arrival\n" + POST + "    seconds: 330\n"), at_end=False)


def test_a_request_that_something_on_the_way_repeats_is_seen_and_the_second_withdrawn():
    async def play(desk):
        tag = desk.place()
        await desk.until(
            lambda: sorted(row["status"] for row in desk.orders(tag)) == ["CANCELLED", "OPEN"]
        )
        assert "order doubled" in desk.kinds()
        await desk.after(10)
        assert desk.broker.distrust == ""
        assert desk.told(tag) == [_E.PENDING_NEW, _E.NEW]

    rehearse(play, script("taken_twice\n    nth: 1\n"))


def test_a_part_that_traded_before_the_exchange_cancelled_is_booked_and_no_more():
    async def play(desk):
        tag = desk.at_market(100)
        await desk.until(lambda: desk.of(tag, _E.CANCELED))
        assert desk.told(tag)[-1] is _E.CANCELED
        assert desk.of(tag, _E.CANCELED)[0].cum_qty == 50 == desk.booked() == desk.held()

    rehearse(play, script("partial_then_cancel\n    nth: 1\n    part: 0.5\n"))


@pytest.mark.parametrize("change", ["cancel", "modify"])
def test_a_fill_that_beats_a_change_is_a_fill(change):
    async def play(desk):
        tag = desk.place(px="1400.00")
        await desk.until(lambda: _E.NEW in desk.told(tag))
        if change == "cancel":
            desk.cancel(tag)
        else:
            desk.modify(tag, price=price("1401.00"))
        await desk.until(lambda: desk.booked() == 10)
        await desk.after(60)
        told = desk.told(tag)
        assert told[:2] == [_E.PENDING_NEW, _E.NEW]
        assert _E.TRADE in told
        assert _E.CANCELED not in told
        assert desk.held() == 10
        assert not desk.broker.merge.unsettled

    rehearse(play, script("fill_wins\n    nth: 1\n"))


@pytest.mark.parametrize("reached", [True, False])
@pytest.mark.parametrize("change", ["cancel", "modify"])
def test_a_change_without_an_answer_is_settled_by_what_the_row_shows(change, reached):
    async def play(desk):
        tag = desk.place(px="1400.00")
        await desk.until(lambda: _E.NEW in desk.told(tag))
        await desk.after(3)
        if change == "cancel":
            desk.cancel(tag)
        else:
            desk.modify(tag, price=price("1401.00"))
        await desk.until(lambda: _E.UNKNOWN in desk.told(tag))
        ends = {
            ("cancel", True): _E.CANCELED,
            ("modify", True): _E.REPLACED,
            ("cancel", False): _E.CANCEL_REJECTED,
            ("modify", False): _E.REPLACE_REJECTED,
        }
        await desk.after(60)
        assert desk.told(tag)[2:] == [_E.UNKNOWN, ends[change, reached]]
        assert desk.posts("DELETE") + desk.posts("PUT") == 1

    told = "true" if reached else "false"
    rehearse(play, script(f"html_error\n    route: changes\n    nth: 1\n    reached: {told}\n"))


def test_a_change_of_which_nothing_left_is_refused_at_once():
    async def play(desk):
        tag = desk.place(px="1400.00")
        await desk.until(lambda: _E.NEW in desk.told(tag))
        for step in range(26):
            desk.modify(tag, price=price(f"{1401 + step}.00"))
            await desk.until(lambda: desk.told(tag)[-1] in (_E.REPLACED, _E.REPLACE_REJECTED))
            await desk.after(1)
        assert desk.told(tag)[-1] is _E.REPLACE_REJECTED
        assert "25 times" in desk.reports[-1].text
        assert desk.posts("PUT") == 25
        assert desk.row(tag)["price"] == 1425

    rehearse(play)


def test_reads_that_fail_are_no_evidence_and_are_said():
    async def play(desk):
        tag = desk.at_market()
        await desk.after(100)  # Reads fail from 10:00:02 on, while orders work.
        assert desk.told(tag) in ([_E.PENDING_NEW], [_E.PENDING_NEW, _E.NEW])
        assert "books unread" in desk.kinds()
        assert desk.broker.distrust == ""
        failed = await desk.broker.refresh()
        assert "HTTP 502" in failed
        snapshot = desk.broker.snapshot(desk.clock.now())
        assert (snapshot.trusted, snapshot.orders, snapshot.net_qty) == (False, (), {})
        await desk.until(lambda: desk.booked() == 10, 120)
        assert desk.kinds()[-1] == "books read again"

    rehearse(
        play,
        script('html_error\n    route: GET /*\n    from: "10:00:01"\n    until: "10:02:30"\n'),
    )


def test_trades_that_cannot_be_read_hold_back_the_end_of_their_order():
    async def play(desk):
        tag = desk.at_market(100)
        await desk.after(30)
        assert desk.row(tag)["status"] == "CANCELLED"
        assert desk.told(tag) == [_E.PENDING_NEW, _E.NEW]
        assert "trades missing" in desk.kinds()
        assert "50 filled" in desk.broker.distrust
        await desk.until(lambda: desk.of(tag, _E.CANCELED), 60)
        assert desk.told(tag)[-2:] == [_E.TRADE, _E.CANCELED]
        assert desk.booked() == 50 == desk.held()

    rehearse(
        play,
        script(
            "partial_then_cancel\n    nth: 1\n    part: 0.5\n",
            'html_error\n    route: GET /trades\n    until: "10:01:00"\n',
        ),
    )


UPDATES = ["update_lost", "update_doubled", "update_late", "update_swapped", "update_cut"]


@pytest.mark.parametrize("kind", UPDATES)
def test_updates_may_be_lost_doubled_late_swapped_or_cut_and_nothing_changes(kind):
    async def play(desk):
        tags = [desk.at_market(), desk.place(px="1400.00"), desk.at_market(30, Side.SELL)]
        await desk.until(lambda: desk.booked() == -20)
        desk.cancel(tags[1])
        await desk.until(lambda: desk.of(tags[1], _E.CANCELED))
        desk.at_market(20, purpose=Purpose.EXIT)
        await desk.until(lambda: desk.booked() == 0)
        await desk.after(60)
        assert desk.held() == 0
        assert desk.broker.distrust == ""
        assert not desk.broker.merge.unsettled
        return sorted((report.cl_ord_id, report.exec_type.value) for report in desk.reports)

    assert rehearse(play, script(f"{kind}\n"), hints=True) == rehearse(play)


def test_a_hint_is_quicker_than_the_poll():
    async def play(desk):
        tag = desk.place(px="1400.00")
        await desk.after(15)
        desk.stage.reach.exchange.desk.withdraw(
            desk.clock.now(), desk.row(tag)["order_id"], "The exchange withdrew it."
        )
        return await desk.until(lambda: desk.of(tag, _E.CANCELED))

    assert rehearse(play, hints=True) < 0.5


def test_an_entry_does_not_leave_once_entries_are_stopped_and_an_exit_does():
    stopped = []

    async def play(desk):
        entry = desk.at_market()
        await desk.until(lambda: desk.booked() == 10)
        stopped.append("HALT")
        late = desk.at_market()
        out = desk.at_market(10, Side.SELL, purpose=Purpose.EXIT)
        await desk.until(lambda: desk.booked() == 0)
        assert desk.told(late) == [_E.REJECTED]
        assert desk.of(late, _E.REJECTED)[0].text == "not sent: HALT"
        assert desk.posts() == 2
        assert {row["tag"] for row in desk.orders()} == {entry, out}

    rehearse(play, broker_options={"entries_stopped": lambda: stopped[0] if stopped else ""})


@pytest.mark.parametrize("tag", ["", "mktp"], ids=["lost", "altered"])
def test_an_unanswered_order_that_stands_under_another_tag_is_suspected_and_never_sent_again(tag):
    """Nothing but its terms speaks for it: it is not believed to be absent, and nothing new is risked."""

    class Retagged(KiteClient):
        async def place(self, fields, variety="regular", **more):
            kept = {name: value for name, value in fields.items() if name != "tag"}
            return await super().place(kept | ({"tag": tag} if tag else {}), variety, **more)

    async def play(desk):
        unknown = desk.at_market()
        await desk.until(lambda: desk.held() == 10)
        await desk.until(lambda: desk.told(unknown) == [_E.UNKNOWN])
        await desk.after(400)
        assert desk.told(unknown) == [_E.UNKNOWN], "neither booked nor given up"
        assert "order without tag" in desk.kinds()
        assert unknown in desk.broker.distrust
        assert (desk.posts(), desk.booked(), desk.held()) == (1, 0, 10)

    fault = script("no_answer\n" + POST + "    close_after: 1\n")
    rehearse(play, fault, client_of=Retagged)


def test_most_of_the_days_orders_used_up_is_said_once_while_exits_still_have_theirs():
    few = Governor(Limits(per_day=10, kept_day=4))

    async def play(desk):
        tags = [desk.place(px=f"{1400 + number}.00") for number in range(8)]
        await desk.until(lambda: len([t for t in tags if desk.told(t)]) == 8)
        assert desk.posts() == 6, "the last four are kept for exits"
        assert "kept for exits" in desk.of(tags[7], _E.REJECTED)[0].text
        await desk.after(60)
        assert desk.kinds().count("order budget") == 1
        out = desk.at_market(10, Side.SELL, purpose=Purpose.EXIT)
        await desk.until(lambda: desk.booked() == -10)
        assert desk.told(out)[-1] is _E.TRADE

    rehearse(play, governor=few)
