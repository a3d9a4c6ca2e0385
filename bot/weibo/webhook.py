"""The Weibo door: what comes to /weibo is checked, and answered in Weibo's JSON, or in the XML it came in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import hdrs, web

from bot.door import DEADLINE, Desk, Door, Refused, Unreadable, Watch, fresh, uncounted
from bot.face import Answer
from bot.settings import Weibo
from bot.wechat import codec as wechat
from bot.wechat.codec import Malformed, same, sign
from bot.wechat.webhook import IN_XML
from bot.weibo import events
from bot.weibo.codec import parse, reply
from handlers.routing import Told


class WeiboDoor(Door):
    """The signature covers the query, with the App Secret; the body is anybody's word, always."""

    platform = "weibo"
    nothing = b""  # an empty body: nothing to say, do not ask again
    written = {hdrs.CONTENT_TYPE: "application/json; charset=utf-8"}  # noqa: RUF012

    def __init__(
        self, weibo: Weibo, desk: Desk, clock: Watch, *, deadline: float, count: Callable[[str], None]
    ) -> None:
        super().__init__(weibo.account, desk, clock, deadline=deadline, count=count)
        self._secret = weibo.app_secret.get_secret_value()

    def check(self, query: Mapping[str, str]) -> None:
        timestamp = query.get("timestamp", "")
        if not same(sign(self._secret, timestamp, query.get("nonce", "")), query.get("signature", "")):
            raise Refused("signature")
        if not fresh(timestamp, 13, self._clock.timestamp(), unit=1000):  # milliseconds
            raise Refused("stale")

    def read(self, query: Mapping[str, str], body: bytes) -> Told:
        if not body.lstrip().startswith(b"<"):
            return events.told(parse(body), count=self._count)
        try:  # an account may have been switched to XML (doc: push format)
            return events.told_in_xml(wechat.parse(body), count=self._count)
        except Malformed as broken:
            raise Unreadable(str(broken)) from None

    def write(self, query: Mapping[str, str], told: Told, answer: Answer) -> bytes:
        if isinstance(told, events.ToldInXml):
            return wechat.reply(answer, told.who, told.account, self._clock.timestamp())
        return reply(answer, told.who, told.account)

    def dress(self, told: Told) -> Mapping[str, str]:
        return IN_XML if isinstance(told, events.ToldInXml) else self.written


def doors(
    weibo: Weibo,
    desk: Desk,
    clock: Watch,
    *,
    deadline: float = DEADLINE,
    count: Callable[[str], None] = uncounted,
) -> list[web.RouteDef]:
    """The routes of `settings.weibo`: GET and POST /weibo; `deadline` (seconds) and `count` as on WeChat."""
    return WeiboDoor(weibo, desk, clock, deadline=deadline, count=count).routes("/weibo")
