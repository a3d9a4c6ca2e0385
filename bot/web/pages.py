"""Pages: the chat's annex. GET shows, the button's POST changes; nobody needs to log in to look."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web
from markupsafe import Markup

from bot.data import data
from bot.web.qr import qr_svg
from handlers.asking import Coded, unpack
from handlers.intents import ShowPay, StartPay
from handlers.replies import Reply
from models.product import ProductGlance

if TYPE_CHECKING:
    from bot.app import House

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
YEAR = "public, max-age=31536000, immutable"
FORM_SECONDS = 2 * 3600
NONCE: web.RequestKey[str] = web.RequestKey("nonce", str)


def headers(house: House) -> Any:
    """What every answer carries: a strict policy with a nonce, no sniffing, no referrer to others."""

    @web.middleware
    async def add(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonce = secrets.token_urlsafe(16)
        request[NONCE] = nonce
        response = await handler(request)
        if response.prepared:
            return response
        for name, value in {
            "Content-Security-Policy": "; ".join(
                (
                    "default-src 'none'",
                    "img-src 'self' data:",
                    f"style-src 'self' 'nonce-{nonce}'",
                    f"script-src 'self' 'nonce-{nonce}'",
                    "connect-src 'self'",
                    "font-src 'self'",
                    "form-action 'self'",
                    "base-uri 'none'",
                    f"frame-ancestors {house.frame_ancestors}",
                )
            ),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
        }.items():
            response.headers.setdefault(name, value)
        return response

    return add


class Pages:
    """The routes of the annex, over one house."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.secure = house.settings.shop.public_url.startswith("https://")
        self.cookie = "__Host-form" if self.secure else "form"
        self.key = house.keys.derive("form")
        self.version = _version(data("bot/web/static") if (Path(__file__).parent / "static").is_dir() else None)
        house.face.pages.globals["qr"] = lambda text: Markup(qr_svg(text))
        house.face.pages.globals["static"] = lambda name: f"/static/{self.version}/{name}"

    # -- forms: an origin of ours, and a token bound to a cookie ----------------------------------------

    def _token(self, cookie: str, path: str) -> str:
        return hmac.new(self.key, f"{cookie}|{path}".encode(), hashlib.sha256).hexdigest()

    def _own_origin(self, request: web.Request) -> bool:
        origin = request.headers.get("Origin", "")
        ours = urlsplit(self.house.settings.shop.public_url)
        if origin and origin != "null":
            theirs = urlsplit(origin)
            return (theirs.scheme, theirs.netloc) == (ours.scheme, ours.netloc)
        return request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")

    async def _checked(self, request: web.Request) -> bool:
        form = await request.post()
        token, cookie = form.get("token"), request.cookies.get(self.cookie, "")
        return (
            self._own_origin(request)
            and isinstance(token, str)
            and bool(cookie)
            and hmac.compare_digest(self._token(cookie, request.path).encode(), token.encode())
        )

    def _show(self, request: web.Request, found: Reply, *, status: int = 200) -> web.Response:
        """The page of a reply; one that has no page is shown in words."""
        cookie = request.cookies.get(self.cookie) or secrets.token_urlsafe(24)
        token = Markup('<input type="hidden" name="token" value="{}">').format(self._token(cookie, request.path))
        template = found.template
        if not self.house.face.has(template, "html"):
            words = self.house.face.body(template, "page", found.facts)
            found, template = replace(found, facts={"words": words}), "layout/words"
        frame = {"form_token": token, "nonce": request[NONCE], "path": request.path}
        body = self.house.face.page(template, found.facts | frame)
        response = web.Response(text=body, content_type="text/html", charset="utf-8", status=status)
        response.headers["Cache-Control"] = "no-store"
        if request.cookies.get(self.cookie) != cookie:
            response.set_cookie(
                self.cookie,
                cookie,
                max_age=FORM_SECONDS,
                httponly=True,
                samesite="Lax",
                secure=self.secure,
                path="/",
            )
        return response

    def _gone(self, request: web.Request, status: int = 404) -> web.Response:
        return self._show(request, Reply("layout/gone"), status=status)

    # -- intents with a page -----------------------------------------------------------------------------

    def _intent(self, request: web.Request) -> Coded | None:
        intent = unpack(request.match_info["code"])
        return intent if intent is not None and intent.page and not intent.personal else None

    async def intent(self, request: web.Request) -> web.StreamResponse:
        """GET /h/<code>: the page of an intent; one that changes something only shows its button."""
        intent = self._intent(request)
        if intent is None:
            return self._gone(request)
        if intent.changes:
            return self._show(request, Reply("layout/button", {"words": intent.pack()}))
        found = await self.house.desk.visit(intent)
        return self._show(request, found, status=404 if found.refused else 200)

    async def press(self, request: web.Request) -> web.StreamResponse:
        """POST /h/<code>: the button of that page."""
        intent = self._intent(request)
        if intent is None or not intent.changes:
            return self._gone(request)
        if not await self._checked(request):
            return self._gone(request, 403)
        return self._show(request, await self.house.desk.visit(intent))

    # -- paying ------------------------------------------------------------------------------------------

    async def pay(self, request: web.Request) -> web.StreamResponse:
        """GET /pay/<code>: shop, sum and time left, and nothing personal; whoever has the link may pay."""
        found = await self.house.desk.visit(ShowPay(request.match_info["code"]))
        return self._show(request, found, status=404 if found.refused else 200)

    async def start_pay(self, request: web.Request) -> web.StreamResponse:
        """POST /pay/<code>: makes or reuses the attempt, and shows how to pay it."""
        if not await self._checked(request):
            return self._gone(request, 403)
        return self._show(request, await self.house.desk.visit(StartPay(request.match_info["code"])))

    async def pay_state(self, request: web.Request) -> web.StreamResponse:
        """GET /pay/<code>/state: one word, for a page that waits."""
        found = await self.house.desk.visit(ShowPay(request.match_info["code"]))
        state = "gone" if found.refused else str(found.facts.get("state", ""))
        return web.json_response({"state": state}, headers={"Cache-Control": "no-store"})

    # -- pictures and the rest ---------------------------------------------------------------------------

    async def picture(self, request: web.Request) -> web.StreamResponse:
        """GET /pic/<sha256>.jpg, or /pic/<sha256>.s.jpg for the thumbnail."""
        jpeg = await ProductGlance(self.house.store.reader).picture(
            request.match_info["sha"], thumb=bool(request.match_info["small"])
        )
        if jpeg is None:
            return self._gone(request)
        return web.Response(body=jpeg, content_type="image/jpeg", headers={"Cache-Control": YEAR})

    async def about(self, request: web.Request) -> web.StreamResponse:
        """GET /about/…: public pages."""
        name = request.match_info["name"]
        return (
            self._show(request, Reply(f"about/{name}"))
            if self.house.face.has(f"about/{name}", "html")
            else self._gone(request)
        )

    async def proof(self, request: web.Request) -> web.StreamResponse:
        """GET /MP_verify_….txt: proof that the domain is ours; the file holds what its name says."""
        wechat = self.house.settings.wechat
        name = request.match_info["name"]
        if wechat is None or not wechat.verify_file or f"MP_verify_{name}.txt" != wechat.verify_file:
            return self._gone(request)
        return web.Response(text=name, content_type="text/plain")

    async def home(self, request: web.Request) -> web.StreamResponse:
        return self._show(request, Reply("layout/home"))


def _version(folder: Path | None) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")) if folder is not None else []:
        if path.is_file() and path.stat().st_size < 1_000_000:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def doors(house: House) -> list[web.AbstractRouteDef]:
    """The annex's routes."""
    p = Pages(house)
    static = Path(__file__).parent / "static"
    routes: list[web.AbstractRouteDef] = [
        web.get("/", p.home),
        web.get("/h/{code}", p.intent),
        web.post("/h/{code}", p.press),
        web.get("/pay/{code:[2-9A-HJ-NP-Z]{10}}", p.pay),
        web.post("/pay/{code:[2-9A-HJ-NP-Z]{10}}", p.start_pay),
        web.get("/pay/{code:[2-9A-HJ-NP-Z]{10}}/state", p.pay_state),
        web.get(r"/pic/{sha:[0-9a-f]{64}}{small:(\.s)?}.jpg", p.picture),
        web.get("/about/{name:rewards|lottery|privacy|licence}", p.about),
        web.get("/MP_verify_{name:[A-Za-z0-9]+}.txt", p.proof),
    ]
    if static.is_dir():
        routes.append(web.static(f"/static/{p.version}", static))
    return routes
