"""What a rehearsal plays: the account, the settings of the live day, and what goes wrong on the way."""

from __future__ import annotations

from typing import Final

EXCHANGE: Final = """\
# A rich account with holdings and one carried future: none of it is the house's to touch.
account: {cash: 1 crore}
"""

FAULTS: Final = """\
seed: 11
faults:
  # Orders: taken and never answered, answered wrongly, filled in parts, refused.
  - {kind: no_answer, route: "POST /orders/*", nth: 3}
  - {kind: html_error, route: "POST /orders/*", nth: 5, status: 502, reached: true}
  - {kind: partial_then_cancel, route: "POST /orders/*", nth: 7}
  - {kind: connection_lost, route: "POST /orders/*", nth: 9}
  - {kind: html_error, route: "POST /orders/*", nth: 11, status: 503, reached: false}
  - {kind: timed_out_400, route: "POST /orders/*", nth: 13}
  - {kind: rms_rejection, route: "POST /orders/*", nth: 15}
  - {kind: fill_wins, route: changes, nth: 4}
  - {kind: no_answer, route: changes, nth: 9}
  # Books: errors now and then, more questions than are liked.
  - {kind: html_error, route: GET /orders, every: 60}
  - {kind: too_many_requests, route: reads, probability: 0.01}
  # The socket: updates lost and doubled, a broken frame, two drops, one long silence.
  - {kind: update_lost, route: ws, every: 5}
  - {kind: update_doubled, route: ws, every: 4}
  - {kind: malformed_frame, route: ws, from: "09:40", times: 1}
  - {kind: socket_closed, route: ws, from: "10:40", times: 1}
  - {kind: socket_closed, route: ws, from: "12:30", how: close, times: 1}
  - {kind: ticks_silent, route: ws, from: "13:20", for: 1800, heartbeats: true}
"""

_SETTINGS: Final = """\
# Written by `kitestring rehearsal`: a live day against the exchange of this machine.
trading:
  mode: live
  live_capital: 40 lakh
  logical_universe: [NIFTY, BANKNIFTY]
risk:                             # wide, so that the day goes on whatever the faults cost
  max_daily_loss_pct: 20%
  max_symbol_loss_pct: 20%
  max_drawdown_pct: 20%
  per_trade_risk_pct: 2%
  loss_streak_max: 50
  max_trades_per_strategy: 200
  max_trades_per_symbol: 200
  reference_age_s_max: 120        # seconds of the exchange, which pass quickly here
  stale_after_s: 600
kite:
  profile: local
  api_root: {root}
  clock: exchange
  write_timeout_s: 1              # real seconds: this machine is not far away
  read_timeout_s: 2
strategies:
  - strategy: ema_trend           # with quick averages it trades all day
    instruments: [NIFTY, BANKNIFTY]
    timeframe: 1m
    product: MIS
    lots: 1
    params: {{fast: 3, slow: 8}}
"""


def live_settings(root: str) -> str:
    """The settings file of a live day at an exchange of this machine."""
    return _SETTINGS.format(root=root)
