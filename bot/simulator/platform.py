"""The fake platform: plays WeChat's and Weibo's servers for one shop, by their rules and error codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import segno
from aiohttp import web
from PIL import Image

from bot.clock import Clock
from bot.simulator.backstage import Backstage, Fault, reply_json
from bot.simulator.crowd import Crowd
from bot.simulator.platform_web import WebLogin
from bot.simulator.platform_wechat import WeChatServer
from bot.simulator.platform_weibo import WeiboServer

Listener = Callable[[str, str, Mapping[str, Any]], None]

BODY_BYTES = 12 << 20


class Platform(Backstage):
    """A service account and a Weibo account, their servers and the people on them, all in memory.

    `on_message` listeners get (channel, who, body) for each message that reached a phone: WeChat's JSON as
    it was sent, Weibo's {"type", "data"} with data decoded. `denied`: calls this account has no right to,
    such as "message/custom/send".
    """

    def __init__(
        self,
        clock: Clock,
        *,
        app_id: str,
        app_secret: str,
        weibo_token: str = "",
        weibo_account: str = "",
    ) -> None:
        super().__init__(clock.now)
        self.crowd = Crowd(clock.now)
        self.on_message: list[Listener] = []
        self.denied: set[str] = set()
        self.wechat = WeChatServer(self, clock, app_id, app_secret)
        self.weibo = WeiboServer(self, weibo_token, weibo_account)
        self.login = WebLogin(self, clock, app_id, app_secret)
        self.heard, self.follow, self.unfollow = self.crowd.heard, self.crowd.follow, self.crowd.unfollow
        self.follows, self.scene_of = self.crowd.follows, self.crowd.scene_of
        self.keep, self.media, self.know = self.crowd.keep, self.crowd.media, self.crowd.know

    @classmethod
    def for_shop(cls, settings: Any, clock: Clock) -> Platform:
        """With the secrets that the shop's settings name; sections wechat and weibo may be None."""
        wechat, weibo = settings.wechat, settings.weibo
        return cls(
            clock,
            app_id=wechat.app_id if wechat else "",
            app_secret=wechat.app_secret.get_secret_value() if wechat else "",
            weibo_token=weibo.access_token.get_secret_value() if weibo else "",
            weibo_account=weibo.account if weibo else "",
        )

    def app(self) -> web.Application:
        """All hosts in one (sub-)application, for their paths do not meet; at the root or under a prefix."""
        app = web.Application(client_max_size=BODY_BYTES)
        app.router.add_route("*", "/cgi-bin/{call:.*}", self._wechat)
        app.router.add_route("*", "/2/{call:.*}", self._weibo)
        app.router.add_get("/sns/{call:.*}", self._sns)
        app.router.add_get("/connect/oauth2/authorize", self.login.authorize)
        return app

    def delivered(self, channel: str, who: str, body: Mapping[str, Any]) -> None:
        """A message reaches a phone."""
        for listener in self.on_message:
            listener(channel, who, body)

    def credit(self, who: str, template: str, times: int = 1) -> None:
        """The follower agrees to `times` notifications of this template."""
        credits = self.crowd.know("wechat", who).credits
        credits[template] = credits.get(template, 0) + times

    def picture_of(self, ticket: str) -> web.Response:
        """The QR behind a ticket as a JPEG; 404 when it is unknown or expired."""
        url = self.crowd.url_of(ticket)
        if url is None:
            return web.Response(status=404)
        png, jpeg = BytesIO(), BytesIO()
        segno.make(url, error="m").save(png, kind="png", scale=8, border=4)
        Image.open(png).convert("L").save(jpeg, "JPEG", quality=90)
        return web.Response(body=jpeg.getvalue(), content_type="image/jpeg")

    async def _wechat(self, request: web.Request) -> web.Response:
        return await self.play(request, self.wechat.answer, _wrong)

    async def _sns(self, request: web.Request) -> web.Response:
        return await self.play(request, self.login.answer, _wrong)

    async def _weibo(self, request: web.Request) -> web.Response:
        def wrong(fault: Fault) -> web.Response:
            told = {"request": request.path, "error_code": fault.errcode or 10001, "error": "simulated fault"}
            return reply_json(told, fault.status or 400)

        return await self.play(request, self.weibo.answer, wrong)


def _wrong(fault: Fault) -> web.Response:
    if fault.status is not None:
        return web.Response(text="simulated fault", status=fault.status)
    code = -1 if fault.errcode is None else fault.errcode
    return reply_json({"errcode": code, "errmsg": "simulated fault rid: 00000000-00000000-00000000"})
