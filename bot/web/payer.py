"""Who pays at a browser, and where: what it is, where it stands on the net, and whose WeChat it runs in."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from aiohttp import web

from bot.channel import SendFailed
from bot.wechat.api import WeChat

if TYPE_CHECKING:
    from bot.app import House

log = logging.getLogger(__name__)

Device = Literal["wechat", "phone", "desktop"]

LOGIN_SECONDS = 600  # for the way to the platform and back
KNOWN_SECONDS = 12 * 3600
UNKNOWN_SECONDS = 60  # so long a browser whose person could not be found out is not sent there again
LOGINS_A_MINUTE = 600  # what we ask the platform for all browsers together

_HANDHELD = re.compile(r"Mobile|Android|iPhone|iPad|iPod|HarmonyOS|OpenHarmony", re.ASCII)
_STATE = re.compile(r"[0-9a-f]{32}", re.ASCII)
_OPENID = re.compile(r"[A-Za-z0-9_-]{6,64}", re.ASCII)


def device_of(agent: str) -> Device:
    """What a browser says it is. It may lie: that changes how one may pay, and shows nothing."""
    if "MicroMessenger" in agent:
        return "wechat"
    return "phone" if _HANDHELD.search(agent) else "desktop"


def address_of(request: web.Request, proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> str:
    """The visitor's address: of the socket; behind a trusted proxy, the last one in X-Forwarded-For that is none."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    found = _address(str(peer[0])) if isinstance(peer, tuple) else None
    named = [part.strip() for line in request.headers.getall("X-Forwarded-For", []) for part in line.split(",")]
    while found is not None and named and any(found in network for network in proxies):
        if (before := _address(named.pop())) is None:  # a word the proxy did not write
            break
        found = before
    return str(found) if found is not None else ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


class Payers:
    """People inside WeChat, known by the platform's web login (snsapi_base: silent, the openid and nothing else).

    The login's state is single use and bound to the browser by a signed cookie, which also says where it began: no
    address to go to is ever taken from outside. What is known afterwards is a signed cookie too, and only ever says
    who pays.
    """

    def __init__(self, house: House, secure: bool) -> None:
        self.house, self.secure = house, secure
        account = house.settings.wechat
        self.key = house.keys.derive(f"payer:{account.app_id if account else ''}")  # an openid is one account's
        prefix = "__Host-" if secure else ""
        self.known, self.login, self.unknown = f"{prefix}payer", f"{prefix}login", f"{prefix}stranger"

    # -- cookies that only we can have made ------------------------------------------------------------

    def _mac(self, name: str, body: str) -> str:
        return hmac.new(self.key, f"{name}|{body}".encode(), hashlib.sha256).hexdigest()

    def _keep(self, response: web.StreamResponse, name: str, *parts: str, seconds: int) -> None:
        body = ".".join((*parts, str(self.house.clock.timestamp() + seconds)))
        response.set_cookie(
            name,
            f"{body}.{self._mac(name, body)}",
            max_age=seconds,
            httponly=True,
            samesite="Lax",
            secure=self.secure,
            path="/",
        )

    def _kept(self, request: web.Request, name: str) -> list[str]:
        """The parts of a cookie of ours that is still good; [] for any other."""
        body, _, mac = request.cookies.get(name, "").rpartition(".")
        if not hmac.compare_digest(mac.encode("utf-8", "replace"), self._mac(name, body).encode()):
            return []
        *parts, until = body.split(".")
        return parts if self.house.clock.timestamp() < int(until) else []

    def openid(self, request: web.Request) -> str:
        """Whose WeChat this browser runs in; "" where that is not known."""
        parts = self._kept(request, self.known)
        return parts[0] if parts else ""

    def stranger(self, request: web.Request) -> str:
        """Why this browser's person could not be found out a moment ago: "snapshot", "failed", or ""."""
        parts = self._kept(request, self.unknown)
        return parts[0] if parts else ""

    # -- to the platform and back ------------------------------------------------------------------------

    @property
    def _account(self) -> WeChat | None:
        found = self.house.channels.get("wechat")
        return found if isinstance(found, WeChat) else None

    def begin(self, back: str) -> web.Response:
        """Off to the platform, which sends the browser to /oauth/wechat; `back` is a path of ours."""
        account = self.house.settings.wechat
        assert account is not None
        state = secrets.token_hex(16)
        home = quote(f"{self.house.settings.shop.public_url}/oauth/wechat", safe="")
        # The order of the parameters matters to old clients (doc: web page login).
        where = (
            f"{account.open_base}/connect/oauth2/authorize?appid={account.app_id}&redirect_uri={home}"
            f"&response_type=code&scope=snsapi_base&state={state}#wechat_redirect"
        )
        response = web.Response(status=302, headers={"Location": where, "Cache-Control": "no-store"})
        self._keep(response, self.login, state, back, seconds=LOGIN_SECONDS)
        return response

    async def returned(self, request: web.Request) -> web.Response | None:
        """Back to where it began, knowing who it is or why not; None for a return that this browser did not begin."""
        asked: Mapping[str, str] = request.query
        state, code = asked.get("state", ""), asked.get("code", "")
        parts = self._kept(request, self.login)
        if len(parts) != 2 or not _STATE.fullmatch(state) or not hmac.compare_digest(parts[0], state):
            return None
        back = web.Response(status=302, headers={"Location": parts[1], "Cache-Control": "no-store"})
        if await self.house.shared.allow(f"login:{state}", 1, LOGIN_SECONDS) < 0:
            # WeChat's browser likes to load this address twice: who is known by now goes on, nobody else.
            return back if self.openid(request) else None
        why = "failed"
        if code and self._account is not None and await self.house.shared.allow("logins", LOGINS_A_MINUTE, 60) >= 0:
            try:
                found = await self._account.client.visitor(code)
            except SendFailed as failed:
                self.house.count("login_failed")
                log.info("who pays was not found out", extra={"why": str(failed)})
            else:
                why = "snapshot" if found.snapshot or not _OPENID.fullmatch(found.openid) else ""
                if not why:
                    self._keep(back, self.known, found.openid, seconds=KNOWN_SECONDS)
        if why:
            self._keep(back, self.unknown, why, seconds=UNKNOWN_SECONDS)
        return back
