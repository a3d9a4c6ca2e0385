"""What the open pages of the simulator are told as it happens."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from bot.simulator.door import KEPT


class Events:
    """Server-sent events to any number of pages."""

    def __init__(self) -> None:
        self._pages: set[asyncio.Queue[str | None]] = set()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: line, exchange, call, following, clock, until page or shop goes."""
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", **KEPT})
        queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=1000)
        self._pages.add(queue)
        try:
            await stream.prepare(request)
            await stream.write(b"retry: 1000\n\n")
            while True:
                try:
                    async with asyncio.timeout(20):
                        event = await queue.get()
                except TimeoutError:
                    event = ": still here\n\n"
                if event is None:
                    break
                await stream.write(event.encode())
        except ConnectionError:
            pass
        finally:
            self._pages.discard(queue)
        return stream

    def tell(self, kind: str, told: Mapping[str, Any]) -> None:
        """Says it to every open page."""
        event = f"event: {kind}\ndata: {json.dumps(told, ensure_ascii=False)}\n\n"
        for queue in list(self._pages):
            if queue.full():  # a page that no longer reads; it loads the state anew when it comes back
                self._pages.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    async def end(self, _: web.Application) -> None:
        """Lets every stream go, so that the shop can stop."""
        for queue in list(self._pages):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
