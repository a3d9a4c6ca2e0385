"""Knocks at the doors as the platforms do: signed by wechatpy, over a real socket, to a remembering desk."""

import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import aiohttp
import xmltodict
from aiohttp import web
from pydantic import SecretStr
from wechatpy.crypto import WeChatCrypto
from wechatpy.utils import WeChatSigner

from bot.clock import Clock
from bot.face import Answer
from bot.settings import WeChat, Weibo
from bot.slow import Runner
from handlers.routing import Told

TOKEN = "storebot_token"
AES_KEY = "ZmFjdHNoZWV0LWRlbW8ta2V5LTMyYnl0ZXMtISEhISE"
APP_ID = "wxdemo0000000001"
GH = "gh_demo"
OPENID = "oDemoUser"
AT = 1_700_000_000
APP_SECRET = "xyz123xyz"
UID, FAN = "1900000001", "2400000002"


def wechat(**other: Any) -> WeChat:
    return WeChat(
        **{
            "app_id": APP_ID,
            "app_secret": SecretStr("s3cret-of-wechat-0123456789"),
            "token": SecretStr(TOKEN),
            "account": GH,
            "encoding_aes_key": SecretStr(AES_KEY),
            **other,
        }
    )


def weibo(**other: Any) -> Weibo:
    return Weibo(
        **{
            "app_key": "1234567890",
            "app_secret": SecretStr(APP_SECRET),
            "access_token": SecretStr("2.00-token-of-weibo"),
            "account": UID,
            **other,
        }
    )


def clock(at: int = AT) -> Clock:
    standing = Clock()
    standing.freeze(datetime.fromtimestamp(at, UTC))
    return standing


@dataclass
class RememberingDesk:
    """Stands in for the desk, and for the desk only: remembers what it heard, says what it is given."""

    answer: Answer | None = field(default_factory=lambda: Answer("好"))
    fails: Exception | None = None
    heard: list[Told] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    async def hear_within(self, told: Told, seconds: float) -> Answer | None:
        self.heard.append(told)
        self.seconds.append(seconds)
        if self.fails is not None:
            raise self.fails
        return self.answer


@dataclass
class House:
    """A server with one door, and what came of knocking at it."""

    base: str
    http: aiohttp.ClientSession
    desk: RememberingDesk
    counted: list[str]

    async def get(self, path: str, query: Mapping[str, str]) -> tuple[int, bytes, str]:
        async with self.http.get(self.base + path, params=query) as response:
            return response.status, await response.read(), response.headers.get("Content-Type", "")

    async def post(self, path: str, query: Any, body: Any, **sent: Any) -> tuple[int, bytes, str]:
        async with self.http.post(self.base + path, params=query, data=body, **sent) as response:
            return response.status, await response.read(), response.headers.get("Content-Type", "")


@asynccontextmanager
async def house(
    make: Callable[..., list[web.RouteDef]],
    settings: Any,
    *,
    desk: RememberingDesk | None = None,
    **options: Any,
) -> AsyncIterator[House]:
    desk = desk or RememberingDesk()
    counted: list[str] = []
    app = web.Application()
    app.add_routes(make(settings, desk, options.pop("clock", clock()), count=counted.append, **options))
    runner = Runner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with aiohttp.ClientSession() as http:
            yield House(f"http://127.0.0.1:{runner.addresses[0][1]}", http, desk, counted)
    finally:
        await runner.cleanup()


def signature(*parts: str) -> str:
    signer = WeChatSigner()
    signer.add_data(*parts)
    return str(signer.signature)


def signed(timestamp: int | str = AT, nonce: str = "834921", token: str = TOKEN) -> dict[str, str]:
    """The query of a plain request."""
    stamp = str(timestamp)
    return {"signature": signature(token, stamp, nonce), "timestamp": stamp, "nonce": nonce}


def xml(fields: Mapping[str, Any]) -> str:
    return str(xmltodict.unparse({"xml": dict(fields)}, full_document=False))


def message(**fields: Any) -> dict[str, Any]:
    """A text message, with what is given in place of its own elements."""
    told = {
        "ToUserName": GH,
        "FromUserName": OPENID,
        "CreateTime": str(AT),
        "MsgType": "text",
        "Content": "商品",
    }
    return {**told, "MsgId": "24000000000000001", **fields}


def event(name: str, **fields: Any) -> dict[str, Any]:
    told = {
        "ToUserName": GH,
        "FromUserName": OPENID,
        "CreateTime": str(AT),
        "MsgType": "event",
        "Event": name,
    }
    return {**told, **fields}


def crypto(**other: str) -> WeChatCrypto:
    return WeChatCrypto(other.get("token", TOKEN), other.get("key", AES_KEY), other.get("app_id", APP_ID))


def sealed(
    body: str | Mapping[str, Any], timestamp: int = AT, nonce: str = "834921", **other: str
) -> tuple[dict[str, str], bytes]:
    """Query and body of an encrypted push, by wechatpy."""
    inner = body if isinstance(body, str) else xml(body)
    told = xmltodict.parse(crypto(**other).encrypt_message(inner, nonce, str(timestamp)))["xml"]
    query = {**signed(timestamp, nonce), "openid": OPENID, "encrypt_type": "aes"}
    envelope = f"<xml><ToUserName>{GH}</ToUserName><Encrypt><![CDATA[{told['Encrypt']}]]></Encrypt></xml>"
    return {**query, "msg_signature": told["MsgSignature"]}, envelope.encode()


def resealed(inner: bytes, encrypt: Callable[[bytes], str]) -> tuple[dict[str, str], bytes]:
    """The same for bytes that wechatpy would not take, encrypted by `encrypt`."""
    text = encrypt(inner)
    query = {**signed(), "encrypt_type": "aes", "msg_signature": signature(TOKEN, str(AT), "834921", text)}
    return query, f"<xml><Encrypt><![CDATA[{text}]]></Encrypt></xml>".encode()


def opened(reply: bytes) -> dict[str, Any]:
    """The elements of an encrypted reply, by wechatpy."""
    told = xmltodict.parse(reply)["xml"]
    inner = crypto().decrypt_message(reply, told["MsgSignature"], told["TimeStamp"], told["Nonce"])
    fields: dict[str, Any] = xmltodict.parse(inner, strip_whitespace=False)["xml"]
    return fields


def mutated(rng: random.Random, seed: bytes) -> bytes:
    """A body that was good, with some of it cut, doubled, put in or turned round."""
    raw = bytearray(seed)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(raw) + 1)
        match rng.randrange(8):
            case 0:
                raw[at:at] = rng.randbytes(rng.randint(1, 8))
            case 1:
                del raw[at : at + rng.randint(1, 40)]
            case 2 if raw:
                raw[at % len(raw)] ^= 1 << rng.randrange(8)
            case 3:
                raw[at:at] = rng.choice(
                    [b"<", b">", b"]]>", b"<![CDATA[", b"&", b"\x00", b"<xml>", b"</xml>", b"\xed\xa0\x80"]
                )
            case 4:
                tag = rng.choice([b"Event", b"MsgType", b"FromUserName", b"EventKey", b"CreateTime", b"List", b"MsgId"])
                raw[at:at] = b"<%b>%b</%b>" % (tag, rng.randbytes(3).hex().encode(), tag)
            case 5:
                end = at + rng.randint(1, 60)
                raw[at:at] = raw[at:end]
            case 6:
                raw[at:at] = rng.choice([b"9" * 5000, b"-1", "１２".encode(), b"1e400", b"NaN", b"\xf4\x8f\xbf\xbf"])
            case _:
                raw[:] = raw.replace(b"<![CDATA[", b"", 1).replace(b"]]>", b"", 1)
    return bytes(raw)


def weibo_query(milliseconds: int | str = AT * 1000, nonce: str = "57155157") -> dict[str, str]:
    stamp = str(milliseconds)
    told = hashlib.sha1("".join(sorted([APP_SECRET, stamp, nonce])).encode()).hexdigest()
    return {"signature": told, "timestamp": stamp, "nonce": nonce}


def weibo_push(kind: str = "text", text: str = "查订单", data: Any = None, **fields: Any) -> bytes:
    told = {
        "type": kind,
        "receiver_id": int(UID),
        "sender_id": int(FAN),
        "created_at": "Wed Nov 15 06:13:20 +0800 2023",
        "text": text,
        "data": {} if data is None else data,
        **fields,
    }
    return json.dumps(told, ensure_ascii=False).encode()


def weibo_reply(body: bytes) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(body)
    return {**told, "data": json.loads(unquote(told["data"], errors="strict"))}
