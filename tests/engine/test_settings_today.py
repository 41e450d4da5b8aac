"""On a day that has begun limits may be made tighter and nothing else."""

import asyncio

import msgspec
import pytest
from live_stage import on_stage

from kitestring.domain.errors import ConfigError
from kitestring.domain.events import Note
from kitestring.domain.money import money
from kitestring.engine.replay import TIGHTENED
from kitestring.engine.settings_today import settings_today
from kitestring.store.run_reader import chosen_run, read_run


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A live day that was interrupted, and its plan."""
    folder = tmp_path_factory.mktemp("begun")

    async def play(stage):
        settings = demanding(stage.plan("2 BUY stop=-5"))
        engine = stage.engine("2 BUY stop=-5", settings=settings)
        task = asyncio.create_task(stage.trade("2 BUY stop=-5", settings=settings))
        await stage.until("10:03:00")
        await stage.die(task)
        return engine._plan

    return folder, on_stage(play, folder)


def demanding(plan):
    """The plan's settings, with a stop demanded of its strategy as live does."""
    (row,) = plan.settings.strategies
    row = msgspec.structs.replace(row, stop_required=True)
    return msgspec.structs.replace(plan.settings, strategies=(row,))


def started_with(begun, *, risk=(), row=(), fresh=False, **settings):
    folder, plan = begun
    was = plan.settings
    wanted = msgspec.structs.replace(
        was,
        run_key="another",
        risk=msgspec.structs.replace(was.risk, **dict(risk)),
        strategies=(msgspec.structs.replace(was.strategies[0], **dict(row)),),
        **settings,
    )
    return settings_today(folder, wanted, plan.sessions, plan.definitions, fresh=fresh)


def test_the_same_limits_in_another_file_are_the_same_run(begun):
    settled = started_with(begun)
    assert (settled.settings.run_key, settled.tightened) == ("livetest", ())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"risk": {"max_daily_loss_pct": 0.6}}, "risk.max_daily_loss_pct would go from 0.5 to 0.6"),
        (
            {"risk": {"max_daily_loss_pct": None}},
            "risk.max_daily_loss_pct would go from 0.5 to off",
        ),
        ({"row": {"lots": 11}}, "one: lots would go from 10 to 11"),
        ({"row": {"product": "NRML"}}, "one: product"),
        ({"row": {"stop_required": False}}, "one: stop_required would go from True to False"),
        ({"capital": money("300000")}, "trading.live_capital would change"),
    ],
)
def test_what_is_looser_is_refused_by_name(begun, change, named):
    with pytest.raises(ConfigError) as refused:
        started_with(begun, **change)
    assert named in refused.value.what


def test_what_is_tighter_is_taken_and_named(begun):
    settled = started_with(begun, risk={"max_daily_loss_pct": 0.1}, row={"lots": 5})
    assert settled.settings.run_key == "livetest"
    assert settled.settings.risk.max_daily_loss_pct == 0.1
    assert settled.tightened == (
        "risk.max_daily_loss_pct from 0.5 to 0.1",
        "one: lots from 10 to 5",
    )


def test_a_fresh_start_may_not_forget_what_a_day_owns(begun):
    with pytest.raises(ConfigError, match="would forget"):
        started_with(begun, fresh=True)


def test_another_day_takes_its_settings_as_they_are(begun):
    folder, plan = begun
    later = msgspec.structs.replace(plan.settings, date=plan.settings.date.replace(day=23))
    assert settings_today(folder, later, plan.sessions, plan.definitions).settings is later


def test_a_tighter_restart_is_noted_and_its_replay_says_where_it_stops(tmp_path):
    from house_day import SCRIPTED

    from kitestring.engine.replay_run import replay_run

    async def play(stage):
        task = asyncio.create_task(stage.trade("2 BUY stop=-5"))
        await stage.until("10:03:00")
        await stage.die(task)
        await stage.trade("2 BUY stop=-5", tightened=("risk.max_open_positions from 6 to 1",))

    on_stage(play, tmp_path)
    recorded = read_run(chosen_run(tmp_path))
    notes = [f for f in recorded.facts() if isinstance(f, Note) and f.kind == TIGHTENED]
    assert [note.sentence for note in notes] == ["Tightened: risk.max_open_positions from 6 to 1."]
    done = replay_run(recorded, lambda _: SCRIPTED).replayed
    assert done.difference is None
    assert "tighter" in done.cut_short
