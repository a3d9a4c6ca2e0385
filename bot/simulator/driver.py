"""The platform's side of a conversation: what people do becomes signed requests to the shop's webhooks."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import Any

import aiohttp
from yarl import URL

from bot.simulator import heard as phone
from bot.simulator.heard import Heard, Link, Malformed, read_qr
from bot.simulator.wire import Clock, Person, Push, Wire

__all__ = ["Driver", "Exchange", "Heard", "Line", "Link", "Person"]

OUT_OF_ORDER = "该公众号暂时无法提供服务,请稍后再试"
"""What a follower reads when the shop does not answer in time or answers rubbish."""

PATIENCE = 5.0
"""Seconds the platform waits for an answer."""

TRIES = 3
"""How often the platform delivers one message before it gives up (doc: passive reply, service account)."""

_SILENT = frozenset({"unsubscribe", "unfollow", "LOCATION", "VIEW", "view"})


@dataclass(frozen=True, slots=True)
class Line:
    """One bubble of a transcript; `side` is "me", "shop" or "event", `pushed` one nobody asked for."""

    n: int
    at: datetime
    side: str
    heard: Heard
    pushed: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """One delivery as it went over the wire, for the panel; `took` in milliseconds."""

    n: int
    at: datetime
    person: Person
    heard: Heard
    took: int


class Driver:
    """Posts what people do to `base_url` as the platforms would, and keeps each person's transcript.

    `settings` are the shop's (sections wechat and weibo; either may be None), `platform` and `cashier`
    the fake ones behind the shop's API classes; `http` is the client that the requests go through.
    """

    def __init__(
        self,
        base_url: str,
        settings: Any,
        clock: Clock,
        platform: Any,
        cashier: Any,
        http: aiohttp.ClientSession,
        *,
        patience: float = PATIENCE,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.wire = Wire(settings, clock)
        self.clock = clock
        self.platform = platform
        self.cashier = cashier
        self.http = http
        self.patience = patience
        self.exchanges: deque[Exchange] = deque(maxlen=200)
        self.on_line: list[Callable[[Person, Line], None]] = []
        self.on_exchange: list[Callable[[Exchange], None]] = []
        self.people: dict[tuple[str, str], Person] = {}
        self._transcripts: dict[tuple[str, str], list[Line]] = {}
        # A page that was open before a new start knows the old numbers: they are not given again.
        self._lines = count(int(clock.now().timestamp() * 1000))
        self._exchange = count(1)
        platform.on_message.append(self._delivered)

    # What people do

    async def says(self, person: Person, text: str, *, code: str = "") -> Heard:
        """Types `text`; `code` is the msgmenu id when the words come from a tap (WeChat)."""
        self._show(person, "me", Heard(text=text, parts=(text,)))
        self.platform.heard(person.channel, person.who, "menu_tap" if code else "text")
        if person.channel == "weibo":
            return await self._deliver(self.wire.weibo(person, "text", text, {}))
        extra = {"bizmsgmenuid": code} if code else {}
        return await self._deliver(self.wire.wechat(person, "text", {"Content": text, **extra}))

    async def taps(self, person: Person, choice: Link | str) -> Heard:
        """Taps a link, or the newest link or numbered line that bears the words `choice`."""
        link = choice if isinstance(choice, Link) else self._find(person, choice)
        if link.url:
            return Heard(links=(link,))
        return await self.says(person, link.says or link.label, code=link.code)

    def _find(self, person: Person, label: str) -> Link:
        for line in reversed(self.transcript(person)):
            if line.side != "shop":
                continue
            try:
                return line.heard.link(label)
            except LookupError:
                for number, words in line.heard.choices.items():
                    if label in words:
                        return Link(label=words, says=number)
        raise LookupError(f"{person.name} sees nothing to tap that says 「{label}」")

    async def presses(self, person: Person, key: str, name: str = "") -> Heard:
        """Presses a button of the account's menu (CLICK; on Weibo `click`)."""
        self._show(person, "event", Heard(text=f"菜单 {name or key}"))
        self.platform.heard(person.channel, person.who, "CLICK")
        if person.channel == "weibo":
            return await self._deliver(self.wire.weibo(person, "click", name, {"key": key}))
        return await self._deliver(self.wire.wechat(person, "CLICK", {"EventKey": key}))

    async def follows(self, person: Person, scene: str = "") -> Heard:
        """Follows the account, by a QR with `scene` or plainly."""
        self.platform.follow(person.channel, person.who, scene)
        self._show(person, "event", Heard(text="扫码关注 · follows by a card" if scene else "关注 · follows"))
        if person.channel == "weibo":
            data = {"key": f"QR_SCENE_{scene}", "ticket": self.wire.ticket()} if scene else {}
            return await self._deliver(self.wire.weibo(person, "scan_follow" if scene else "follow", "关注", data))
        fields = {"EventKey": f"qrscene_{scene}", "Ticket": self.wire.ticket()} if scene else {"EventKey": ""}
        return await self._deliver(self.wire.wechat(person, "subscribe", fields))

    async def unfollows(self, person: Person) -> Heard:
        """Leaves the account; whatever the shop answers is not shown."""
        self.platform.unfollow(person.channel, person.who)
        self._show(person, "event", Heard(text="取消关注 · unfollows"))
        if person.channel == "weibo":
            return await self._deliver(self.wire.weibo(person, "unfollow", "取消关注", {}))
        return await self._deliver(self.wire.wechat(person, "unsubscribe", {"EventKey": ""}))

    async def scans(self, person: Person, what: str | bytes) -> Heard:
        """Scans a picture's QR (JPEG or PNG bytes), its address, its ticket, or a bare scene.

        Another site's code opens as a page: then the answer holds only the link. Raises LookupError where the
        picture has no code, or one of the other platform's.
        """
        found = read_qr(what) if isinstance(what, bytes) else what
        scene = self.platform.scene_of(found)
        if not scene:
            if found.startswith(("http://", "https://")):
                return Heard(links=(Link(label=found, url=found),))
            scene = found
        elif ("weibo" in found) != (person.channel == "weibo") and found.startswith("http"):
            raise LookupError(f"{person.name} 的应用认不得这个码 · a code of the other platform")
        if not self.follows_now(person):
            return await self.follows(person, str(scene))
        self._show(person, "event", Heard(text="扫一扫 · scans"))
        self.platform.heard(person.channel, person.who, "SCAN")
        if person.channel == "weibo":
            data = {"key": f"QR_SCENE_{scene}", "ticket": self.wire.ticket()}
            return await self._deliver(self.wire.weibo(person, "scan", "扫描二维码", data))
        fields = {"EventKey": str(scene), "Ticket": self.wire.ticket()}
        return await self._deliver(self.wire.wechat(person, "SCAN", fields))

    async def sends_picture(self, person: Person, jpeg: bytes) -> Heard:
        """Sends a picture (JPEG bytes); the platform keeps it for the shop to fetch."""
        media_id = self.platform.keep(jpeg)
        self._show(person, "me", Heard(picture=jpeg, media_id=media_id))
        self.platform.heard(person.channel, person.who, "image")
        if person.channel == "weibo":
            data = {"vfid": media_id, "tovfid": media_id}
            return await self._deliver(self.wire.weibo(person, "image", "发了一张图片", data))
        fields = {"PicUrl": f"http://mmbiz.qpic.cn/{media_id}", "MediaId": media_id}
        return await self._deliver(self.wire.wechat(person, "image", fields))

    async def sends(self, person: Person, kind: str, /, **fields: Any) -> Heard:
        """Sends any other kind: WeChat's MsgType or Event and its elements; Weibo's type, text and data."""
        self._show(person, "event", Heard(text=f"[{kind}]"))
        self.platform.heard(person.channel, person.who, kind)
        if person.channel == "weibo":
            text = str(fields.pop("text", ""))
            return await self._deliver(self.wire.weibo(person, kind, text, fields))
        return await self._deliver(self.wire.wechat(person, kind, fields))

    async def redeliver(self, last: Heard, times: int = 2, at_once: bool = False) -> list[Heard]:
        """Delivers the same message `times` more, in a row or all at once, as after a broken connection."""
        push = last.fields.get("push")
        if not isinstance(push, Push):
            raise LookupError("this was not an answer to a request")
        if at_once:
            return list(await asyncio.gather(*(self._deliver(push, shown=False) for _ in range(times))))
        return [await self._deliver(push, shown=False) for _ in range(times)]

    def follows_now(self, person: Person) -> bool:
        """True while the platform counts this person among the followers."""
        return bool(self.platform.follows(person.channel, person.who))

    def transcript(self, person: Person) -> list[Line]:
        """Every bubble of this person's phone, oldest first."""
        self.people.setdefault((person.channel, person.who), person)
        return self._transcripts.setdefault((person.channel, person.who), [])

    async def _deliver(self, push: Push, *, shown: bool = True) -> Heard:
        loop = asyncio.get_running_loop()
        began = loop.time()
        path, query, body = self.wire.sign(push)
        kind = "application/json" if push.person.channel == "weibo" else "text/xml"
        headers = {"Content-Type": f"{kind}; charset=utf-8", "User-Agent": "Mozilla/4.0", "Accept": "*/*"}
        url = URL(self.base_url + path).with_query(query)
        wire = "".join(f"{name}: {value}\n" for name, value in headers.items())
        heard = Heard(
            raw_request=f"POST {url.raw_path_qs} HTTP/1.1\nHost: {url.authority}\n{wire}\n{body}",
            decrypted_request=push.body,
            fault=f"no answer within {self.patience:g} s, {TRIES} times",
        )
        for attempt in range(1, TRIES + 1):
            heard = replace(heard, attempts=attempt)
            try:
                async with self.http.post(
                    url,
                    data=body.encode(),
                    headers=headers,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=self.patience),
                ) as response:
                    answer = await response.text(encoding="utf-8", errors="replace")
            except (TimeoutError, aiohttp.ClientError):
                continue
            said = "".join(f"{name}: {value}\n" for name, value in response.headers.items())
            heard = replace(
                heard,
                raw_response=f"HTTP/1.1 {response.status} {response.reason}\n{said}\n{answer}",
                status=response.status,
                fault="" if response.status == 200 else f"HTTP {response.status}",
            )
            if response.status < 500:
                if response.status == 200:
                    heard = self._pictured(self.wire.read(push, heard, answer))
                break
        heard = replace(heard, fields={**heard.fields, "push": push})
        self._record(push.person, heard, round((loop.time() - began) * 1000))
        if shown and push.kind not in _SILENT and not heard.silent:
            words = Heard(text=OUT_OF_ORDER, parts=(OUT_OF_ORDER,), fault=heard.fault) if heard.fault else heard
            self._show(push.person, "shop", words)
        return heard

    def _pictured(self, heard: Heard) -> Heard:
        if not heard.media_id:
            return heard
        if (picture := self.platform.media(heard.media_id)) is None:
            return replace(heard, fault=f"media_id {heard.media_id!r} is unknown or expired")
        return replace(heard, picture=picture)

    # What is kept and told

    def _delivered(self, channel: str, who: str, body: Mapping[str, Any]) -> None:
        """Shows a customer message (WeChat) or active send (Weibo: type, decoded data) that went through."""
        person = self.people.get((channel, who)) or Person(channel, who, who)
        try:
            if channel == "weibo":
                told = phone.read_weibo_message(str(body.get("type")), body.get("data") or {})
            else:
                told = phone.read_wechat_message(body)
            told = self._pictured(told)
        except Malformed as fault:
            told = Heard(fault=str(fault), text=f"[{fault}]", parts=(f"[{fault}]",))
        self._show(person, "shop", replace(told, fields=dict(body)), pushed=True)

    def _show(self, person: Person, side: str, heard: Heard, *, pushed: bool = False) -> None:
        line = Line(next(self._lines), self.clock.now(), side, heard, pushed)
        self.transcript(person).append(line)
        for listener in self.on_line:
            listener(person, line)

    def _record(self, person: Person, heard: Heard, took: int) -> None:
        exchange = Exchange(next(self._exchange), self.clock.now(), person, heard, took)
        self.exchanges.append(exchange)
        for listener in self.on_exchange:
            listener(exchange)
