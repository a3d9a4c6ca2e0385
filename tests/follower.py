"""A person at the keyboard: sentences for tests over the simulator's driver."""

import json
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from bot.simulator.driver import Driver, Heard, Line, Link
from bot.simulator.platform_web import PERSON_COOKIE
from bot.simulator.wire import Person

IN_WECHAT = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile/15E148 MicroMessenger/8.0.50(0x18003231)"
ON_A_PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile/15E148 Weibo (iPhone15,2__weibo__14.8.0)"
ON_A_DESK = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36"


class Follower:
    """Someone with a phone. What comes back is what the phone shows; a refused answer fails the test."""

    def __init__(self, driver: Driver, person: Person) -> None:
        self.driver = driver
        self.person = person
        self._read = len(driver.transcript(person))
        self.browsers: dict[str, aiohttp.CookieJar] = {}

    def __repr__(self) -> str:
        return f"<{self.person.name} on {self.person.channel}>"

    async def says(self, text: str) -> Heard:
        """Types it and sends it."""
        return self._heard(await self.driver.says(self.person, text))

    async def taps(self, choice: str | Link) -> Heard:
        """Taps the newest link (on Weibo: answers with the number of the line) that bears these words."""
        return self._heard(await self.driver.taps(self.person, choice))

    async def presses(self, key: str, name: str = "") -> Heard:
        """Presses the menu's button with this key."""
        return self._heard(await self.driver.presses(self.person, key, name))

    async def follows(self, scene: str = "") -> Heard:
        """Follows the account, plainly or by a QR with this scene."""
        return self._heard(await self.driver.follows(self.person, scene))

    async def unfollows(self) -> Heard:
        """Leaves the account."""
        return self._heard(await self.driver.unfollows(self.person))

    async def scans(self, card: bytes | str) -> Heard:
        """Scans the QR on a card's picture (bytes), or a QR's address or scene."""
        return self._heard(await self.driver.scans(self.person, card))

    async def sends_picture(self, jpeg: bytes) -> Heard:
        """Sends a picture from the album."""
        return self._heard(await self.driver.sends_picture(self.person, jpeg))

    async def sends(self, kind: str, **fields: Any) -> Heard:
        """Sends a message or event of any other kind."""
        return self._heard(await self.driver.sends(self.person, kind, **fields))

    async def gets_it_again(self, last: Heard, times: int = 2, at_once: bool = False) -> list[Heard]:
        """The platform delivers the same message again."""
        return [self._heard(one) for one in await self.driver.redeliver(last, times, at_once)]

    async def opens(self, link: Link | str, agent: str = "") -> "Web":
        """Opens a page of the shop in a browser of one's own; by its `agent` it is on a desk, or in an app."""
        cookies = self.browsers.setdefault(agent, aiohttp.CookieJar(unsafe=True)) if agent else None
        if cookies is not None and "MicroMessenger" in agent:  # whose WeChat it is, the platform knows
            cookies.update_cookies({PERSON_COOKIE: self.person.who}, URL(self.driver.base_url))
        url = link.url if isinstance(link, Link) else link
        return await Web.get(self.driver, url, agent=agent, cookies=cookies)

    async def pays(self, pay_link: Link | Heard | str) -> "Web":
        """Opens the pay page, presses its button, pays the code with the wallet; gives the page."""
        if isinstance(pay_link, Heard):
            pay_link = next(link for link in pay_link.links if "/pay/" in link.url)
        page = await self.opens(pay_link)
        if not page.code_url:
            page = await page.presses_the_button()
        assert page.code_url, f"no data-code-url on the page:\n{page.text}"
        await self.driver.cashier.pay(page.code_url, self.person.who)
        return page

    @property
    def inbox(self) -> list[Heard]:
        """What the shop sent unasked since the inbox was last looked at."""
        lines = self.driver.transcript(self.person)
        new, self._read = lines[self._read :], len(lines)
        return [line.heard for line in new if line.pushed]

    @property
    def last(self) -> Heard:
        """The shop's newest words on this phone, asked for or not."""
        return next(line.heard for line in reversed(self.transcript) if line.side == "shop")

    @property
    def transcript(self) -> list[Line]:
        """Everything this phone shows, oldest first."""
        return self.driver.transcript(self.person)

    @staticmethod
    def _heard(heard: Heard) -> Heard:
        assert not heard.fault, f"the platform refuses the answer: {heard.fault}\n{heard.raw_response}"
        return heard


class Web(HTMLParser):
    """A page of the shop as a browser without scripts sees it: its words, its first form, its pay code."""

    def __init__(self, driver: Driver, url: str, cookies: aiohttp.CookieJar, agent: str = "") -> None:
        super().__init__()
        self.driver, self.url, self.cookies, self.agent = driver, url, cookies, agent
        self.status, self.code_url, self.html = 0, "", ""
        self.words: dict[str, str] = {}  # what the page hands to WeChat
        self.ticket, self.h5_url = "", ""
        self.headers: dict[str, str] = {}
        self.fields: dict[str, str] = {}
        self._form: dict[str, str | None] | None = None
        self._inside = False

    @classmethod
    async def get(cls, driver: Driver, url: str, *, agent: str = "", cookies: aiohttp.CookieJar | None = None) -> "Web":
        """Opens an address of the shop, with fresh cookies unless some are given."""
        page = cls(driver, urljoin(driver.base_url, url), cookies or aiohttp.CookieJar(unsafe=True), agent)
        return await page._load("GET", {})

    async def presses_the_button(self) -> "Web":
        """Sends the page's first form, hidden fields and cookies included, as its button would."""
        assert self._form is not None, f"no form on the page:\n{self.text}"
        page = Web(self.driver, urljoin(self.url, self._form.get("action") or self.url), self.cookies, self.agent)
        return await page._load((self._form.get("method") or "GET").upper(), self.fields)

    async def _load(self, method: str, fields: dict[str, str]) -> "Web":
        origin = "/".join(self.url.split("/", 3)[:3])
        headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin"} if method == "POST" else {}
        if self.agent:
            headers["User-Agent"] = self.agent
        async with (
            aiohttp.ClientSession(cookie_jar=self.cookies) as browser,
            browser.request(method, self.url, data=fields or None, headers=headers) as response,
        ):
            self.status, self.url = response.status, str(response.url)
            self.headers = dict(response.headers)
            self.html = await response.text()
        self.feed(self.html)
        return self

    @property
    def text(self) -> str:
        """The page's words, without its tags."""
        bare = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]+>", " ", self.html)
        return re.sub(r"\s+", " ", bare).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.code_url = told.get("data-code-url") or self.code_url
        self.ticket = told.get("data-ticket") or self.ticket
        self.words = json.loads(told.get("data-words") or "null") or self.words
        if "data-h5" in told:
            self.h5_url = told.get("href") or ""
        if tag == "form" and self._form is None:
            self._form, self._inside = told, True
        elif tag in ("input", "button") and self._inside and told.get("name"):
            self.fields[str(told["name"])] = told.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "form"
