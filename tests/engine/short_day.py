"""Forty minutes of a synthetic day that trade a lot, a house that may be killed in it, and its judge.

The judge believes the exchange's own ledger, read as plain JSON, and never the engine's opinion.
"""

import csv
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
from day_to_kill import Market, Orders

from kitestring.domain.instants import MINUTE, instant
from kitestring.domain.ports import Commit
from kitestring.domain.positions import Fill
from kitestring.domain.sessions import Phase, PhaseKind
from kitestring.domain.ticks import TickFrame
from kitestring.domain.verdicts import PlaceOrder
from kitestring.exchange.instrument_master import instruments_on
from kitestring.exchange.synthetic_market import SyntheticFeed
from kitestring.store.journal import SqliteJournal
from kitestring.store.tape_reader import TapeReader

ROOT = Path(__file__).resolve().parent.parent.parent
RUNNER = Path(__file__).resolve().parent / "day_to_kill.py"
DAY = dt.date(2026, 11, 20)
MINUTES = 40
QUIET = 25 * MINUTE
"""After the last tick: the session runs on without a market."""
NAMES = ("NIFTY", "BANKNIFTY", "RELIANCE", "HDFCBANK", "INFY", "SBIN")

CONFIG = """\
trading:
  mode: paper
  paper_capital: 2 crore
  logical_universe: [NIFTY, BANKNIFTY, RELIANCE, HDFCBANK, INFY, SBIN]
paper:
  fill_model: {fill_model}
  charges: zerodha
risk:
  max_daily_loss_pct: {daily_loss}
  per_trade_risk_pct: 0.02%
  max_symbol_loss_pct: off
  max_drawdown_pct: off
  max_open_positions: 12
  max_gross_exposure_x: 20
  max_net_exposure_x: 20
strategies:
  - strategy: ema_cross
    instruments: [NIFTY, RELIANCE]
    timeframe: 1m
    params: {{fast: 2, slow: 4}}
    lots: 1
  - strategy: ema_trend
    name: trend
    instruments: [BANKNIFTY, HDFCBANK, INFY, SBIN]
    timeframe: 1m
    params: {{fast: 2, slow: 5, atr_bars: 3, stop_atr: 1.0, trail_atr: 1.5, apart_atr: 0.0,
             last_entry_before_close: 5}}
"""


def make_market(path, *, seconds_per_frame=1, seed=1):
    """Write the short market into a file."""
    chosen = [
        each
        for each in instruments_on(DAY)
        if each.name in NAMES and (each.segment.value != "FUTURES" or "NOV" in each.symbol)
    ]
    feed = SyntheticFeed(DAY, seed, chosen)
    open_at = instant(DAY, dt.time(9, 15))
    end_at = open_at + MINUTES * MINUTE
    sessions = {
        segment: msgspec.structs.replace(
            session,
            close_at=end_at + QUIET,
            square_off_at=end_at - 3 * MINUTE,
            entry_cutoff_at=end_at - 5 * MINUTE,
            phases=(Phase(PhaseKind.CONTINUOUS, open_at, end_at + QUIET),),
        )
        for segment, session in feed.manifest.sessions.items()
    }
    frames = []
    for frame in feed.frames():
        if frame.ticks[0].event_at >= end_at:
            break
        frames.append(frame)
    if seconds_per_frame > 1:
        # From the second one on, so that the ends of minutes fall into the middle of frames.
        starts = range(1, len(frames), seconds_per_frame)
        frames = [_joined(frames[start : start + seconds_per_frame]) for start in starts]
    manifest = msgspec.structs.replace(
        feed.manifest, sessions=sessions, frames_hint=len(frames), name="an hour of a synthetic day"
    )
    market = Market(
        manifest=msgspec.json.encode(manifest),
        frames=tuple(frames),
        history={f"{each.id}/1": tuple(feed.history(each.id, 1, 60)) for each in chosen},
    )
    path.write_bytes(msgspec.msgpack.encode(market))


def _joined(frames):
    return TickFrame(
        frames[-1].received_at, tuple(tick for frame in frames for tick in frame.ticks)
    )


class House:
    """One artifacts folder and the command that trades in it."""

    def __init__(self, folder, market, *, fill_model="market", daily_loss="off"):
        self.folder = folder
        self.market = market
        self.artifacts = folder / "artifacts"
        self.note = folder / "deaths.jsonl"
        self.config = folder / "paper.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(CONFIG.format(fill_model=fill_model, daily_loss=daily_loss))

    def command(self, *typed, **suffers):
        """The command line of one start."""
        orders = self.folder / "orders.json"
        suffers.setdefault("note", str(self.note))
        orders.write_bytes(msgspec.json.encode(Orders(market=str(self.market), **suffers)))
        house = ("--config", str(self.config), "--artifacts", str(self.artifacts), "--json")
        return [sys.executable, "-c", WITHOUT_PANDAS, str(RUNNER), str(orders), *house, *typed]

    def start(self, *typed, **suffers):
        """Start the day and wait for whatever becomes of it."""
        return subprocess.run(
            self.command(*typed, **suffers),
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=120, env=ENVIRONMENT,
        )  # fmt: skip

    def killed(self, moment, count, **suffers):
        """Start the day, see it die where it was told to, and return what it wrote before."""
        before = len(self.deaths())
        ran = self.start(kill=(moment, count), **suffers)
        assert ran.returncode == -9, (moment, count, ran.returncode, ran.stderr[-2000:])
        deaths = self.deaths()
        assert len(deaths) == before + 1
        assert (deaths[-1]["moment"], deaths[-1]["count"]) == (moment, count)
        return deaths[-1]

    def finished(self, *typed, **suffers):
        """Start the day, see it end well, and return its summary."""
        ran = self.start(*typed, **suffers)
        assert ran.returncode == 0, (ran.returncode, ran.stderr[-900:])
        return json.loads(ran.stdout, parse_float=str)

    def deaths(self):
        if not self.note.exists():
            return []
        return [json.loads(line) for line in self.note.read_text().splitlines()]

    @property
    def run(self):
        """The folder of the one run there is."""
        (folder,) = (self.artifacts / "runs").iterdir()
        return folder

    def commits(self):
        """Every commit in the journal, read from a copy, so that looking changes nothing."""
        copy = self.folder / "journal read by the judge"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for name in ("journal.sqlite", "journal.sqlite-wal"):
            if (self.run / name).exists():
                shutil.copy(self.run / name, copy / name)
        if not (copy / "journal.sqlite").exists():
            return []
        journal = SqliteJournal(copy / "journal.sqlite")
        try:
            return list(journal.commits())
        finally:
            journal.close()

    def ledger_text(self):
        path = self.run / "exchange_ledger.jsonl"
        return path.read_text() if path.exists() else ""

    def ledger(self):
        """Every entry of the exchange's ledger whose line is whole."""
        lines = self.ledger_text().split("\n")[:-1]
        return [entry for line in lines for entry in json.loads(line)["entries"]]

    def table(self, name):
        with (self.run / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


WITHOUT_PANDAS = """
import runpy, sys
# TA-Lib imports it where it finds it (in a development environment): longer than the whole day.
sys.modules["pandas"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
# Each start orders its sets differently, as it does on a user's machine; compiled code is kept.
for _name in ("PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE"):
    ENVIRONMENT.pop(_name, None)


def facts(commits, kind):
    """The facts of one kind in some commits."""
    return [fact for _, commit in commits for fact in commit.facts if isinstance(fact, kind)]


def judge(house):
    """Hold the house's journal and tables against what the exchange says happened."""
    ledger, commits = house.ledger(), house.commits()
    placed = Counter(entry["tag"] for entry in ledger if entry["what"] == "PLACE")
    assert max(placed.values(), default=0) <= 1, "an order was placed twice"
    answered = Counter(
        entry["tag"] for entry in ledger if entry["what"] == "NEW" or _refused_at_once(entry)
    )
    assert max(answered.values(), default=0) <= 1, "an order was accepted twice"
    intended = [fact.cl_ord_id for fact in facts(commits, PlaceOrder)]
    assert len(set(intended)) == len(intended), "an order was issued twice"
    assert sorted(placed) == sorted(intended)

    trades = [entry for entry in ledger if entry["what"] == "TRADE"]
    assert len({trade["trade_id"] for trade in trades}) == len(trades)
    theirs = sorted((t["trade_id"], t["tag"], t["last_qty"], t["last_px"]) for t in trades)
    fills = facts(commits, Fill)
    ours = sorted((f.fill_id, f.cl_ord_id, f.qty, int(f.px)) for f in fills)
    assert ours == theirs
    shown = sorted(
        (row["fill_id"].removeprefix("'"), row["order_id"].removeprefix("'"), int(row["quantity"]))
        for row in house.table("fills.csv")
    )
    assert shown == [row[:3] for row in theirs]

    assert net_positions(house) == {}, "everything is intraday: the exchange has nothing open"
    rows = {row["tag"].removeprefix("'"): row for row in house.table("orders.csv")}
    assert sorted(rows) == sorted(intended)
    filled = Counter()
    for trade in trades:
        filled[trade["tag"]] += trade["last_qty"]
    assert {tag: int(row["filled_quantity"]) for tag, row in rows.items()} == {
        tag: filled[tag] for tag in rows
    }


def _refused_at_once(entry):
    return entry["what"] == "REJECTED" and entry.get("request", 0) > 0


def net_positions(house):
    """What the exchange holds for us, by instrument."""
    net = Counter()
    for entry in house.ledger():
        if entry["what"] == "TRADE":
            net[entry["instrument"]] += entry["last_qty"] * (1 if entry["side"] == "BUY" else -1)
    return {name: qty for name, qty in net.items() if qty}


OF_THE_PROCESS = ("ticks", "wall_s", "resumed", "already_finished", "interrupted", "artifacts")
"""What a summary says of how it was run, and not of what was traded."""


def traded(house, summary):
    """Everything that must come out the same however often the day was interrupted."""
    texts = {
        name: (house.run / name).read_text() for name in ("orders.csv", "fills.csv", "trades.csv")
    }
    return {
        **texts,
        "ledger": house.ledger_text(),
        "summary": {key: value for key, value in summary.items() if key not in OF_THE_PROCESS},
    }


def last_commit(house) -> tuple[int, Commit | None]:
    """Number and content of the journal's last commit."""
    commits = house.commits()
    return commits[-1] if commits else (0, None)


def tape_end(house):
    """How much of the tape is whole."""
    return TapeReader(house.run / "tape.bin").end()
