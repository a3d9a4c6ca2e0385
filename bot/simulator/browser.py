"""The browsers on the phones: each opens the shop's pages under its own name and with its own cookies."""

from __future__ import annotations

from typing import Literal

import aiohttp
from aiohttp import web
from yarl import URL

from bot.simulator.platform_web import PERSON_COOKIE
from bot.simulator.wire import Person

Seat = Literal["wechat", "phone", "desk"]
"""Where a page is opened: inside WeChat, in a phone's browser (Weibo's own is one), on a desk."""

AGENTS: dict[Seat, str] = {
    "wechat": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile/15E148 MicroMessenger/8.0.50(0x18003231)",
    "phone": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile/15E148 Weibo (iPhone15,2__weibo__14.8.0)",
    "desk": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36",
}
PAGE_BYTES = 1 << 20
_KEPT = ("Content-Security-Policy", "Referrer-Policy", "Cache-Control", "X-Content-Type-Options")


class Browsers:
    """Fetches a page of the shop as one person's browser would; what the platform asks on the way it answers."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._jars: dict[tuple[str, str, Seat], aiohttp.CookieJar] = {}

    async def open(self, person: Person, seat: Seat, method: str, path: str, form: dict[str, str]) -> web.Response:
        """The page at `path` (with its query); 502 where the shop does not answer."""
        jar = self._jars.get((person.channel, person.who, seat))
        if jar is None:
            jar = self._jars[person.channel, person.who, seat] = aiohttp.CookieJar(unsafe=True)
            if seat == "wechat":  # whose WeChat this is, the platform knows
                jar.update_cookies({PERSON_COOKIE: person.who}, URL(self.base_url))
        headers = {"User-Agent": AGENTS[seat], "Accept": "text/html"}
        if method == "POST":
            headers |= {"Origin": self.base_url, "Sec-Fetch-Site": "same-origin"}
        timeout = aiohttp.ClientTimeout(total=15)
        try:
            async with (
                aiohttp.ClientSession(cookie_jar=jar, timeout=timeout) as browser,
                browser.request(
                    method, URL(self.base_url + path, encoded=True), data=form or None, headers=headers, max_redirects=6
                ) as page,
            ):
                body = await page.content.read(PAGE_BYTES)
                while more := await page.content.read(PAGE_BYTES):
                    body += more
                kept = {name: page.headers[name] for name in _KEPT if name in page.headers}
                return web.Response(
                    body=body, status=page.status, content_type=page.content_type, charset="utf-8", headers=kept
                )
        except (TimeoutError, aiohttp.ClientError):
            return web.Response(status=502, text="店没有回应 · the shop is not there")
