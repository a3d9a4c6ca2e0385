"""Pages: the chat's annex. GET shows, the button's POST changes; nobody needs to log in to look."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from markupsafe import Markup

from bot import logs
from bot.logs import Seldom
from bot.web.qr import qr_svg
from handlers.asking import Coded, unpack
from handlers.replies import Choice, Reply
from models.product import ProductGlance

if TYPE_CHECKING:
    from bot.app import House

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
YEAR = "public, max-age=31536000, immutable"
FORM_SECONDS = 2 * 3600
FORM = "application/x-www-form-urlencoded"
STATIC = Path(__file__).parent / "static"
NONCE: web.RequestKey[str] = web.RequestKey("nonce", str)
PLAIN_POLICY = "default-src 'none'; frame-ancestors 'none'"
_COOKIE = re.compile(r"[A-Za-z0-9_-]{32}")


def frame(house: House, pages: Pages) -> Any:
    """What stands around every request: an id for its log lines, headers, a page for what is not there, or failed."""
    faults = Seldom(logging.getLogger(__name__))

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        with logs.request() as name:
            refused: web.HTTPException | None = None
            response: web.StreamResponse
            try:
                response = await handler(request)
            except web.HTTPException as said:
                response = refused = said
            except Exception as failure:
                if request.transport is None and isinstance(failure, ConnectionError):
                    raise  # who asked has hung up
                house.count("failed")
                faults("a page failed", failure)
                response = web.Response(status=500)
            reads = "text/html" in request.headers.get("Accept", "")
            if reads and response.status == 404:
                response, refused = pages.gone(request), None
            elif reads and response.status == 500:
                response, refused = pages.show(request, Reply("layout/failed"), status=500), None
            if not response.prepared:
                _dress(response, request, house)
                response.headers["X-Request-ID"] = name
            if refused is not None:
                raise refused
            return response

    return around


def _dress(response: web.StreamResponse, request: web.Request, house: House) -> None:
    """A strict policy, with the page's nonce where it is one; no sniffing, no referrer to others."""
    nonce = request.get(NONCE)
    policy = PLAIN_POLICY
    if nonce is not None:
        policy = (
            f"default-src 'none'; img-src 'self' data:; style-src 'self' 'nonce-{nonce}'; "
            f"script-src 'self' 'nonce-{nonce}'; connect-src 'self'; font-src 'self'; form-action 'self'; "
            f"base-uri 'none'; frame-ancestors {house.frame_ancestors}"
        )
    headers = response.headers
    headers.setdefault("Content-Security-Policy", policy)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("Server", "Tuanpu")  # which version of what serves is nobody's business
    if request.path.startswith("/static/") and response.status < 400:
        headers["Cache-Control"] = YEAR


class FormToken:
    """The hidden field that proves a form is ours; `used` once a page has shown it."""

    def __init__(self, value: str) -> None:
        self.value, self.used = value, False

    def __html__(self) -> str:
        self.used = True
        return str(Markup('<input type="hidden" name="token" value="{}">').format(self.value))


class Pages:
    """The routes of the annex, over one house."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.secure = house.settings.shop.public_url.startswith("https://")
        self.cookie = "__Host-form" if self.secure else "form"
        self.key = house.keys.derive("form")
        self.version = _version(STATIC)
        house.face.pages.globals["qr"] = lambda text: Markup(qr_svg(text))
        house.face.pages.globals["static"] = lambda name: f"/static/{self.version}/{name}"

    # -- forms: an origin of ours, and a token bound to a cookie ----------------------------------------

    def _cookie_of(self, request: web.Request) -> str:
        """This browser's cookie, "" where there is none that we could have made."""
        found = request.cookies.get(self.cookie, "")
        return found if _COOKIE.fullmatch(found) else ""

    def _token(self, cookie: str, path: str) -> str:
        return hmac.new(self.key, f"{cookie}|{path}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def _own_origin(self, request: web.Request) -> bool:
        origin = request.headers.get("Origin")
        if origin is not None:
            return origin == self.house.settings.shop.public_url
        return request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"

    async def checked(self, request: web.Request) -> bool:
        """Whether this form was shown by us, to this browser; raises 413."""
        cookie = self._cookie_of(request)
        if not cookie or not self._own_origin(request) or request.content_type != FORM:
            return False
        try:
            token = str((await request.post()).get("token", "")).encode()
        except (ValueError, LookupError):  # no form: bytes of no character set, or one nobody knows
            return False
        return hmac.compare_digest(self._token(cookie, request.path).encode(), token)

    def show(self, request: web.Request, found: Reply, *, status: int = 200) -> web.Response:
        """The page of a reply; one that has no page is shown in words."""
        cookie = self._cookie_of(request) or secrets.token_urlsafe(24)
        token = FormToken(self._token(cookie, request.path))
        template = found.template
        if not self.house.face.has(template, "html"):
            words = self.house.face.body(template, "page", found.facts)
            found, template = replace(found, facts={"words": words}), "layout/words"
        request[NONCE] = secrets.token_urlsafe(16)
        around = {"form_token": token, "nonce": request[NONCE], "path": request.path, "steps": _steps(found)}
        body = self.house.face.page(template, found.facts | around)
        response = web.Response(text=body, content_type="text/html", charset="utf-8", status=status)
        response.headers["Cache-Control"] = "no-store"
        if token.used:  # a cookie only where there is a form, and good for as long as from now on
            response.set_cookie(
                self.cookie, cookie, max_age=FORM_SECONDS, httponly=True, samesite="Lax", secure=self.secure, path="/"
            )
        return response

    def gone(self, request: web.Request, status: int = 404) -> web.Response:
        """The page for what is not there, or not for this browser."""
        return self.show(request, Reply("layout/gone"), status=status)

    # -- intents with a page -----------------------------------------------------------------------------

    def _intent(self, request: web.Request) -> Coded | None:
        intent = unpack(request.match_info["code"])
        return intent if intent is not None and intent.page and not intent.personal else None

    async def intent(self, request: web.Request) -> web.StreamResponse:
        """GET /h/<code>: the page of an intent; one that changes something only shows its button."""
        intent = self._intent(request)
        if intent is None:
            return self.gone(request)
        if intent.changes:
            return self.show(request, Reply("layout/button", {"words": intent.pack()}))
        found = await self.house.desk.visit(intent)
        return self.show(request, found, status=404 if found.refused else 200)

    async def press(self, request: web.Request) -> web.StreamResponse:
        """POST /h/<code>: the button of that page."""
        intent = self._intent(request)
        if intent is None or not intent.changes:
            return self.gone(request)
        if not await self.checked(request):
            return self.gone(request, 403)
        return self.show(request, await self.house.desk.visit(intent))

    # -- pictures and the rest ---------------------------------------------------------------------------

    async def picture(self, request: web.Request) -> web.StreamResponse:
        """GET /pic/<sha256>.jpg, or /pic/<sha256>.s.jpg for the thumbnail."""
        jpeg = await ProductGlance(self.house.store.reader).picture(
            request.match_info["sha"], thumb=bool(request.match_info["small"])
        )
        if jpeg is None:
            return self.gone(request)
        return web.Response(body=jpeg, content_type="image/jpeg", headers={"Cache-Control": YEAR})

    async def about(self, request: web.Request) -> web.StreamResponse:
        """GET /about/…: public pages."""
        template = f"about/{request.match_info['name']}"
        if not self.house.face.has(template, "html"):
            return self.gone(request)
        return self.show(request, Reply(template))

    async def proof(self, request: web.Request) -> web.StreamResponse:
        """GET /MP_verify_….txt: proof that the domain is ours; the file holds what its name says."""
        wechat = self.house.settings.wechat
        name = request.match_info["name"]
        if wechat is None or not wechat.verify_file or f"MP_verify_{name}.txt" != wechat.verify_file:
            return self.gone(request)
        return web.Response(text=name, content_type="text/plain")

    async def home(self, request: web.Request) -> web.StreamResponse:
        return self.show(request, Reply("layout/home"))


def _steps(found: Reply) -> list[tuple[str, str]]:
    """(label, path) of what the reply offers and what has a page of its own; the rest is said in the chat."""
    offered = (*found.lines, *found.choices, *((Choice("更多", found.more),) if found.more is not None else ()))
    return [
        (choice.label, f"/h/{choice.intent.pack()}")
        for choice in offered
        if isinstance(choice.intent, Coded) and choice.intent.page and not choice.intent.changes
    ]


def _version(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size < 1_000_000:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def doors(p: Pages) -> list[web.AbstractRouteDef]:
    """The annex's routes."""
    return [
        web.get("/", p.home),
        web.get("/h/{code}", p.intent),
        web.post("/h/{code}", p.press),
        web.get(r"/pic/{sha:[0-9a-f]{64}}{small:(\.s)?}.jpg", p.picture),
        web.get("/about/{name:rewards|lottery|privacy|licence}", p.about),
        web.get("/MP_verify_{name:[A-Za-z0-9]+}.txt", p.proof),
        web.static(f"/static/{p.version}", STATIC),
    ]
