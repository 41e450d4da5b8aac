"""The limits of one strategy: its own loss of the day, and the rules under which it may enter again.

Asked with the limits of the house, in the same way: a check answers ``None`` or the sentence a
person reads. What they must remember is in the strategy's ``StrategyTally`` and survives a restart.

* ``loss_max``: at this loss of its own (realised + unrealised − charges) the strategy's position is
  closed and it enters no more today. A loss seen on marks counts when a second mark agrees; from the
  first one on entries are refused.
* ``wait_minutes`` after any exit, ``max_reentries`` entries after the day's first.
* ``fresh_signal``: after the house took a position out (a stop, a target, a time stop …) a signal for
  the same side counts only once the strategy was asked at the close of a bar and did not give it.
"""

from __future__ import annotations

from typing import Final

from kitestring.core.risk_state import EntryRequest, RiskState, Standing, StrategyTally
from kitestring.core.settings import StrategySettings
from kitestring.domain.errors import ConfigError
from kitestring.domain.instants import DAY, MINUTE, SECOND, Instant, ist_clock
from kitestring.domain.money import Money, show_rupees
from kitestring.domain.orders import ExitReason
from kitestring.domain.positions import RoundTrip

SAID_SO: Final = (ExitReason.SIGNAL, ExitReason.REVERSAL)
"""Exits the strategy asked for itself: by saying so it ended its signal."""


def check_settings(settings: StrategySettings) -> None:
    """Raise ``ConfigError`` for a limit of a strategy that cannot be computed."""
    name, loss_max = settings.name, settings.loss_max
    if loss_max is not None and loss_max <= Money(0):
        raise ConfigError(
            f"{name} may lose {show_rupees(loss_max)} a day, so it cannot trade.",
            do=f"give {name} a loss_max above zero, or none to use the account's limits alone",
        )
    if settings.max_reentries is not None and settings.max_reentries < 0:
        raise ConfigError(
            f"{name} has max_reentries {settings.max_reentries}.",
            do="set max_reentries to 0 for one trade a day, or to how many more there may be",
        )
    if settings.wait_minutes < 0:
        raise ConfigError(
            f"{name} waits {settings.wait_minutes} minutes after an exit.",
            do="set wait_minutes to 0 or more",
        )


def strategy_loss_left(
    request: EntryRequest, standing: Standing, _limits: object, state: RiskState
) -> str | None:
    """A strategy that lost its own limit today enters no more today."""
    settings = request.settings
    most = settings.loss_max
    if most is None:
        return None
    tally = state.strategies.get(settings.name)
    if tally is not None and tally.lost:
        return tally.lost
    if -standing.strategy_pnl < most:
        return None
    return _lost(settings, standing.strategy_pnl, most)


def waited(
    request: EntryRequest, standing: Standing, _limits: object, state: RiskState
) -> str | None:
    """After an exit a strategy stays out for a while; a reversal would not."""
    settings = request.settings
    if not settings.wait_minutes:
        return None
    until = f"waits {settings.wait_minutes} min after an exit"
    if request.closes_qty:
        return f"{settings.name} {until}, so it does not reverse at once."
    tally = state.strategies.get(settings.name)
    if tally is None or not tally.exited_at:
        return None
    # From the second on the clock: an exit filled just after a bar's close is that bar's.
    free_at = tally.exited_at // SECOND * SECOND + settings.wait_minutes * MINUTE
    if standing.at >= free_at:
        return None
    return f"{settings.name} {until}, until {ist_clock(free_at)}."


def reentries_left(
    request: EntryRequest, _standing: Standing, _limits: object, state: RiskState
) -> str | None:
    """So many entries after the day's first."""
    settings = request.settings
    most = settings.max_reentries
    tally = state.strategies.get(settings.name)
    if most is None or tally is None or tally.entries <= most:
        return None
    again = tally.entries - 1
    return f"{settings.name} entered again {again} times today, the limit is {most}."


def signal_fresh(
    request: EntryRequest, _standing: Standing, _limits: object, state: RiskState
) -> str | None:
    """The signal that was taken out must end before the next one counts."""
    settings = request.settings
    tally = state.strategies.get(settings.name)
    if not settings.fresh_signal or tally is None or tally.spent_side != request.side:
        return None
    return (
        f"{settings.name} was taken out of this {request.side} at {ist_clock(tally.exited_at)} and "
        f"its signal has not ended since; it needs a fresh one."
    )


def follow_signal(request: EntryRequest, tally: StrategyTally) -> bool:
    """Note whether a signal continues the one that was taken out; ``True`` if anything changed.

    It does if no bar of the strategy closed between that exit (or the signal's last repetition) and
    the bar before this one: then there was no bar on which the strategy held its peace.
    """
    if not tally.spent_side:
        return False
    signal = request.signal
    span = request.settings.minutes * MINUTE or DAY
    if tally.spent_side == request.side and signal.bar_close_at - span <= tally.spent_until:
        if signal.bar_close_at <= tally.spent_until:
            return False
        tally.spent_until = signal.bar_close_at
    else:
        tally.spent_side = ""
    return True


def follow_exit(trade: RoundTrip, tally: StrategyTally) -> None:
    """Note when a position ended, and whether its signal did."""
    tally.exited_at = trade.exit_at
    if trade.exit_reason in SAID_SO:
        tally.spent_side = ""
    else:
        tally.spent_side = trade.side.value
        tally.spent_until = trade.exit_at


def follow_loss(
    settings: StrategySettings, tally: StrategyTally, pnl: Money, at: Instant
) -> str | None:
    """The sentence with which a strategy is stopped for the day, once two marks agree."""
    most = settings.loss_max
    assert most is not None
    if tally.lost:
        return None
    if -pnl < most:
        tally.losing_at = 0
        return None
    first = tally.losing_at
    if first and (at - first >= SECOND or (at != first and pnl != tally.losing_pnl)):
        tally.lost = _lost(settings, pnl, most)
        return tally.lost
    if not first:
        tally.losing_at, tally.losing_pnl = at, pnl
    return None


def _lost(settings: StrategySettings, pnl: Money, most: Money) -> str:
    return (
        f"{settings.name} lost {show_rupees(-pnl)} today after charges, its limit is "
        f"{show_rupees(most)}."
    )
