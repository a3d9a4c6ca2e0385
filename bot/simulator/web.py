"""The simulator's page: phones side by side that speak to the shop only through its signed webhooks."""

import hashlib
import secrets
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from importlib.resources import files
from inspect import isawaitable
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import ClientError, ClientTimeout, web
from yarl import URL

from bot.simulator.backstage import Call
from bot.simulator.browser import Browsers
from bot.simulator.door import (
    KEPT,
    answer,
    bad,
    local_only,
    read_json,
    read_step,
    read_text,
    read_words,
)
from bot.simulator.driver import Driver, Exchange, Line
from bot.simulator.events import Events
from bot.simulator.heard import Article, Heard, Link, Malformed
from bot.simulator.wire import Clock, Person

LINES = 200
"""How many bubbles of each phone a freshly opened page shows."""

PICTURE_BYTES = 2 * 1024 * 1024
"""Largest picture that a phone may send, in bytes."""

_KINDS = {"simulator.css": "text/css", "simulator.js": "text/javascript", "words.js": "text/javascript"}


def mount(
    app: web.Application,
    driver: Driver,
    platform: Any,
    cashier: Any,
    clock: Clock,
    move: Callable[[timedelta], Awaitable[None]],
    menu: Callable[[], list[dict[str, Any]]],
    people: Sequence[Person],
) -> None:
    """Adds `/simulator/…` to `app`; only `tuanpu demo` may call this.

    `move` moves the shop's clock forward; `menu` gives the account's buttons as the menu API takes them;
    `people` are the phones, in the order in which they stand.
    """
    Phones(driver, platform, cashier, clock, move, menu, people).add_to(app)


class Phones:
    """What stands behind the page: the people, their events, the pictures they have seen."""

    def __init__(
        self,
        driver: Driver,
        platform: Any,
        cashier: Any,
        clock: Clock,
        move: Callable[[timedelta], Awaitable[None]],
        menu: Callable[[], list[dict[str, Any]]],
        people: Sequence[Person],
    ) -> None:
        self.driver = driver
        self.platform = platform
        self.cashier = cashier
        self.clock = clock
        self.move = move
        self.buttons = menu
        self.people = {f"{person.channel}:{person.who}": person for person in people}
        self.zone = ZoneInfo(driver.wire.settings.shop.timezone)
        self.events = Events()
        self.browsers = Browsers(driver.base_url)
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._busy: set[tuple[str, ...]] = set()
        for person in people:
            driver.transcript(person)
            platform.know(person.channel, person.who)  # one has the app before one follows anybody: its login knows one
        driver.on_line.append(self._line)
        driver.on_exchange.append(self._exchange)
        platform.on_call.append(self._call)
        cashier.on_call.append(self._call)

    @property
    def public_url(self) -> str:
        """Where the shop says it is, without a slash at the end."""
        return str(self.driver.wire.settings.shop.public_url).rstrip("/")

    def add_to(self, app: web.Application) -> None:
        """Wires the routes; open event streams end when `app` shuts down."""
        static = files("bot.simulator") / "static"
        self._html = (static / "simulator.html").read_text("utf-8")
        self._static = {name: (static / name).read_bytes() for name in _KINDS}
        looks = [
            ("", self._to_page),
            ("/", self.page),
            ("/state", self.state),
            ("/events", self.events.stream),
        ]
        looks += [("/picture/{sha}", self.picture), ("/static/{name}", self.static)]
        acts = [self.say, self.tap, self.menu, self.follow, self.unfollow, self.scan, self.pay]
        acts += [self.picture_sent, self.clock_turned]
        for path, look in looks:
            app.router.add_get(f"/simulator{path}", local_only(look, changes=False))
        for act in acts:
            name = act.__name__.partition("_")[0]
            app.router.add_post(f"/simulator/{name}", local_only(act, changes=True))
        where = "/simulator/web/{person}/{seat:wechat|phone|desk}/{path:.*}"
        app.router.add_get(where, local_only(self.browse, changes=False))
        form = "application/x-www-form-urlencoded"
        app.router.add_post(where, local_only(self.browse, changes=True, kind=form))
        app.on_shutdown.append(self.events.end)

    # What the page reads

    async def _to_page(self, _: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/simulator/")

    async def page(self, request: web.Request) -> web.StreamResponse:
        if self.public_url and f"http://{request.host}" != self.public_url:
            raise web.HTTPFound(f"{self.public_url}/simulator/")  # the shop's forms know one origin only
        nonce = secrets.token_urlsafe(18)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
            "img-src 'self' data:; connect-src 'self'; frame-src 'self'; form-action 'none'; "
            "base-uri 'none'; frame-ancestors 'none'"
        )
        return web.Response(
            text=self._html.replace("{{ nonce }}", nonce),
            content_type="text/html",
            headers={"Content-Security-Policy": policy, "Cross-Origin-Opener-Policy": "same-origin", **KEPT},
        )

    async def static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in self._static:
            raise web.HTTPNotFound
        return web.Response(body=self._static[name], content_type=_KINDS[name], charset="utf-8", headers=KEPT)

    async def browse(self, request: web.Request) -> web.StreamResponse:
        """A page of the shop, as this person's browser shows it there: inside WeChat, on a phone, on a desk."""
        person, seat = self.people.get(request.match_info["person"]), request.match_info["seat"]
        if person is None:
            raise web.HTTPNotFound
        path = "/" + request.rel_url.raw_path.split(f"/{seat}/", 1)[1]
        if request.query_string:
            path += "?" + request.rel_url.raw_query_string
        form = {name: str(value) for name, value in (await request.post()).items()}
        return await self.browsers.open(person, seat, request.method, path, form)  # type: ignore[arg-type]

    async def picture(self, request: web.Request) -> web.StreamResponse:
        picture = self._pictures.get(request.match_info["sha"])
        if picture is None:
            raise web.HTTPNotFound
        kind = "image/png" if picture.startswith(b"\x89PNG") else "image/jpeg"
        return web.Response(body=picture, content_type=kind, headers={**KEPT, "Cache-Control": "max-age=86400"})

    async def state(self, _: web.Request) -> web.StreamResponse:
        phones = [
            {
                "id": key,
                "name": person.name,
                "channel": person.channel,
                "role": person.role,
                "following": self.driver.follows_now(person),
                "lines": [self._told(line) for line in self.driver.transcript(person)[-LINES:]],
            }
            for key, person in self.people.items()
        ]
        return answer(
            {
                "shop": self.driver.wire.settings.shop.name,
                "people": phones,
                "menu": self.buttons(),
                "clock": self._now(),
                "exchanges": [self._wired(one) for one in list(self.driver.exchanges)[-30:]],
                "calls": [_called(call) for call in self._calls()[-60:]],
            }
        )

    # What the page does

    async def say(self, request: web.Request) -> web.StreamResponse:
        person, told = await self._asked(request)
        text = read_words(told, "text", 2000)
        return await self._once(person, ("say", text), lambda: self.driver.says(person, text))

    async def tap(self, request: web.Request) -> web.StreamResponse:
        person, told = await self._asked(request)
        link = Link(read_words(told, "label", 200), says=read_words(told, "says", 2000), code=read_text(told, "code"))
        return await self._once(person, ("tap", link.says), lambda: self.driver.taps(person, link))

    async def menu(self, request: web.Request) -> web.StreamResponse:
        person, told = await self._asked(request)
        key, name = read_words(told, "key", 128), read_text(told, "name")
        return await self._once(person, ("menu", key), lambda: self.driver.presses(person, key, name))

    async def follow(self, request: web.Request) -> web.StreamResponse:
        person, _ = await self._asked(request)
        if self.driver.follows_now(person):
            return answer({"ok": True, "again": True})
        return await self._once(person, ("follow",), lambda: self.driver.follows(person))

    async def unfollow(self, request: web.Request) -> web.StreamResponse:
        person, _ = await self._asked(request)
        if not self.driver.follows_now(person):
            return answer({"ok": True, "again": True})
        return await self._once(person, ("unfollow",), lambda: self.driver.unfollows(person))

    async def scan(self, request: web.Request) -> web.StreamResponse:
        """Scans a picture shown on any phone (`picture`: its path), or an address as text (`url`)."""
        person, told = await self._asked(request)
        what: str | bytes = read_text(told, "url")
        if path := read_text(told, "picture"):
            what = await self._seen(path)
        if not what:
            raise bad("nothing to scan")
        digest = hashlib.sha256(what if isinstance(what, bytes) else what.encode()).hexdigest()
        return await self._once(person, ("scan", digest), lambda: self.driver.scans(person, what))

    async def picture_sent(self, request: web.Request) -> web.StreamResponse:
        person, told = await self._asked(request)
        try:
            jpeg = b64decode(read_text(told, "data", PICTURE_BYTES * 4 // 3 + 4), validate=True)
        except ValueError as broken:
            raise bad("the picture is not base64") from broken
        if not jpeg.startswith((b"\xff\xd8\xff", b"\x89PNG")) or len(jpeg) > PICTURE_BYTES:
            raise bad("a JPEG or PNG of at most 2 MB is expected")
        digest = hashlib.sha256(jpeg).hexdigest()
        return await self._once(person, ("picture", digest), lambda: self.driver.sends_picture(person, jpeg))

    async def pay(self, request: web.Request) -> web.StreamResponse:
        """Pays what a page shows, or (`words`) what it called WeChat Pay up with: the cashier calls the shop."""
        person, told = await self._asked(request)
        if words := told.get("words"):
            try:
                code_url = self.cashier.called_up(words)
            except ValueError as refused:
                return answer({"ok": False, "why": str(refused)})
        else:
            code_url = read_words(told, "code_url", 512).partition("&redirect_url=")[0]
        if ("pay", code_url) in self._busy:
            return answer({"ok": True, "again": True})
        self._busy.add(("pay", code_url))
        try:
            paid = self.cashier.pay(code_url, person.who)
            if isawaitable(paid):
                await paid
        except (LookupError, ValueError) as refused:
            return answer({"ok": False, "why": str(refused.args[0] if refused.args else refused)})
        finally:
            self._busy.discard(("pay", code_url))
        return answer({"ok": True})

    async def clock_turned(self, request: web.Request) -> web.StreamResponse:
        """Moves the clock forward by `minutes`, or to tomorrow at `tomorrow` (HH:MM in the shop's zone)."""
        told = await read_json(request)
        step = read_step(told, self.clock.now().astimezone(self.zone))
        await self.move(step)
        self.events.tell("clock", self._now())
        return answer({"ok": True, "clock": self._now()})

    async def _once(self, person: Person, act: tuple[str, ...], does: Callable[[], Awaitable[Heard]]) -> web.Response:
        """Does it, unless the very same thing is still under way: a double tap is one tap."""
        mine = (person.channel, person.who, *act)
        if mine in self._busy:
            return answer({"ok": True, "again": True})
        self._busy.add(mine)
        try:
            heard = await does()
        except (LookupError, Malformed) as refused:
            return answer({"ok": False, "why": str(refused.args[0] if refused.args else refused)})
        finally:
            self._busy.discard(mine)
        following = self.driver.follows_now(person)
        self.events.tell("following", {"person": f"{person.channel}:{person.who}", "following": following})
        opens = [self._path(link.url) for link in heard.links if link.url and not heard.raw_request]
        return answer({"ok": not heard.fault, "why": heard.fault, "opens": opens[0] if opens else ""})

    # What goes to the page

    def _told(self, line: Line) -> dict[str, Any]:
        heard = line.heard
        parts = [
            {"label": p.label, "says": p.says, "code": p.code, "url": self._path(p.url)} if isinstance(p, Link) else p
            for p in heard.parts or ((heard.text,) if heard.text else ())
        ]
        return {
            "n": line.n,
            "at": self._hour(line.at),
            "side": line.side,
            "pushed": line.pushed,
            "parts": parts,
            "choices": heard.choices,
            "picture": f"/simulator/picture/{self._keep(heard.picture)}" if heard.picture else "",
            "article": self._article(heard.article),
            "fault": heard.fault,
        }

    def _article(self, article: Article | None) -> dict[str, str] | None:
        if article is None:
            return None
        return {
            "title": article.title,
            "text": article.text,
            "picture": self._path(article.picture),
            "url": self._path(article.url),
        }

    def _wired(self, one: Exchange) -> dict[str, Any]:
        return {
            "n": one.n,
            "at": self._hour(one.at),
            "person": one.person.name,
            "status": one.heard.status,
            "attempts": one.heard.attempts,
            "took": one.took,
            "fault": one.heard.fault,
            "request": one.heard.raw_request,
            "message": one.heard.decrypted_request,
            "response": one.heard.raw_response,
            "reply": one.heard.decrypted_reply,
        }

    def _hour(self, at: datetime) -> str:
        return at.astimezone(self.zone).isoformat(timespec="seconds")

    def _now(self) -> dict[str, Any]:
        now = self.clock.now().astimezone(self.zone)
        return {"now": now.isoformat(timespec="seconds"), "epoch": int(now.timestamp() * 1000)}

    def _path(self, url: str) -> str:
        """The shop's own addresses without scheme and host, so that the page opens them by its own name."""
        own = self.public_url and url.startswith(self.public_url + "/")
        return url[len(self.public_url) :] if own else url

    def _keep(self, picture: bytes) -> str:
        sha = hashlib.sha256(picture).hexdigest()
        self._pictures[sha] = picture
        self._pictures.move_to_end(sha)
        while len(self._pictures) > 500:
            self._pictures.popitem(last=False)
        return sha

    async def _seen(self, path: str) -> bytes:
        """The bytes of a picture on some phone: one that was sent, or one the shop shows by address."""
        if path.startswith("/simulator/picture/") and (kept := self._pictures.get(path.rpartition("/")[2])):
            return kept
        if not path.startswith("/pic/") or ".." in path:
            raise bad("no such picture")
        try:
            async with self.driver.http.get(
                URL(self.driver.base_url + path), timeout=ClientTimeout(total=5), allow_redirects=False
            ) as response:
                return await response.read() if response.status == 200 else b""
        except (TimeoutError, ClientError) as gone:
            raise bad("no such picture") from gone

    def _line(self, person: Person, line: Line) -> None:
        key = f"{person.channel}:{person.who}"
        self.events.tell("line", {"person": key, **self._told(line)})
        if line.side == "event":  # one may follow without the page: the merchant does, as the demo begins
            self.events.tell("following", {"person": key, "following": self.driver.follows_now(person)})

    def _exchange(self, one: Exchange) -> None:
        self.events.tell("exchange", self._wired(one))

    def _calls(self) -> list[Call]:
        return sorted([*self.platform.calls, *self.cashier.calls], key=lambda call: call.at)

    def _call(self, call: Call) -> None:
        self.events.tell("call", _called(call))

    async def _asked(self, request: web.Request) -> tuple[Person, dict[str, Any]]:
        told = await read_json(request)
        person = self.people.get(read_text(told, "person"))
        if person is None:
            raise bad("no such person")
        return person, told


def _called(call: Call) -> dict[str, Any]:
    return {
        "method": call.method,
        "path": call.path,
        "status": call.status,
        "asked": call.asked,
        "answered": call.answered,
    }
