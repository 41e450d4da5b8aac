"""What the clock alone changes at the exchange: the turns of the day, in the order they come.

The intraday square-off, the beginning and end of a closing auction, the end of a session. A turn
is due at its instant and is taken before anything that comes later, whoever notices first that the
time has passed: a frame, a request, or somebody who reads the clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Segment
from kitestring.domain.sessions import PhaseKind, Session
from kitestring.exchange.order_book import Market
from kitestring.exchange.rules import AUCTION_PHASES, OrderRules, square_off_at


class TurnKind(IntEnum):
    """What happens; of turns at one instant the lower comes first."""

    SQUARE_OFF = 1
    AUCTION_BEGINS = 2
    AUCTION_ENDS = 3
    LAPSE = 4


class Turn(NamedTuple):
    """One turn, for the instruments of a segment that stop trading continuously at ``close_at``."""

    at: Instant
    kind: TurnKind
    segment: Segment
    close_at: Instant

    def concerns(self, market: Market) -> bool:
        """Whether the turn is this market's."""
        return market.instrument.segment is self.segment and market.close_at == self.close_at


def turns_of_day(rules: OrderRules, markets: Iterable[Market], *, square_off: bool) -> list[Turn]:
    """Every turn of the markets' day, the last one first, so that the next is at the end."""
    found: set[Turn] = set()
    kinds: set[tuple[Segment, Instant]] = set()
    for market in markets:
        session = market.session
        key = market.instrument.segment, market.close_at
        if session is None or key in kinds:
            continue
        kinds.add(key)
        found.update(_turns(rules, session, *key, square_off=square_off))
    return sorted(found, reverse=True)


def _turns(
    rules: OrderRules, session: Session, segment: Segment, close_at: Instant, *, square_off: bool
) -> list[Turn]:
    turns: list[Turn] = []
    auction = [each.end_at for each in session.phases if each.kind in AUCTION_PHASES]
    if square_off:
        turns.append(
            Turn(
                min(square_off_at(rules, session), close_at), TurnKind.SQUARE_OFF, segment, close_at
            )
        )
    if auction:
        turns.append(Turn(close_at, TurnKind.AUCTION_BEGINS, segment, close_at))
        turns.append(Turn(max(auction), TurnKind.AUCTION_ENDS, segment, close_at))
    else:
        turns.append(Turn(close_at, TurnKind.LAPSE, segment, close_at))
    turns.extend(
        Turn(each.end_at, TurnKind.LAPSE, segment, close_at)
        for each in session.phases
        if each.kind is PhaseKind.POST_CLOSE
    )
    return turns
