"""Messages whose answer the door could not wait for: written down before it says `success`, so that none is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, TypeVar

from bot.clock import Clock
from bot.logs import Seldom
from handlers.routing import Told
from models import outbox
from models.base import Work

NAME = "heard"  # of the promise, whose kind is event: something that has happened and is not dealt with yet
AT_MOST = 0.3  # seconds the door waits for it: the platform hangs up after 5, the desk has had 4.5
FRESH = timedelta(minutes=10)  # what was said longer ago is not carried out any more: one is asked to say it again
AT_ONCE = 500  # rows of one statement

_T = TypeVar("_T")


async def within(task: asyncio.Task[_T], seconds: float) -> _T | None:
    """What the task brings, or None when it takes longer; it goes on all the same, whoever waits for it.

    `wait_for` around a `shield` says the same for three times the price, on every message.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def end(_: object = None) -> None:
        if not over.done():
            over.set_result(None)

    timer = loop.call_later(seconds, end)
    task.add_done_callback(end)
    try:
        await over
    finally:
        timer.cancel()
        task.remove_done_callback(end)
    return task.result() if task.done() else None


def key_of(told: Told) -> str:
    """What names the promise; one per message."""
    return f"{NAME}:{told.channel}:{told.account}:{told.who}:{told.key}"


@dataclass
class Late:
    """Writes them down, all that wait in one transaction: it is a crowd that makes the shop slow.

    Each is leased to this process, which is at work on it. If that dies, the lease ends and a courier takes it up.
    """

    work: Callable[[], AbstractAsyncContextManager[Work]]  # one transaction of the desk
    clock: Clock
    spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]
    _waiting: list[Told] = field(default_factory=list)
    _writing: asyncio.Task[None] | None = None
    _next: asyncio.Task[None] | None = None
    _seldom: Seldom = field(default_factory=lambda: Seldom(logging.getLogger(__name__)))

    async def note(self, told: Told) -> None:
        """Returns when it is written down, at the latest after AT_MOST: a shop whose database is away insists."""
        self._waiting.append(told)
        if self._next is None:
            self._next = self.spawn(self._write(self._writing))
        try:
            await asyncio.wait_for(asyncio.shield(self._next), AT_MOST)
        except Exception as failure:
            self._seldom("a late message is not written down", why=type(failure).__name__)

    async def _write(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._writing, self._next = self._next, None
        taken, self._waiting = self._waiting, []
        async with self.work() as work:
            rows = [
                {"kind": "event", "name": NAME, "key": key_of(told), "payload": _packed(told, work.now)}
                | outbox.leased(self.clock.wall_ms())
                for told in {key_of(told): told for told in taken}.values()
            ]
            for start in range(0, len(rows), AT_ONCE):
                await outbox.promise(work, rows[start : start + AT_ONCE])


def _packed(told: Told, now: datetime) -> dict[str, Any]:
    facts = {one.name: getattr(told, one.name) for one in fields(Told)}
    facts |= {"at": told.at.isoformat() if told.at is not None else None, "data": dict(told.data)}
    return {"told": facts, "noted": now.isoformat()}


def unpacked(payload: dict[str, Any]) -> tuple[Told, datetime]:
    """The message, and when the door had to let it go (the shop's clock)."""
    facts = dict(payload["told"])
    facts["at"] = datetime.fromisoformat(facts["at"]) if facts["at"] is not None else None
    return Told(**facts), datetime.fromisoformat(payload["noted"])
