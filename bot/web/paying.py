"""The pay page's doors: which way this browser pays, its button, and the way back from WeChat's login."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from urllib.parse import quote

from aiohttp import web

from bot.web.pages import Pages
from bot.web.payer import Payers, address_of, device_of
from handlers.intents import ShowPay, StartPay
from handlers.replies import Reply

CODE = "{code:[2-9A-HJ-NP-Z]{10}}"
FRIEND = "{friend:[2-9A-HJ-NP-Z]{6}}"


@dataclass(frozen=True)
class Seat:
    """Where somebody sits who wants to pay: the way that works there, and for whom it works."""

    way: str
    payer: str = ""
    stranger: str = ""  # inside WeChat, and nobody could say whose: "ask" first, then why not

    @property
    def barred(self) -> bool:
        return self.way == "jsapi" and not self.payer


class Paying:
    """Whoever holds the link may pay; the page shows shop, sum and time left."""

    def __init__(self, pages: Pages) -> None:
        self.pages, self.house = pages, pages.house
        self.payers = Payers(pages.house, pages.secure)

    def _seat(self, request: web.Request) -> Seat:
        """JSAPI inside WeChat, a QR code on a desk, elsewhere H5 where the shop has it, else words for WeChat."""
        settings = self.house.settings
        device = device_of(request.headers.get("User-Agent", ""))
        if device == "wechat":
            openid = self.payers.openid(request)
            return Seat("jsapi", openid, "" if openid else self.payers.stranger(request) or "ask")
        if device == "desktop":
            return Seat("native")
        address = address_of(request, settings.server.proxies)
        if settings.wechat_pay is not None and settings.wechat_pay.h5 and address:
            return Seat("h5", address)
        return Seat("token")

    def _link(self, request: web.Request) -> tuple[str, str]:
        """(pay code, friend's mark) of the address."""
        return request.match_info["code"], request.match_info.get("friend", "")

    async def page(self, request: web.Request) -> web.StreamResponse:
        """GET /pay/<code>: changes nothing. Who pays inside WeChat is asked of WeChat first, once."""
        code, friend = self._link(request)
        seat = self._seat(request)
        found = await self.house.desk.visit(ShowPay(code, seat.way, seat.payer, friend))
        if seat.stranger == "ask" and found.facts.get("state") == "pending" and self.house.settings.wechat:
            return self.payers.begin(request.path)
        return self._show(request, found, seat)

    async def press(self, request: web.Request) -> web.StreamResponse:
        """POST /pay/<code>: makes or reuses the attempt, and shows how to pay it."""
        if not await self.pages.checked(request):
            return self.pages.gone(request, 403)
        code, friend = self._link(request)
        seat = self._seat(request)
        if seat.barred:
            return self._show(request, await self.house.desk.visit(ShowPay(code, seat.way, "", friend)), seat)
        wish = StartPay(code, seat.way, seat.payer, friend)
        found = await self.house.desk.visit(wish)
        if found.template == "desk/silent":  # another way was open: it has been closed, or would not be
            found = await self.house.desk.visit(wish.filled(again=True))
        if friend and not found.refused and not found.facts.get("goods"):  # the cashier's word knows no friend
            shown = await self.house.desk.visit(ShowPay(code, seat.way, seat.payer, friend))
            found = replace(found, facts=found.facts | {name: shown.facts[name] for name in ("goods", "buyer")})
        return self._show(request, found, seat, pressed=True)

    def _show(self, request: web.Request, found: Reply, seat: Seat, *, pressed: bool = False) -> web.Response:
        if found.refused:
            return self.pages.show(request, found, status=404)
        facts = found.facts
        code, way, words = str(facts.get("code", "")), facts.get("way", ""), ""
        if code and way == "jsapi" and pressed and self.house.pay is not None:
            words = json.dumps(self.house.pay.jsapi_words(code))
        if code and way == "h5":
            here = f"{self.house.settings.shop.public_url}{request.path}"
            code = f"{code}&redirect_url={quote(here, safe='')}" if code.startswith("https://") else ""
        more = {
            "code": code,
            "words": words,
            "stranger": seat.stranger,
            "state_path": f"/pay/{request.match_info['code']}/state",
        }
        return self.pages.show(request, replace(found, facts=facts | more))

    async def state(self, request: web.Request) -> web.StreamResponse:
        """GET /pay/<code>/state: one word, for a page that waits."""
        found = await self.house.desk.visit(ShowPay(request.match_info["code"]))
        state = "gone" if found.refused else str(found.facts.get("state", ""))
        return web.json_response({"state": state}, headers={"Cache-Control": "no-store"})

    async def returned(self, request: web.Request) -> web.StreamResponse:
        """GET /oauth/wechat: the platform's answer to who this is."""
        return await self.payers.returned(request) or self.pages.gone(request, 403)


def doors(pages: Pages) -> list[web.AbstractRouteDef]:
    """The routes of paying."""
    p = Paying(pages)
    return [
        web.get(f"/pay/{CODE}", p.page),
        web.post(f"/pay/{CODE}", p.press),
        web.get(f"/pay/{CODE}/state", p.state),
        web.get(f"/pay/{CODE}/{FRIEND}", p.page),
        web.post(f"/pay/{CODE}/{FRIEND}", p.press),
        web.get("/oauth/wechat", p.returned),
    ]
