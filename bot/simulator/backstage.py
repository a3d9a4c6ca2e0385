"""What the fake platform and the fake cashier share: switches to fail by, and a log of all calls."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

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


@dataclass(slots=True)
class Fault:
    """How the next calls of a path fail; `after`: once the work is done, so that the caller cannot know."""

    path: str
    errcode: int | None = None
    status: int | None = None
    code: str = ""
    drop: bool = False
    after: bool = False
    unsigned: bool = False
    times: int = 1


Answered = Callable[[web.Request, bytes], Awaitable[web.Response]]


class Backstage:
    """What every fake has: switches by which single calls fail, and `calls`, newest last."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.calls: deque[Call] = deque(maxlen=LOG_CALLS)
        self.on_call: list[Callable[[Call], None]] = []
        self.faults: list[Fault] = []

    def fail_next(
        self,
        path: str,
        *,
        errcode: int | None = None,
        status: int | None = None,
        code: str = "",
        drop: bool = False,
        after: bool = False,
        unsigned: bool = False,
        times: int = 1,
    ) -> None:
        """The next `times` calls whose path ends in `path` fail in the given way.

        `errcode`: that code with HTTP 200 (platform); `status` with `code`: that HTTP status and error code;
        `drop`: the connection is cut; `unsigned`: the cashier's reply bears nobody's signature;
        `after`: the work is done first, only its answer fails.
        """
        self.faults.append(Fault(path, errcode, status, code, drop, after, unsigned, times))

    def fault(self, path: str) -> Fault | None:
        """The fault that this call meets, used up by asking."""
        for fault in self.faults:
            if path.endswith(fault.path):
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    async def play(
        self, request: web.Request, answer: Answered, wrong: Callable[[Fault], web.Response]
    ) -> web.Response:
        """One call, for the log: `answer`, unless a fault says otherwise (`wrong` makes its reply)."""
        raw = await request.read()
        fault = self.fault(request.path)
        response: web.Response | None = None
        if fault is None or fault.after or fault.unsigned:
            request[UNSIGNED] = fault is not None and fault.unsigned
            response = await answer(request, raw)
        if fault is not None and not fault.unsigned:
            response = None if fault.drop else wrong(fault)
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
