"""What is told, when, how often, and what becomes of it when a way out is broken."""

import asyncio
import json
import threading
import time
from pathlib import Path

import msgspec
import pytest
from alert_receivers import HANGS, KEEPS, program, receiver

from kitestring.domain.charges import NO_CHARGES
from kitestring.domain.errors import HouseError
from kitestring.domain.events import DaySealed, Discrepancy, MarketDataFault, Note, Reports
from kitestring.domain.instants import MINUTE, SECOND
from kitestring.domain.money import money, price
from kitestring.domain.orders import ExecType, ExecutionReport, Product, Side
from kitestring.domain.ports import Commit
from kitestring.domain.positions import Fill
from kitestring.domain.verdicts import HaltPolicy, HaltSession
from kitestring.engine.alert_channels import (
    CommandChannel,
    Message,
    Secret,
    TelegramChannel,
    WebhookChannel,
)
from kitestring.engine.alert_post import QUEUE_MAX, AlertPost
from kitestring.engine.alerts import Alert, AlertKind, AlertMerger, AlertRules, one_of_each
from kitestring.engine.day_alerts import TOLD_FILE, DayAlerts

OPEN = 1_795_146_300 * SECOND
"""09:15 in India on 20 November 2026."""
CANARY = "731:canary-of-a-token"


def commit(*facts, at=OPEN):
    return Commit(
        inbox=1, at=at, feed_position=1, tape_offset=0, tape_hash="", facts=facts, cells={}
    )


def fill(number=1, at=OPEN):
    return Fill(
        fill_id=f"F{number}", cl_ord_id=f"K{number}", strategy="trend-NIFTY",
        instrument="NFO:NIFTY26NOVFUT", side=Side.BUY, qty=65, px=price("24010"), at=at,
        product=Product.MIS, decision_px=price("24010"), slippage=money(0), charges=NO_CHARGES,
    )  # fmt: skip


def halt(at=OPEN, sentence="The day has lost ₹40,000, its limit."):
    return HaltSession(code="LOSS", sentence=sentence, policy=HaltPolicy.FLATTEN, at=at)


def unknown(name):
    return ExecutionReport(cl_ord_id=name, exec_type=ExecType.UNKNOWN, event_at=OPEN)


def alert(kind=AlertKind.HALT, number=1, text="what happened"):
    return Alert(kind=kind, number=number, at=OPEN, text=text)


SEALED = DaySealed(
    at=OPEN, equity=0, realised=0, charges=2_500_000, net=-12_345_000, orders=12, fills=14,
    trades=6, carried={},
)  # fmt: skip


@pytest.mark.parametrize(
    ("fact", "kind", "words"),
    [
        (fill(), "fill", "BUY 65 NIFTY26NOVFUT at ₹24,010.00, trend-NIFTY"),
        (halt(), "halt", "The day has lost ₹40,000, its limit. Positions: flatten."),
        (
            MarketDataFault(instrument="NSE:ACME", at=OPEN, fault="stale", sentence="ACME is mute."),
            "feed silent",
            "ACME is mute.",
        ),
        (Discrepancy(at=OPEN, what="ACME", ours="10", theirs="0"), "unknown order", "ours 10"),
        (Reports(OPEN, (unknown("K7"),)), "unknown order", "Order K7 was sent and not answered"),
        (SEALED, "day summary", "Net -₹1,234.50 after charges of ₹250.00; 6 round trips"),
        (Note(at=OPEN, kind="armed", sentence="To ₹20,000."), "armed", "To ₹20,000."),
        (Note(at=OPEN, kind="login due", sentence="Log in."), "login due", "Log in."),
        (Note(at=OPEN, kind="live: silence", sentence="No tick."), "feed silent", "No tick."),
        (Note(at=OPEN, kind="VIEW_UNTRUSTED", sentence="No row."), "unknown order", "No row."),
        (Note(at=OPEN, kind="exit refused", sentence="Band."), "exit stuck", "Band."),
        (Note(at=OPEN, kind="unprotected position", sentence="No stop."), "unprotected position", "No stop."),
        (Note(at=OPEN, kind="guard acted", sentence="Reduced."), "guard acted", "Reduced."),
        (Note(at=OPEN, kind="closed by others", sentence="Sold."), "touched by others", "Sold."),
        (Note(at=OPEN, kind="cancelled by hand", sentence="Gone."), "touched by others", "Gone."),
        (Note(at=OPEN, kind="frozen", sentence="4 of 10."), "frozen", "4 of 10."),
        (Note(at=OPEN, kind="resolved", sentence="Ours."), "frozen", "Ours."),
    ],
)  # fmt: skip
def test_every_kind_comes_from_a_fact_of_the_journal(fact, kind, words):
    (told,) = AlertRules(alive_at=OPEN + MINUTE).hear(7, commit(fact))
    assert (told.kind, told.number) == (kind, 7)
    assert words in told.text


def test_what_is_no_alert_is_not_told():
    back = MarketDataFault(instrument="NSE:ACME", at=OPEN, fault="fresh", sentence="It ticks.")
    note = Note(at=OPEN, kind="square-off", sentence="Squaring off.")
    assert AlertRules(alive_at=OPEN + MINUTE).hear(1, commit(back, note)) == []


def test_an_order_without_an_answer_is_told_once_however_often_it_is_reported():
    rules = AlertRules(alive_at=OPEN + MINUTE)
    assert len(rules.hear(1, commit(Reports(OPEN, (unknown("K1"), unknown("K1")))))) == 1
    assert rules.hear(2, commit(Reports(OPEN, (unknown("K1"),)))) == []
    assert len(rules.hear(3, commit(Reports(OPEN, (unknown("K2"),))))) == 1


def test_the_house_says_once_that_it_is_alive_a_minute_before_the_open():
    rules = AlertRules(alive_at=OPEN - MINUTE)
    assert rules.passing(1, OPEN - MINUTE - 1) == []
    (told,) = rules.passing(1, OPEN - MINUTE)
    assert (told.kind, told.text) == ("alive", "Alive at 09:14.")
    assert rules.passing(2, OPEN) == rules.hear(3, commit()) == []


def test_ten_fills_in_a_minute_are_one_alert():
    merger = AlertMerger()
    for number in range(10):
        at = OPEN + number * 5 * SECOND
        assert merger.take([alert(AlertKind.FILL, number, f"fill {number}")], at) == []
    assert merger.due(OPEN + MINUTE - 1) == []
    (told,) = merger.due(OPEN + MINUTE)
    assert (told.count, told.number) == (10, 9)
    assert told.text.splitlines() == [*(f"fill {n}" for n in range(6)), "and 4 more"]
    assert merger.rest() == []


def test_a_halt_is_told_at_once_and_a_burst_of_silences_twice():
    merger = AlertMerger()
    assert [each.kind for each in merger.take([alert()], OPEN)] == ["halt"]
    silent = [alert(AlertKind.FEED_SILENT, n) for n in range(40)]
    (first,) = merger.take(silent[:5], OPEN)
    assert first.count == 5
    for each in silent[5:]:
        assert merger.take([each], OPEN + SECOND) == []
    (later,) = merger.due(OPEN + MINUTE)
    assert later.count == 35
    assert merger.take([alert(AlertKind.FEED_SILENT)], OPEN + MINUTE + 1) == []


def test_the_end_of_the_day_tells_what_was_held_back():
    merger = AlertMerger()
    merger.take([alert(AlertKind.FILL)], OPEN)
    assert [each.kind for each in merger.rest()] == ["fill"]


def send(channel, *alerts):
    told = alerts or (alert(),)
    return asyncio.run(channel.send(Message(title="Kitestring paper", alerts=told)))


def test_a_command_gets_the_text_on_stdin_and_in_its_environment_and_no_secret(
    tmp_path, monkeypatch
):
    for name in ("KITESTRING_TELEGRAM_TOKEN", "KITE_API_SECRET", "MY_TOKEN", "db_password"):
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("DISPLAY", ":7")
    out = tmp_path / "out"
    run = (*program(tmp_path, KEEPS.format(out=str(out))), "$(touch pwned); a b")
    assert send(CommandChannel(run=run)) == ""
    ((argv, stdin, environment),) = map(json.loads, out.read_text().splitlines())
    assert argv == ["$(touch pwned); a b"]
    assert stdin == environment["KITESTRING_ALERT"] == "Kitestring paper\nHALT: what happened"
    assert (environment["KITESTRING_ALERT_KIND"], environment["DISPLAY"]) == ("halt", ":7")
    assert CANARY not in str(environment)


def test_a_command_that_fails_or_is_not_there_is_said(tmp_path):
    assert send(CommandChannel(run=program(tmp_path, "raise SystemExit(3)"))) == (
        "it ended with code 3"
    )
    why = send(CommandChannel(run=(str(tmp_path / "absent"),)))
    assert why == "it could not be started: No such file or directory"


def gone(pid):
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}:
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_a_command_that_hangs_is_killed_with_what_it_started(tmp_path):
    out = tmp_path / "pids"
    run = program(tmp_path, HANGS.format(out=str(out)))
    why = send(CommandChannel(run=run, deadline_s=1.0))
    assert why == "it did not end within 1 s and was killed"
    if Path("/proc").is_dir():
        assert [gone(pid) for pid in out.read_text().split()] == [True, True]


def test_a_webhook_is_posted_json():
    with receiver() as server:
        assert send(WebhookChannel(url=Secret(f"{server.root}/hook/x"))) == ""
    ((path, rows),) = server.heard
    assert path == "/hook/x"
    assert rows["text"] == "Kitestring paper\nHALT: what happened"
    assert rows["alerts"][0]["at"] == "2026-11-20T09:15:00+05:30"


def test_a_webhook_follows_no_redirect_and_asks_no_proxy(monkeypatch):
    with receiver() as other, receiver(status=307, location=f"{other.root}/there") as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, other.root)
        assert send(WebhookChannel(url=Secret(server.root))) == "it answered 307"
        assert (len(server.heard), other.heard) == (1, [])


def test_telegram_is_asked_with_the_token_and_never_shows_it():
    with receiver() as server:
        channel = TelegramChannel(chat="42", token=Secret(CANARY), api_root=server.root)
        assert send(channel) == ""
        server.status = 401
        refused = send(channel)
    path, rows = server.heard[0]
    assert path == f"/bot{CANARY}/sendMessage"
    assert rows == {"chat_id": "42", "text": "Kitestring paper\nHALT: what happened"}
    assert refused == "it answered 401; is KITESTRING_TELEGRAM_TOKEN the bot's token?"
    unreachable = send(channel)
    assert unreachable.startswith("it could not be reached")
    bad = send(msgspec.structs.replace(channel, api_root="http://127.0.0.1:1/\x00"))
    for shown in (refused, unreachable, bad, repr(channel), str(channel)):
        assert CANARY not in shown


def test_a_server_that_does_not_answer_is_left_at_the_deadline():
    with receiver(hang=True) as server:
        why = send(WebhookChannel(url=Secret(server.root), deadline_s=0.2))
    assert why == "no answer within 0.2 s"


def test_a_message_that_is_too_long_loses_fills_and_not_the_halt():
    fills = [alert(AlertKind.FILL, n, f"fill {n} " * 9) for n in range(60)]
    text = Message(title="t", alerts=(*fills, alert(text="the halt"))).text
    assert len(text) == 3500
    assert text.startswith("t\nHALT: the halt\nFILL: fill 0")
    assert text.endswith("…")


class Slow:
    """A channel that waits for a word before each delivery."""

    name, kinds = "slow", frozenset(AlertKind)

    def __init__(self, name="slow", why=""):
        self.name, self.why = name, why
        self.go, self.begun = threading.Event(), threading.Event()
        self.messages = []

    async def send(self, message):
        self.begun.set()
        while not self.go.is_set():  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.005)
        self.messages.append(message)
        if isinstance(self.why, Exception):
            raise self.why
        return self.why


def test_a_full_queue_loses_its_oldest_fills_first_and_says_how_many():
    slow = Slow()
    post = AlertPost([slow], title="t", pace_s=0)
    post.put("slow", [alert(number=0)])
    assert slow.begun.wait(5)
    post.put("slow", [alert(number=1, text="the halt")])
    for number in range(QUEUE_MAX + 9):
        post.put("slow", [alert(AlertKind.FILL, number)])
    slow.go.set()
    post.close()
    first, second = slow.messages
    assert (len(first.alerts), len(second.alerts), second.dropped) == (1, QUEUE_MAX, 10)
    assert second.alerts[0].text == "the halt"
    assert second.alerts[1].number == 10
    assert "(10 earlier alerts were dropped" in Message(
        title="t", alerts=second.alerts[:2], dropped=10
    ).text  # fmt: skip
    assert post.sentences() == ("alerts by slow: 10 were dropped, too many at once",)


def test_a_channel_that_hangs_delays_neither_the_day_nor_the_other_channel():
    stuck, quick = Slow("stuck"), Slow("quick")
    quick.go.set()
    post = AlertPost([stuck, quick], title="t", pace_s=0)
    began = time.perf_counter()
    post.put("stuck", [alert()])
    assert stuck.begun.wait(5)
    for number in range(1000):
        for name in ("stuck", "quick"):
            post.put(name, [alert(number=number)])
    assert time.perf_counter() - began < 2.0
    began = time.perf_counter()
    post.close(patience_s=0.3)
    assert time.perf_counter() - began < 2.0
    assert quick.messages
    assert stuck.messages == []
    told = " ".join(post.sentences())
    assert "alerts by stuck: 2 of 2 messages were not delivered: the day ended before" in told
    assert not post._thread.is_alive()


def test_failures_are_counted_said_once_and_raise_nothing():
    broken = Slow("broken", why=RuntimeError(CANARY))
    broken.go.set()
    post = AlertPost([broken], title="t", pace_s=0)
    for number in range(3):
        post.put("broken", [alert(number=number)])
        while len(broken.messages) <= number:
            time.sleep(0.002)
    post.close()
    assert post.sentences() == (
        "alerts by broken: 3 of 3 messages were not delivered: it failed (RuntimeError)",
    )


class Deaf:
    """The other follower, which hears first."""

    def __init__(self):
        self.heard = []

    def committed(self, number, commit):
        self.heard.append(number)

    def passing(self, at, frames):
        self.heard.append(at)


def told_by(folder, steps, *, commits=(), fault=None, told=None):
    """Run a day with these commits; what a channel was told."""
    channel = told or Slow("channel")
    channel.go.set()
    try:
        with DayAlerts(
            [channel], first=Deaf(), folder=folder, title="t", alive_at=OPEN + 99 * MINUTE,
            commits=commits,
        ) as alerts:  # fmt: skip
            for number, each in steps:
                alerts.committed(number, each)
            if fault is not None:
                raise fault
    except HouseError:
        assert fault is not None
    return [each for message in channel.messages for each in message.alerts]


def test_nothing_is_told_twice_after_a_resume_and_nothing_untold_is_lost(tmp_path):
    journal = [(1, commit(halt())), (2, commit(fill(1)))]
    assert [each.kind for each in told_by(tmp_path, journal)] == ["halt", "fill"]
    assert told_by(tmp_path, [], commits=journal) == []
    # Commits 3 and 4 were durable, but the power went before anybody was told.
    journal += [(3, commit(fill(2))), (4, commit(SEALED))]
    later = told_by(tmp_path, [(5, commit(fill(3)))], commits=journal)
    assert sorted((each.kind, each.number, each.count) for each in later) == [
        ("day summary", 4, 1), ("fill", 5, 2),
    ]  # fmt: skip


def test_alerts_switched_on_in_the_middle_of_a_day_tell_nothing_of_its_past(tmp_path):
    journal = [(1, commit(halt())), (2, commit(fill(1)))]
    assert [each.number for each in told_by(tmp_path, [(3, commit(fill(2)))], commits=journal)] == [
        3
    ]


def test_a_channel_hears_only_its_kinds(tmp_path):
    channel = Slow("channel")
    channel.kinds = frozenset({AlertKind.HALT})
    steps = [(1, commit(fill(1), halt(), SEALED))]
    assert [each.kind for each in told_by(tmp_path, steps, told=channel)] == ["halt"]


def test_a_day_that_ends_by_a_fault_says_so(tmp_path):
    (told,) = told_by(tmp_path, [], fault=HouseError("The disk is full."))
    assert (told.kind, told.text) == ("halt", "The day has stopped: The disk is full.")


def test_a_house_that_is_rebuilt_waits_for_no_alert_and_tells_the_rest_later(tmp_path):
    stuck = Slow("channel")
    journal = [(1, commit(halt())), (2, commit(SEALED))]
    began = time.perf_counter()
    alerts = DayAlerts(
        [stuck], first=Deaf(), folder=tmp_path, title="t", alive_at=OPEN + 99 * MINUTE
    )
    alerts.committed(*journal[0])
    assert stuck.begun.wait(5)
    alerts.committed(*journal[1])
    alerts.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert time.perf_counter() - began < 1.0
    stuck.go.set()
    assert [each.kind for each in told_by(tmp_path, [], commits=journal)] == ["day summary"]


def test_an_alert_that_cannot_be_worded_costs_only_itself(tmp_path, monkeypatch):
    channel = Slow("channel")
    channel.go.set()
    deaf = Deaf()
    alerts = DayAlerts([channel], first=deaf, folder=tmp_path, title="t", alive_at=OPEN)
    monkeypatch.setattr(alerts._rules, "hear", lambda *_: 1 / 0)
    alerts.committed(1, commit(halt()))
    assert deaf.heard == [1]
    assert alerts.close() == ("alerts: some could not be worded (ZeroDivisionError)",)


def test_a_torn_file_of_marks_stops_nothing(tmp_path):
    (tmp_path / TOLD_FILE).write_text('{"channel": {"ha')
    assert [each.kind for each in told_by(tmp_path, [(1, commit(halt()))])] == ["halt"]


def test_there_is_one_test_alert_of_each_kind():
    assert [each.kind for each in one_of_each(OPEN)] == list(AlertKind)
