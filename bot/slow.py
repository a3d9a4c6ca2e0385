"""Cuts who is slow on purpose: aiohttp itself waits for the rest of a header, or of a body, for ever.

And is short with who speaks no HTTP: aiohttp itself writes a traceback for each, and sends back what it got.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.web_protocol import RequestHandler

from bot.logs import Seldom

PATIENCE = 5.0
"""Seconds for a connection's first request to begin, and for any request to be here in full."""

_AT_ONCE = 64 * 1024  # bytes of one request for which PATIENCE is all there is
_PACE = 32 * 1024  # bytes that buy a longer request (a picture) another second


class Timed(RequestHandler):
    """One connection. A request that is here in one piece, as nearly all are, costs no timer at all."""

    __slots__ = ("_body", "_cutting", "_first", "_patience", "_seldom", "_size")

    def __init__(self, manager: web.Server, *, patience: float, seldom: Seldom, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._patience, self._seldom = patience, seldom
        self._cutting: asyncio.TimerHandle | None = None
        self._body: StreamReader | None = None
        self._first = 0.0
        self._size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        heads = self._request_count
        super().data_received(data)
        if self._upgraded or self._force_close:
            self._rest()
            return
        self._size += len(data)
        if self._request_count != heads and self._messages:  # a header has come to its end
            if self._body is not None and not self._body.is_eof():
                self.force_close()  # or a body has broken off: nothing that is HTTP comes here any more
                self._rest()
                return
            self._body = self._messages[-1][1]
        if self._body is None:
            if data:  # aiohttp calls with nothing to go on after a pause
                self._watch()  # inside a header
        elif self._body.is_eof():
            self._rest()
        else:
            self._watch()  # inside a body

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP is refused in as few words as a bad signature; who hung up half way is no fault of ours."""
        if self.transport is None and isinstance(exc, ConnectionError):
            raise exc  # nobody is there to be answered: aiohttp lets go of the connection
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return super().handle_error(request, status, exc, message)
        self._seldom("no HTTP", why=type(exc).__name__, peer=request.remote)
        refused = web.Response(status=status, headers={"Server": "Tuanpu"})
        refused.force_close()
        return refused

    def _watch(self) -> None:
        """Time the request, from its first byte."""
        if self._cutting is None:
            self._first = self._loop.time()
            self._cutting = self._loop.call_at(self._first + self._patience, self._cut)

    def _rest(self) -> None:
        """The request is whole; the next one is timed from its own first byte."""
        if self._cutting is not None:
            self._cutting.cancel()
            self._cutting = None
        self._body = None
        self._size = 0

    def _cut(self) -> None:
        self._cutting = None
        if self._reading_paused or self._buffer_paused:  # it is we who are slow
            self._cutting = self._loop.call_later(self._patience, self._cut)
            return
        earned = self._first + self._patience + max(0, self._size - _AT_ONCE) / _PACE
        if earned > self._loop.time():
            self._cutting = self._loop.call_at(earned, self._cut)
            return
        self.force_close()


class TimedServer(web.Server):
    """Makes a Timed for every connection."""

    def __init__(self, *args: Any, patience: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience = patience
        self._seldom = Seldom(logging.getLogger(__name__))

    def __call__(self) -> RequestHandler:
        return Timed(self, patience=self._patience, seldom=self._seldom, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """An AppRunner whose connections are cut when a request takes more than `patience` seconds to come.

    Compressed bodies stay compressed: nobody sends any here, and a few bytes could unfold to many.
    """

    __slots__ = ("_patience",)

    def __init__(self, app: web.Application, *, patience: float = PATIENCE, **kwargs: Any) -> None:
        super().__init__(app, auto_decompress=False, **kwargs)
        self._patience = patience

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return TimedServer(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            patience=self._patience,
            **made._kwargs,
        )
