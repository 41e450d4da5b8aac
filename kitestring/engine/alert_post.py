"""Carries alerts out beside the day: a thread of its own, which nobody in the day waits for.

Every channel has a bounded queue and goes at its own pace, so that one which hangs delays neither
the day nor the others. The day's loop only appends to a list. Whatever is wrong with a channel is
counted and said once, in the notes at the end of the day; it never raises.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from kitestring.engine.alert_channels import Channel, Message
from kitestring.engine.alerts import Alert, AlertKind

QUEUE_MAX: Final = 64
PACE_S: Final = 1.0
"""Between two messages of a channel; what comes meanwhile is one message."""
PATIENCE_S: Final = 5.0
"""How long the end of a day waits for alerts that are still on their way."""


class _Queue:
    """What waits for one channel, and what has become of the rest."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.waiting: list[Alert] = []
        self.dropped_now = 0
        """Lost to a full queue since the last message."""
        self.dropped = self.messages = self.failed = 0
        self.why = ""
        self.wake: asyncio.Event | None = None

    def add(self, alerts: Iterable[Alert]) -> None:
        """Append; a full queue loses its oldest fill first, then its oldest alert."""
        self.waiting += alerts
        while len(self.waiting) > QUEUE_MAX:
            kinds = [alert.kind for alert in self.waiting]
            place = kinds.index(AlertKind.FILL) if AlertKind.FILL in kinds else 0
            lost = self.waiting.pop(place).count
            self.dropped += lost
            self.dropped_now += lost


class AlertPost:
    """Queues and thread of some channels. ``taken`` hears of alerts just before they are sent."""

    def __init__(
        self,
        channels: Sequence[Channel],
        *,
        title: str,
        pace_s: float = PACE_S,
        taken: Callable[[str, Sequence[Alert]], None] | None = None,
    ) -> None:
        self._title = title
        self._pace_s = pace_s
        self._taken = taken
        self._queues = {channel.name: _Queue(channel) for channel in channels}
        self._guard = threading.Lock()
        self._closing = False
        self._ending = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        # A daemon: if the day must go, no channel keeps it.
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        self._thread.start()

    def put(self, channel: str, alerts: Sequence[Alert]) -> None:
        """Leave alerts for a channel; returns at once."""
        if not alerts:
            return
        with self._guard:
            self._queues[channel].add(alerts)
        self._ring()

    def close(self, patience_s: float = PATIENCE_S) -> None:
        """Let what waits go out, for so long; what is then still here is counted as not delivered."""
        with self._guard:
            self._closing = True
        self._ring()
        self._thread.join(patience_s)
        if self._thread.is_alive():
            self._on_loop(self._cancel)
            self._thread.join(1.0)
        with self._guard:
            for queue in self._queues.values():
                if queue.waiting:
                    queue.failed += 1
                    queue.messages += 1
                    queue.why = queue.why or "the day ended before they could be sent"
                    queue.waiting.clear()

    def abandon(self) -> None:
        """Send nothing more and wait for nobody: the day is built again from its journal at once."""
        with self._guard:
            self._closing = True
            for queue in self._queues.values():
                queue.waiting.clear()
        self._ring()

    def sentences(self) -> tuple[str, ...]:
        """What went wrong, one sentence for a channel; none if all went well."""
        said: list[str] = []
        with self._guard:
            for name, queue in self._queues.items():
                if queue.failed:
                    said.append(
                        f"alerts by {name}: {queue.failed} of {queue.messages} messages were not "
                        f"delivered: {queue.why}"
                    )
                if queue.dropped:
                    said.append(f"alerts by {name}: {queue.dropped} were dropped, too many at once")
        return tuple(said)

    def _ring(self) -> None:
        self._on_loop(self._wake_all)

    def _on_loop(self, call: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # It has just ended: there is nobody left to wake.
                loop.call_soon_threadsafe(call)

    def _wake_all(self) -> None:
        if self._closing:
            self._ending.set()
        for queue in self._queues.values():
            if queue.wake is not None:
                queue.wake.set()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        for queue in self._queues.values():
            queue.wake = asyncio.Event()
            queue.wake.set()  # something may have come before we did
            self._tasks.append(asyncio.create_task(self._drain(queue, queue.wake)))
        self._loop = asyncio.get_running_loop()
        self._wake_all()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _drain(self, queue: _Queue, wake: asyncio.Event) -> None:
        while True:
            await wake.wait()
            wake.clear()
            with self._guard:
                alerts, queue.waiting = tuple(queue.waiting), []
                dropped, queue.dropped_now = queue.dropped_now, 0
                closing = self._closing
                queue.messages += bool(alerts)
            if alerts:
                await self._send(queue, Message(title=self._title, alerts=alerts, dropped=dropped))
                wake.set()  # look again: something may have come meanwhile
                if not closing:
                    await self._rest(self._ending)
            elif closing:
                return

    async def _rest(self, ending: asyncio.Event) -> None:
        """The pause between two messages; nobody waits for it at the end of a day."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace_s):
                await ending.wait()

    async def _send(self, queue: _Queue, message: Message) -> None:
        why = "the day ended before it was delivered"
        try:
            if self._taken is not None:
                self._taken(queue.channel.name, message.alerts)
            why = await queue.channel.send(message)
        # A channel may not cost the day anything, not even by a bug of ours.
        except Exception as fault:  # noqa: BLE001
            why = f"it failed ({type(fault).__name__})"
        finally:
            if why:
                with self._guard:
                    queue.failed += 1
                    queue.why = queue.why or why
