"""A day on paper on the ticks of the staged exchange, with the house's own wiring."""

from kitestring.engine.kite_market import open_market
from kitestring.engine.live_paper_engine import LivePaperEngine, LivePaperPlan
from kitestring.engine.watching import NobodyWatches
from kitestring.exchange.fill_models import fill_model


def paper_engine(stage, script, *, model="instant", **changes):
    """A paper house beside whatever else trades on the stage, in the same artifacts folder."""
    plan = stage.plan(script)
    told = {
        "settings": plan.settings, "manifest": plan.manifest, "sessions": dict(plan.sessions),
        "definitions": dict(plan.definitions), "charge_book": plan.charge_book,
        "fill_model": fill_model(model), "seed": 1, "artifacts": stage.artifacts,
        "config_hash": plan.config_hash,
    } | changes  # fmt: skip
    made = LivePaperPlan(**told)
    return LivePaperEngine(
        made,
        lambda hear: open_market(
            hear, settings=stage.settings, token=lambda: stage.token, manifest=made.manifest,
            clock=stage.clock, cache=stage.artifacts / "candles",
        ),
    )  # fmt: skip


async def trade_on_paper(stage, script, **options):
    return await paper_engine(stage, script, **options).start(NobodyWatches())
