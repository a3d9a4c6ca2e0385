"""The fake platform's Weibo half: sends, pictures, QR codes, menus and users of the fans service."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from bot.simulator.backstage import reply_json

if TYPE_CHECKING:
    from bot.simulator.platform import Platform

TEXT_CHARACTERS = 300
ARTICLES = 8
SCENE_SECONDS = 1800
NOT_NOW = 28401
"""No page gives the number of "the 48 hours are over" or "has left": this one is the simulator's own."""


class Refused(Exception):
    """error_code and its words; HTTP status 400 or 403 as Weibo does."""

    def __init__(self, code: int, words: str, status: int = 400) -> None:
        super().__init__(words)
        self.code, self.words, self.status = code, words, status


class WeiboServer:
    """api.weibo.com, m.api.weibo.com and upload.api.weibo.com for one account.

    Docs: receiving messages, messages/reply, eps/qrcode, messages/menu.
    """

    def __init__(self, platform: Platform, token: str, account: str) -> None:
        self._platform, self._token, self._account = platform, token, account
        self._ways: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any] | web.Response]]] = {
            "messages/reply.json": ("POST", self._reply),
            "messages/sendall.json": ("POST", self._sendall),
            "messages/menu/create.json": ("POST", self._menu_create),
            "messages/menu/show.json": ("GET", self._menu_show),
            "messages/menu/delete.json": ("POST", self._menu_delete),
            "messages/subscribers/get.json": ("GET", self._subscribers),
            "eps/qrcode/create.json": ("POST", self._qrcode),
            "eps/user/info.json": ("GET", self._user),
            "mss/msget": ("GET", self._picture),
        }
        self.menu: dict[str, Any] | None = None

    def revoke(self, token: str = "") -> None:
        """The owner changed the password: only `token` works from now on."""
        self._token = token

    async def answer(self, request: web.Request, raw: bytes) -> web.Response:
        call = request.match_info["call"]
        if call == "eps/qrcode/show":
            return self._platform.picture_of(request.query.get("ticket", ""))
        try:
            asked = _asked(request, raw)
            way = self._ways.get(call)
            if way is None or call in self._platform.denied:
                raise Refused(10020 if way is None else 10014, "no such interface, or not for you", 404)
            if way[0] != request.method:
                raise Refused(10021, "HTTP method is not supported for this request")
            given = str(asked.get("access_token") or request.headers.get("Authorization", "")[7:])
            if not self._token or not secrets.compare_digest(given.encode(), self._token.encode()):
                raise Refused(21332, "invalid_access_token", 403)
            told = way[1](asked)
            return told if isinstance(told, web.Response) else reply_json(told)
        except Refused as no:
            told = {"request": f"/2/{call}", "error_code": no.code, "error": no.words}
            return reply_json(told, no.status)

    def _reply(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        who, kind = str(asked.get("receiver_id", "")), str(asked.get("type", ""))
        try:
            data = json.loads(str(asked.get("data", "")))
        except ValueError:
            raise Refused(10008, "param error: data is not JSON (urlencoded twice?)") from None
        if not isinstance(data, dict) or kind not in ("text", "articles", "position"):
            raise Refused(10008, "param error: type or data")
        if kind == "text" and not 0 < len(str(data.get("text", ""))) < TEXT_CHARACTERS:
            raise Refused(20012, "text too long, please input text less than 300 characters")
        articles = data.get("articles")
        if kind == "articles" and not (isinstance(articles, list) and 0 < len(articles) <= ARTICLES):
            raise Refused(10008, "param error: 1 to 8 articles")
        may = self._platform.crowd.may_tell("weibo", who)
        if may == "stranger":
            raise Refused(20003, "user does not exists")
        if may != "ok":
            raise Refused(NOT_NOW, "the user did not talk to you within 48 hours, or follows no more", 403)
        self._platform.crowd.told("weibo", who)
        self._platform.delivered("weibo", who, {"type": kind, "data": data})
        told = {"result": True, "sender_id": self._account, "receiver_id": who, "type": kind}
        return told | {"data": asked.get("data")}

    def _sendall(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        touser, kind = asked.get("touser"), str(asked.get("msgtype", ""))
        if not isinstance(asked.get(kind), dict | list):
            raise Refused(10008, "param error: msgtype")
        for who in self._opted_in():
            if touser is None or who in map(str, touser):
                self._platform.delivered("weibo", who, {"type": kind, "data": asked[kind]})
        return {"result": True, "msg_id": secrets.randbelow(10**12)}

    def _qrcode(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        name, info = asked.get("action_name"), asked.get("action_info")
        if isinstance(info, str):
            info = _object(info)
        scene = info.get("scene", {}).get("scene_id") if isinstance(info, dict) else asked.get("scene_id")
        digits = str(scene)
        if not (digits.isascii() and digits.isdigit() and 0 < int(digits) < 2**32):
            raise Refused(10008, "param error: scene_id")
        if name == "QR_LIMIT_SCENE" and int(digits) <= 100_000:
            seconds: int | None = None
        elif name == "QR_SCENE":
            wanted = str(asked.get("expire_seconds", SCENE_SECONDS))
            seconds = min(int(wanted) if wanted.isascii() and wanted.isdigit() else 0, SCENE_SECONDS)
        else:
            raise Refused(10008, "param error: action_name")
        ticket, url = self._platform.crowd.make_code(digits, seconds, "http://weibo.cn")
        return {"ticket": ticket, "url": url} | ({} if seconds is None else {"expire_seconds": seconds})

    def _picture(self, asked: Mapping[str, Any]) -> web.Response:
        content = self._platform.media(str(asked.get("fid", "")))
        if content is None:
            raise Refused(10008, "param error: fid")
        return web.Response(body=content, content_type="image/jpeg")

    def _user(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        fan = self._platform.crowd.fan("weibo", str(asked.get("uid", "")))
        if fan is None or not fan.follows:
            return {"follow": "0"}
        return {"subscribe": int(fan.subscribes), "follow": "1", "nickname": fan.name, "uid": fan.who}

    def _subscribers(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        return {"total": len(self._opted_in()), "data": {"uids": self._opted_in()}, "next_uid": 0}

    def _opted_in(self) -> list[str]:
        return [fan.who for fan in self._platform.crowd.fans("weibo") if fan.subscribes and fan.follows]

    def _menu_create(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        menu = _object(str(asked.get("menus", "")))
        if not isinstance(menu.get("button"), list) or not 1 <= len(menu["button"]) <= 3:
            raise Refused(10008, "param error: menus")
        self.menu = menu
        return {"result": True}

    def _menu_show(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        return {"menu": self.menu or {}}

    def _menu_delete(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self.menu = None
        return {"result": True}


def _object(words: str) -> dict[str, Any]:
    for said in (words, unquote(words)):
        try:
            found = json.loads(said)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    raise Refused(10008, "param error: not JSON")


def _asked(request: web.Request, raw: bytes) -> dict[str, Any]:
    asked: dict[str, Any] = dict(request.query)
    try:
        words = raw.decode()
    except UnicodeDecodeError:
        raise Refused(10008, "param error: not UTF-8") from None
    if words.lstrip().startswith("{"):
        return asked | _object(words)
    return asked | dict(parse_qsl(words, keep_blank_values=True))
