"""Alerts of a live day: told beside it, and its end waits for them without stopping the loop.

Also what must be told when there is no day yet: that somebody has to log in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from kitestring.domain.instants import MINUTE, Instant
from kitestring.domain.ports import Commit
from kitestring.engine.alert_channels import Channel
from kitestring.engine.alert_post import AlertPost
from kitestring.engine.alerts import Alert, AlertKind
from kitestring.engine.day_alerts import DayAlerts
from kitestring.engine.day_steps import Follower


class LiveAlerts:
    """The follower of one day: the scribe alone, or behind it the alerts; an async context manager."""

    def __init__(
        self,
        channels: Sequence[Channel],
        *,
        first: Follower,
        folder: Path,
        title: str,
        opens_at: Instant,
        commits: Iterable[tuple[int, Commit]],
    ) -> None:
        self._alerts: DayAlerts | None = None
        self.follower: Follower = first
        if channels:
            self.follower = self._alerts = DayAlerts(
                channels,
                first=first,
                folder=folder,
                title=title,
                alive_at=opens_at - MINUTE,
                begins_at=opens_at,
                commits=commits,
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._alerts is not None:
            await asyncio.to_thread(self._alerts.__exit__, kind, fault, trace)

    async def close(self) -> tuple[str, ...]:
        """Tell the rest; sentences on what was not delivered."""
        return () if self._alerts is None else await asyncio.to_thread(self._alerts.close)


async def tell_login_due(channels: Sequence[Channel], text: str, at: Instant, title: str) -> None:
    """Tell that nobody is logged in, before there is a day that could; waits some seconds at most."""
    alert = Alert(kind=AlertKind.LOGIN_DUE, number=0, at=at, text=text)
    asked = [each for each in channels if alert.kind in each.kinds]
    if not asked:
        return
    post = AlertPost(asked, title=title)
    for channel in asked:
        post.put(channel.name, [alert])
    await asyncio.to_thread(post.close)
