"""Live days on the stage with their paper twins beside them, and a market that fills worse than paper."""

from contextlib import asynccontextmanager

from house_day import SCRIPTED
from live_stage import CalmMarket

from kitestring.domain.money import price
from kitestring.domain.ticks import Tick
from kitestring.engine.paper_twin import PaperTwin, word_of
from kitestring.exchange.fill_models import fill_model


class DearMarket(CalmMarket):
    """A last price that stands at ₹1,500.00; who buys pays ₹1,502.00, who sells gets ₹1,499.50."""

    def _tick(self, each, second, now):
        last = int(price("1500.00"))
        bid, ask = int(price("1499.50")), int(price("1502.00"))
        return Tick(each.id, now, last, 90_000 + 500 * second, bid, 4000, ask, 4000)


class TwinBeside:
    """A twin in the same process, told of each commit while the live day runs."""

    def __init__(self, model="instant", *, fails_at=0):
        self.model, self.fails_at = model, fails_at
        self.words = []
        self.twin = None

    @asynccontextmanager
    async def attend(self, day, paths):
        if self.twin is None:
            self.twin = PaperTwin(paths, fill_model(self.model), read=lambda _: SCRIPTED)
        day.follow(self)
        try:
            yield self
        except BaseException:  # the house died
            self.twin.__exit__()
            raise

    def committed(self, number, commit):
        word = word_of(number, commit)
        self.words.append(word)
        self.twin.hear(word)
