"""The door of a live day over a real Unix socket: good clients, bad ones, strangers, and what dead days leave."""

import asyncio
import json
import os
import socket
import stat
import threading
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace

import pytest
from live_stage import at

from kitestring.cli.control_line import NoAnswer, NoEngine, ask
from kitestring.domain.events import OperatorCommand
from kitestring.engine import control_socket
from kitestring.engine.control_socket import ELSEWHERE, LINE_MAX, SOCKET, ControlSocket, where
from kitestring.engine.control_words import Asked
from kitestring.engine.halt_watch import HaltWatch

RESOLVE = {"word": "resolve", "symbol": "INFY", "resolution": "adopt"}


class InboxOnly:
    """A day of which nothing but the inbox is there."""

    def __init__(self):
        self.heard = []
        state = SimpleNamespace(untrusted="")
        self.frozen = {"NSE:INFY": SimpleNamespace(instrument="NSE:INFY")}
        view = SimpleNamespace(state=SimpleNamespace(frozen=self.frozen))
        self.core = SimpleNamespace(instruments={"NSE:INFY": None}, state=state, view=view)

    def hear(self, fact):
        self.heard.append(fact)

    def now(self):
        return at("10:00")

    def order(self, word, reason, **more):
        command = OperatorCommand(at=at("10:00"), word=word, reason=reason, **more)
        self.heard.append(command)
        self.was = self.frozen.pop(command.instrument)
        return command

    def waits(self, heard):
        return False


@asynccontextmanager
async def open_door(artifacts):
    day = InboxOnly()
    async with ControlSocket(artifacts, HaltWatch(artifacts)).attend(day, None):
        yield day


class Client:
    every = []  # noqa: RUF012 - emptied by ``played``

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.every.append(self)

    @classmethod
    async def at(cls, artifacts):
        return cls(*await asyncio.open_unix_connection(str(where(artifacts))))

    async def send(self, line):
        if not isinstance(line, bytes):
            line = json.dumps(line).encode() + b"\n"
        self.writer.write(line)
        await self.writer.drain()

    async def says(self):
        async with asyncio.timeout(5):
            line = await self.reader.readline()
        return json.loads(line) if line else None

    async def ask(self, line):
        await self.send(line)
        return await self.says()


def played(artifacts, play):
    async def whole():
        try:
            async with open_door(artifacts) as day:
                return await play(day)
        finally:
            while Client.every:
                writer = Client.every.pop().writer
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    return asyncio.run(whole())


def test_the_door_is_the_owners_alone_and_goes_with_the_day(tmp_path):
    async def play(day):
        place = tmp_path / "live" / SOCKET
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
        return await (await Client.at(tmp_path)).ask(RESOLVE)

    answer = played(tmp_path, play)
    assert answer == {"ok": True, "says": "NSE:INFY: adopt was taken."}
    assert where(tmp_path) is None
    assert list((tmp_path / "live").iterdir()) == []


def test_another_user_is_not_heard(tmp_path, monkeypatch):
    async def play(day):
        client = await Client.at(tmp_path)
        monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
        try:
            return await client.ask(RESOLVE), day.heard
        except ConnectionError:
            return None, day.heard
        finally:
            monkeypatch.undo()

    assert played(tmp_path, play) == (None, [])


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ({"word": "sell"}, "There is no word 'sell' here; there are status, halt, flatten"),
        ({"word": "status", "also": 1}, "That is no request"),
        (b"halt\n", "That is no request"),
        (b"[" * 4000 + b"\n", "That is no request"),
        (b"\xff\xfe\n", "That is no request"),
        (b"\n", "That is no request"),
    ],
)
def test_nonsense_is_answered_with_what_there_is_and_the_line_goes_on(tmp_path, line, sentence):
    async def play(day):
        client = await Client.at(tmp_path)
        return await client.ask(line), await client.ask(RESOLVE)

    wrong, right = played(tmp_path, play)
    assert not wrong["ok"]
    assert sentence in wrong["says"]
    assert right["ok"]


def test_a_line_without_end_costs_its_client_and_nobody_else(tmp_path):
    async def play(day):
        bad, good = await Client.at(tmp_path), await Client.at(tmp_path)
        await bad.send(b"x" * (4 * LINE_MAX))
        told = await bad.says()
        over = await bad.says()
        gone = await Client.at(tmp_path)
        gone.writer.transport.abort()
        half = await Client.at(tmp_path)
        await half.send(b'{"word": "res')
        return told, over, await good.ask(RESOLVE)

    told, over, right = played(tmp_path, play)
    assert str(LINE_MAX) in told["says"]
    assert over is None
    assert right["ok"]


def test_there_is_an_end_to_how_many_may_stand_in_the_door(tmp_path):
    async def play(day):
        first = [await Client.at(tmp_path) for _ in range(control_socket.CLIENTS_MAX)]
        assert (await first[0].ask(RESOLVE))["ok"]
        refused = await (await Client.at(tmp_path)).says()
        first[1].writer.close()
        day.frozen["NSE:INFY"] = day.was
        await asyncio.sleep(0.05)
        return refused, await (await Client.at(tmp_path)).ask(RESOLVE)

    refused, after = played(tmp_path, play)
    assert refused["says"] == "Too many terminals at once."
    assert after["ok"]


def test_a_client_that_says_nothing_is_sent_away(tmp_path, monkeypatch):
    monkeypatch.setattr(control_socket, "IDLE_S", 0.05)

    async def play(day):
        return await (await Client.at(tmp_path)).says()

    assert played(tmp_path, play) is None


def test_what_a_dead_day_left_is_replaced_and_a_living_one_is_not(tmp_path):
    (tmp_path / "live").mkdir()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "live" / SOCKET))
    left.close()
    with pytest.raises(NoEngine, match="it died"):
        ask(tmp_path, Asked(word="status"))

    async def play(day):
        async with open_door(tmp_path) as second:
            (note,) = second.heard
            assert "another day listens there" in note.sentence
        return await (await Client.at(tmp_path)).ask(RESOLVE)

    assert played(tmp_path, play)["ok"], "the second day did not take the first one's door away"


def test_a_folder_with_a_long_name_has_a_door_too(tmp_path):
    deep = tmp_path / ("a" * 60) / ("b" * 60)

    async def play(day):
        place = where(deep)
        assert len(os.fsencode(place)) < 108
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE((deep / "live" / ELSEWHERE).stat().st_mode) == 0o600
        return place, await (await Client.at(deep)).ask(RESOLVE)

    place, answer = played(deep, play)
    assert answer["ok"]
    assert not place.parent.exists()
    assert where(deep) is None


def test_a_door_that_cannot_be_opened_costs_the_day_nothing_else(tmp_path):
    (tmp_path / "live").write_text("a file in the way")

    async def play(day):
        return day.heard

    (note,) = played(tmp_path, play)
    assert "No second terminal today" in note.sentence


def test_a_fault_of_ours_in_an_answer_ends_one_conversation_and_is_said(tmp_path):
    async def play(day):
        bad, good = await Client.at(tmp_path), await Client.at(tmp_path)
        told = await bad.ask({"word": "reconcile"})  # this day has no books at all
        return told, day.heard, await good.ask(RESOLVE)

    told, heard, right = played(tmp_path, play)
    assert told is None
    assert "A word of a second terminal failed: AttributeError" in heard[0].sentence
    assert right["ok"]


def test_who_asks_where_nobody_is_or_nobody_answers_is_told_so(tmp_path, monkeypatch):
    with pytest.raises(NoEngine, match="No live day runs"):
        ask(tmp_path, Asked(word="status"))
    (tmp_path / "live").mkdir()
    with socket.socket(socket.AF_UNIX) as dumb:
        dumb.bind(str(tmp_path / "live" / SOCKET))
        dumb.listen(1)
        monkeypatch.setattr("kitestring.cli.control_line.ANSWER_WITHIN_S", 0.1)
        with pytest.raises(NoAnswer, match="does not answer"):
            ask(tmp_path, Asked(word="status"))


def test_the_day_is_asked_from_a_second_thread_as_from_a_second_terminal(tmp_path):
    heard = []

    def second():
        heard.append(ask(tmp_path, Asked(word="resolve", symbol="INFY", resolution="adopt")))

    async def play(day):
        thread = threading.Thread(target=second)
        thread.start()
        await asyncio.to_thread(thread.join)

    played(tmp_path, play)
    assert heard[0].ok
