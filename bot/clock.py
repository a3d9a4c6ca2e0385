"""The one clock: what time it is for the shop, and the ticks that only say "look"."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bot.logs import Seldom

log = logging.getLogger(__name__)
MINUTE = 60.0


class Clock:
    """The shop's time: the wall clock plus an offset that only `demo` and the tests may set.

    Everything that reads time takes this object, so that tokens, signatures, deadlines and the fake
    platform move along together when the offset does.
    """

    def __init__(self, offset: timedelta = timedelta()) -> None:
        self.offset = offset
        self._frozen: datetime | None = None

    def now(self) -> datetime:
        """The shop's time, aware, UTC."""
        wall = self._frozen if self._frozen is not None else datetime.now(UTC)
        return wall + self.offset

    def timestamp(self) -> int:
        """The shop's time in whole Unix seconds."""
        return int(self.now().timestamp())

    def wall_ms(self) -> int:
        """The wall clock in Unix milliseconds, for leases: moving the shop's clock ends none."""
        return int(datetime.now(UTC).timestamp() * 1000)

    def freeze(self, at: datetime) -> None:
        """Stand still at `at` (tests only); `move` still moves."""
        self._frozen, self.offset = at, timedelta()

    def move(self, by: timedelta) -> None:
        """Move forward by `by`; a clock never goes back."""
        if by < timedelta():
            raise ValueError("the shop's clock never goes back")
        self.offset += by


class Ticks:
    """APScheduler on the wall clock; it only says "look", rows in the database decide what is due and who takes it."""

    def __init__(self) -> None:
        # A look is never too late: by default one is dropped that a busy loop comes to a second after its time.
        self._scheduler = AsyncIOScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None})
        self._looking = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def every(self, seconds: int, name: str, look: Callable[[], Awaitable[None]]) -> None:
        """Call `look` every `seconds` seconds; a look that is still running is not started twice."""

        failed = Seldom(log, every=MINUTE)  # a database that is away fails each look, and is told of once a minute

        async def guarded() -> None:
            self._looking += 1
            self._idle.clear()
            try:
                await look()
            except Exception as failure:  # a tick that fails is looked at again at the next one
                failed("tick failed", failure, tick=name)
            finally:
                self._looking -= 1
                if not self._looking:
                    self._idle.set()

        self._scheduler.add_job(guarded, "interval", seconds=seconds, id=name, max_instances=1, coalesce=True)

    def start(self) -> None:
        self._scheduler.start()

    async def rest(self) -> None:
        """Start no more looks, and wait for those that are under way."""
        if self._scheduler.running:
            self._scheduler.pause()
        await self._idle.wait()

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
