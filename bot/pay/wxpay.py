"""The cashier's counter, WeChat Pay API v3: what we ask there, signed, and which answers we believe."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from multidict import CIMultiDictProxy
from yarl import URL

from bot.pay.seal import SCHEME, Forged, Keys, check_signature, strict_json, unseal
from bot.pay.told import (
    UNSURE,
    Bill,
    PayRefused,
    PayUnknown,
    RefundState,
    Trade,
    refund_of,
    str_of,
    trade_of,
)
from bot.settings import WeChatPay

__all__ = ["Bill", "Merchant", "PayRefused", "PayUnknown", "RefundState", "Trade", "WxPay"]

REPLY_BYTES = 1 << 20
KEYS_AGAIN = timedelta(seconds=60)
"""Certificates are fetched at most once in this time, however often unknown serials are shown."""
CHINA = timezone(timedelta(hours=8))

_T = TypeVar("_T")
_OUT_TRADE_NO = re.compile(r"[0-9A-Za-z_\-|*]{6,32}")
_OUT_REFUND_NO = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}")


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who we are at the cashier. Without `public_key` the platform's certificates are fetched."""

    appid: str
    mchid: str
    serial: str
    key: RSAPrivateKey = field(repr=False)
    api_v3_key: bytes = field(repr=False)
    base: str = "https://api.mch.weixin.qq.com"
    public_key_id: str = ""
    public_key: RSAPublicKey | None = field(default=None, repr=False)

    @classmethod
    def read(cls, settings: WeChatPay, appid: str) -> Merchant:
        """Reads the PEM files the settings name; raises OSError, or ValueError for what is no RSA key."""
        key = load_pem_private_key(settings.private_key_file.read_bytes(), None)
        if not isinstance(key, RSAPrivateKey):
            raise ValueError("private_key_file is not an RSA key")
        serial, public = settings.public_key_id, None
        if serial and settings.public_key_file:
            loaded = load_pem_public_key(settings.public_key_file.read_bytes())
            if not isinstance(loaded, RSAPublicKey):
                raise ValueError("public_key_file is not an RSA key")
            public = loaded
        return cls(
            appid,
            settings.mch_id,
            settings.serial_no,
            key,
            settings.api_v3_key.get_secret_value().encode(),
            str(settings.api_base).rstrip("/"),
            serial if public else "",
            public,
        )


class WxPay:
    """Every method is one request and raises PayRefused or PayUnknown; amounts in fen.

    Takes an open HTTP client (the caller closes it) and the shop's clock; `seconds` bounds each request.
    """

    def __init__(
        self,
        merchant: Merchant,
        http: aiohttp.ClientSession,
        now: Callable[[], datetime],
        *,
        seconds: float = 8,
    ) -> None:
        self.merchant, self.keys = merchant, Keys()
        self._http, self._now = http, now
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._one_fetch, self._fetched = asyncio.Lock(), datetime.min.replace(tzinfo=UTC)
        if merchant.public_key is not None:
            self.keys.learn(merchant.public_key_id, merchant.public_key)

    async def native(self, bill: Bill) -> str:
        """The `code_url` to draw as a QR, good for 2 hours."""
        return await self._prepay("native", bill, {}, "code_url")

    async def jsapi(self, bill: Bill, openid: str) -> str:
        """The `prepay_id` for a page inside WeChat, good for 2 hours; `jsapi_words` signs it for the page."""
        return await self._prepay("jsapi", bill, {"payer": {"openid": openid}}, "prepay_id")

    async def h5(self, bill: Bill, client_ip: str) -> str:
        """The `h5_url` for a browser outside WeChat, good for 5 minutes."""
        scene = {"payer_client_ip": client_ip, "h5_info": {"type": "Wap"}}
        return await self._prepay("h5", bill, {"scene_info": scene}, "h5_url")

    async def query(self, out_trade_no: str) -> Trade:
        """What became of an order; PayRefused "missing" when the cashier never heard of it."""
        asked = f"{quote(out_trade_no, safe='')}?mchid={quote(self.merchant.mchid)}"
        return _read(trade_of, await self._call("GET", f"/v3/pay/transactions/out-trade-no/{asked}"))

    async def close(self, out_trade_no: str) -> None:
        """No more payments for this order; closed already is no error, paid is PayRefused "paid".

        Not the last word: who was typing the password may still pay, and the cashier has been seen to say
        yes to a number it does not know. Query afterwards.
        """
        path = f"/v3/pay/transactions/out-trade-no/{quote(out_trade_no, safe='')}/close"
        try:
            await self._call("POST", path, {"mchid": self.merchant.mchid})
        except PayRefused as no:
            if no.means != "closed":
                raise

    async def refund(
        self,
        *,
        out_refund_no: str,
        out_trade_no: str,
        refund_fen: int,
        total_fen: int,
        reason: str,
        notify_url: str,
    ) -> RefundState:
        """Asks for a refund, mostly PROCESSING. The same `out_refund_no` is the same refund: retry with it.

        `total_fen` is the whole order's amount. Raises ValueError for what no cashier would take.
        """
        if not _OUT_REFUND_NO.fullmatch(out_refund_no) or not 0 < refund_fen <= total_fen:
            raise ValueError("no such refund")
        said = {
            "out_trade_no": out_trade_no,
            "out_refund_no": out_refund_no,
            "reason": reason[:80],
            "notify_url": notify_url,
            "amount": {"refund": refund_fen, "total": total_fen, "currency": "CNY"},
        }
        return _read(refund_of, await self._call("POST", "/v3/refund/domestic/refunds", said))

    async def query_refund(self, out_refund_no: str) -> RefundState:
        path = f"/v3/refund/domestic/refunds/{quote(out_refund_no, safe='')}"
        return _read(refund_of, await self._call("GET", path))

    def jsapi_words(self, prepay_id: str) -> dict[str, str]:
        """What a page hands to `WeixinJSBridge` or `wx.chooseWXPay` (doc: JSAPI payment, calling it up)."""
        appid, stamp, nonce = self.merchant.appid, str(int(self._now().timestamp())), secrets.token_hex(16)
        package = f"prepay_id={prepay_id}"
        return {
            "appId": appid,
            "timeStamp": stamp,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": self._sign(f"{appid}\n{stamp}\n{nonce}\n{package}\n".encode()),
        }

    def authorization(self, method: str, path: str, body: bytes) -> str:
        """The Authorization header of a request: `path` as on the wire, with its query; `body` its bytes."""
        stamp, nonce, who = str(int(self._now().timestamp())), secrets.token_hex(16), self.merchant
        signature = self._sign(f"{method}\n{path}\n{stamp}\n{nonce}\n".encode() + body + b"\n")
        return (
            f'{SCHEME} mchid="{who.mchid}",nonce_str="{nonce}",signature="{signature}",'
            f'timestamp="{stamp}",serial_no="{who.serial}"'
        )

    async def refresh_keys(self) -> None:
        """Fetches the platform's certificates, at most once a minute; raises as any request."""
        async with self._one_fetch:
            if self._now() - self._fetched < KEYS_AGAIN:
                return
            self._fetched, self.keys.wanted = self._now(), False
            status, headers, raw = await self._ask("GET", "/v3/certificates", b"")
            fresh, known = Keys(), Keys()
            try:
                for each in _answer(status, raw)["data"]:
                    pem = unseal(each["encrypt_certificate"], self.merchant.api_v3_key)
                    fresh.learn_certificate(str_of(each, "serial_no"), pem)
                # signed by one of the certificates it brings, or by a key known before (the public key, where the
                # platform still signs callbacks by certificate); that they are real, the APIv3 key vouches for
                known.join(self.keys)
                known.join(fresh)
                check_signature(headers, raw, self._now(), known)
            except (Forged, ValueError, KeyError, TypeError) as fault:
                raise PayUnknown(f"certificates: {type(fault).__name__}") from None
            self.keys.join(fresh)

    async def _prepay(self, kind: str, bill: Bill, more: dict[str, Any], told: str) -> str:
        if not _OUT_TRADE_NO.fullmatch(bill.out_trade_no) or bill.total_fen < 1:
            raise ValueError("out_trade_no or total_fen")
        if len(bill.notify_url) > 255 or "?" in bill.notify_url or not bill.description:
            raise ValueError("notify_url or description")
        said = {
            "appid": self.merchant.appid,
            "mchid": self.merchant.mchid,
            "description": bill.description[:127],
            "out_trade_no": bill.out_trade_no,
            "time_expire": bill.expires.astimezone(CHINA).isoformat(timespec="seconds"),
            "notify_url": bill.notify_url,
            "amount": {"total": bill.total_fen, "currency": "CNY"},
        }
        more = more | ({"attach": bill.attach} if bill.attach else {})
        reply = await self._call("POST", f"/v3/pay/transactions/{kind}", said | more)
        return _read(lambda words: str_of(words, told), reply)

    async def _call(self, method: str, path: str, said: dict[str, Any] | None = None) -> dict[str, Any]:
        if self.keys.wanted or not self.keys.any(self._now()):
            with contextlib.suppress(PayRefused, PayUnknown):
                await self.refresh_keys()
            if not self.keys.any(self._now()):
                raise PayUnknown("no platform key is known: nothing was sent")
        raw = b"" if said is None else json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
        status, headers, reply = await self._ask(method, path, raw)
        if 200 <= status < 300:
            try:
                check_signature(headers, reply, self._now(), self.keys)
            except Forged as fault:
                raise PayUnknown(f"the reply's signature: {fault.reason}") from None
        return _answer(status, reply)

    async def _ask(self, method: str, path: str, raw: bytes) -> tuple[int, CIMultiDictProxy[str], bytes]:
        url = self.merchant.base + path
        parts = urlsplit(url)
        on_the_wire = parts.path + (f"?{parts.query}" if parts.query else "")
        headers = {
            "Authorization": self.authorization(method, on_the_wire, raw),
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "tuanpu",
        }
        if raw:
            headers["Content-Type"] = "application/json"
        if self.merchant.public_key_id:
            headers["Wechatpay-Serial"] = self.merchant.public_key_id
        asking = self._http.request(
            method,
            URL(url, encoded=True),
            data=raw or None,
            headers=headers,
            allow_redirects=False,
            timeout=self._timeout,
        )
        try:
            async with asking as reply:
                told = bytearray()
                async for chunk in reply.content.iter_chunked(1 << 16):
                    told += chunk
                    if len(told) > REPLY_BYTES:
                        raise PayUnknown("the reply is too long")
                return reply.status, reply.headers, bytes(told)
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            raise PayUnknown(type(fault).__name__) from None

    def _sign(self, words: bytes) -> str:
        return base64.b64encode(self.merchant.key.sign(words, PKCS1v15(), SHA256())).decode()


def _answer(status: int, raw: bytes) -> dict[str, Any]:
    """What a reply says; {} for 204. Raises PayRefused for a reasoned 4xx, PayUnknown for anything else."""
    try:
        told = strict_json(raw) if raw else {}
    except ValueError:
        raise PayUnknown(f"http {status}, unreadable") from None
    if status == 204 or (status == 200 and raw):
        return told
    code, message = told.get("code"), told.get("message")
    if 400 <= status < 500 and isinstance(code, str) and code.replace("_", "") not in UNSURE:
        raise PayRefused(code[:64], message[:200] if isinstance(message, str) else "", status)
    raise PayUnknown(f"http {status}")


def _read(make: Callable[[Mapping[str, Any]], _T], told: Mapping[str, Any]) -> _T:
    try:
        return make(told)
    except (ValueError, OverflowError) as fault:
        raise PayUnknown(f"the reply cannot be read: {fault}") from None
