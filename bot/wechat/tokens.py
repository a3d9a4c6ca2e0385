"""Where the one access token is kept: in this process, or in what all processes share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from bot.shared import Shared


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, and until when (aware UTC) it is used."""

    value: str
    good_until: datetime


class Tokens(Protocol):
    """Where the one token is kept."""

    async def read(self) -> Token | None:
        """The token kept, dead or alive."""
        ...

    async def keep(self, token: Token) -> None:
        """Keep it in place of the one before."""
        ...

    def alone(self) -> AbstractAsyncContextManager[Any]:
        """Entered by one at a time, for as long as a renewal takes."""
        ...


class TokensHere:
    """The token of a single process."""

    def __init__(self) -> None:
        self._token: Token | None = None
        self._lock = asyncio.Lock()

    async def read(self) -> Token | None:
        return self._token

    async def keep(self, token: Token) -> None:
        self._token = token

    def alone(self) -> AbstractAsyncContextManager[Any]:
        return self._lock


class TokensShared:
    """The token that all processes use; losing it costs one more request for the same stable token."""

    def __init__(self, shared: Shared, app_id: str, now: Callable[[], datetime]) -> None:
        self._shared, self._now = shared, now
        self._name = f"token:{app_id}"

    async def read(self) -> Token | None:
        kept = await self._shared.get(self._name)
        if kept is None:
            return None
        value, until = json.loads(kept)
        return Token(value, datetime.fromtimestamp(until, UTC))

    async def keep(self, token: Token) -> None:
        seconds = max(1, int((token.good_until - self._now()).total_seconds()))
        await self._shared.put(self._name, json.dumps([token.value, token.good_until.timestamp()]), seconds)

    def alone(self) -> AbstractAsyncContextManager[Any]:
        lock: AbstractAsyncContextManager[Any] = self._shared.alone(self._name)
        return lock
