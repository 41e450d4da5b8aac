"""What somebody begins to watch at noon has had a morning: its close, its last tick, its open and extremes.

A market that makes prices only of what is watched is asked for the rest once, when an instrument is
first watched: at once for its previous close and latest tick, so that the first quote has a price; one
by one, when there is time, for the minutes before, from which open, high, low and average price come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

from kitestring.domain.bars import Bar
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price
from kitestring.domain.ticks import Tick
from kitestring.exchange.market_board import MarketBoard


@runtime_checkable
class WatchedMarket(Protocol):
    """A market that ticks what is watched, and can say what else would have ticked."""

    def watch(self, ids: Iterable[InstrumentId]) -> None:
        """Let these tick too, from the next frame on."""
        ...

    def base_prices(self, ids: Iterable[InstrumentId]) -> dict[InstrumentId, Price]:
        """The previous close of each."""
        ...

    def latest(self, ids: Sequence[InstrumentId], at: Instant) -> list[Tick | None]:
        """The latest tick of each at an instant."""
        ...


@runtime_checkable
class RememberingMarket(Protocol):
    """A market that can say how the day of any instrument has been."""

    def bars_today(self, instrument: InstrumentId, minutes: int, until: Instant) -> Sequence[Bar]:
        """Today's bars up to an instant."""
        ...


class Newcomers:
    """Brings instruments onto the board with the day they have had."""

    def __init__(self, market: object, board: MarketBoard, now: Callable[[], Instant]) -> None:
        self._market = market if isinstance(market, WatchedMarket) else None
        self._memory = market if isinstance(market, RememberingMarket) else None
        self._board = board
        self._now = now
        self._seen: set[InstrumentId] = set()
        self._waiting: deque[tuple[InstrumentId, Instant]] = deque()

    @property
    def have_mornings(self) -> bool:
        """Whether the market can say how anything's day has been; if not, none is ever waited for."""
        return self._memory is not None

    @property
    def waiting(self) -> int:
        """Instruments whose morning is not on the board yet."""
        return len(self._waiting)

    def watch(self, ids: Iterable[InstrumentId]) -> list[Tick]:
        """Somebody looks at these: they tick from now on, and have a price at once.

        Returns the latest ticks of those that nobody had watched.
        """
        fresh = [one for one in dict.fromkeys(ids) if one not in self._seen]
        if self._market is None or not fresh:
            return []
        self._seen.update(fresh)
        unseen = [one for one in fresh if not self._board.begun(one)]
        self._market.watch(fresh)
        for one, close in self._market.base_prices(unseen).items():
            self._board.know_close(one, close)
        latest = [tick for tick in self._market.latest(unseen, self._now()) if tick is not None]
        for tick in latest:
            self._board.recall(tick)
            if self._memory is not None:
                self._waiting.append((tick.instrument, tick.event_at))
        return latest

    def fill_in_next(self) -> None:
        """Put the morning of one instrument onto the board."""
        if self._memory is not None and self._waiting:
            instrument, until = self._waiting.popleft()
            self._board.fill_in(instrument, self._memory.bars_today(instrument, 1, until))
