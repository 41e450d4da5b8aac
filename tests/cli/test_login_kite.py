"""Logging in as a person does: by browser, from a phone over SSH, by pasting, and what may go wrong."""

import asyncio
import datetime as dt
import io
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec
import pytest

from kitestring.broker.kite_session import TokenStore
from kitestring.broker.kite_settings import KiteSettings, local_settings
from kitestring.broker.secret_files import write_secret_file
from kitestring.cli import login_flow
from kitestring.cli.login_flow import NoToken, log_in, login_address, request_token_in
from kitestring.cli.login_kite import login_kite
from kitestring.cli.pasted_lines import PastedLines
from kitestring.cli.redirect_catcher import RedirectCatcher
from kitestring.cli.run_day import run_command
from kitestring.domain.errors import ConfigError, NotLoggedIn
from kitestring.domain.instants import instant
from kitestring.exchange.desk.sessions import App
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.serving import Served

sys.path.append(str(Path(__file__).resolve().parent.parent / "exchange" / "wire"))
from stage_rig import DAY, CalmMarket

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "CANARYsecret0123456789"
ENVIRONMENT = {"KITE_API_KEY": "mine", "KITE_API_SECRET": SECRET}
FIVE = instant(DAY, dt.time(5, 0))
NINE = instant(DAY, dt.time(9, 0))


def free_port():
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return line.getsockname()[1]


class Login:
    """A person, a browser and a terminal, in front of a served exchange."""

    def __init__(self, served, folder, port, now):
        self.served, self.port, self.now = served, port, now
        self.store = TokenStore(folder, ENVIRONMENT)
        self.said = []
        reading, self.keyboard = os.pipe()
        self.stdin = os.fdopen(reading)
        settings = msgspec.structs.replace(local_settings(served.rest), redirect_port=port)
        self.settings = settings

    def start(self, **more):
        more = {"lines": PastedLines(self.stdin), "show": False, "now": lambda: self.now} | more
        return asyncio.create_task(log_in(self.settings, self.store, self.said.append, **more))

    async def address(self):
        """Where the person is sent, once the house listens for the way back."""
        await self.until("press Enter")
        return re.search(r"http://\S+connect/login\S+", self.screen)[0]

    async def until(self, said):
        async with asyncio.timeout(10):
            while said not in self.screen:  # noqa: ASYNC110  # a terminal has no event
                await asyncio.sleep(0.01)

    async def press_the_button(self, address):
        """What the browser does; returns where the exchange sends it."""
        async with aiohttp.ClientSession() as http:
            answer = await http.post(address, allow_redirects=False)
            assert answer.status == 302
            return answer.headers["Location"]

    async def visit(self, address, **headers):
        async with aiohttp.ClientSession() as http, http.get(address, headers=headers) as answer:
            return answer.status, await answer.text()

    def type(self, line):
        os.write(self.keyboard, f"{line}\n".encode())

    @property
    def screen(self):
        return "\n".join(self.said)


def logging_in(tmp_path, conversation, *, now=NINE):
    async def hold():
        port = free_port()
        app = App(api_key="mine", api_secret=SECRET, redirect_url=f"http://127.0.0.1:{port}/back")
        clock = ExchangeClock(now, 1.0)
        exchange = LocalExchange(ExchangeSettings(apps=(app,)), CalmMarket(), clock)
        served = Served(exchange)
        await served.start()
        login = Login(served, tmp_path / "secrets", port, now)
        try:
            await conversation(login)
        finally:
            os.close(login.keyboard)
            await asyncio.sleep(0.02)
            login.stdin.close()
            await served.stop()
        assert SECRET not in login.screen

    asyncio.run(hold())


def test_the_browser_comes_back_by_itself(tmp_path):
    async def talk(it):
        task = it.start()
        back = await it.press_the_button(await it.address())
        status, page = await it.visit(back)
        token = await asyncio.wait_for(task, 5)
        assert status == 200
        assert parse_qs(urlsplit(back).query)["request_token"][0] not in page + it.screen
        assert it.store.token(NINE) == msgspec.structs.replace(token, user_name="")
        assert "as KS0001 (Kitestring Rehearsal), until 06:00 on Sat 21 Nov 2026" in it.screen
        assert "the local exchange (no money is real there)" in it.screen
        assert token.access_token.reveal() not in it.screen
        assert "06:00 already" not in it.screen
        assert stat.S_IMODE(it.store.path.stat().st_mode) == 0o600
        with pytest.raises(aiohttp.ClientConnectorError):  # nobody listens any more
            await it.visit(back)

    logging_in(tmp_path, talk)


def test_from_a_phone_the_whole_address_is_pasted(tmp_path):
    async def talk(it):
        task = it.start()
        back = await it.press_the_button(await it.address())
        for line, said in (
            ("", ""),
            ("123456", "second factor. Type it on Kite's page, never here"),
            ("hunter2", "That holds no request token"),
            ("http://127.0.0.1/?status=failed", "did not succeed"),
        ):
            it.type(line)
            await it.until(said)
        it.type(f"  {back} ")
        await asyncio.wait_for(task, 5)
        assert "hunter2" not in it.screen
        assert "123456" not in it.screen

    logging_in(tmp_path, talk)


def test_a_taken_port_leaves_the_paste(tmp_path):
    async def talk(it):
        with socket.socket() as other:
            other.bind(("127.0.0.1", it.port))
            other.listen()
            task = it.start()
            back = await it.press_the_button(await it.address())
            it.type(back)
            await asyncio.wait_for(task, 5)
        assert f"Port {it.port} is taken by another program" in it.screen

    logging_in(tmp_path, talk)


def test_with_neither_port_nor_paste_nobody_logs_in(tmp_path):
    async def talk(it):
        with socket.socket() as other:
            other.bind(("127.0.0.1", it.port))
            other.listen()
            with pytest.raises(NotLoggedIn, match="nothing was pasted"):
                await asyncio.wait_for(it.start(lines=PastedLines(io.StringIO(""))), 5)

    logging_in(tmp_path, talk)


def test_the_end_of_the_input_still_leaves_the_browser(tmp_path):
    async def talk(it):
        task = it.start(lines=PastedLines(io.StringIO("")))
        await it.visit(await it.press_the_button(await it.address()))
        await asyncio.wait_for(task, 5)

    logging_in(tmp_path, talk)


def test_a_strangers_page_cannot_log_us_in_to_the_strangers_account(tmp_path):
    async def talk(it):
        task = it.start()
        address = await it.address()
        back = f"http://127.0.0.1:{it.port}/"
        forged = f"{back}?request_token={'s' * 32}&status=success"
        assert (await it.visit(forged))[0] == 403
        assert (await it.visit(f"{forged}&kitestring=0000000000000000"))[0] == 403
        assert (await it.visit(back))[0] == 404
        own = await it.press_the_button(address)
        assert (await it.visit(own, Host="evil.example:80"))[0] == 403
        failed = own.replace("status=success", "status=failed")
        assert (await it.visit(failed))[0] == 400
        assert not task.done()
        assert (await it.visit(own))[0] == 200
        await asyncio.wait_for(task, 5)

    logging_in(tmp_path, talk)


def test_before_six_it_says_that_the_token_dies_today(tmp_path):
    async def talk(it):
        task = it.start()
        it.type(await it.press_the_button(await it.address()))
        token = await asyncio.wait_for(task, 5)
        assert "until 06:00 on Fri 20 Nov 2026" in it.screen
        assert "It is 05:00 in India: a token made now dies at 06:00 already" in it.screen
        assert token.dies_at - FIVE < 3_600_000_001

    logging_in(tmp_path, talk, now=FIVE)


@pytest.mark.parametrize(("now", "warned"), [(FIVE, True), (NINE, False)])
def test_at_kite_it_says_so_before_anybody_types_a_password(tmp_path, now, warned):
    said = []
    store = TokenStore(tmp_path, ENVIRONMENT)
    lines = PastedLines(io.StringIO("nothing of use\n"))
    with pytest.raises(ConfigError):
        asyncio.run(
            log_in(
                KiteSettings(), store, said.append, lines=lines, show=False, given="-",
                now=lambda: now,
            )
        )  # fmt: skip
    assert any("06:00 already" in line for line in said) == warned


def test_a_given_request_token_asks_for_nothing(tmp_path):
    async def talk(it):
        sessions = it.served.exchange.sessions
        bare = sessions.request_token(NINE, "mine")
        await it.start(given=bare)
        assert "connect/login" not in it.screen
        it.type(
            f"http://127.0.0.1/?status=success&request_token={sessions.request_token(NINE, 'mine')}"
        )
        await asyncio.wait_for(it.start(given="-"), 5)
        with pytest.raises(NotLoggedIn, match="Start the login again"):
            await it.start(given=bare)
        with pytest.raises(ConfigError, match="second factor") as caught:
            await it.start(given="123456")
        assert "123456" not in str(caught.value)

    logging_in(tmp_path, talk)


def test_a_token_in_the_environment_is_told_of(tmp_path):
    async def talk(it):
        it.store = TokenStore(it.store.folder, ENVIRONMENT | {"KITE_ACCESS_TOKEN": "old0old0old"})
        given = it.served.exchange.sessions.request_token(NINE, "mine")
        await it.start(given=given)
        assert "unset KITE_ACCESS_TOKEN" in it.screen

    logging_in(tmp_path, talk)


def test_without_key_or_secret_it_says_where_they_go(tmp_path):
    async def talk(it):
        it.store = TokenStore(it.store.folder, {})
        with pytest.raises(ConfigError, match=r"developers\.kite\.trade"):
            await it.start()

    logging_in(tmp_path, talk)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="a screen is always there")
@pytest.mark.parametrize(("display", "times"), [("", 0), (":0", 1)])
def test_the_browser_is_opened_only_where_there_is_one(tmp_path, monkeypatch, display, times):
    opened = []
    monkeypatch.setattr(login_flow.webbrowser, "open", opened.append)
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)

    async def talk(it):
        task = it.start(show=True)
        address = await it.address()
        it.type(await it.press_the_button(address))
        await asyncio.wait_for(task, 5)
        assert opened == [address] * times

    logging_in(tmp_path, talk)


def test_the_address_is_kites_with_our_nonce():
    settings = msgspec.structs.replace(local_settings("http://127.0.0.1:1"), api_key="mine")
    assert login_address(settings, "n0") == (
        "http://127.0.0.1:1/connect/login?v=3&api_key=mine&redirect_params=kitestring%3Dn0"
    )


@pytest.mark.parametrize(
    "text",
    [
        "abcdefghijklmnop0123456789ABCDEF",
        " abcdefghijklmnop0123456789ABCDEF\n",
        "http://127.0.0.1:8765/?action=login&status=success&request_token=abcdefghijklmnop0123456789ABCDEF",
        "<https://my.app/back?keep=1&request_token=abcdefghijklmnop0123456789ABCDEF&status=success#x>",
        "?request_token=abcdefghijklmnop0123456789ABCDEF",
    ],
)
def test_what_may_be_pasted(text):
    assert request_token_in(text) == "abcdefghijklmnop0123456789ABCDEF"


@pytest.mark.parametrize(
    "text",
    ["", "x", "http://127.0.0.1/", "https://kite.zerodha.com/connect/login?api_key=mine", "12345678",
     "http://x/?request_token=", "http://x/?request_token=a b", "p@ssword with spaces", "http://[x"],
)  # fmt: skip
def test_what_may_not(text):
    with pytest.raises(NoToken) as caught:
        request_token_in(text)
    assert not text or text not in str(caught.value)


def test_a_catcher_listens_on_this_machine_only():
    async def talk():
        catcher = RedirectCatcher(0, "n")
        assert await catcher.open()
        host, _ = catcher._runner.addresses[0][:2]
        await catcher.close()
        return host

    assert asyncio.run(talk()) == "127.0.0.1"


def test_the_command_says_what_is_wrong_in_one_sentence(tmp_path, monkeypatch, capsys):
    for name in ("KITE_API_KEY", "KITE_API_SECRET", "KITE_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert run_command(login_kite, ["--secrets", str(tmp_path / "none")]) == 2
    shown = capsys.readouterr()
    assert "KITE_API_KEY is not known" in shown.err
    assert "Traceback" not in shown.err
    bad = tmp_path / "bad.yaml"
    bad.write_text("kite:\n  api_root: http://example.com\n", encoding="utf-8")
    assert run_command(login_kite, ["--config", str(bad)]) == 2
    assert "bad.yaml:" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_ctrl_c_leaves_cleanly(tmp_path):
    """The real command in a real terminal's place: no traceback, at once, and with 130."""
    write_secret_file(tmp_path / "s" / "kite.env", ENVIRONMENT, "test")
    config = tmp_path / "c.yaml"
    port = free_port()
    config.write_text(
        f"kite:\n  api_root: http://127.0.0.1:9\n  redirect_port: {port}\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "scripts.login_kite", "--no-open", "--config", str(config)]
    program = subprocess.Popen(
        [*command, "--secrets", str(tmp_path / "s")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with program:
        lines = []
        reading = threading.Thread(target=lambda: lines.extend(program.stdout), daemon=True)
        reading.start()
        end = time.monotonic() + 20
        while not any("paste" in line for line in lines):
            assert time.monotonic() < end
            assert program.poll() is None, lines
            time.sleep(0.02)
        program.send_signal(signal.SIGINT)
        assert program.wait(10) == 130
        reading.join(5)
    assert "Traceback" not in "".join(lines)
    assert SECRET not in "".join(lines)
