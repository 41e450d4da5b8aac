"""Today's list of instruments or none: fetched once a morning, compared with yesterday's, kept.

Kite makes its list anew each morning and asks to fetch it after about 08:30
(kite.trade/docs/connect/v3/market-quotes). A list that lost an exchange, or a large part of one, is
half a list: a contract missing from it would look as if it had been delisted.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from kitestring.broker.kite_instruments import KiteInstruments, instruments_from
from kitestring.domain.errors import InstrumentsRefused, StoreError
from kitestring.domain.instants import Instant, instant, ist_clock, ist_date
from kitestring.store.instrument_dumps import InstrumentDumps, KeptDump

READY_AT: Final = dt.time(8, 30)
LOST_PCT_MAX: Final = 30
"""Rows an exchange may lose from one list to the next. After a monthly expiry the far month comes
in with fewer strikes than the near one had; more than this is not explained by that."""
ALWAYS_LISTED: Final = ("NSE", "NFO")
"""Without these there is nothing the house could trade; asked for where no earlier list is kept."""

Fetch = Callable[[], Awaitable[bytes]]


async def instruments_of_day(
    dumps: InstrumentDumps,
    fetch: Fetch,
    now: Instant,
    *,
    contract_sizes: Mapping[tuple[str, str], int] = MappingProxyType({}),
    lost_pct_max: int = LOST_PCT_MAX,
) -> KiteInstruments:
    """Today's instruments: from the list kept this morning, or fetched and then kept.

    A kept list that does not verify, or was fetched before it was ready, is fetched again. Raises
    ``InstrumentsRefused``; whatever ``fetch`` raises passes through.
    """
    today = ist_date(now)
    kept = _kept_of(dumps, today)
    if kept is not None:
        return instruments_from(kept.content, today, contract_sizes=contract_sizes)
    if now < instant(today, READY_AT):
        raise InstrumentsRefused(
            f"It is {ist_clock(now)}, and Kite's list of instruments of {today} is not ready "
            f"before {READY_AT:%H:%M}.",
            do=f"start again after {READY_AT:%H:%M}",
        )
    content = await fetch()
    instruments = instruments_from(content, today, contract_sizes=contract_sizes)
    counts = instruments.counts()
    check_counts(counts, dumps.counts_before(today), lost_pct_max=lost_pct_max)
    dumps.keep(content, day=today, fetched_at=now, counts=counts)
    return instruments


def _kept_of(dumps: InstrumentDumps, today: dt.date) -> KeptDump | None:
    try:
        kept = dumps.read(today)
    except StoreError:
        return None  # it is fetched again and replaced
    if kept is None or kept.head.fetched_at < instant(today, READY_AT):
        return None
    return kept


def check_counts(
    counts: Mapping[str, int],
    before: tuple[dt.date, Mapping[str, int]] | None,
    *,
    lost_pct_max: int = LOST_PCT_MAX,
) -> None:
    """Compare the rows by exchange with an earlier day's. Raises ``InstrumentsRefused``."""
    if before is None:
        missing = [exchange for exchange in ALWAYS_LISTED if not counts.get(exchange)]
        if missing:
            raise InstrumentsRefused(
                f"Kite's list of instruments has no rows of {' and '.join(missing)}.", do=_AGAIN
            )
        return
    day, earlier = before
    lost = [
        f"{exchange} has {counts.get(exchange, 0)} rows, {had} on {day}"
        for exchange, had in sorted(earlier.items())
        if not counts.get(exchange) or counts[exchange] * 100 < had * (100 - lost_pct_max)
    ]
    if lost:
        raise InstrumentsRefused(
            f"Kite's list of instruments has lost too much: {'; '.join(lost)}.", do=_AGAIN
        )


_AGAIN: Final = (
    "fetch it again in some minutes; if it stays so and Kite confirms it, delete the kept lists"
)
