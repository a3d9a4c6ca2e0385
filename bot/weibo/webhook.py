"""The Weibo door: what comes to /weibo is checked, and answered in Weibo's JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import hdrs, web

from bot.door import DEADLINE, Desk, Door, Refused, Watch, fresh, uncounted
from bot.face import Answer
from bot.settings import Weibo
from bot.wechat.codec import same, sign
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
        return events.told(parse(body), count=self._count)

    def write(self, query: Mapping[str, str], told: Told, answer: Answer) -> bytes:
        return reply(answer, told.who, told.account)


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
