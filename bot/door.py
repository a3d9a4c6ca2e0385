"""What both webhooks share: the order of checks, the bounds, the answers to what is wrong."""

from __future__ import annotations

import asyncio
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import unquote_plus

from aiohttp import StreamReader, hdrs, web

from bot.face import Answer
from bot.logs import Seldom
from handlers.routing import Told

BODY = 64 * 1024
"""Longest body of a push, in bytes."""

DRIFT = 300
"""How far a push's timestamp may be from the shop's clock, in seconds, either way."""

DEADLINE = 4.5
"""Seconds until an answer can no longer come with its push: the platforms hang up at 5 (passive reply)."""

QUIET = frozenset({"unfollow", "view", "job"})
"""Kinds to which no answer is shown (doc: passive reply): the door says nothing, whatever the desk says."""

WORDS = 2048
"""Longest text taken from a message, in characters; what is beyond is dropped."""

_PLAIN = {hdrs.CONTENT_TYPE: "text/plain; charset=utf-8"}
_ILLEGAL = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ECHO = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Refused(Exception):
    """Not from the platform, or not for us: `status`, an empty body; `reason` is one word for the count."""

    def __init__(self, reason: str, status: int = 403) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class Unreadable(Exception):
    """From the platform, but not to be understood: answered `success`, counted, logged."""


class NotRecorded(Exception):
    """The desk could not write anything down (the database is away): 503, so that the platform asks again."""


class Desk(Protocol):
    """The part of the desk that a door knows."""

    async def hear_within(self, told: Told, seconds: float) -> Answer | None:
        """The answer, or None when it was not ready within `seconds`; raises NotRecorded."""
        ...


class Watch(Protocol):
    """The part of the shop's clock that a door knows."""

    def timestamp(self) -> int:
        """The shop's time in whole Unix seconds."""
        ...


def uncounted(_what: str) -> None:
    """For doors whose refusals and faults nobody counts."""


def query_of(raw_path: str) -> dict[str, str]:
    """The query of a request's raw path; raises Refused when a name comes twice.

    The platforms' values are digits and hex, so this is a split; only what carries an escape is unquoted.
    """
    query: dict[str, str] = {}
    for pair in raw_path.partition("?")[2].split("&"):
        name, _, value = pair.partition("=")
        if name in query:
            raise Refused("query")
        query[name] = unquote_plus(value) if "%" in value or "+" in value else value
    return query


def fresh(timestamp: str, digits: int, now: int, *, unit: int = 1) -> bool:
    """Is `timestamp` (`digits` ASCII digits, `unit` of them to the second) within DRIFT of `now`?"""
    if len(timestamp) != digits or not (timestamp.isascii() and timestamp.isdigit()):
        return False
    return abs(int(timestamp) // unit - now) <= DRIFT


async def take(stream: StreamReader, most: int) -> bytes | None:
    """Everything in `stream`, or None as soon as it is more than `most` bytes."""
    body = await stream.readany()
    if stream.at_eof():
        return body if len(body) <= most else None
    parts, size = [body], len(body)
    while size <= most and (more := await stream.readany()):
        parts.append(more)
        size += len(more)
    return b"".join(parts) if size <= most else None


async def body_of(request: web.Request) -> bytes:
    """The body of a push; raises Refused: 413 for more than BODY bytes, 415 for any Content-Encoding (never
    used by the platforms, and a few bytes could unfold to many)."""
    headers = request.headers
    if hdrs.CONTENT_ENCODING in headers:
        raise Refused("encoding", 415)
    # aiohttp's parser has already refused a Content-Length that is not a number.
    if int(headers.get(hdrs.CONTENT_LENGTH, 0)) > BODY:
        raise Refused("size", 413)
    body = await take(request.content, BODY)
    if body is None:
        raise Refused("size", 413)
    return body


def echo_of(query: Mapping[str, str]) -> web.Response:
    """The answer to a verification: `echostr` as it came; raises Refused when it is none."""
    echo = query.get("echostr", "")
    if not _ECHO.fullmatch(echo):
        raise Refused("echostr")
    return web.Response(text=echo, content_type="text/plain", headers={"X-Content-Type-Options": "nosniff"})


def clean(text: str) -> str:
    """`text` without what XML 1.0 does not allow (control characters, lone surrogates, U+FFFE, U+FFFF), each
    line ending as one newline, which is what a parser makes of the others."""
    if text.isprintable():  # none of those is printable
        return text
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _ILLEGAL.sub("", text)


def cut(text: str, most: int) -> str:
    """`text` in at most `most` bytes of UTF-8, cut between two code points."""
    if len(text) * 4 <= most:
        return text
    raw = text.encode("utf-8")
    return text if len(raw) <= most else raw[:most].decode("utf-8", "ignore")


class Door(ABC):
    """One account's webhook, from the request to the response.

    Cheapest first, and nothing is read before it has to be: the query's signature and its time, the body's
    size and encoding, then what the platform's own writing needs. Who fails gets an empty refusal, is
    counted, and is logged at most once a second; a good signature is never refused for what others did. What
    is authentic but cannot be read, and whatever fails inside, is answered with `nothing`: an error page
    would be shown to the follower as "out of order".
    """

    platform: str
    nothing: bytes
    written: Mapping[str, str]

    def __init__(
        self, account: str, desk: Desk, clock: Watch, *, deadline: float, count: Callable[[str], None]
    ) -> None:
        self._account, self._desk, self._clock = account, desk, clock
        self._deadline, self._count = deadline, count
        log = logging.getLogger(f"bot.{self.platform}.webhook")
        self._refusals, self._faults = Seldom(log), Seldom(log)

    @abstractmethod
    def check(self, query: Mapping[str, str]) -> None:
        """Is this the platform, now? Raises Refused."""

    @abstractmethod
    def read(self, query: Mapping[str, str], body: bytes) -> Told:
        """What is said; raises Refused or Unreadable."""

    @abstractmethod
    def write(self, query: Mapping[str, str], told: Told, answer: Answer) -> bytes:
        """The passive reply; b"" when there is nothing to show."""

    def dress(self, told: Told) -> Mapping[str, str]:
        """The headers of the reply to this."""
        return self.written

    def routes(self, path: str) -> list[web.RouteDef]:
        """GET verifies, POST pushes."""
        return [web.get(path, self.verify, allow_head=False), web.post(path, self.push)]

    async def verify(self, request: web.Request) -> web.Response:
        """The console asks whether we know the secret, by a signed word to be said back."""
        try:
            query = query_of(request.raw_path)
            self.check(query)
            return echo_of(query)
        except Refused as refused:
            return self._refuse(request, refused)

    async def push(self, request: web.Request) -> web.Response:
        """One message or event."""
        began = asyncio.get_running_loop().time()
        try:
            query = query_of(request.raw_path)
            self.check(query)
            body = await body_of(request)
        except Refused as refused:
            return self._refuse(request, refused)
        try:
            told = self.read(query, body)
            if told.account != self._account:
                raise Refused("account")
            left = self._deadline - (asyncio.get_running_loop().time() - began)
            answer = await self._desk.hear_within(told, left)
            reply = self.write(query, told, answer) if answer is not None and told.kind not in QUIET else b""
            return web.Response(body=reply, headers=self.dress(told)) if reply else self._nothing()
        except Refused as refused:
            return self._refuse(request, refused)
        except Unreadable as broken:
            self._count("unreadable")
            self._faults(f"{self.platform} push unreadable", why=str(broken), size=len(body))
            return self._nothing()
        except NotRecorded:
            self._count("not_recorded")
            self._faults(f"{self.platform} push not recorded: the database is away")
            return web.Response(status=503)
        except Exception as failed:
            self._count("failed")
            self._faults(f"{self.platform} push failed", failed)
            return self._nothing()

    def _nothing(self) -> web.Response:
        return web.Response(body=self.nothing, headers=_PLAIN)

    def _refuse(self, request: web.Request, refused: Refused) -> web.Response:
        self._count(refused.reason)
        # The query is a credential for as long as its timestamp is fresh: it is not logged.
        self._refusals(f"{self.platform} push refused", why=refused.reason, peer=request.remote)
        return web.Response(status=refused.status)
