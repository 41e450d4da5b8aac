"""A few days of bars that somebody typed, a strategy that does as it is told, and the chain they make."""

import datetime as dt

from kitestring.cli.config import Engines, parse_config
from kitestring.cli.day_request import DayRequest
from kitestring.cli.paper_days import days_plan
from kitestring.core.strategy_loader import load_strategy
from kitestring.engine.many_days import ManyDays
from kitestring.store.journal import read_commits

MONDAY = dt.date(2024, 1, 1)
TUESDAY = dt.date(2024, 1, 2)
WEDNESDAY = dt.date(2024, 1, 3)
THURSDAY = dt.date(2024, 1, 4)

SCRIPT = '''
"""Does what its script says, at the minutes it says: 101:BUY is one minute after Monday's open."""

import msgspec

from kitestring.core.strategy import Inputs
from kitestring.domain.signals import Decision, buy, exit_, hold, sell


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Moments as date times 1000 plus minute; 0 is never."""

    buy: int = 0
    sell: int = 0
    out: int = 0
    stop: float = 0.0
    target: float = 0.0


class State(msgspec.Struct, frozen=True):
    """How many bars it has seen in its life."""

    bars: int = 0


QUIET = hold("nothing in the script")


def indicators(params):
    """Nothing."""
    return {}


def decide(params: Params, state: State, i: Inputs) -> tuple[State, Decision]:
    """Look the moment up."""
    now = i.date * 1000 + i.minute
    seen = State(bars=state.bars + 1)
    stop = params.stop or None
    target = params.target or None
    if now == params.buy:
        return seen, buy("the script says buy", stop=stop, target=target)
    if now == params.sell:
        return seen, sell("the script says sell", stop=stop, target=target)
    if now == params.out:
        return seen, exit_("the script says out")
    return seen, QUIET
'''

CONFIG = """\
trading:
  paper_capital: 20 lakh
  logical_universe: [NIFTY]
paper:
  charges: flat 0.03%
risk:
  per_trade_risk_pct: 1%
  max_drawdown_pct: {drawdown}
strategies:
  - strategy: script
    name: {name}
    instruments: [NIFTY]
    timeframe: 1m
    product: {product}
    lots: 1
    params: {{{params}}}
"""


def config(params="", *, name="holder", product="NRML", drawdown="off"):
    text = CONFIG.format(params=params, name=name, product=product, drawdown=drawdown)
    return parse_config(text, "days.yaml")


def read(name):
    return load_strategy(name, SCRIPT, f"{name}.py")


def bar_file(folder, days, *, name="NIFTY.csv"):
    """``{day: "21000 21010/20890"}``: a bar a minute from 09:15 on; ``a/b`` opens at a, closes at b."""
    lines = ["Date,Time,Open,High,Low,Close"]
    for day, words in days.items():
        for minute, word in enumerate(words.split()):
            open_, _, close = word.partition("/")
            close = close or open_
            high, low = max(float(open_), float(close)), min(float(open_), float(close))
            at = dt.datetime.combine(day, dt.time(9, 15)) + dt.timedelta(minutes=minute)
            lines.append(f"{day},{at:%H:%M},{open_},{high},{low},{close}")
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


class Onlooker:
    """Keeps what it is told; stops the chain after some days, if asked to."""

    def __init__(self, stop_after=None, stop_within=None):
        self.stop_within = stop_within
        self.rows = []
        self.chain = None
        self.stop_after = stop_after
        self.result = None

    def days_started(self, days):
        self.started = days

    def day_passing(self, date, done, at, snapshot):
        if date == self.stop_within:
            self.chain.stop()

    def day_finished(self, row, done):
        self.rows.append(row)
        if done == self.stop_after:
            self.chain.stop()

    def days_finished(self, result):
        self.result = result


def request(file, bars, artifacts, **more):
    return DayRequest(
        file=file,
        engines=Engines.ALL,
        feed="bars",
        bars=(bars,),
        artifacts=artifacts,
        charges_as_of=dt.date(2026, 11, 20),
        **more,
    )


def trade(file, bars, artifacts, *, stop_after=None, **more):
    plan = days_plan(request(file, bars, artifacts, **more), read=read)
    return run(plan, stop_after)


def run(plan, stop_after=None, stop_within=None):
    onlooker = Onlooker(stop_after, stop_within)
    onlooker.chain = ManyDays(plan)
    onlooker.chain.run(onlooker)
    return onlooker.result


def group_of(artifacts):
    (group,) = (artifacts / "groups").iterdir()
    return group


def day_folder(artifacts, day):
    (folder,) = (group_of(artifacts) / "runs").glob(f"{day}-*")
    return folder


def facts_of(artifacts, day, kind):
    commits = read_commits(day_folder(artifacts, day) / "journal.sqlite")
    return [fact for _, commit in commits for fact in commit.facts if isinstance(fact, kind)]


def tables(artifacts):
    """Every table of the chain, byte for byte, by its place in the group's folder."""
    group = group_of(artifacts)
    return {str(path.relative_to(group)): path.read_bytes() for path in group.rglob("*.csv")}
