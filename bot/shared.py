"""What processes share and may lose: overlays of reading answers, limits, tokens, wake-ups; here, or in Redis."""

from __future__ import annotations

import asyncio
import functools
import json
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from bot.line import Line, Script

KEEP_SECONDS = 40 * 60  # longer than a list is valid
MOST_KEPT = 200_000
PATIENCE = 2.0  # seconds for an answer of Redis


Limit = tuple[str, int, int]  # name, how many, in how many seconds


@dataclass(frozen=True)
class Recalled:
    """What is remembered of a message and its talk: its answer, the overlay, and since when anything is remembered."""

    answer: str | None
    overlay: str | None
    since: float  # Unix seconds of the shop's clock
    left: int = 0  # how many more the tightest of the limits allows; negative when there are too many


class Shared(Protocol):
    """What may be lost: a repeated reading answer, a list shown again, a push not sent; nothing else."""

    async def recall(self, message: str, talk: str, limits: Sequence[Limit] = ()) -> Recalled: ...

    async def keep(self, message: str, answer: str, talk: str, overlay: str | None) -> None: ...

    async def allow(self, name: str, most: int, seconds: int) -> int: ...

    async def get(self, name: str) -> str | None: ...

    async def put(self, name: str, value: str, seconds: int) -> None: ...

    def alone(self, name: str, seconds: float = 10.0) -> Any: ...

    async def say(self, topic: str) -> None: ...

    def hear(self, topic: str) -> AsyncIterator[None]: ...

    async def ready(self) -> bool: ...

    async def close(self) -> None: ...


class InProcess:
    """For one process: plain dictionaries with an end to each entry, on the shop's clock."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._since = now().timestamp()
        self._kept: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._counts: dict[str, tuple[float, int]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._topics: dict[str, asyncio.Event] = {}

    def _read(self, name: str, now: float) -> str | None:
        entry = self._kept.get(name)
        if entry is None or entry[0] < now:
            return None
        return entry[1]

    def _write(self, name: str, value: str, until: float) -> None:
        self._kept[name] = (until, value)
        self._kept.move_to_end(name)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    async def recall(self, message: str, talk: str, limits: Sequence[Limit] = ()) -> Recalled:
        now = self._now().timestamp()
        left = min([await self.allow(*limit) for limit in limits], default=0)
        answer = self._read("m:" + message, now) if message else None
        return Recalled(answer, self._read("t:" + talk, now), self._since, left)

    async def keep(self, message: str, answer: str, talk: str, overlay: str | None) -> None:
        until = self._now().timestamp() + KEEP_SECONDS
        if message:
            self._write("m:" + message, answer, until)
        if overlay is not None:
            self._write("t:" + talk, overlay, until)
        else:
            self._kept.pop("t:" + talk, None)

    async def allow(self, name: str, most: int, seconds: int) -> int:
        """How many are left in this window after this one; negative when there are too many."""
        now = self._now().timestamp()
        until, count = self._counts.get(name, (0.0, 0))
        if until <= now:
            until, count = now + seconds, 0
            if len(self._counts) > MOST_KEPT:
                self._counts = {k: v for k, v in self._counts.items() if v[0] > now}
        self._counts[name] = (until, count + 1)
        return most - count - 1

    async def get(self, name: str) -> str | None:
        return self._read("v:" + name, self._now().timestamp())

    async def put(self, name: str, value: str, seconds: int) -> None:
        self._write("v:" + name, value, self._now().timestamp() + seconds)

    @asynccontextmanager
    async def alone(self, name: str, seconds: float = 10.0) -> AsyncIterator[None]:
        """One at a time under this name."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            yield

    async def say(self, topic: str) -> None:
        self._topics.setdefault(topic, asyncio.Event()).set()

    async def hear(self, topic: str) -> AsyncIterator[None]:
        """Yields once after every `say` of the topic (several may be one)."""
        event = self._topics.setdefault(topic, asyncio.Event())
        while True:
            await event.wait()
            event.clear()
            yield None

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        return None


# One round trip for what a message needs; two keys that are written by one call are lost together.
_RECALL = Script("""
if ARGV[2] ~= '' then redis.call('SET', KEYS[3], ARGV[2]) end
local since = redis.call('GET', KEYS[3])
if not since then redis.call('SET', KEYS[3], ARGV[1]); since = ARGV[1] end
local answer = false
if KEYS[1] ~= '' then answer = redis.call('GET', KEYS[1]) end
local left = 0
for i = 4, #KEYS do
  local n = redis.call('INCR', KEYS[i])
  if n == 1 then redis.call('EXPIRE', KEYS[i], ARGV[2 * i - 4]) end
  local more = ARGV[2 * i - 5] - n
  if i == 4 or more < left then left = more end
end
return {answer, redis.call('GET', KEYS[2]), since, left}
""")
_KEEP = Script("""
if KEYS[1] ~= '' then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3]) end
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3]) else redis.call('DEL', KEYS[2]) end
""")
_ALLOW = Script("""
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return n
""")
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class InRedis:
    """For many processes. When Redis is away, limits hold per process; money never depended on it."""

    def __init__(self, url: str, now: Callable[[], datetime], prefix: str = "tp:") -> None:
        # The default pool refuses caller 101 (measured); this one lets it wait.
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=32,
            timeout=PATIENCE,
            socket_timeout=PATIENCE,
            socket_connect_timeout=1,
            decode_responses=True,
        )
        self._redis: Redis = Redis.from_pool(pool)
        self._line = Line(pool, PATIENCE)
        self._recall = functools.partial(self._line.call, _RECALL)
        self._keep = functools.partial(self._line.call, _KEEP)
        self._allow = functools.partial(self._line.call, _ALLOW)
        self._release = self._redis.register_script(_RELEASE)
        self._now = now
        self._prefix = prefix
        self._own = InProcess(now)
        self._broken = 0.0  # when something could last not be kept; told to the others as soon as Redis is back

    async def recall(self, message: str, talk: str, limits: Sequence[Limit] = ()) -> Recalled:
        p, broken, now = self._prefix, self._broken, self._now().timestamp()
        try:
            answer, overlay, since, left = await self._recall(
                keys=[
                    p + "m:" + message if message else "",
                    p + "t:" + talk,
                    p + "since",
                    *(self._window(name, seconds) for name, _, seconds in limits),
                ],
                args=[now, broken or "", *(part for _, most, seconds in limits for part in (most, seconds))],
            )
        except RedisError:
            return Recalled(None, None, now, min([await self._own.allow(*limit) for limit in limits], default=0))
        if self._broken == broken:
            self._broken = 0.0
        return Recalled(answer, overlay, float(since), int(left))

    def _window(self, name: str, seconds: int) -> str:
        # The window's number in the name makes the limit count in the shop's clock.
        return f"{self._prefix}l:{name}:{int(self._now().timestamp()) // seconds}"

    async def keep(self, message: str, answer: str, talk: str, overlay: str | None) -> None:
        p = self._prefix
        try:
            await self._keep(
                keys=[p + "m:" + message if message else "", p + "t:" + talk],
                args=[answer, overlay or "", KEEP_SECONDS],
            )
        except RedisError:
            self._broken = self._now().timestamp()

    async def allow(self, name: str, most: int, seconds: int) -> int:
        try:
            n = await self._allow(keys=[self._window(name, seconds)], args=[seconds])
            return most - int(n)
        except RedisError:
            return await self._own.allow(name, most, seconds)

    async def get(self, name: str) -> str | None:
        try:
            held = await self._redis.get(self._prefix + "v:" + name)
        except RedisError:
            return await self._own.get(name)
        if held is None:
            return None
        entry = json.loads(held)
        return str(entry[1]) if entry[0] > self._now().timestamp() else None

    async def put(self, name: str, value: str, seconds: int) -> None:
        entry = json.dumps([self._now().timestamp() + seconds, value])
        await self._own.put(name, value, seconds)
        try:
            await self._redis.set(self._prefix + "v:" + name, entry, ex=max(1, seconds))
        except RedisError:
            return

    @asynccontextmanager
    async def alone(self, name: str, seconds: float = 10.0) -> AsyncIterator[None]:
        async with self._own.alone(name):
            key, mark = self._prefix + "a:" + name, secrets.token_hex(8)
            taken = False
            try:
                for _ in range(int(seconds * 20)):
                    taken = bool(await self._redis.set(key, mark, nx=True, px=int(seconds * 1000)))
                    if taken:
                        break
                    await asyncio.sleep(0.05)
            except RedisError:
                taken = False
            try:
                yield
            finally:
                if taken:
                    with suppress(RedisError):
                        await self._release(keys=[key], args=[mark])

    async def say(self, topic: str) -> None:
        await self._own.say(topic)
        try:
            await self._redis.publish(self._prefix + topic, "1")
        except RedisError:
            return

    async def hear(self, topic: str) -> AsyncIterator[None]:
        while True:
            try:
                async with self._redis.pubsub() as listener:
                    await listener.subscribe(self._prefix + topic)
                    while True:
                        message = await listener.get_message(ignore_subscribe_messages=True, timeout=1.0)
                        if message is not None:
                            yield None
            except RedisError:
                await asyncio.sleep(1)

    async def ready(self) -> bool:
        try:
            return bool(await self._redis.ping())
        except RedisError:
            return False

    async def close(self) -> None:
        await self._line.close()
        await self._redis.aclose()
