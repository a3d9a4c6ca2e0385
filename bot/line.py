"""One connection to Redis for what every message asks: the calls of all are written together, answered in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from hashlib import sha1
from typing import Any

import hiredis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Gone
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as TooLate


class Script:
    """A Lua script, called by its digest; Redis is told its text when it does not know it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode()).hexdigest()


class Line(asyncio.Protocol):
    """Lua scripts over one connection, which is made when it is needed and again when it is lost.

    redis-py makes it (TLS, password, database: whatever the URL names) and then hands over the wire, because a
    call through its pool costs four times what the same call costs here (measured). Who waits `patience` seconds
    for an answer gets TimeoutError, and so does everybody behind: the connection is given up.
    """

    def __init__(self, pool: BlockingConnectionPool, patience: float) -> None:
        self._pool, self._patience = pool, patience
        self._transport: asyncio.Transport | None = None
        self._made: Any = None  # redis-py's connection, which lives as long as its wire
        self._before: asyncio.BaseProtocol | None = None  # who had the wire before; it wants to know of its end
        self._opening = asyncio.Lock()
        self._failed = float("-inf")
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._unsent: list[bytes] = []
        self._parser = hiredis.Reader()
        self._watch: asyncio.TimerHandle | None = None

    async def call(self, script: Script, *, keys: Sequence[str], args: Sequence[str | float]) -> Any:
        """What the script answers, text as str; raises RedisError."""
        try:
            return await self._ask("EVALSHA", script.digest, len(keys), *keys, *args)
        except NoScriptError:
            return await self._ask("EVAL", script.text, len(keys), *keys, *args)

    async def _ask(self, *words: str | float) -> Any:
        loop = asyncio.get_running_loop()
        if self._transport is None:
            await self._open()
        answer = loop.create_future()
        self._waiting.append((answer, loop.time()))
        self._unsent.append(hiredis.pack_command(words))  # type: ignore[arg-type]
        if len(self._unsent) == 1:
            loop.call_soon(self._send)  # with whatever else is asked in this turn of the loop
        if self._watch is None:
            self._watch = loop.call_later(self._patience, self._look)
        return await answer

    def _send(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    async def _open(self) -> None:
        """One attempt for everybody who waits for it; raises RedisError."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with self._opening:
            if self._transport is not None:
                return
            if self._failed >= began:
                raise Gone("Redis did not answer somebody who had asked before")
            if self._made is not None:
                await self._made.disconnect(nowait=True)
            made: Any = self._pool.connection_class(
                **{**self._pool.connection_kwargs, "retry": Retry(NoBackoff(), 0), "protocol": 2}
            )
            try:
                await made.connect()
            except (RedisError, OSError) as failure:
                self._failed = loop.time()
                raise Gone(str(failure)) from failure
            self._made, self._parser = made, hiredis.Reader(encoding="utf-8", errors="replace")
            wire: asyncio.Transport = made._writer.transport
            self._before = wire.get_protocol()
            wire.set_protocol(self)
            self._transport = wire

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed(data)
            while (found := self._parser.gets()) is not False:
                answer, _ = self._waiting.popleft()
                if answer.done():  # who asked has gone away
                    continue
                if isinstance(found, hiredis.ReplyError):
                    words = str(found)
                    answer.set_exception((NoScriptError if words.startswith("NOSCRIPT") else ResponseError)(words))
                else:
                    answer.set_result(found)
        except (hiredis.ProtocolError, IndexError) as broken:
            self._drop(Gone(f"that is not what Redis says: {broken}"))

    def connection_lost(self, failure: Exception | None) -> None:
        assert self._before is not None
        self._before.connection_lost(failure)
        self._transport = None
        self._drop(Gone("Redis closed the connection"))

    def _look(self) -> None:
        """Somebody may have waited too long."""
        self._watch = None
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        left = self._waiting[0][1] + self._patience - loop.time()
        if left <= 0:
            self._drop(TooLate(f"no answer from Redis within {self._patience:g} s"))
        else:
            self._watch = loop.call_later(left, self._look)

    def _drop(self, why: RedisError) -> None:
        if self._transport is not None:
            assert self._before is not None
            self._transport.set_protocol(self._before)  # its end is no news for whoever comes after
            self._transport.abort()
        self._transport = None
        self._unsent.clear()
        waiting, self._waiting = self._waiting, deque()
        for answer, _ in waiting:
            if not answer.done():
                answer.set_exception(why)

    async def close(self) -> None:
        """Give the connection back."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        made, self._made = self._made, None
        self._drop(Gone("the shop closes"))
        if made is not None:
            await made.disconnect(nowait=True)
