"""The fake platform's WeChat half: api.weixin.qq.com/cgi-bin with tokens, limits, windows and error codes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bot.clock import Clock
from bot.pay.wxpay import CHINA
from bot.simulator.backstage import reply_json
from bot.simulator.crowd import Said
from bot.simulator.platform_tokens import TOKEN_SECONDS, Refused, Tokens, read_json

if TYPE_CHECKING:
    from bot.simulator.platform import Platform

TEXT_BYTES = 2048
QR_SECONDS = 30
QR_LONGEST = 2_592_000
IMAGE_BYTES = 10 << 20
THUMB_BYTES = 64 << 10
MASS_A_MONTH = 4
CLIENT_ID_GOOD = timedelta(minutes=10)

_THING = re.compile(r"thing\d+")
_MAY: dict[Said, tuple[int, str]] = {
    "stranger": (40003, "invalid openid"),
    "gone": (43004, "require subscribe"),
    "closed": (45015, "response out of time limit or subscription is canceled"),
    "used_up": (45047, "out of response count limit"),
}


class WeChatServer:
    """One service account's server. Every call's rules stand in its own method."""

    def __init__(self, platform: Platform, clock: Clock, app_id: str, app_secret: str) -> None:
        self._platform, self._clock = platform, clock
        self.tokens = Tokens(clock, app_id, app_secret)
        self.menu: dict[str, Any] | None = None
        self.typing: dict[str, str] = {}
        self.templates: set[str] = set()
        """Template ids of the console; empty: any is known."""
        self._sent: dict[str, tuple[datetime, int]] = {}
        self._mass: dict[tuple[str, str], int] = {}
        self._ways: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
            "message/custom/send": ("POST", self._send),
            "message/custom/typing": ("POST", self._typing),
            "message/subscribe/bizsend": ("POST", self._bizsend),
            "message/template/send": ("POST", self._template),
            "message/mass/sendall": ("POST", self._mass_send),
            "message/mass/send": ("POST", self._mass_send),
            "qrcode/create": ("POST", self._qrcode),
            "menu/create": ("POST", self._menu_create),
            "menu/get": ("GET", self._menu_get),
            "menu/delete": ("GET", self._menu_delete),
            "user/info": ("GET", self._user),
            "user/get": ("GET", self._users),
            "ticket/getticket": ("GET", self._ticket),
            "getcallbackip": ("GET", lambda _: {"ip_list": ["127.0.0.1"]}),
            "get_api_domain_ip": ("GET", lambda _: {"ip_list": ["127.0.0.1"]}),
        }

    async def answer(self, request: web.Request, raw: bytes) -> web.Response:
        call = request.match_info["call"]
        if call == "showqrcode":  # mp.weixin.qq.com, without a token
            return self._platform.picture_of(request.query.get("ticket", ""))
        try:
            if call in ("token", "stable_token"):
                return reply_json(self.tokens.give(request, raw, call))
            self.tokens.check(request.query.get("access_token", ""))
            if call in self._platform.denied:
                raise Refused(48001, "api unauthorized")
            if call == "media/upload":
                return reply_json(self._upload(request, raw))
            if call == "media/get":
                return self._download(request.query.get("media_id", ""))
            method, way = self._ways.get(call, ("", None))
            if way is None:
                raise Refused(40066, "invalid url")
            if method != request.method:
                raise Refused(43002 if method == "POST" else 43001, f"require {method} method")
            asked = read_json(raw) if method == "POST" else dict(request.query)
            return reply_json({"errcode": 0, "errmsg": "ok"} | way(asked))
        except Refused as no:
            rid = f"{secrets.token_hex(4)}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
            return reply_json({"errcode": no.code, "errmsg": f"{no.words} rid: {rid}"})

    # doc: customer messages; subscription notifications; template messages; mass messages

    def _send(self, asked: dict[str, Any]) -> dict[str, Any]:
        who, kind = asked.get("touser"), asked.get("msgtype")
        crowd = self._platform.crowd
        fan = crowd.fan("wechat", who) if isinstance(who, str) else None
        if fan is None:
            raise Refused(40003, "invalid openid")
        if not fan.follows:
            raise Refused(43004, "require subscribe")
        if fan.muted:
            raise Refused(48002, "user block this message")
        check = {"text": self._text, "image": self._image, "news": _news, "msgmenu": _msgmenu}.get(str(kind))
        if check is None:
            raise Refused(40008, "invalid message type")
        body = asked.get(str(kind))
        if not isinstance(body, dict):
            raise Refused(47001, "data format error")
        check(body)
        if may := _MAY.get(crowd.may_tell("wechat", fan.who)):
            raise Refused(*may)
        crowd.told("wechat", fan.who)
        self.typing.pop(fan.who, None)
        self._platform.delivered("wechat", fan.who, asked)
        return {}

    def _text(self, body: dict[str, Any]) -> None:
        words = body.get("content")
        if not isinstance(words, str) or not words:
            raise Refused(44004, "empty content")
        if len(words.encode("utf-8", "replace")) > TEXT_BYTES:
            raise Refused(45002, "content size out of limit")

    def _image(self, body: dict[str, Any]) -> None:
        if self._platform.crowd.media(str(body.get("media_id"))) is None:
            raise Refused(40007, "invalid media_id")

    def _typing(self, asked: dict[str, Any]) -> dict[str, Any]:
        who, command = str(asked.get("touser")), asked.get("command")
        if command not in ("Typing", "CancelTyping"):
            raise Refused(45072, "command字段取值不对")
        if self._platform.crowd.may_tell("wechat", who) != "ok":
            raise Refused(45080, "下发输入状态，需要之前30秒内跟用户有过消息交互")
        if command == "Typing" and who in self.typing:
            raise Refused(45081, "已经在输入状态，不可重复下发")
        self.typing[who] = command
        if command == "CancelTyping":
            del self.typing[who]
        return {}

    def _bizsend(self, asked: dict[str, Any]) -> dict[str, Any]:
        fan = self._platform.crowd.fan("wechat", str(asked.get("touser")))
        template, data = str(asked.get("template_id")), asked.get("data")
        if fan is None:
            raise Refused(40003, "invalid openid")
        self._check_template(template, data)
        if fan.credits.get(template, 0) < 1:
            raise Refused(43101, "user refuse to accept the msg")
        fan.credits[template] -= 1
        self._platform.delivered("wechat", fan.who, asked | {"msgtype": "subscribe"})
        return {"msgid": secrets.randbelow(10**18)}

    def _template(self, asked: dict[str, Any]) -> dict[str, Any]:
        who = str(asked.get("touser"))
        may = self._platform.crowd.may_tell("wechat", who)
        if may in ("stranger", "gone"):
            raise Refused(*_MAY[may])
        self._check_template(str(asked.get("template_id")), asked.get("data"))
        sent = self._once(f"t:{who}:{asked['client_msg_id']}") if asked.get("client_msg_id") else None
        if sent is not None:
            return {"msgid": sent}
        self._platform.delivered("wechat", who, asked | {"msgtype": "template"})
        return {"msgid": secrets.randbelow(10**18)}

    def _check_template(self, template: str, data: Any) -> None:
        if self.templates and template not in self.templates:
            raise Refused(40037, "invalid template_id")
        if not isinstance(data, dict):
            raise Refused(47003, "argument invalid! data")
        for key, each in data.items():
            words = each.get("value") if isinstance(each, dict) else None
            if not isinstance(words, str) or not words:
                raise Refused(47003, f"argument invalid! data.{key}.value is emtpy")
            if "\n" in words or (_THING.fullmatch(key) and len(words) > 20):
                raise Refused(47003, f"argument invalid! data.{key}.value invalid")

    def _mass_send(self, asked: dict[str, Any]) -> dict[str, Any]:
        touser, kind = asked.get("touser"), str(asked.get("msgtype"))
        if isinstance(touser, list) and not 2 <= len(touser) <= 10_000:
            raise Refused(40130, "invalid openid list size, at least two openid")
        if touser is None and "group_id" in asked.get("filter", {}):
            raise Refused(40050, "invalid group id")  # the retired name of tag_id
        if not isinstance(asked.get(kind), dict):
            raise Refused(47001, "data format error")
        if len(str(asked.get("clientmsgid", "")).encode()) > 32:
            raise Refused(45067, "clientmsgid out of limit")
        if asked.get("clientmsgid") and self._once(f"m:{asked['clientmsgid']}", timedelta(days=1)) is not None:
            raise Refused(45065, "clientmsgid exist")
        month = f"{self._clock.now().astimezone(CHINA):%Y-%m}"
        for fan in self._platform.crowd.fans("wechat"):
            had = self._mass.get((fan.who, month), 0)
            if fan.follows and (touser is None or fan.who in touser) and had < MASS_A_MONTH:
                self._mass[fan.who, month] = had + 1
                self._platform.delivered("wechat", fan.who, asked)
        return {"msg_id": secrets.randbelow(10**12), "msg_data_id": secrets.randbelow(10**12)}

    def _once(self, key: str, good: timedelta = CLIENT_ID_GOOD) -> int | None:
        now = self._clock.now()
        until, msgid = self._sent.get(key, (now, 0))
        if now < until:
            return msgid
        self._sent[key] = (now + good, secrets.randbelow(10**18))
        return None

    # doc: temporary media; account QR code; custom menu; user info; JS-SDK

    def _upload(self, request: web.Request, raw: bytes) -> dict[str, Any]:
        kind, name, content = request.query.get("type", ""), *_part(request, raw)
        if request.method != "POST":
            raise Refused(43002, "require POST method")
        if kind not in ("image", "thumb", "voice", "video"):
            raise Refused(40004, "invalid media type")
        if not content or "." not in name:
            raise Refused(41005, "media data missing")
        picture = content.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
        if (kind == "image" and not picture) or (kind == "thumb" and not content.startswith(b"\xff\xd8\xff")):
            raise Refused(40005, "invalid file type")
        if len(content) > (THUMB_BYTES if kind == "thumb" else IMAGE_BYTES):
            raise Refused(40012 if kind == "thumb" else 40009, "invalid media size")
        told = {"type": kind, "created_at": self._clock.timestamp()}
        return told | {"thumb_media_id" if kind == "thumb" else "media_id": self._platform.keep(content)}

    def _download(self, media_id: str) -> web.Response:
        content = self._platform.media(media_id)
        if content is None:
            raise Refused(40007, "invalid media_id")
        png = content.startswith(b"\x89PNG")
        kind, name = ("image/png", "m.png") if png else ("image/jpeg", "m.jpg")
        named = {"Content-Disposition": f'attachment; filename="{name}"'}
        return web.Response(body=content, content_type=kind, headers=named)

    def _qrcode(self, asked: dict[str, Any]) -> dict[str, Any]:
        name, info = asked.get("action_name"), asked.get("action_info")
        scene = info.get("scene") if isinstance(info, dict) else None
        if not isinstance(scene, dict):
            scene = {"scene_id": 0}  # the platform makes a code all the same, its events carry the scene 0
        words, number = scene.get("scene_str"), scene.get("scene_id")
        if name in ("QR_STR_SCENE", "QR_LIMIT_STR_SCENE"):
            if not isinstance(words, str) or not 1 <= len(words) <= 64:
                raise Refused(40053, "invalid action info")
        elif name in ("QR_SCENE", "QR_LIMIT_SCENE"):
            most = 2**32 if name == "QR_SCENE" else 100_001
            if type(number) is not int or not 0 <= number < most:
                raise Refused(40053, "invalid action info")
            words = str(number)
        else:
            raise Refused(40052, "invalid action name")
        seconds = None
        if name in ("QR_SCENE", "QR_STR_SCENE"):
            seconds = asked.get("expire_seconds", QR_SECONDS)
            if type(seconds) is not int or not 0 < seconds <= QR_LONGEST:
                raise Refused(40035, "invalid parameter: expire_seconds")
        ticket, url = self._platform.crowd.make_code(words, seconds, "http://weixin.qq.com")
        return {"ticket": ticket, "url": url} | ({} if seconds is None else {"expire_seconds": seconds})

    def _menu_create(self, asked: dict[str, Any]) -> dict[str, Any]:
        buttons = asked.get("button")
        if not isinstance(buttons, list) or not 1 <= len(buttons) <= 3:
            raise Refused(40016, "invalid button size")
        for button in buttons:
            below = button.get("sub_button") or []
            if len(below) > 5:
                raise Refused(40023, "invalid sub button size")
            _button(button, 16, bool(below))
            for each in below:
                _button(each, 60, False)
        self.menu = {"button": buttons}
        return {}

    def _menu_get(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.menu is None:
            raise Refused(46003, "menu no exist")
        return {"menu": self.menu}

    def _menu_delete(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.menu = None
        return {}

    def _user(self, asked: dict[str, Any]) -> dict[str, Any]:
        fan = self._platform.crowd.fan("wechat", asked.get("openid", ""))
        if fan is None:
            raise Refused(40003, "invalid openid")
        if not fan.follows or fan.since is None:
            return {"subscribe": 0, "openid": fan.who}
        return {  # no nickname, no picture: gone since the end of 2021
            "subscribe": 1,
            "openid": fan.who,
            "subscribe_time": int(fan.since.timestamp()),
            "remark": "",
            "groupid": 0,
            "tagid_list": [],
            "subscribe_scene": "ADD_SCENE_QR_CODE" if fan.scene else "ADD_SCENE_SEARCH",
            "qr_scene": 0,
            "qr_scene_str": fan.scene,
        }

    def _users(self, asked: dict[str, Any]) -> dict[str, Any]:
        who = [fan.who for fan in self._platform.crowd.fans("wechat") if fan.follows]
        if asked.get("next_openid"):
            return {"total": len(who), "count": 0, "next_openid": ""}
        return {
            "total": len(who),
            "count": len(who),
            "data": {"openid": who},
            "next_openid": who[-1] if who else "",
        }

    def _ticket(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"ticket": secrets.token_urlsafe(60), "expires_in": TOKEN_SECONDS}


def _news(body: dict[str, Any]) -> None:
    articles = body.get("articles")
    if not isinstance(articles, list) or len(articles) != 1:
        raise Refused(45008, "article size out of limit")
    if not articles[0].get("title") or not str(articles[0].get("url", "")).startswith(("https://", "http://")):
        raise Refused(47001, "data format error: title or url")


def _msgmenu(body: dict[str, Any]) -> None:
    items = body.get("list")
    if not isinstance(items, list) or not items or not all(i.get("id") and i.get("content") for i in items):
        raise Refused(47001, "data format error: msgmenu.list")


def _button(button: Mapping[str, Any], name_bytes: int, opens: bool) -> None:
    if not 0 < len(str(button.get("name", "")).encode()) <= name_bytes:
        raise Refused(40018, "invalid button name size")
    if opens:
        return
    if button.get("type") not in ("click", "view", "scancode_push", "scancode_waitmsg", "miniprogram"):
        raise Refused(40017, "invalid button type")
    if button["type"] != "view" and not 0 < len(str(button.get("key", "-")).encode()) <= 128:
        raise Refused(40019, "invalid button key size")
    if button["type"] == "view" and not 0 < len(str(button.get("url", "")).encode()) <= 1024:
        raise Refused(40020, "invalid button url size")


def _part(request: web.Request, raw: bytes) -> tuple[str, bytes]:
    """File name and bytes of the form's field `media`; ("", b"") when there is none."""
    boundary = re.search(r'boundary="?([^";]+)', request.headers.get("Content-Type", ""))
    for part in raw.split(b"--" + boundary[1].encode()) if boundary else []:
        head, _, content = part.partition(b"\r\n\r\n")
        words = head.decode("utf-8", "replace")
        named = re.search(r'filename="([^"]*)"', words)
        if re.search(r'\bname="media"', words) and named:
            return named[1], content.removesuffix(b"\r\n")
    return "", b""
