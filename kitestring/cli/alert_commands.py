"""``kitestring alerts test``: one alert of each kind by every configured way, and what became of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kitestring.engine.alert_channels import Channel


@click.group()
def alerts() -> None:
    """What the house tells you while you are away."""


@alerts.command("test")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file; configs/paper.yaml if left out.",
)
def alerts_test(config: Path | None) -> None:
    """Send one test alert of each kind by every configured way, and say what became of them.

    Exits with 1 if one was not delivered, with 2 if the settings are wrong.
    """
    import asyncio  # noqa: PLC0415 - --help must be fast

    from kitestring.cli.alert_settings import configured_channels  # noqa: PLC0415 - --help must be fast
    from kitestring.cli.config import DEFAULT_FILE, load_config  # noqa: PLC0415 - as above

    file = load_config(config or DEFAULT_FILE)
    channels = configured_channels(file.alerts)
    if not channels:
        click.echo(f"{file.name} configures no alerts; docs/Paper.md says how.")
        return
    lines, whole = asyncio.run(send_tests(channels))
    for line in lines:
        click.echo(line)
    if not whole:
        sys.exit(1)


async def send_tests(channels: Sequence[Channel]) -> tuple[list[str], bool]:
    """Send the tests, all channels at once; a line for each, and whether all were delivered."""
    import asyncio  # noqa: PLC0415 - --help must be fast

    from kitestring.engine.alert_channels import Message  # noqa: PLC0415 - --help must be fast
    from kitestring.engine.alerts import one_of_each  # noqa: PLC0415 - as above
    from kitestring.engine.clocks import wall_now  # noqa: PLC0415 - as above

    async def one(channel: Channel) -> tuple[str, bool]:
        told = tuple(each for each in one_of_each(wall_now()) if each.kind in channel.kinds)
        why = await channel.send(Message(title="Kitestring test", alerts=told))
        kinds = ", ".join(alert.kind for alert in told)
        if why:
            return f"{channel.name:<10}NOT delivered: {why}", False
        return f"{channel.name:<10}delivered: {kinds}", True

    ends = await asyncio.gather(*(one(channel) for channel in channels))
    return [line for line, _ in ends], all(delivered for _, delivered in ends)
