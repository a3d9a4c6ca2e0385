"""The door of the simulator's page: who may come in, and how what it sends is read."""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BODY_BYTES = 3 * 1024 * 1024
"""Largest request of the page, in bytes: a picture of 2 MB in base64."""

LONGEST_STEP = timedelta(days=60)
"""How far one press may move the clock."""

_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})

KEPT = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def answer(told: Mapping[str, Any]) -> web.Response:
    """JSON for the page, kept by no cache."""
    text = json.dumps(told, ensure_ascii=False)
    return web.Response(text=text, content_type="application/json", headers=KEPT)


def bad(why: str) -> web.HTTPBadRequest:
    """What to raise when the page sent what it never sends."""
    return web.HTTPBadRequest(text=json.dumps({"ok": False, "why": why}), content_type="application/json")


async def read_json(request: web.Request) -> dict[str, Any]:
    """Reads the body as a JSON object; raises 400 or 413."""
    body = b""
    async for chunk in request.content.iter_chunked(65536):  # the shop's own limit is made for messages
        body += chunk
        if len(body) > BODY_BYTES:
            raise web.HTTPRequestEntityTooLarge(max_size=BODY_BYTES, actual_size=len(body))
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as broken:
        raise bad("not JSON") from broken
    if not isinstance(told, dict):
        raise bad("an object is expected")
    return told


def read_text(told: Mapping[str, Any], name: str, longest: int = 2000) -> str:
    """Gives a field of at most `longest` characters, "" when absent; raises 400."""
    value = told.get(name, "")
    if not isinstance(value, str) or len(value) > longest:
        raise bad(f"{name} is text of at most {longest} characters")
    return value


def read_words(told: Mapping[str, Any], name: str, longest: int) -> str:
    """Gives a field that must hold words; raises 400."""
    if not (value := read_text(told, name, longest).strip()):
        raise bad(f"{name} is empty")
    return value


def local_only(handler: Handler, *, changes: bool, kind: str = "application/json") -> Handler:
    """Refuses whoever is not this machine's own browser on this very page.

    Others on the network are refused by the peer's address, rebound names by Host, foreign pages by Origin.
    """

    async def guarded(request: web.Request) -> web.StreamResponse:
        if not _is_loopback(request) or not _names_this_machine(request.host):
            raise web.HTTPForbidden(text="the simulator answers only this machine")
        site = request.headers.get("Sec-Fetch-Site", "none")
        origin = request.headers.get("Origin")
        own = origin == f"http://{request.host}"
        if (changes and not own) or (origin is not None and not own) or site not in {"none", "same-origin"}:
            raise web.HTTPForbidden(text="the simulator answers only its own page")
        if changes and request.content_type != kind:
            raise web.HTTPUnsupportedMediaType(text=f"{kind} is expected")
        return await handler(request)

    return guarded


def _is_loopback(request: web.Request) -> bool:
    """The socket's peer, not what a header says of it."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    try:
        return ip_address(str(peer[0])).is_loopback if isinstance(peer, tuple) else False
    except ValueError:
        return False


def _names_this_machine(host: str) -> bool:
    if host in _LOCAL:
        return True
    name, _, port = host.rpartition(":")
    return name in _LOCAL and port.isascii() and port.isdigit()


def read_step(told: Mapping[str, Any], local: datetime) -> timedelta:
    """How far to move: `minutes`, or to `tomorrow` (HH:MM) of `local`, the shop's time; raises 400."""
    if at := read_text(told, "tomorrow", 5):
        hour, colon, minute = at.partition(":")
        if not colon or not (hour + minute).isascii() or not (hour + minute).isdigit():
            raise bad("HH:MM is expected")
        try:
            there = (local + timedelta(days=1)).replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
        except ValueError as wrong:
            raise bad("HH:MM is expected") from wrong
        step = there - local
    else:
        minutes = told.get("minutes")
        if type(minutes) is not int or abs(minutes) > 10**6:
            raise bad("minutes is a whole number")
        step = timedelta(minutes=minutes)
    if not timedelta(0) < step <= LONGEST_STEP:
        raise bad("the clock goes forward only, at most 60 days at a time")
    return step
