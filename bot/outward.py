"""One request to a platform: bounded in size and time, and what the wire does to it named in our words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from bot.channel import Reason, SendFailed
from bot.door import take

SECONDS = aiohttp.ClientTimeout(total=10, connect=4)
"""For one request in all; for the connection to stand."""

ANSWER = 1024 * 1024
"""Longest answer read, in bytes."""

SHOWN = 10 * 1024 * 1024
"""Longest picture fetched, in bytes: what a platform takes from a person at most (doc: temporary media)."""

_QUERY = re.compile(r"\?[^\s'\"]*")
_BUSY = frozenset({429, 503})  # said before anything was taken


async def ask(
    http: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    repeatable: bool,
    most: int = ANSWER,
    over: Reason | None = None,
    **sent: Any,
) -> tuple[int, bytes]:
    """Status and body (at most `most` bytes) of one request; raises SendFailed, never with a query string in it.

    `repeatable` says that asking twice does no harm: then whatever fails is "later". Otherwise it is "later"
    only while nothing can have been taken, and "unknown" from the moment the request may have left. `over` is what
    an answer longer than `most` means, where that is something else.
    """
    lost: Reason = "later" if repeatable else "unknown"
    where = urlsplit(url).path
    try:
        async with http.request(method, url, allow_redirects=False, **{"timeout": SECONDS, **sent}) as response:
            body = await take(response.content, most)
            status = response.status
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as failed:
        raise SendFailed("later", f"{where}: no connection ({type(failed).__name__})") from None
    except (TimeoutError, aiohttp.ClientError, OSError) as failed:
        raise SendFailed(lost, f"{where}: {type(failed).__name__}") from None
    if body is None:
        raise SendFailed(over or lost, f"{where}: more than {most} bytes")
    if status in _BUSY:
        raise SendFailed("later", f"{where}: HTTP {status}", code=status)
    if status >= 500 or 300 <= status < 400:
        raise SendFailed(lost, f"{where}: HTTP {status}", code=status)
    return status, body


async def picture(http: aiohttp.ClientSession, url: str, params: Mapping[str, str]) -> bytes:
    """What a platform gives for a picture, at most SHOWN bytes: the picture, or an object that says why not."""
    _, raw = await ask(http, "GET", url, repeatable=True, most=SHOWN, over="bad", params=params)
    return raw


def redacted(words: str, secrets: Mapping[str, str]) -> str:
    """`words` without our secrets (their names instead) and without any query string; 200 characters."""
    for name, secret in secrets.items():
        if secret:
            words = words.replace(secret, f"[{name}]")
    return _QUERY.sub("?…", words)[:200]
