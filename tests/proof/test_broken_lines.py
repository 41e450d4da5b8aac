"""Real lines that break cost no order; a house that sends again, or never looks, is caught."""

from kitestring.broker.book_watch import BookWatch
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_outcomes import Acked
from proof import broken_lines
from proof.broken_lines import TIER, cut_of, live
from proof.tier import Scale


def test_each_order_is_placed_once_and_found_and_the_feed_flows_again():
    outcome = live(1, TIER.size[Scale.TEST])
    assert outcome.broken == (), outcome.broken[0].story
    assert (outcome.counts["doubled"], outcome.counts["feeds"]) == (0, 2)
    assert outcome.counts["unknown"] == outcome.counts["orders"] == 5


def test_every_cut_of_a_proof_is_another():
    size = TIER.size[Scale.SOAK]
    assert len({cut_of(unit) for unit in range(1, size + 1)}) == size


def test_an_order_sent_again_is_caught(monkeypatch):
    place = KiteClient.place

    async def twice(self, fields, variety="regular", **more):
        outcome = await place(self, fields, variety, **more)
        return outcome if isinstance(outcome, Acked) else await place(self, fields, variety, **more)

    monkeypatch.setattr(KiteClient, "place", twice)
    outcome = live(7, 1)
    assert outcome.counts["doubled"] == 1
    assert "--tier broken_lines --unit 7" in outcome.broken[0].again


def test_an_order_that_nobody_looks_for_is_caught(monkeypatch):
    async def blind(self):
        return None

    monkeypatch.setattr(BookWatch, "_read_book", blind)
    monkeypatch.setattr(BookWatch, "_until_due", lambda self: broken_lines.asyncio.sleep(0.1))
    monkeypatch.setattr(broken_lines, "SETTLED_S", 1.5)
    outcome = live(7, 1)
    assert outcome.counts["lost"] == 1
