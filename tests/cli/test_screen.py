"""The panel of a running day: what it shows, on which widths, and the keys that steer it."""

import asyncio
import contextlib
import datetime as dt
import fcntl
import io
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from answered_days import trade
from rich.console import Console

from kitestring.cli.console import LiveConsole, PlainConsole, console_for, pace_words
from kitestring.cli.keyboard import can_listen, press
from kitestring.cli.screen import Picture, panel
from kitestring.domain.instants import instant
from kitestring.domain.money import money
from kitestring.engine.clocks import Throttle
from kitestring.engine.helm import Helm
from kitestring.engine.watching import DaySnapshot
from kitestring.store.journal import verify
from kitestring.store.state_store import (
    LimitView,
    OrderView,
    PositionView,
    RiskView,
    StateView,
    StrategyView,
)

ROOT = Path(__file__).resolve().parent.parent.parent
DAY = dt.date(2026, 11, 20)


def position(symbol, quantity, average, last, stop, unrealised):
    return PositionView(
        strategy=f"ema-{symbol}", symbol=symbol, exchange="NFO", product="MIS", quantity=quantity,
        average_price=Decimal(average), last_price=Decimal(last), realised_pnl=Decimal(0),
        unrealised_pnl=Decimal(unrealised), charges=Decimal(0),
        stop_price=None if stop is None else Decimal(stop),
    )  # fmt: skip


def order(symbol, side, quantity, trigger, purpose="STOP"):
    return OrderView(
        order_id="a", broker_order_id="b", strategy=f"ema-{symbol}", symbol=symbol, exchange="NFO",
        side=side, quantity=quantity, filled_quantity=0, order_type="SL", product="MIS",
        status="OPEN", trigger_price=Decimal(trigger), purpose=purpose,
    )  # fmt: skip


VIEW = StateView(
    timestamp="2026-11-20T11:15:43+05:30",
    mode="paper",
    run="r",
    date="2026-11-20",
    capital=Decimal(2_000_000),
    cash=Decimal(2_000_000),
    realised_pnl=Decimal("-1998.80"),
    unrealised_pnl=Decimal("372.35"),
    charges=Decimal("1966.87"),
    net_pnl=Decimal("-3593.32"),
    positions=(
        position("NIFTY26NOVFUT", -65, "23907.70", "23898.60", "23954.60", "591.50"),
        position("HDFCBANK", 487, "985.40", "984.95", None, "-219.15"),
        position("TCS", 0, "3075.30", "3072.00", "3068.30", "0"),
    ),
    open_orders=(
        order("NIFTY26NOVFUT", "BUY", 65, "23954.60"),
        order("INFY", "SELL", 232, "1483.40", "ENTRY"),
    ),
    strategies={
        "ema-NIFTY26NOVFUT": StrategyView(on=True, ready=True, instrument="NFO:NIFTY26NOVFUT"),
        "ema-HDFCBANK": StrategyView(on=True, ready=True, instrument="NSE:HDFCBANK"),
        "slow-TCS": StrategyView(on=True, ready=False, instrument="NSE:TCS"),
        "mine": StrategyView(on=False, ready=True, instrument="NSE:TCS", note="failed"),
    },
    risk=RiskView(
        halted=False,
        limits={
            "loss_max": LimitView(used="₹3,593.32", limit="₹40,000.00", fraction=0.0898),
            "open_max": LimitView(used="2", limit="2", fraction=1.0),
            "orders_max": LimitView(used="55", limit="100", fraction=0.55),
            "streak_max": LimitView(used="0", limit="4", fraction=0.0),
        },
    ),
    last_prices={},
)
PICTURE = Picture(
    title="PAPER Fri 20 Nov 2026 · synthetic (seed 1)",
    at=instant(DAY, dt.time(11, 15, 43)),
    snapshot=DaySnapshot(money("-3593.32"), money("372.35"), 2, 2, 5),
    view=VIEW,
    opens_at=instant(DAY, dt.time(9, 15)),
    closes_at=instant(DAY, dt.time(15, 30)),
    pace="60×",
    keys=True,
    last_signal="11:12:00 SELL TCS · slow-TCS: fast average fell below the slow one",
    last_refusal="11:12:00 SELL TCS · slow-TCS: 2 positions are open, the limit is 2 and nothing"
    " more is opened until one of them is closed.",
    last_fills=("10:58:00 BUY 99 INFY at ₹1,488.00 · orb", "11:06:00 SELL 65 NIFTY at ₹23,907.70"),
)


def shown(picture, width, height=40, **console):
    out = io.StringIO()
    Console(file=out, width=width, height=height, **console).print(panel(picture, width, height))
    return out.getvalue()


def lines(picture, width, height=40):
    return [line.rstrip() for line in shown(picture, width, height).splitlines()]


WIDE = """
╭─ PAPER Fri 20 Nov 2026 · synthetic (seed 1) ─────────────────────────────────────────────────────╮
│ 11:15:43  09:15 ████████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░ 15:30  32%                              │
│ net -₹3,593.32 · 2 open, 2 working, 5 trades                                                     │
│ after charges of ₹1,966.87 · realised -₹1,998.80 · unrealised +₹372.35                           │
│ positions                  qty      average         last         stop     unrealised             │
│ NIFTY26NOVFUT     SHORT     65   ₹23,907.70   ₹23,898.60   ₹23,954.60       +₹591.50             │
│ HDFCBANK          LONG     487      ₹985.40      ₹984.95      NO STOP       -₹219.15             │
│ working       SELL 232 INFY SL ₹1,483.40 · ENTRY · ema-INFY                                      │
│               BUY 65 NIFTY26NOVFUT SL ₹23,954.60 · STOP · ema-NIFTY26NOVFUT                      │
│ off           1 of 4: mine                                                                       │
│ warming       1 of 4: slow-TCS                                                                   │
│ ready         2 of 4: ema-NIFTY26NOVFUT, ema-HDFCBANK                                            │
│ risk used     ██████████ 100% open_max: 2 of 2                                                   │
│               █████░░░░░  55% orders_max: 55 of 100                                              │
│               █░░░░░░░░░   9% loss_max: ₹3,593.32 of ₹40,000.00                                  │
│ last signal   11:12:00 SELL TCS · slow-TCS: fast average fell below the slow one                 │
│ last refusal  11:12:00 SELL TCS · slow-TCS: 2 positions are open, the limit is 2 and nothing     │
│               more is opened until one of them is closed.                                        │
│ last fills    11:06:00 SELL 65 NIFTY at ₹23,907.70                                               │
│               10:58:00 BUY 99 INFY at ₹1,488.00 · orb                                            │
│ 60× · + faster  - slower  m max  1 real time  space pause  q stop                                │
╰──────────────────────────────────────────────────────────────────────────────────────────────────╯
"""

MIDDLE = """
╭─ PAPER Fri 20 Nov 2026 · synthetic (seed 1) ─────────────╮
│ 11:15:43  09:15 █████████░░░░░░░░░░░░░░░░░░░ 15:30  32%  │
│ net -₹3,593.32 · 2 open, 2 working, 5 trades             │
│ realised -₹1,998.80 · open +₹372.35 · charges ₹1,966.87  │
│ positions                 qty         stop   unrealised  │
│ NIFTY26NOVFUT     SHORT    65   ₹23,954.60     +₹591.50  │
│ HDFCBANK          LONG    487      NO STOP     -₹219.15  │
│ working       SELL 232 INFY SL ₹1,483.40                 │
│               BUY 65 NIFTY26NOVFUT SL ₹23,954.60         │
│ off           1 of 4: mine                               │
│ warming       1 of 4: slow-TCS                           │
│ ready         2 of 4: ema-NIFTY26NOVFUT, ema-HDFCBANK    │
│ risk used     ██████████ 100% open_max: 2 of 2           │
│               █████░░░░░  55% orders_max: 55 of 100      │
│               █░░░░░░░░░   9% loss_max: ₹3,593.32 of ₹4… │
│ last signal   11:12:00 SELL TCS · slow-TCS: fast average │
│               fell below the slow one                    │
│ last refusal  11:12:00 SELL TCS · slow-TCS: 2 positions  │
│               are open, the limit is 2 and nothing …     │
│ last fills    11:06:00 SELL 65 NIFTY at ₹23,907.70       │
│               10:58:00 BUY 99 INFY at ₹1,488.00 · orb    │
│ 60× · + - m(ax) 1× space(pause) q(uit)                   │
╰──────────────────────────────────────────────────────────╯
"""

PHONE = """
╭─ PAPER Fri 20 Nov 2026 · synthetic… ─╮
│ 11:15:43  09:15 ██░░░░░░ 15:30  32%  │
│ net -₹3,593.32                       │
│ 2 open, 2 working, 5 trades          │
│ open +₹372.35 · charges ₹1,966.87    │
│ positions     2                      │
│ NIFTY26NOVFUT S65           +₹591.50 │
│   ₹23,898.60 stop ₹23,954.60         │
│ HDFCBANK L487               -₹219.15 │
│   ₹984.95 NO STOP                    │
│ working       2                      │
│   SELL 232 INFY SL ₹1,483.40         │
│   BUY 65 NIFTY26NOVFUT SL ₹23,954.60 │
│ off           1 of 4                 │
│ warming       1 of 4                 │
│ ready         2 of 4                 │
│ ██████████ 100% open_max             │
│ █████░░░░░  55% orders_max           │
│ █░░░░░░░░░   9% loss_max             │
│ last signal                          │
│   11:12:00 SELL TCS · slow-TCS: fast │
│   average fell below the slow one    │
│ last refusal                         │
│   11:12:00 SELL TCS · slow-TCS: 2    │
│   positions are open, the limit is 2 │
│   and nothing more is opened until … │
│ 11:06:00 SELL 65 NIFTY at ₹23,907.70 │
│ 10:58:00 BUY 99 INFY at ₹1,488.00 ·… │
│ 60× · + - m 1 space q                │
╰──────────────────────────────────────╯
"""


@pytest.mark.parametrize(
    ("width", "expected"), [(100, WIDE), (60, MIDDLE), (40, PHONE)], ids=["wide", "middle", "phone"]
)
def test_the_panel_tells_the_day_in_the_columns_there_are(width, expected):
    assert lines(PICTURE, width) == expected.strip().splitlines()


@pytest.mark.parametrize("width", [12, 20, 33, 40, 55, 59, 60, 80, 87, 88, 120, 200])
@pytest.mark.parametrize("height", [6, 12, 24])
def test_no_terminal_is_too_small_for_it(width, height):
    drawn = lines(PICTURE, width, height)
    assert max(map(len, drawn)) <= width
    assert len(drawn) <= height


def test_a_low_terminal_keeps_clock_result_positions_and_keys():
    drawn = "\n".join(lines(PICTURE, 100, 9))
    assert "11:15:43" in drawn
    assert "net -₹3,593.32" in drawn
    assert "HDFCBANK          LONG     487" in drawn
    assert "q stop" in drawn
    assert "last fills" not in drawn


def test_a_halt_is_told_first_and_a_day_without_keys_says_so():
    halted = msgspec.structs.replace(
        PICTURE,
        keys=False,
        view=msgspec.structs.replace(
            VIEW, risk=RiskView(halted=True, reason="₹40,000 of ₹40,000 is lost today.")
        ),
    )
    drawn = lines(halted, 100)
    assert drawn[3].startswith("│ HALTED: ₹40,000 of ₹40,000 is lost today.")
    assert drawn[-2].startswith("│ 60× · no keys here; Ctrl-C stops")


def test_a_terminal_without_colours_gets_none():
    drawn = shown(PICTURE, 100, force_terminal=True, no_color=True, color_system="standard")
    assert "\x1b[3" not in drawn.replace("\x1b[3m", "")
    coloured = shown(PICTURE, 100, force_terminal=True, color_system="standard", _environ={})
    assert "\x1b[32m" in coloured


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert type(console_for(Terminal())) is PlainConsole


def helm(speed):
    return Helm(Throttle(speed), lambda: None)


@pytest.mark.parametrize(
    ("speed", "keys", "pace"),
    [
        (60.0, "+", "120×"),
        (60.0, "=", "120×"),
        (60.0, "-", "30×"),
        (60.0, "++-", "120×"),
        (60.0, "m", "max"),
        (60.0, "1", "1×"),
        (60.0, " ", "paused (60×)"),
        (60.0, " +", "paused (120×)"),
        (60.0, "  ", "60×"),
        (4096.0, "+", "max"),
        (None, "+", "max"),
        (None, "-", "4096×"),
        (0.25, "-", "0.25×"),
        (60.0, "Q", "stopping"),
    ],
)
def test_a_key_changes_how_fast_the_day_goes(speed, keys, pace):
    steered = helm(speed)
    assert press(steered, keys)
    assert pace_words(steered) == pace


@pytest.mark.parametrize("keys", ["x", "\x1b[1;5C", "\n"])
def test_other_keys_mean_nothing(keys):
    steered = helm(60.0)
    assert not press(steered, keys)
    assert pace_words(steered) == "60×"


def test_what_is_no_terminal_of_ours_is_not_listened_to():
    assert not can_listen(io.StringIO())
    assert not can_listen(None)


class Restless(LiveConsole):
    """Somebody who tries every key while the day runs."""

    @contextlib.contextmanager
    def attending(self, helm, look):
        with super().attending(helm, look):
            loop = asyncio.get_running_loop()
            for number, key in enumerate(("+", " ", "-", " ", "+", "m")):
                loop.call_later(0.03 * number, self._pressed, key)
            yield


def head(artifacts):
    (path,) = (artifacts / "runs").glob("*/journal.sqlite")
    found = verify(path)
    return found.commits, found.head


def test_a_day_decides_the_same_whoever_looks_on_and_however_fast(tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    trade(tmp_path / "unseen")
    out, plain = Terminal(), io.StringIO()
    trade(tmp_path / "seen", watcher=Restless(out), speed=20_000.0)
    trade(tmp_path / "piped", watcher=console_for(plain))
    assert "open, " in out.getvalue()
    assert "PAPER Fri" in out.getvalue()
    assert "risk used" in out.getvalue()
    assert "\x1b" not in plain.getvalue()
    assert head(tmp_path / "seen") == head(tmp_path / "unseen") == head(tmp_path / "piped")
    # The panel gives way to the table a file gets.
    after = out.getvalue()[out.getvalue().rfind("\x1b[?25h") :].splitlines()
    table = plain.getvalue().splitlines()
    (headline,) = (line for line in table if "finished, net" in line)
    assert headline in after
    (charges,) = (line for line in table if line.startswith("charges  "))
    assert charges in after


class Seen:
    """The command on a real pseudo-terminal, as a person has it."""

    def __init__(self, folder, *typed):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.text = ""
        self.command = subprocess.Popen(
            [sys.executable, "-c", OURS, "--artifacts", str(folder), *typed],
            cwd=ROOT, stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True, env={**os.environ, "TERM": "xterm-256color"},
        )  # fmt: skip

    def press(self, keys):
        os.write(self.master, keys.encode())

    def until(self, words):
        """Read on until the words are shown."""
        self.text = ""
        deadline = time.monotonic() + 60
        while words not in self.text:
            assert time.monotonic() < deadline, (words, self.text[-3000:])
            self._read(0.2)

    def end(self):
        deadline = time.monotonic() + 60
        while self.command.poll() is None:
            assert time.monotonic() < deadline, self.text[-3000:]
            self._read(0.1)
        while self._read(0.1):
            pass
        return self.command.returncode

    def _read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        self.text += os.read(self.master, 65_536).decode(errors="replace")
        return True

    def close(self):
        if self.command.poll() is None:
            self.command.kill()
            self.command.wait()
        os.close(self.master)
        os.close(self.slave)


OURS = """
import fcntl, runpy, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.argv[0] = "run_day"
runpy.run_module("scripts.run_day", run_name="__main__")
"""
"""The command with the pseudo-terminal as its own, as a shell starts it."""


@pytest.mark.parametrize("leave", ["q", "\x03"], ids=["q", "ctrl-c"])
def test_keys_steer_a_real_day_and_the_terminal_is_given_back(tmp_path, leave):
    with contextlib.closing(Seen(tmp_path / "artifacts", "--speed", "600")) as day:
        day.until("q stop")
        assert termios.tcgetattr(day.slave) != day.before
        day.press("+")
        day.until("1200×")
        day.press(" ")
        day.until("paused (1200×)")
        day.press(leave)
        assert day.end() == 130
        assert "Start the same command again to go on from here." in day.text
        assert "Traceback" not in day.text
        assert termios.tcgetattr(day.slave) == day.before
        assert day.text.rfind("\x1b[?25h") > day.text.rfind("\x1b[?25l")


async def _steered(act):
    throttle = Throttle(1.0)
    await throttle.until(0)
    waiting = asyncio.create_task(throttle.until(10**12))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    act(throttle)
    await asyncio.wait_for(waiting, 30)
    return throttle


def test_whoever_waits_for_the_next_tick_hears_of_a_new_speed_and_of_the_end():
    def to_max(throttle):
        throttle.speed = None

    def end_of_a_pause(throttle):
        throttle.paused = True
        throttle.release()

    assert not asyncio.run(_steered(to_max)).every_frame
    asyncio.run(_steered(end_of_a_pause))


async def _paused(speed):
    throttle = Throttle(speed)
    await throttle.until(0)
    throttle.paused = True
    assert throttle.every_frame
    waiting = asyncio.create_task(throttle.until(1))
    await asyncio.sleep(0.1)
    stood_still = not waiting.done()
    throttle.paused = False
    await asyncio.wait_for(waiting, 30)
    return stood_still


@pytest.mark.parametrize("speed", [None, 1_000.0], ids=["max", "1000"])
def test_in_a_pause_no_tick_comes_even_of_a_day_as_fast_as_it_goes(speed):
    assert asyncio.run(_paused(speed))
