"""``kitestring guard``: the second process that watches a live day, and can only cancel and reduce."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kitestring.domain.money import Money
    from kitestring.engine.alert_channels import Channel

_DEAF_S: Final = 12.0
"""How long the last alerts may take before the guard ends."""


@click.command("guard", context_settings={"max_content_width": 100})
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file of the live day; configs/live.yaml if left out.",
)
@click.option(
    "--artifacts",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("artifacts"),
    help="Where the live day is kept; artifacts/ if left out.",
)
@click.option(
    "--policy",
    type=click.Choice(["keep_protected", "flatten"]),
    default="keep_protected",
    show_default=True,
    help="Once it has taken over: leave what stops cover, or close all.",
)
@click.option(
    "--max-loss",
    metavar="RUPEES",
    help="Take over and close all at this loss of the day; a quarter more than the engine's own "
    "limit if left out.",
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for its own record, on another disk if there is one; ARTIFACTS/live/guard.",
)
@click.option(
    "--secrets",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("secrets"),
    show_default=True,
    help="The folder where the login is kept.",
)
@click.option(
    "--lost-after",
    type=click.FloatRange(min=1),
    default=10.0,
    show_default=True,
    help="Seconds without a sign of life of the engine.",
)
@click.option(
    "--visible",
    type=click.FloatRange(min=0.5),
    default=10.0,
    show_default=True,
    help="Seconds an order may take to show in the order book.",
)
def guard(
    *,
    config: Path | None,
    artifacts: Path,
    policy: str,
    max_loss: str | None,
    journal: Path | None,
    secrets: Path,
    lost_after: float,
    visible: float,
) -> None:
    """Watch the live day of a folder from outside, and take over if its engine dies or loses too much.

    A live day starts one by itself. It never opens a position: it stops the engine, withdraws the
    house's orders, and leaves what stops protect, or closes it. What it did is in its journal.
    """
    import asyncio  # noqa: PLC0415 - --help must be fast

    from kitestring.cli.alert_settings import configured_channels  # noqa: PLC0415 - as above
    from kitestring.cli.config import DEFAULT_LIVE, Mode, load_config  # noqa: PLC0415 - as above
    from kitestring.cli.live_clock import clock_of, keeping_time  # noqa: PLC0415 - as above
    from kitestring.core.risk_limits import resolve  # noqa: PLC0415 - as above
    from kitestring.domain.money import money  # noqa: PLC0415 - as above
    from kitestring.engine.guard import GuardTerms  # noqa: PLC0415 - as above
    from kitestring.engine.guard_decision import GuardPolicy  # noqa: PLC0415 - as above
    from kitestring.engine.guard_program import GuardProgram  # noqa: PLC0415 - as above
    from kitestring.engine.guard_story import guard_folder  # noqa: PLC0415 - as above

    file = load_config(config or DEFAULT_LIVE, Mode.LIVE)
    limit: Money | None = None
    if max_loss is not None:
        limit = money(max_loss)
    elif file.config.trading.live_capital is not None:
        own = resolve(file.config.risk, file.config.trading.live_capital).daily_loss
        limit = None if own is None else (own * 5) // 4
    terms = GuardTerms(
        artifacts=artifacts,
        policy=GuardPolicy(policy),
        max_loss=limit,
        write_deadline_s=file.config.kite.write_timeout_s,
        visible_s=visible,
        lost_after_s=lost_after,
    )
    channels = configured_channels(file.alerts)
    # In a rehearsal the exchange's, however fast it goes; what we wait for is real seconds.
    clock = clock_of(file.config.kite)
    program = GuardProgram(
        terms,
        file.config.kite,
        secrets,
        journal or guard_folder(artifacts),
        now=clock.now,
        tell=_teller(channels),
    )

    async def watch() -> str:
        async with keeping_time(clock, file.config.kite):
            return await program.run()

    click.echo(asyncio.run(watch()))


def _teller(channels: Sequence[Channel]) -> Callable[[str], None]:
    """To the log, and by every configured way; the last words have their time before the end."""
    import atexit  # noqa: PLC0415 - --help must be fast

    from kitestring.engine.alert_post import AlertPost  # noqa: PLC0415 - as above
    from kitestring.engine.alerts import Alert, AlertKind  # noqa: PLC0415 - as above
    from kitestring.engine.clocks import wall_now  # noqa: PLC0415 - as above

    wanted = [each for each in channels if AlertKind.GUARD_ACTED in each.kinds]
    post = AlertPost(wanted, title="Kitestring guard") if wanted else None
    if post is not None:
        atexit.register(post.close, _DEAF_S)

    def tell(sentence: str) -> None:
        click.echo(sentence)
        if post is not None:
            alert = Alert(kind=AlertKind.GUARD_ACTED, number=0, at=wall_now(), text=sentence)
            for each in wanted:
                post.put(each.name, [alert])

    return tell
