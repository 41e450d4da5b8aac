"""What the local exchange's market costs: the listing, a day made and matched, thousands watched.

    python -m benchmarks.market                        # 20 instruments for a day, 9 000 watched
    python -m benchmarks.market --instruments 20 --watched 9000 --seconds 60

The day of few instruments is matched too: every instrument has limit orders of both sides resting
near the market, one a minute. The watched ones are quoted every second (the busiest there can be).
Prints one JSON line.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import resource
import sys
import time
from itertools import islice

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import MINUTE, instant
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import OrdType, Product, Side, TimeInForce
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.fill_models import fill_model
from kitestring.exchange.ledger import MemoryLedger
from kitestring.exchange.listed_universe import universe
from kitestring.exchange.market_source import MarketSource
from kitestring.exchange.matching import Matcher
from kitestring.market.charges import configured_charges
from kitestring.market.sessions import all_sessions

_DAY = dt.date(2026, 11, 20)
_SEED = 7


def _listing() -> dict[str, object]:
    begin = time.process_time()
    listed = universe(_DAY)
    made = time.process_time()
    dump = Listing(_DAY, listed).csv()
    return {
        "listed": len(listed),
        "listing_cpu_s": round(made - begin, 3),
        "csv_cpu_s": round(time.process_time() - made, 3),
        "csv_bytes": len(dump),
    }


def _day(count: int) -> dict[str, object]:
    """A day of that many instruments: made alone, then made again and matched."""
    source = MarketSource(_DAY, _SEED)
    tradable = [one for one in source.manifest.instruments if one.kind is not InstrumentKind.INDEX]
    # Every so manieth, so that shares, futures and options are all among them.
    chosen = tradable[:: max(len(tradable) // count, 1)][:count]
    ids = [one.id for one in chosen]
    begin = time.process_time()
    ticks = sum(len(frame.ticks) for frame in MarketSource(_DAY, _SEED, watching=ids).frames())
    made = time.process_time() - begin
    floor = Matcher(
        instruments={one.id: one for one in chosen},
        sessions=all_sessions(_DAY),
        charges=configured_charges("zerodha", _DAY),
        cash=Money(10**9 * 10_000),
        fill_model=fill_model("market"),
        seed=_SEED,
        ledger=MemoryLedger(),
    )
    begin, orders, trades, next_at = time.process_time(), 0, 0, 0
    for position, frame in enumerate(MarketSource(_DAY, _SEED, watching=ids).frames(), 1):
        floor.observe(position, frame)
        trades += len(floor.announcements_until(frame.received_at))
        if frame.received_at < next_at:
            continue
        next_at = frame.received_at + MINUTE
        for tick in frame.ticks:
            for side, px in ((Side.BUY, tick.bid_px), (Side.SELL, tick.ask_px)):
                if px:
                    orders += 1
                    _place(floor, frame.received_at, tick.instrument, side, px, orders)
    return {
        "instruments": count,
        "ticks": ticks,
        "day_cpu_s": round(made, 2),
        "day_matched_cpu_s": round(time.process_time() - begin, 2),
        "orders": orders,
        "reports": trades,
    }


def _place(
    floor: Matcher, at: int, instrument: InstrumentId, side: Side, px: Price, number: int
) -> None:
    one = floor.markets[instrument].instrument
    floor.place(
        at=at,
        tag=f"B{number}",
        instrument=instrument,
        side=side,
        qty=one.lot_size,
        ord_type=OrdType.LIMIT,
        product=Product.MIS,
        validity=TimeInForce.DAY,
        price=px,
        trigger_price=Price(0),
        protection_bp=0,
    )


def _watched(count: int, seconds: int) -> dict[str, object]:
    """Processor time of one simulated second in which every watched instrument ticks."""
    source = MarketSource(_DAY, _SEED, watching=(), every_second=True)
    shares = [one.id for one in source.listing if one.kind is not InstrumentKind.INDEX]
    source.watch(shares[:: len(shares) // count][:count])
    frames = source.frames(source.frames_before(_at(10)))
    next(frames)
    begin = time.process_time()
    ticks = sum(len(frame.ticks) for frame in islice(frames, seconds))
    spent = time.process_time() - begin
    return {
        "watched": count,
        "ticks_a_second": ticks // seconds,
        "cpu_ms_a_second": round(spent / seconds * 1000, 2),
    }


def _at(hour: int) -> int:
    return instant(_DAY, dt.time(hour))


def main() -> None:
    """Measure once and print the line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--instruments", type=int, default=20)
    arguments.add_argument("--watched", type=int, default=9_000)
    arguments.add_argument("--seconds", type=int, default=60)
    chosen = arguments.parse_args()
    line = {
        "benchmark": "market",
        **_listing(),
        **_day(chosen.instruments),
        **_watched(chosen.watched, chosen.seconds),
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line["peak_mb"] = peak // (1 << 20 if sys.platform == "darwin" else 1 << 10)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
