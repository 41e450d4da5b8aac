"""The settings file of a trading day, read strictly: what is misspelt or impossible is said at once.

Every problem of the file is reported in one go, each with its line and the nearest right key. A
limit that is given must hold: there is no key that is read and then ignored. Credentials never
live here. The same content always has the same hash, however it is written.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import msgspec

from kitestring.broker.kite_settings import KiteSettings
from kitestring.cli.alert_settings import AlertConfig, alert_config
from kitestring.cli.config_words import Words
from kitestring.cli.kite_config import kite_settings
from kitestring.core.settings import RiskSettings
from kitestring.domain.errors import ConfigError
from kitestring.domain.money import Money, money
from kitestring.domain.orders import Product
from kitestring.domain.yaml_lines import Scalar, Sequence, Tree, read_tree
from kitestring.engine.stopping import Stopping

DEFAULT_FILE = Path(__file__).resolve().parent.parent.parent / "configs" / "paper.yaml"
"""Used when ``--config`` is absent."""
DEFAULT_LIVE = DEFAULT_FILE.with_name("live.yaml")
"""Used with ``--mode live`` when ``--config`` is absent."""
TIMEFRAME_MINUTES = {
    "1m": 1, "3m": 3, "5m": 5, "10m": 10, "15m": 15, "30m": 30, "60m": 60, "day": 0,
}  # fmt: skip
_DEFAULT_STRATEGIES = ("ema_trend", "opening_range_breakout")


class Mode(StrEnum):
    """Paper or real money."""

    PAPER = "paper"
    LIVE = "live"


class Engines(StrEnum):
    """Which instruments of the configuration trade today."""

    NONE = "none"
    ALL = "all"
    FNO = "fno"
    EQUITY = "equity"
    OPTIONS = "options"


class FillModel(StrEnum):
    """How a paper order meets the market; named in every report."""

    MARKET = "market"
    INSTANT = "instant"


class SegmentWord(StrEnum):
    """The segments as a settings file names them."""

    EQUITY = "equity"
    FUTURES = "futures"
    OPTIONS = "options"


class TradingConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Section ``trading``."""

    mode: Mode = Mode.PAPER
    paper_capital: Money = money(500_000)
    live_capital: Money | None = None
    """What the house may trade with for real; required there and never inferred."""
    stopping: Stopping = Stopping.LEAVE_PROTECTED
    """What a live day that is stopped before its end does with what is open."""
    logical_universe: tuple[str, ...] = ("NIFTY", "BANKNIFTY")
    engines: Engines = Engines.ALL

    @property
    def capital(self) -> Money:
        """What the limits are parts of: real money where it trades, paper's otherwise."""
        if self.mode is Mode.LIVE and self.live_capital is not None:
            return self.live_capital
        return self.paper_capital


class PaperConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Section ``paper``: how paper fills and what it charges."""

    fill_model: FillModel = FillModel.MARKET
    flat_charge_ppm: int | None = None
    """Millionths of the traded value, instead of Zerodha's dated rates (``None``)."""
    seed: int = 1
    """Of the synthetic market."""

    @property
    def charges(self) -> str:
        """The charges as the settings file names them."""
        if self.flat_charge_ppm is None:
            return "zerodha"
        return f"flat {Decimal(self.flat_charge_ppm) / 10_000:f}%"


class StrategyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of ``strategies``; it runs once for each of its instruments."""

    strategy: str
    instruments: tuple[str, ...]
    name: str
    signal_from: str | None = None
    minutes: int = 5
    params: dict[str, int | float | str | bool] = {}
    product: Product = Product.MIS
    lots: int | None = None
    capital: Money | None = None
    entry_from: dt.time | None = None
    entry_until: dt.time | None = None
    loss_max: Money | None = None
    fresh_signal: bool = False
    max_reentries: int | None = None
    wait_minutes: int = 0
    without_stop: bool = False
    """Live trading may enter without a stop here: said by the user, never assumed."""


class SessionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Our own cut-offs of one segment, where they differ from the calendar's."""

    entry_cutoff: dt.time | None = None
    square_off: dt.time | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole settings file, checked."""

    trading: TradingConfig = TradingConfig()
    paper: PaperConfig = PaperConfig()
    risk: RiskSettings = RiskSettings()
    strategies: tuple[StrategyConfig, ...] = ()
    sessions: dict[SegmentWord, SessionConfig] = {}
    kite: KiteSettings = KiteSettings()

    @property
    def digest(self) -> str:
        """SHA-256 of what the file says, independent of its layout, comments and key order."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration with the file it came from, so that later complaints can name the line."""

    config: Config
    name: str
    lines: dict[str, int]
    """``strategies.0.params.fast`` → line."""
    alerts: AlertConfig = AlertConfig()
    """Beside the configuration, not in its digest: who is told makes no other run."""

    def where(self, *keys: str | int) -> str:
        """``configs/paper.yaml:14`` for the deepest of the keys that the file mentions."""
        for end in range(len(keys), 0, -1):
            line = self.lines.get(".".join(str(key) for key in keys[:end]))
            if line is not None:
                return f"{self.name}:{line}"
        return self.name


def load_config(path: Path, mode: Mode | None = None) -> ConfigFile:
    """Read and check a settings file. Raises ``ConfigError`` naming every problem in it.

    ``mode`` stands before the file's own: limits given in rupees are parts of that mode's capital.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(
            f"There is no settings file {path}.",
            do=f"Name another with --config, or leave it out to use {DEFAULT_FILE.name}.",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not a text file in UTF-8.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    return parse_config(text, str(path), mode)


def parse_config(text: str, name: str, mode: Mode | None = None) -> ConfigFile:
    """Check the text of a settings file called ``name``. Raises ``ConfigError``."""
    tree = read_tree(text, name)
    words = Words(name)
    top = words.section(tree, "", (*Config.__struct_fields__, "alerts"))
    config = _config(top, words, mode)
    alerts = alert_config(top.get("alerts"), words)
    words.raise_faults()
    return ConfigFile(config=config, name=name, lines=words.lines, alerts=alerts)


def _config(top: dict[str, Tree], words: Words, mode: Mode | None) -> Config:
    trading = _trading(top.get("trading"), words)
    if mode is not None:
        trading = msgspec.structs.replace(trading, mode=mode)
    return Config(
        trading=trading,
        paper=_paper(top.get("paper"), words),
        risk=_risk(top.get("risk"), words, trading.capital),
        strategies=_strategies(top.get("strategies"), words, trading),
        sessions=_sessions(top.get("sessions"), words),
        kite=kite_settings(top.get("kite"), words),
    )


def _trading(tree: Tree | None, words: Words) -> TradingConfig:
    rows = words.section(tree, "trading", TradingConfig.__struct_fields__)
    default = TradingConfig()
    universe = words.names(rows.get("logical_universe"), "trading.logical_universe")
    return TradingConfig(
        mode=words.choice(rows.get("mode"), "trading.mode", Mode, default.mode),
        paper_capital=words.rupees(rows.get("paper_capital"), "trading.paper_capital")
        or default.paper_capital,
        live_capital=words.rupees(rows.get("live_capital"), "trading.live_capital"),
        stopping=words.choice(rows.get("stopping"), "trading.stopping", Stopping, default.stopping),
        logical_universe=tuple(n.upper() for n in universe) or default.logical_universe,
        engines=words.choice(rows.get("engines"), "trading.engines", Engines, default.engines),
    )


def _paper(tree: Tree | None, words: Words) -> PaperConfig:
    rows = words.section(tree, "paper", ("fill_model", "charges", "seed"))
    default = PaperConfig()
    return PaperConfig(
        fill_model=words.choice(
            rows.get("fill_model"), "paper.fill_model", FillModel, default.fill_model
        ),
        flat_charge_ppm=words.charges(rows.get("charges"), "paper.charges"),
        seed=words.whole(rows.get("seed"), "paper.seed", default.seed, least=0),
    )


def _risk(tree: Tree | None, words: Words, capital: Money) -> RiskSettings:
    fields = msgspec.structs.fields(RiskSettings)
    rows = words.section(tree, "risk", tuple(field.name for field in fields))
    changed: dict[str, int | float | None] = {}
    for field in fields:
        row = rows.get(field.name)
        if row is None:
            continue
        path = f"risk.{field.name}"
        may_be_off = "None" in str(field.type)
        if may_be_off and isinstance(row, Scalar) and row.value in {None, "off"}:
            changed[field.name] = None
        elif "_pct" in field.name:
            changed[field.name] = words.fraction(row, path, field.default, capital)
        elif "float" in str(field.type):
            changed[field.name] = words.number(row, path, field.default)
        else:
            least = 0 if field.name.endswith("_minutes") else 1
            changed[field.name] = words.whole(row, path, field.default, least=least)
    return msgspec.structs.replace(RiskSettings(), **changed)


def _strategies(
    tree: Tree | None, words: Words, trading: TradingConfig
) -> tuple[StrategyConfig, ...]:
    universe = trading.logical_universe
    if tree is None:
        return tuple(
            StrategyConfig(strategy=strategy, name=strategy, instruments=universe)
            for strategy in _DEFAULT_STRATEGIES
        )
    if not isinstance(tree, Sequence):
        words.fault(
            tree, "strategies", "must be a list, each entry beginning with `- strategy: ...`"
        )
        return ()
    if not tree.items:
        words.fault(tree, "strategies", "is empty; leave it out to run the shipped strategies")
    entries = tuple(
        _strategy(item, words, f"strategies.{number}", trading)
        for number, item in enumerate(tree.items)
    )
    seen: dict[tuple[str, str], int] = {}
    for number, entry in enumerate(entries):
        for instrument in entry.instruments:
            first = seen.setdefault((entry.name, instrument), number)
            if first != number:
                words.fault(
                    tree.items[number],
                    f"strategies.{number}",
                    f"would run {entry.name} on {instrument} a second time; give it a `name:`",
                )
    return entries


def _strategy(tree: Tree, words: Words, path: str, trading: TradingConfig) -> StrategyConfig:
    universe = trading.logical_universe
    rows = words.section(
        tree,
        path,
        (
            "strategy", "name", "instruments", "signal_from", "timeframe", "params", "product",
            "lots", "capital", "loss_max", "trade_between", "fresh_signal", "max_reentries",
            "wait_minutes", "without_stop",
        ),
    )  # fmt: skip
    strategy = words.word(rows.get("strategy"), f"{path}.strategy")
    if strategy is None and "strategy" not in rows:
        words.fault(tree, path, "needs `strategy:`, the file name of a strategy without .py")
    instruments = tuple(
        name.upper() for name in words.names(rows.get("instruments"), f"{path}.instruments")
    )
    for instrument in instruments:
        if instrument not in universe:
            words.unknown(rows["instruments"], f"{path}.instruments", instrument, universe)
    if "lots" in rows and "capital" in rows:
        words.fault(rows["capital"], f"{path}.capital", "and `lots` exclude each other")
    between = words.times(rows.get("trade_between"), f"{path}.trade_between")
    name = words.word(rows.get("name"), f"{path}.name") or strategy or ""
    signal_from = words.word(rows.get("signal_from"), f"{path}.signal_from")
    capital = words.rupees(rows.get("capital"), f"{path}.capital")
    most = rows.get("max_reentries")
    return StrategyConfig(
        strategy=strategy or "",
        name=name,
        instruments=instruments or universe,
        signal_from=None if signal_from is None else signal_from.upper(),
        minutes=words.one_of(rows.get("timeframe"), f"{path}.timeframe", TIMEFRAME_MINUTES, 5),
        params=words.params(rows.get("params"), f"{path}.params"),
        product=words.choice(rows.get("product"), f"{path}.product", Product, Product.MIS),
        lots=words.whole(rows["lots"], f"{path}.lots", 1, least=1) if "lots" in rows else None,
        capital=capital,
        entry_from=between[0],
        entry_until=between[1],
        loss_max=words.part(rows.get("loss_max"), f"{path}.loss_max", capital or trading.capital),
        fresh_signal=words.yes(rows.get("fresh_signal"), f"{path}.fresh_signal", default=False),
        max_reentries=None
        if most is None
        else words.whole(most, f"{path}.max_reentries", 0, least=0),
        wait_minutes=words.whole(rows.get("wait_minutes"), f"{path}.wait_minutes", 0, least=0),
        without_stop=words.yes(rows.get("without_stop"), f"{path}.without_stop", default=False),
    )


def _sessions(tree: Tree | None, words: Words) -> dict[SegmentWord, SessionConfig]:
    segments = words.section(tree, "sessions", tuple(SegmentWord))
    sessions: dict[SegmentWord, SessionConfig] = {}
    for segment, row in segments.items():
        path = f"sessions.{segment}"
        times = words.section(row, path, SessionConfig.__struct_fields__)
        cutoff = words.time(times.get("entry_cutoff"), f"{path}.entry_cutoff")
        square_off = words.time(times.get("square_off"), f"{path}.square_off")
        if cutoff is not None and square_off is not None and cutoff > square_off:
            words.fault(row, path, "stops entries after its square-off; it must be the other way")
        sessions[SegmentWord(segment)] = SessionConfig(entry_cutoff=cutoff, square_off=square_off)
    return sessions
