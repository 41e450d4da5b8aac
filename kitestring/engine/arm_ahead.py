"""Arms a live day before it starts: the person is at breakfast, the machine starts by itself at nine.

The terms are made by the same hands as those of the day itself; if anything in them has changed by
the time it starts (account, amount, settings), the arming is not good and the day says why.
"""

from __future__ import annotations

from contextlib import ExitStack

from kitestring.domain.errors import ConfigError
from kitestring.engine import arming
from kitestring.engine.arming import Armed, ArmingFile, Standing
from kitestring.engine.clocks import wall_now
from kitestring.engine.live_plan import Ask, Ears, LivePlan, OpenLink, core_of, terms_of
from kitestring.engine.live_recovery import taken_up
from kitestring.engine.recovery import read_story
from kitestring.store.instance_lock import InstanceLock
from kitestring.store.journal import SqliteJournal
from kitestring.store.paths import RunPaths, find_run


async def arm_ahead(plan: LivePlan, open_link: OpenLink, ask: Ask) -> Armed:
    """Ask for today's arming and keep it; one that is good already is not asked for again.

    Raises ``ConfigError`` where it cannot be armed or the phrase was not typed, and
    ``AnotherDayIsRunning`` where the day runs already.
    """
    artifacts, settings = plan.artifacts, plan.settings
    with InstanceLock(artifacts, started_at=wall_now(), name="live"), ExitStack() as held:
        paths = find_run(artifacts, settings.run_key) or RunPaths(
            artifacts=artifacts, mode="live", date=settings.date, run_key=settings.run_key
        )
        ears = Ears(
            paths=paths,
            woken=lambda: None,
            hear=lambda _: None,
            entries_stopped=lambda: "the day is not running",
            fenced=lambda: "the day is not running",
        )
        async with open_link(ears) as link:
            now = link.clock.now()
            if paths.journal.exists():
                journal = SqliteJournal(paths.journal, run_key=settings.run_key)
                held.callback(journal.close)
                story = read_story(journal)
                core = core_of(plan, paths, story)
                taken_up(core, journal, story, paths, now)
            else:
                core = core_of(plan, paths, None)
            terms = terms_of(plan, core, await link.account())
        if terms.halted:
            raise ConfigError(
                f"{terms.halted} Nothing is armed while HALT stands.",
                do="kitestring halt --lift, once you know why it was written",
            )
        file = ArmingFile(artifacts)
        kept = file.read()
        arming.refuse(terms)
        if kept is not None and arming.standing(kept, terms) is Standing.ARMED:
            return kept
        typed = await ask(arming.shown(terms), arming.phrase(terms))
        if typed is None or not arming.agrees(terms, typed):
            raise ConfigError(
                "That was not the phrase: nothing is armed.",
                do=f"start again and type exactly: {arming.phrase(terms)}",
            )
        armed = arming.armed_by(terms, now)
        file.write(armed)
        return armed
