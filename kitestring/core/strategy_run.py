"""One strategy of the day at work: what it keeps through a restart, and what it needs to decide.

``StrategyRun`` is the only thing kept; everything else is rebuilt from settings and bars.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import msgspec

from kitestring.core.settings import StrategySettings
from kitestring.core.strategy import Inputs, StrategyDefinition
from kitestring.core.strategy_feed import BarFeed
from kitestring.domain.errors import ConfigError
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Instrument
from kitestring.domain.sessions import Session

CELL_PREFIX: Final = "strategy/"

S = TypeVar("S")


class StrategyRun(msgspec.Struct, Generic[S], array_like=True):
    """What a running strategy keeps: mutable here, encoded as it is into the cell ``strategy/NAME``."""

    state: S
    decided_at: Instant = 0
    """Close of the last bar it decided on; no bar is decided twice."""
    ready_at: Instant | None = None
    signals: int = 0
    last_signal: str = ""
    off: str = ""
    """Why it is switched off; empty while it runs."""
    off_at: Instant = 0
    holds: dict[str, int] = {}
    """How often it held, by reason (the 64 first reasons by name)."""


class StrategyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy as the console shows it."""

    strategy: StrategyId
    source: InstrumentId
    instrument: InstrumentId
    minutes: int
    bars_seen: int
    """Bars of its timeframe fed so far, history included."""
    bars_decided: int
    ready_at: Instant | None
    signals: int
    last_signal: str
    holds: dict[str, int]
    off: str


class Running:
    """One strategy of the day at work."""

    __slots__ = (
        "cell",
        "cell_key",
        "decide",
        "definition",
        "feeds",
        "inputs",
        "instrument",
        "main",
        "name",
        "need",
        "open_at",
        "params",
        "reads_own",
        "settings",
        "state_type",
        "warm",
    )

    def __init__(
        self,
        settings: StrategySettings,
        definition: StrategyDefinition,
        instrument: Instrument,
        session: Session,
    ) -> None:
        name = settings.name
        self.name = name
        self.settings = settings
        self.definition = definition
        self.instrument = instrument
        self.open_at = session.open_at
        self.cell_key = f"{CELL_PREFIX}{name}"
        self.decide = definition.decide
        self.state_type = definition.state_type
        try:
            self.params = msgspec.convert(settings.params, definition.params_type)
        except msgspec.ValidationError as error:
            raise ConfigError(
                f"Strategy {name}: its parameters do not fit {settings.strategy}: {error}",
                do=f"compare params of {name} with class Params in {definition.path}",
            ) from error
        self.cell: StrategyRun[msgspec.Struct] = StrategyRun(self.state_type())
        self.warm = False
        self.reads_own = False
        """Whether it reads an indicator in plain Python, which may fail."""
        self.need = 1
        self.feeds: list[BarFeed] = []
        self.main: BarFeed
        self.inputs: Inputs

    def is_warm(self) -> bool:
        """Whether it has the history it asked for."""
        return self.main.seen >= self.need and all(
            feed.ready_for(self.inputs) for feed in self.feeds
        )

    def own_fault(self) -> Exception | None:
        """What an own indicator of this strategy has raised, if one did."""
        for feed in self.feeds:
            fault = feed.fault_for(self.inputs)
            if fault is not None:
                return fault
        return None
