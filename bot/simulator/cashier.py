"""The fake cashier: plays WeChat Pay v3 with keys of its own; signs, calls back, takes no money."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from bot.clock import Clock
from bot.pay.seal import SCHEME
from bot.simulator.backstage import UNSIGNED, Backstage, Fault, Garbled
from bot.simulator.cashier_bills import Bills
from bot.simulator.cashier_books import Books, CannotPay, No, Order, Refund, china
from bot.simulator.cashier_keys import Stamp, make_merchant, merchants_key, sealed

__all__ = ["CannotPay", "Cashier", "Notified", "Order", "Refund", "make_merchant"]

SKEW_SECONDS = 300
SIGNED_SECONDS = 7200  # what a page is called up with is as old as its prepay_id may be
AGAIN = [15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600]
"""Seconds between the tries of a callback that nobody acknowledged (doc: payment notice)."""

_AUTH = re.compile(r'(mchid|nonce_str|signature|timestamp|serial_no)="([^"]*)"')


@dataclass(slots=True)
class Notified:
    """A callback and what became of it: `answers` are (status, body), status 0 when nobody answered."""

    number: str
    event: str
    url: str
    plain: dict[str, Any]
    due: datetime
    answers: list[tuple[int, str]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """transaction or refund."""
        return "transaction" if self.event.startswith("TRANSACTION") else "refund"

    @property
    def heard(self) -> bool:
        return any(status in (200, 204) for status, _ in self.answers)


class Cashier(Backstage):
    """The counter; `books` hold orders and refunds (with `keep` in the folder too, for a demo begun again).

    Switches: `repeat` callbacks for each payment, `withhold` them all, sign by `certificates` instead of the
    public key, `refund_seconds` until `tick` ends a refund, `books.not_enough`; what happens to single calls and
    callbacks are `faults` (`fail_next(path, …)`, see Fault). `notices` are the callbacks and what they met.
    """

    def __init__(self, folder: Path, appid: str, clock: Clock, *, keep: bool = False) -> None:
        self.merchant = make_merchant(folder)
        super().__init__(clock.now)
        self.clock = clock
        file = folder / "cashier.json" if keep else None
        self.books = Books(self.merchant["mch_id"], appid, clock, file)
        self.notices: list[Notified] = []
        self.repeat, self.withhold, self.certificates, self.refund_seconds = 1, False, False, 3
        self.stamp, self.certified = Stamp.read(folder), list[Stamp]()
        self._merchants_key = merchants_key(folder)
        self._http: aiohttp.ClientSession | None = None

    def app(self) -> web.Application:
        """The counter as a (sub-)application; it is at home at the root, or under any prefix."""
        app = web.Application(client_max_size=1 << 20)
        pay, refunds = "/v3/pay/transactions", "/v3/refund/domestic/refunds"
        app.router.add_post(pay + "/{kind:native|jsapi|h5}", self._play)
        app.router.add_get(pay + "/out-trade-no/{number}", self._play)
        app.router.add_get(pay + "/id/{transaction_id}", self._play)
        app.router.add_post(pay + "/out-trade-no/{number}/close", self._play)
        app.router.add_post(refunds, self._play)
        app.router.add_get(refunds + "/{refund}", self._play)
        app.router.add_get("/v3/certificates", self._play)
        self.bills = Bills(self, app)
        app.cleanup_ctx.append(self._session)
        return app

    async def pay(self, code: str, payer: str, *, coupon: int = 0) -> Order:
        """`payer` (an openid) pays what `code` (code_url, prepay_id, h5_url) stands for; callbacks go.

        `coupon` fen of it are the platform's. Raises CannotPay.
        """
        order = self.books.pay(code, payer, coupon)
        self.books.keep()
        await self._notify(order.out_trade_no, "TRANSACTION.SUCCESS", order.said["notify_url"], self.books.trade(order))
        return order

    def called_up(self, words: object) -> str:
        """The prepay_id that a page inside WeChat called the wallet up with; raises CannotPay for a wrong signature."""
        given = words if isinstance(words, dict) else {}
        signed = [given.get(name) for name in ("appId", "timeStamp", "nonceStr", "package")]
        app_id, stamp, _, package = signed
        fresh = isinstance(stamp, str) and stamp.isascii() and stamp.isdigit()
        fresh = fresh and abs(self.clock.timestamp() - int(str(stamp))) < SIGNED_SECONDS
        if not fresh or app_id != self.books.appid or given.get("signType") != "RSA" or not isinstance(package, str):
            raise CannotPay("signature")
        try:
            signature = base64.b64decode(str(given.get("paySign")), validate=True)
            told = "".join(f"{each}\n" for each in signed).encode()
            self._merchants_key.verify(signature, told, PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            raise CannotPay("signature") from None
        return package.removeprefix("prepay_id=")

    async def refund_settle(self, out_refund_no: str = "", state: str = "SUCCESS") -> list[Refund]:
        """That refund, or all in PROCESSING, end as `state` (SUCCESS, CLOSED, ABNORMAL); callbacks go."""
        chosen = [r for r in self.books.refunds.values() if r.state == "PROCESSING"]
        if out_refund_no:
            chosen = [r for r in chosen if r.out_refund_no == out_refund_no]
        for refund in chosen:
            refund.state, refund.settled = state, self.clock.now()
            self.books.keep()
            url = refund.said.get("notify_url")
            if url:
                plain = self.books.refunded(refund)
                plain["refund_status"] = plain.pop("status")  # the callback names it so, the replies do not
                plain["mchid"] = self.merchant["mch_id"]
                await self._notify(refund.out_refund_no, f"REFUND.{state}", url, plain)
        return chosen

    async def tick(self) -> None:
        """What time brings: refunds come to their end, callbacks nobody acknowledged are said again."""
        now = self.clock.now()
        for refund in list(self.books.refunds.values()):
            if refund.state == "PROCESSING" and now - refund.asked >= timedelta(seconds=self.refund_seconds):
                await self.refund_settle(refund.out_refund_no)
        for notice in [n for n in self.notices if not n.heard and n.due <= now and not self.withhold]:
            await self._say(notice)

    async def deliver(
        self,
        number: str = "",
        *,
        times: int = 1,
        late: int = 0,
        garbled: Garbled = "",
        changed: Mapping[str, Any] | None = None,
    ) -> list[tuple[int, str]]:
        """Says the newest callback (of this out_trade_no or out_refund_no) again; gives the answers.

        Its signature is `late` seconds old (negative: from the future); `garbled` spoils it; `changed`
        replaces fields before it is sealed and signed as it should be. Raises LookupError when there is none.
        """
        found = [n for n in self.notices if number in ("", n.number)]
        if not found:
            raise LookupError(number)
        return [await self._post(found[-1], late, garbled, changed or {}) for _ in range(times)]

    def callback(
        self, notice: Notified, late: int = 0, garbled: Garbled = "", changed: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, str], bytes]:
        """The headers and the body that `deliver` would post."""
        kind = notice.kind
        plain = json.dumps(notice.plain | dict(changed or {}), ensure_ascii=False).encode()
        v3 = secrets.token_hex(16) if garbled == "cipher" else self.merchant["api_v3_key"]
        said = {
            "id": secrets.token_hex(16),
            "create_time": china(self.clock.now()),
            "resource_type": "encrypt-resource",
            "event_type": notice.event,
            "summary": "支付成功" if kind == "transaction" else "退款通知",
            "resource": {"original_type": kind} | sealed(plain, v3, kind),
        }
        raw = json.dumps(said, ensure_ascii=False).encode()
        signer = Stamp(self._signer().serial, Stamp.fresh().key) if garbled == "key" else self._signer()
        headers = signer.headers(raw, self.clock.timestamp() - late)
        if garbled == "signature":
            headers["Wechatpay-Signature"] = headers["Wechatpay-Signature"][::-1]
        elif garbled == "probe":
            headers["Wechatpay-Signature"] = "WECHATPAY/SIGNTEST/" + headers["Wechatpay-Signature"][19:]
        elif garbled == "serial":
            headers["Wechatpay-Serial"] = secrets.token_hex(20).upper()
        elif garbled == "body":
            raw = raw.replace(b'"summary"', b'"summery"')
        elif garbled == "truncated":
            raw = raw[: len(raw) // 2]
        return headers | {"Content-Type": "application/json", "Request-ID": secrets.token_hex(8)}, raw

    def rotate(self) -> Stamp:
        """From now on a new certificate signs; the older ones stay listed."""
        self.certificates = True
        self.certified.append(Stamp.fresh())
        return self.certified[-1]

    async def _session(self, app: web.Application) -> AsyncIterator[None]:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
        yield
        await self._http.close()

    async def _notify(self, number: str, event: str, url: str, plain: dict[str, Any]) -> None:
        notice = Notified(number, event, url, plain, self.clock.now())
        self.notices.append(notice)
        if not self.withhold:
            for _ in range(self.repeat):
                await self._say(notice)

    async def _say(self, notice: Notified) -> None:
        """Posts a callback, unless the wire makes something else of it."""
        fault = self.fault(f"callback/{notice.kind}")
        if fault is None:
            await self._post(notice)
        elif fault.held:
            notice.due = _never(self.clock.now())
            self.held.append(lambda: self._post(notice))
        elif fault.drop and not fault.after:
            self._note(notice, (0, "lost"))
        else:
            for _ in range(1 + fault.again):
                await self._post(notice, garbled=fault.garbled)
            if fault.drop:
                notice.answers[-1] = (0, "its acknowledgement was lost")

    async def _post(
        self, notice: Notified, late: int = 0, garbled: Garbled = "", changed: Mapping[str, Any] | None = None
    ) -> tuple[int, str]:
        if self._http is None:
            raise RuntimeError("the cashier's application is not running")
        headers, raw = self.callback(notice, late, garbled, changed)
        try:
            async with self._http.post(notice.url, data=raw, headers=headers) as reply:
                answer = (reply.status, await reply.text())
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            answer = (0, type(fault).__name__)
        self._note(notice, answer)
        return answer

    def _note(self, notice: Notified, answer: tuple[int, str]) -> None:
        now, tries = self.clock.now(), len(notice.answers)
        notice.due = now + timedelta(seconds=AGAIN[tries]) if tries < len(AGAIN) else _never(now)
        notice.answers.append(answer)

    def _signer(self) -> Stamp:
        if self.certificates and not self.certified:
            self.certified.append(Stamp.fresh())
        return self.certified[-1] if self.certificates else self.stamp

    async def _play(self, request: web.Request) -> web.Response:
        def wrong(fault: Fault) -> web.Response:
            return self._reply(
                request, {"code": fault.code or "SYSTEM_ERROR", "message": "模拟故障"}, fault.status or 500
            )

        return await self.play(request, self._answer, wrong)

    async def _answer(self, request: web.Request, raw: bytes) -> web.Response:
        try:
            self._check(request, raw)
            told = self._do(request, json.loads(raw) if raw else {})
        except No as no:
            return self._reply(request, {"code": no.code, "message": no.message}, no.status)
        except (ValueError, KeyError, TypeError, AttributeError) as fault:
            return self._reply(request, {"code": "PARAM_ERROR", "message": f"参数错误: {fault}"[:120]}, 400)
        self.books.keep()
        return self._reply(request, told, 204 if told is None else 200)

    def _reply(self, request: web.Request, told: dict[str, Any] | None, status: int) -> web.Response:
        raw = b"" if told is None else json.dumps(told, ensure_ascii=False).encode()
        unsigned = request.get(UNSIGNED, False)
        stamp = Stamp(self._signer().serial, Stamp.fresh().key) if unsigned else self._signer()
        headers = stamp.headers(raw, self.clock.timestamp()) | {"Request-ID": secrets.token_hex(8)}
        kind = None if told is None else "application/json"
        return web.Response(body=raw or None, status=status, headers=headers, content_type=kind)

    def _check(self, request: web.Request, raw: bytes) -> None:
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        given = dict(_AUTH.findall(rest))
        if scheme != SCHEME or len(given) != 5:
            raise No(401, "SIGN_ERROR", "Authorization 不合法")
        if not request.headers.get("User-Agent") or "json" not in request.headers.get("Accept", ""):
            raise No(400, "PARAM_ERROR", "缺少 User-Agent 或 Accept: application/json")
        if raw and request.content_type != "application/json":
            raise No(400, "PARAM_ERROR", "Content-Type 须为 application/json")
        if (given["mchid"], given["serial_no"]) != (self.merchant["mch_id"], self.merchant["serial_no"]):
            raise No(401, "SIGN_ERROR", "商户号与证书序列号不匹配")
        stamp = given["timestamp"]
        if not stamp.isascii() or not stamp.isdigit() or abs(self.clock.timestamp() - int(stamp)) > SKEW_SECONDS:
            raise No(401, "SIGN_ERROR", "Authorization 中的 timestamp 与发起请求的时间不得超过五分钟")
        words = f"{request.method}\n{request.raw_path}\n{stamp}\n{given['nonce_str']}\n".encode() + raw + b"\n"
        try:
            signature = base64.b64decode(given["signature"], validate=True)
            self._merchants_key.verify(signature, words, PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            raise No(401, "SIGN_ERROR", "签名错误，请检查后再试") from None

    def _do(self, request: web.Request, said: dict[str, Any]) -> dict[str, Any] | None:
        way, books = request.match_info, self.books
        if request.path.endswith("/close"):
            books.close(way["number"], said)
            return None
        if request.path.endswith("/v3/certificates"):
            return self._certificates()
        if "kind" in way:
            return books.prepay(way["kind"], said)
        if "number" in way:
            return books.query(way["number"], request.query.get("mchid", ""))
        if "transaction_id" in way:
            return books.query_transaction(way["transaction_id"], request.query.get("mchid", ""))
        return books.query_refund(way["refund"]) if "refund" in way else books.refund(said)

    def _certificates(self) -> dict[str, Any]:
        if not self.certificates:
            raise No(404, "RESOURCE_NOT_EXISTS", "无可用的平台证书，请使用微信支付公钥")
        self._signer()
        now, v3 = self.clock.now(), self.merchant["api_v3_key"]
        data = [
            {
                "serial_no": each.serial,
                "effective_time": china(now - timedelta(days=1)),
                "expire_time": china(now + timedelta(days=1825)),
                "encrypt_certificate": sealed(each.certificate(now), v3, "certificate"),
            }
            for each in self.certified
        ]
        return {"data": data}


def _never(now: datetime) -> datetime:
    return now + timedelta(seconds=10**8)
