"""The fake cashier's bills: what was paid and refunded on a day, as a file to download, gzip and hash included."""

from __future__ import annotations

import gzip
import hashlib
import secrets
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web

from bot.pay.wxpay import CHINA
from bot.simulator.cashier_books import No, Order, Refund

if TYPE_CHECKING:
    from bot.simulator.cashier import Cashier

Row = dict[str, str]
Spoiled = Literal["", "hash", "cut", "elsewhere"]

BEFORE = [
    "交易时间",
    "公众账号ID",
    "商户号",
    "特约商户号",
    "设备号",
    "微信订单号",
    "商户订单号",
    "用户标识",
    "交易类型",
    "交易状态",
    "付款银行",
    "货币种类",
    "应结订单金额",
    "代金券金额",
]
AFTER = ["商品名称", "商户数据包", "手续费", "费率", "订单金额"]
BACK = ["微信退款单号", "商户退款单号", "退款金额", "充值券退款金额", "退款类型", "退款状态"]
HEADERS = {  # (doc: trade bill, its format)
    "SUCCESS": [*BEFORE, *AFTER, "费率备注"],
    "REFUND": [*BEFORE, "退款申请时间", "退款成功时间", *BACK, *AFTER, "申请退款金额", "费率备注"],
    "ALL": [*BEFORE, *BACK, *AFTER, "申请退款金额", "费率备注"],
}
SUMS = [
    "总交易单数",
    "应结订单总金额",
    "退款总金额",
    "充值券退款总金额",
    "手续费总金额",
    "订单总金额",
    "申请退款总金额",
]
READY = time(10)
KEPT = timedelta(days=90)
URL_GOOD = timedelta(minutes=5)
_WAYS = {"native": "NATIVE", "jsapi": "JSAPI", "h5": "MWEB"}


class Bills:
    """The counter's bills. `altered`, if set, may change the rows of a kind; `spoil` damages the next files."""

    def __init__(self, cashier: Cashier, app: web.Application) -> None:
        self._cashier = cashier
        self._files: dict[str, tuple[bytes, datetime]] = {}
        self.altered: Callable[[str, list[Row]], list[Row]] | None = None
        self.spoil: Spoiled = ""
        app.router.add_get("/v3/bill/tradebill", self._ask)
        app.router.add_get("/v3/billdownload/file", self._give)

    async def _ask(self, request: web.Request) -> web.Response:
        cashier = self._cashier

        async def answer(request: web.Request, raw: bytes) -> web.Response:
            try:
                cashier._check(request, raw)
                return cashier._reply(request, self._asked(request), 200)
            except No as no:
                return cashier._reply(request, {"code": no.code, "message": no.message}, no.status)

        return await cashier.play(request, answer, lambda fault: web.Response(status=fault.status or 500))

    def _asked(self, request: web.Request) -> dict[str, Any]:
        which, now = request.query.get("bill_type", "ALL"), self._cashier.clock.now().astimezone(CHINA)
        try:
            day = date.fromisoformat(request.query.get("bill_date", ""))
        except ValueError:
            raise No(400, "PARAM_ERROR", "bill_date 不合法") from None
        if which not in HEADERS or not timedelta() < now.date() - day <= KEPT:
            raise No(400, "PARAM_ERROR", "仅支持三个月内的账单")
        ready = datetime.combine(day + timedelta(days=1), READY, CHINA)
        if now < ready:
            raise No(400, "STATEMENT_CREATING", "账单生成中")
        rows = self.rows(day, which, ready)
        if self.altered is not None:
            rows = self.altered(which, rows)
        if not rows:
            raise No(400, "NO_STATEMENT_EXIST", "请求的账单文件不存在")
        plain = written(which, rows)
        packed = gzip.compress(plain, mtime=0) if request.query.get("tar_type") == "GZIP" else plain
        token = secrets.token_urlsafe(32)
        self._files[token] = (packed[: len(packed) // 2] if self.spoil == "cut" else packed, now + URL_GOOD)
        url = request.url.with_path(request.path.replace("/bill/tradebill", "/billdownload/file"))
        if self.spoil == "elsewhere":
            url = url.with_host("localhost.localdomain")
        digest = hashlib.sha1(plain + (b" " if self.spoil == "hash" else b"")).hexdigest()
        told = {"hash_type": "SHA1", "hash_value": digest}
        return told | {"download_url": str(url.with_query(token=token))}

    async def _give(self, request: web.Request) -> web.Response:
        """The file; asked for with a signature, given without one."""

        async def answer(request: web.Request, raw: bytes) -> web.Response:
            try:
                self._cashier._check(request, raw)
                file, until = self._files.get(request.query.get("token", ""), (b"", self._cashier.clock.now()))
                if not file or self._cashier.clock.now() >= until:
                    raise No(400, "INVALID_REQUEST", "下载地址已失效")
            except No as no:
                return web.json_response({"code": no.code, "message": no.message}, status=no.status)
            return web.Response(body=file, content_type="application/octet-stream")

        return await self._cashier.play(request, answer, lambda fault: web.Response(status=fault.status or 500))

    def rows(self, day: date, which: str, at: datetime) -> list[Row]:
        """A day's rows as they stand at the moment the bill is made: refunds that end later are PROCESSING."""
        books = self._cashier.books
        paid = [self._payment(o) for o in books.orders.values() if o.paid is not None and _on(o.paid, day)]
        back = [self._refund(r, books.orders[r.out_trade_no], at) for r in books.refunds.values() if _on(r.asked, day)]
        return {"SUCCESS": paid, "REFUND": back, "ALL": paid + back}[which]

    def _payment(self, order: Order) -> Row:
        assert order.paid is not None
        return self._common(order) | {
            "交易时间": _china(order.paid),
            "交易状态": "SUCCESS",
            "应结订单金额": _yuan(order.total),
            "代金券金额": _yuan(order.total - order.payer_total),
            "订单金额": _yuan(order.total),
        }

    def _refund(self, refund: Refund, order: Order, at: datetime) -> Row:
        assert order.paid is not None
        ended = refund.settled is not None and refund.settled <= at and refund.state == "SUCCESS"
        return self._common(order) | {
            "交易时间": _china(order.paid),
            "交易状态": "REFUND",
            "退款申请时间": _china(refund.asked),
            "退款成功时间": _china(refund.settled) if ended and refund.settled else "",
            "微信退款单号": refund.refund_id,
            "商户退款单号": refund.out_refund_no,
            "退款金额": _yuan(refund.amount),
            "退款类型": "ORIGINAL",
            "退款状态": "SUCCESS" if ended else "PROCESSING",
            "申请退款金额": _yuan(refund.amount),
        }

    def _common(self, order: Order) -> Row:
        return {
            "公众账号ID": self._cashier.books.appid,
            "商户号": self._cashier.books.mchid,
            "特约商户号": "0",
            "微信订单号": order.transaction_id,
            "商户订单号": order.out_trade_no,
            "用户标识": order.payer,
            "交易类型": _WAYS[order.kind],
            "付款银行": "OTHERS",
            "货币种类": "CNY",
            "商品名称": order.said["description"],
            "商户数据包": order.said.get("attach", ""),
            "手续费": "0.00000",
            "费率": "0.60%",
        } | dict.fromkeys(
            ("应结订单金额", "代金券金额", "充值券退款金额", "订单金额", "申请退款金额", "退款金额"), "0.00"
        )


def written(which: str, rows: list[Row]) -> bytes:
    """The file's bytes: a header, the rows, the sums; each cell after a ` so that no spreadsheet rounds it."""
    header = HEADERS[which]
    lines = [",".join(header), *(",".join("`" + row.get(name, "") for name in header) for row in rows)]
    sums = [str(len(rows)), *("0.00" for _ in SUMS[1:])]
    lines += [",".join(SUMS), ",".join("`" + cell for cell in sums)]
    return ("\ufeff" + "\r\n".join(lines) + "\r\n").encode()


def _on(at: datetime, day: date) -> bool:
    return at.astimezone(CHINA).date() == day


def _china(at: datetime) -> str:
    return f"{at.astimezone(CHINA):%Y-%m-%d %H:%M:%S}"


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"
