"""The fake platform's web login: open.weixin.qq.com's authorize page and the sns calls behind it."""

from __future__ import annotations

import html
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from aiohttp import web
from yarl import URL

from bot.clock import Clock
from bot.simulator.backstage import reply_json

if TYPE_CHECKING:
    from bot.simulator.platform import Platform

CODE_GOOD = timedelta(minutes=5)
TOKEN_SECONDS = 7200
PERSON_COOKIE = "simulator_person"
"""Who sits at this browser: set by the simulator's page, or chosen on the authorize page."""


@dataclass(slots=True)
class Login:
    who: str
    scope: str
    until: datetime
    used: bool = False


class WebLogin:
    """A code is good once, for 5 minutes; the web token is not the account's (doc: web page login).

    `snapshots`: people who look at a snapshot page, whose openid is not real. `hosts`: the callback domains
    of the console; empty: any.
    """

    def __init__(self, platform: Platform, clock: Clock, app_id: str, app_secret: str) -> None:
        self._platform, self._clock = platform, clock
        self._app_id, self._app_secret = app_id, app_secret
        self._codes: dict[str, Login] = {}
        self._tokens: dict[str, Login] = {}
        self.snapshots: set[str] = set()
        self.hosts: set[str] = set()

    def code_for(self, who: str, scope: str = "snsapi_base") -> str:
        """A fresh code, as if this person had opened the authorize page."""
        self._platform.know("wechat", who)
        code = secrets.token_hex(16)
        self._codes[code] = Login(who, scope, self._clock.now() + CODE_GOOD)
        return code

    async def authorize(self, request: web.Request) -> web.Response:
        """Sends the person at this browser back with a code; asks who it is when no cookie says so."""
        asked = request.query
        if asked.get("appid") != self._app_id or asked.get("response_type") != "code":
            return web.Response(text="参数错误 (10013)", status=400)
        scope, back = asked.get("scope", ""), URL(asked.get("redirect_uri", ""))
        if scope not in ("snsapi_base", "snsapi_userinfo"):
            return web.Response(text="Scope 参数错误 (10005)", status=400)
        if back.scheme not in ("http", "https") or (self.hosts and back.host not in self.hosts):
            return web.Response(text="redirect_uri 域名与后台配置不一致 (10003)", status=400)
        who = asked.get("who") or request.cookies.get(PERSON_COOKIE, "")
        if self._platform.crowd.fan("wechat", who) is None:
            return self._who_is_it(request)
        back = back.update_query(code=self.code_for(who, scope), state=asked.get("state", ""))
        return web.Response(status=302, headers={"Location": str(back)})

    def _who_is_it(self, request: web.Request) -> web.Response:
        people = ""
        for fan in self._platform.crowd.fans("wechat"):
            link = html.escape("?" + urlencode({**request.query, "who": fan.who}))
            people += f'<p><a href="{link}">{html.escape(fan.name or fan.who)}</a></p>'
        page = f'<!doctype html><meta charset="utf-8"><title>微信登录</title><h1>您是哪位？</h1>{people}'
        return web.Response(text=page, content_type="text/html")

    async def answer(self, request: web.Request, raw: bytes) -> web.Response:
        """/sns/oauth2/access_token and /sns/userinfo."""
        call, asked = request.match_info["call"], request.query
        if call == "oauth2/access_token":
            return reply_json(self._token(asked.get("appid"), asked.get("secret"), asked.get("code", "")))
        login = self._tokens.get(asked.get("access_token", ""))
        if call != "userinfo":
            return _no(40066, "invalid url")
        if login is None or login.who != asked.get("openid"):
            return _no(40001, "invalid credential")
        if self._clock.now() >= login.until:
            return _no(42001, "access_token expired")
        if login.scope != "snsapi_userinfo":
            return _no(48001, "api unauthorized")
        fan = self._platform.know("wechat", login.who)
        told = {
            "openid": fan.who,
            "nickname": fan.name or "微信用户",
            "sex": 0,
            "headimgurl": "",
            "privilege": [],
        }
        return reply_json(told)

    def _token(self, app_id: str | None, secret: str | None, code: str) -> dict[str, object]:
        login = self._codes.get(code)
        if app_id != self._app_id:
            return {"errcode": 40013, "errmsg": "invalid appid"}
        if secret != self._app_secret:
            return {"errcode": 40125, "errmsg": "invalid appsecret"}
        if login is None:
            return {"errcode": 40029, "errmsg": "invalid code"}
        if login.used:
            return {"errcode": 40163, "errmsg": "code been used"}
        if self._clock.now() >= login.until:
            return {"errcode": 42003, "errmsg": "code expired"}
        login.used, token = True, secrets.token_urlsafe(48)
        until = self._clock.now() + timedelta(seconds=TOKEN_SECONDS)
        self._tokens[token] = Login(login.who, login.scope, until)
        told: dict[str, object] = {
            "access_token": token,
            "expires_in": TOKEN_SECONDS,
            "refresh_token": secrets.token_urlsafe(48),
            "openid": login.who,
            "scope": login.scope,
        }
        return told | ({"is_snapshotuser": 1} if login.who in self.snapshots else {})


def _no(code: int, words: str) -> web.Response:
    return reply_json({"errcode": code, "errmsg": words})
