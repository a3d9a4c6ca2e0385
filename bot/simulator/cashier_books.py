"""The fake cashier's books: which orders and refunds there are, and what the rules say to a request."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from bot.clock import Clock
from bot.pay.wxpay import CHINA

CODE_GOOD = timedelta(hours=2)
REFUNDS_PER_ORDER = 50
REFUND_DAYS = 365
_NUMBER = re.compile(r"[0-9A-Za-z_\-|*]{6,32}")
_REFUND_NUMBER = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}")
_TYPES = {"native": "NATIVE", "jsapi": "JSAPI", "h5": "MWEB"}
_STATES = {"SUCCESS": "支付成功", "NOTPAY": "订单未支付", "CLOSED": "订单已关闭", "REFUND": "转入退款"}

Why = Literal["unknown", "paid", "closed", "expired", "payer", "signature"]


_SAID: dict[Why, str] = {
    "unknown": "二维码无效",
    "paid": "该订单已支付",
    "closed": "该订单已关闭",
    "expired": "该订单已过期",
    "payer": "该订单只能由下单人支付",
    "signature": "支付验证签名失败",
}


class CannotPay(ValueError):
    """The payer's phone says no; `why`: unknown, paid, closed, expired, payer (another person's order), signature."""

    def __init__(self, why: Why) -> None:
        super().__init__(_SAID[why])
        self.why: Why = why


class No(Exception):
    """An error reply: HTTP status, error code, message (doc: each call's table of error codes)."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


@dataclass(slots=True)
class Order:
    """An order at the counter; amounts in fen, moments aware UTC."""

    out_trade_no: str
    kind: str
    said: dict[str, Any]
    total: int
    made: datetime
    expires: datetime
    state: str = "NOTPAY"
    transaction_id: str = ""
    payer: str = ""
    payer_total: int = 0
    paid: datetime | None = None
    codes: dict[str, datetime] = field(default_factory=dict)
    """Every code_url, prepay_id or h5_url that was given for it, and until when it is good."""

    @property
    def code(self) -> str:
        """The newest code."""
        return list(self.codes)[-1]


@dataclass(slots=True)
class Refund:
    out_refund_no: str
    refund_id: str
    out_trade_no: str
    said: dict[str, Any]
    amount: int
    asked: datetime
    state: str = "PROCESSING"
    settled: datetime | None = None


class Books:
    """In memory; with a `file` also there, so that a demo that starts again still knows what was paid.

    `not_enough`: the merchant's balance is empty, refunds are refused. `refund_gap`: seconds between two
    refunds of one order.
    """

    def __init__(self, mchid: str, appid: str, clock: Clock, file: Path | None = None) -> None:
        self.mchid, self.appid, self.clock = mchid, appid, clock
        self.orders: dict[str, Order] = {}
        self.refunds: dict[str, Refund] = {}
        self.not_enough, self.refund_gap = False, 60
        self._file = file
        if file is not None and file.exists():
            kept = json.loads(file.read_bytes(), object_hook=_thawed)
            self.orders = {each["out_trade_no"]: Order(**each) for each in kept["orders"]}
            self.refunds = {each["out_refund_no"]: Refund(**each) for each in kept["refunds"]}

    def keep(self) -> None:
        """Writes the file, if there is one; raises OSError."""
        if self._file is not None:
            plain = {
                "orders": [asdict(order) for order in self.orders.values()],
                "refunds": [asdict(refund) for refund in self.refunds.values()],
            }
            new = self._file.with_suffix(".new")
            new.write_text(json.dumps(plain, default=lambda at: {"at": at.isoformat()}), "utf-8")
            new.replace(self._file)

    def prepay(self, kind: str, said: dict[str, Any]) -> dict[str, Any]:
        """The same order asked for again, in the same words, gives another code of the same order."""
        now, number = self.clock.now(), said["out_trade_no"]
        self._ours(said)
        order = self.orders.get(number)
        if order is not None:
            if order.state in ("SUCCESS", "REFUND"):
                raise No(400, "ORDERPAID", "该订单已支付")
            if order.state == "CLOSED":
                raise No(400, "ORDER_CLOSED", "该订单已关闭")
            if order.said != said or order.kind != kind:
                raise No(400, "INVALID_REQUEST", "请求重入时，参数与首次请求时不一致")
            if now >= order.expires:
                raise No(400, "INVALID_REQUEST", "订单已过期")
        else:
            order = self._new(kind, said, now)
            self.orders[number] = order
        token = secrets.token_hex(16)
        name, code = {
            "native": ("code_url", f"weixin://wxpay/bizpayurl?pr={token[:12]}"),
            "jsapi": ("prepay_id", f"wx{now.astimezone(CHINA):%d%H%M%S}{token}"),
            "h5": (
                "h5_url",
                f"https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx{token}&package=1",
            ),
        }[kind]
        order.codes[code] = now + (timedelta(minutes=5) if kind == "h5" else CODE_GOOD)
        return {name: code}

    def query(self, number: str, mchid: str) -> dict[str, Any]:
        self._mine(mchid)
        return self.trade(self._order(number))

    def query_transaction(self, transaction_id: str, mchid: str) -> dict[str, Any]:
        self._mine(mchid)
        found = [order for order in self.orders.values() if order.transaction_id == transaction_id]
        if not found:
            raise No(404, "ORDER_NOT_EXIST", "订单不存在")
        return self.trade(found[0])

    def close(self, number: str, said: dict[str, Any]) -> None:
        self._mine(said["mchid"])
        order = self._order(number)
        if order.state in ("SUCCESS", "REFUND"):
            raise No(400, "ORDERPAID", "该订单已支付")
        if order.state == "CLOSED":
            raise No(400, "ORDER_CLOSED", "该订单已关闭")
        order.state = "CLOSED"

    def refund(self, said: dict[str, Any]) -> dict[str, Any]:
        """The same out_refund_no in the same words is the same refund, whatever became of it."""
        number, amount = said["out_refund_no"], said["amount"]
        known = self.refunds.get(number)
        if known is not None:
            if known.said != said:
                raise No(400, "INVALID_REQUEST", "请求重入时，参数与首次请求时不一致")
            return self.refunded(known)
        if not _REFUND_NUMBER.fullmatch(number) or amount["currency"] != "CNY":
            raise No(400, "PARAM_ERROR", "out_refund_no 或 currency 不合法")
        order, asked = self._order(said["out_trade_no"], "RESOURCE_NOT_EXISTS"), _fen(amount["refund"])
        if order.state not in ("SUCCESS", "REFUND") or order.paid is None:
            raise No(400, "INVALID_REQUEST", "订单未支付")
        now = self.clock.now()
        if now - order.paid > timedelta(days=REFUND_DAYS):
            raise No(400, "INVALID_REQUEST", "订单已超过可退款的最大期限")
        before = [r for r in self.refunds.values() if r.out_trade_no == order.out_trade_no and r.state != "CLOSED"]
        if _fen(amount["total"]) != order.total or asked + sum(r.amount for r in before) > order.total:
            raise No(400, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，或累计退款超过订单金额")
        if len(before) >= REFUNDS_PER_ORDER:
            raise No(400, "INVALID_REQUEST", "部分退款次数超限")
        if before and (now - max(r.asked for r in before)).total_seconds() < self.refund_gap:
            raise No(429, "FREQUENCY_LIMITED", "同一订单退款过于频繁，请一分钟后再试")
        if self.not_enough:
            raise No(403, "NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")
        id_ = "5030" + "".join(secrets.choice("0123456789") for _ in range(24))
        refund = self.refunds[number] = Refund(number, id_, order.out_trade_no, said, asked, now)
        order.state = "REFUND"
        return self.refunded(refund)

    def query_refund(self, number: str) -> dict[str, Any]:
        if number not in self.refunds:
            raise No(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
        return self.refunded(self.refunds[number])

    def pay(self, code: str, payer: str, coupon: int) -> Order:
        """Raises CannotPay."""
        order = next((order for order in self.orders.values() if code in order.codes), None)
        now = self.clock.now()
        if order is None:
            raise CannotPay("unknown")
        if order.state != "NOTPAY":
            raise CannotPay("closed" if order.state == "CLOSED" else "paid")
        if now >= order.expires or now >= order.codes[code]:
            raise CannotPay("expired")
        if order.kind == "jsapi" and order.said["payer"]["openid"] != payer:
            raise CannotPay("payer")
        order.state, order.payer, order.paid = "SUCCESS", payer, now
        order.payer_total = max(0, order.total - coupon)
        order.transaction_id = "4200" + "".join(secrets.choice("0123456789") for _ in range(24))
        return order

    def trade(self, order: Order) -> dict[str, Any]:
        """An order as a query or a callback tells it."""
        told = {
            "appid": self.appid,
            "mchid": self.mchid,
            "out_trade_no": order.out_trade_no,
            "trade_state": order.state,
            "trade_state_desc": _STATES[order.state],
        }
        if order.paid is None:
            return told | {"amount": {"total": order.total, "currency": "CNY"}}
        paid = {
            "total": order.total,
            "payer_total": order.payer_total,
            "currency": "CNY",
            "payer_currency": "CNY",
        }
        return told | {
            "transaction_id": order.transaction_id,
            "trade_type": _TYPES[order.kind],
            "bank_type": "OTHERS",
            "attach": order.said.get("attach", ""),
            "success_time": china(order.paid),
            "payer": {"openid": order.payer},
            "amount": paid,
        }

    def refunded(self, refund: Refund) -> dict[str, Any]:
        """A refund as a reply tells it."""
        order = self.orders[refund.out_trade_no]
        theirs = refund.amount * order.payer_total // max(1, order.total)
        told = {
            "refund_id": refund.refund_id,
            "out_refund_no": refund.out_refund_no,
            "transaction_id": order.transaction_id,
            "out_trade_no": order.out_trade_no,
            "channel": "ORIGINAL",
            "user_received_account": "支付用户零钱",
            "create_time": china(refund.asked),
            "status": refund.state,
            "amount": {
                "total": order.total,
                "refund": refund.amount,
                "payer_total": order.payer_total,
                "payer_refund": theirs,
                "currency": "CNY",
            },
        }
        done = refund.state == "SUCCESS" and refund.settled is not None
        return told | ({"success_time": china(refund.settled)} if done and refund.settled else {})

    def _new(self, kind: str, said: dict[str, Any], now: datetime) -> Order:
        number, url = said["out_trade_no"], urlsplit(said["notify_url"])
        expires = now + timedelta(days=7)
        if "time_expire" in said:
            expires = datetime.fromisoformat(said["time_expire"]).astimezone(UTC)
            if not timedelta(seconds=59) <= expires - now <= timedelta(days=90):
                raise No(400, "PARAM_ERROR", "time_expire 不在一分钟至九十天之间")
        if not _NUMBER.fullmatch(number) or not 1 <= len(said["description"]) <= 127:
            raise No(400, "PARAM_ERROR", "out_trade_no 或 description 不合法")
        secure = url.scheme == "https" or url.hostname in ("127.0.0.1", "localhost", "::1")
        if not secure or url.query or len(said["notify_url"]) > 255:
            raise No(400, "PARAM_ERROR", "notify_url 须为 https 且不带参数")
        if len(said.get("attach", "")) > 128 or said["amount"].get("currency", "CNY") != "CNY":
            raise No(400, "PARAM_ERROR", "attach 或 currency 不合法")
        if kind == "jsapi" and not said["payer"]["openid"]:
            raise No(400, "PARAM_ERROR", "payer.openid 不能为空")
        if kind == "h5" and not said["scene_info"]["payer_client_ip"]:
            raise No(400, "PARAM_ERROR", "scene_info 不能为空")
        return Order(number, kind, said, _fen(said["amount"]["total"]), now, expires)

    def _ours(self, said: dict[str, Any]) -> None:
        if said["appid"] != self.appid or said["mchid"] != self.mchid:
            raise No(400, "APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配")

    def _mine(self, mchid: str) -> None:
        if mchid != self.mchid:
            raise No(400, "PARAM_ERROR", "mchid 与签名商户不一致")

    def _order(self, number: str, missing: str = "ORDER_NOT_EXIST") -> Order:
        if number not in self.orders:
            raise No(404, missing, "订单不存在")
        return self.orders[number]


def china(at: datetime) -> str:
    """RFC 3339 in +08:00, whole seconds: WeChat Pay's way with moments."""
    return at.astimezone(CHINA).isoformat(timespec="seconds")


def _fen(found: object) -> int:
    if type(found) is not int or not 1 <= found <= 10**10:
        raise No(400, "PARAM_ERROR", "金额须为正整数（分）")
    return found


def _thawed(each: dict[str, Any]) -> Any:
    return datetime.fromisoformat(each["at"]) if each.keys() == {"at"} else each
