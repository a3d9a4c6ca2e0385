"""What the fake platform and the fake cashier share: faults on purpose, and a log of all calls."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from aiohttp import web

_NAMES = r"access_token|refresh_token|secret|appsecret|client_secret|ticket|signature"
_IN_QUERY = re.compile(rf"((?:^|[?&])(?:{_NAMES})=)[^&]*")
_IN_JSON = re.compile(rf'("(?:{_NAMES})"\s*:\s*")[^"]*')
UNSIGNED = web.RequestKey("unsigned", bool)
LOG_CALLS = 500
LOG_CHARACTERS = 4000


def masked(words: str) -> str:
    """The same words with every token, secret and ticket in a query or in JSON replaced by ***."""
    return _IN_JSON.sub(r"\1***", _IN_QUERY.sub(r"\1***", words))


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the simulator's panel may show it: secrets masked, long or binary bodies cut."""

    at: datetime
    method: str
    path: str
    asked: str
    status: int
    answered: str


Garbled = Literal["", "body", "signature", "key", "serial", "probe", "cipher", "truncated"]


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next `times` calls whose path ends in `path`, or callbacks of that name.

    In place of the answer: `errcode` with HTTP 200 (platform), `status` with `code`, or the connection is cut
    (`drop`); with `after` the work is done first, so that the caller cannot know. To the answer: `unsigned` (it bears
    nobody's signature), `garbled` (of answers: "body", "signature", "truncated"). Around it: `meanwhile` happens after
    the request has left and before it is read; `held` keeps the answer back until `release`.

    A callback is named callback/transaction or callback/refund: it may be lost (`drop`; with `after` only its
    acknowledgement is), held, garbled, or said `again` so many times.
    """

    path: str
    times: int = 1
    errcode: int | None = None
    status: int | None = None
    code: str = ""
    drop: bool = False
    after: bool = False
    unsigned: bool = False
    garbled: Garbled = ""
    held: bool = False
    again: int = 0
    meanwhile: Callable[[], Awaitable[Any]] | None = None

    @property
    def fails(self) -> bool:
        """Whether there is something else in the answer's place."""
        if self.errcode is not None or self.status is not None or self.code or self.drop:
            return True
        return not (self.unsigned or self.garbled or self.held or self.meanwhile)


Answered = Callable[[web.Request, bytes], Awaitable[web.Response]]


class Backstage:
    """What every fake has: the `faults` that wait for their calls, and `calls`, newest last."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.calls: deque[Call] = deque(maxlen=LOG_CALLS)
        self.on_call: list[Callable[[Call], None]] = []
        self.faults: list[Fault] = []
        self.held: list[Callable[[], Awaitable[Any]]] = []

    def fail_next(self, path: str, **how: Any) -> None:
        """A fault for the next call of this path; `how`: Fault's fields."""
        self.faults.append(Fault(path, **how))

    def fault(self, path: str) -> Fault | None:
        """The fault that this call or callback meets, used up by asking; a fault of path "" is any call's."""
        for fault in self.faults:
            if path.endswith(fault.path) and (fault.path or path.startswith("/")):
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    async def release(self, *, backwards: bool = False) -> int:
        """What was held goes on its way, in the order it came or `backwards`; how many there were."""
        held, self.held = self.held[:: -1 if backwards else 1], []
        for go in held:
            await go()
        return len(held)

    async def play(
        self, request: web.Request, answer: Answered, wrong: Callable[[Fault], web.Response]
    ) -> web.Response:
        """One call, for the log: `answer`, unless a fault says otherwise (`wrong` makes its reply)."""
        raw = await request.read()
        fault = self.fault(request.path)
        response: web.Response | None = None
        if fault is not None and fault.meanwhile is not None:
            await fault.meanwhile()
        if fault is None or fault.after or not fault.fails:
            request[UNSIGNED] = fault is not None and fault.unsigned
            response = await answer(request, raw)
        if fault is not None and fault.fails:
            response = None if fault.drop else wrong(fault)
        elif fault is not None and response is not None:
            _spoil(response, fault.garbled)
        if fault is not None and fault.held:
            gate = asyncio.get_running_loop().create_future()

            async def go() -> None:
                if not gate.done():
                    gate.set_result(None)

            self.held.append(go)
            await gate
        self._write(request, raw, response)
        if response is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return response

    def _write(self, request: web.Request, raw: bytes, response: web.Response | None) -> None:
        told = "(connection cut)" if response is None else _words(response.body, response.headers)
        query = f"?{request.query_string}" if request.query_string else ""
        call = Call(
            self._now(),
            request.method,
            masked(request.path + query),
            _words(raw, request.headers),
            0 if response is None else response.status,
            told,
        )
        self.calls.append(call)
        for listener in self.on_call:
            listener(call)


def _spoil(response: web.Response, garbled: Garbled) -> None:
    body = bytes(response.body) if isinstance(response.body, bytes | bytearray) else b""
    if garbled == "truncated":
        response.body = body[: len(body) // 2]
    elif garbled == "body":
        response.body = body.replace(b'"', b"'", 1)
    elif garbled == "signature" and "Wechatpay-Signature" in response.headers:
        response.headers["Wechatpay-Signature"] = response.headers["Wechatpay-Signature"][::-1]
    elif garbled:
        raise ValueError(f"an answer cannot be garbled so: {garbled}")


def _words(body: object, headers: Mapping[str, str]) -> str:
    raw = bytes(body) if isinstance(body, bytes | bytearray) else b""
    kind = headers.get("Content-Type", "")
    if not raw:
        return ""
    if kind.startswith(("image/", "multipart/")):
        return f"({len(raw)} bytes of {kind.split(';')[0]})"
    return masked(raw.decode("utf-8", "replace"))[:LOG_CHARACTERS]


def reply_json(told: Mapping[str, object], status: int = 200) -> web.Response:
    """JSON with its characters unescaped, as the platforms send it."""
    return web.Response(
        body=json.dumps(told, ensure_ascii=False).encode(), status=status, content_type="application/json"
    )
