"""What is said of warm-up bars is heard by the day; a new future finds the contract before it."""

import asyncio
import datetime as dt

from night_stage import FRIDAY, future_on

from kitestring.broker.kite_instruments import instruments_from
from kitestring.domain.events import Note
from kitestring.domain.instruments import InstrumentKind
from kitestring.engine.kite_market import joined_history
from kitestring.engine.live_market import listed_futures
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.instrument_master import instruments_on


class Loaded:
    """A feed outside market hours whose history is the contract before's."""

    def is_open(self, at):
        del at
        return False

    async def load_history(self, needed):
        return tuple(f"{name} is lent {bars} bars." for name, _, bars in needed)

    def history(self, name, minutes, bars):
        del minutes, bars
        return (name,)


class Seven:
    def now(self):
        return 7


def test_what_is_said_of_warm_up_bars_is_heard():
    heard = []
    bars = asyncio.run(joined_history(Loaded(), Seven(), [("NFO:NEW", 5, 20)], heard.append))
    assert bars == {("NFO:NEW", 5): ("NFO:NEW",)}
    assert heard == [Note(at=7, kind="history", sentence="NFO:NEW is lent 20 bars.")]


def test_a_future_named_by_its_full_id_finds_the_contracts_before_it():
    master = instruments_on(FRIDAY)
    listed = instruments_from(Listing(FRIDAY, master).csv(), FRIDAY)
    later = future_on(FRIDAY)
    found = [each.id for each in listed_futures(listed, [later], FRIDAY)]
    nifty = [
        each
        for each in master
        if each.kind is InstrumentKind.FUTURE and (each.name, each.exchange) == ("NIFTY", "NFO")
    ]
    assert found == [each.id for each in sorted(nifty, key=lambda each: each.expiry)]
    assert found[0] != later.id, "the month before is among them"
    share = next(each for each in master if each.kind is InstrumentKind.EQUITY)
    assert listed_futures(listed, [share], FRIDAY) == ()
    after = dt.date(2026, 11, 25)
    assert listed_futures(listed, [later], after)[0].id == later.id, (
        "what has expired lends nothing"
    )
