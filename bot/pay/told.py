"""What the cashier tells: a payment, a refund, a definite no, or no word to be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

Means = Literal["paid", "closed", "missing", "used", "not_enough", "later", "other"]
_MEANS: dict[str, Means] = {  # the vendor's pages spell each with and without "_": read without
    "ORDERPAID": "paid",
    "ORDERCLOSED": "closed",
    "ORDERNOTEXIST": "missing",
    "RESOURCENOTEXISTS": "missing",
    "OUTTRADENOUSED": "used",
    "NOTENOUGH": "not_enough",
    "FREQUENCYLIMITED": "later",
    "RATELIMITEXCEEDED": "later",
    "RULELIMIT": "later",
}
UNSURE = frozenset({"SYSTEMERROR", "BANKERROR"})


class PayRefused(Exception):
    """A definite no: nothing was done. `means` says the common codes in the shop's words."""

    def __init__(self, code: str, message: str, status: int = 0) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status
        self.means: Means = _MEANS.get(code.replace("_", ""), "other")


class PayUnknown(Exception):
    """No word to be trusted (timeout, reset, 5xx, unsigned reply): done or not, nobody knows; ask again."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What is to be paid. Asked for again, it must be the same in every field, `expires` included.

    `out_trade_no` 6-32 of [0-9A-Za-z_-|*]; `notify_url` at most 255 characters without a query; `expires`
    ends payability but does not close the order (doc: Native payment, placing an order).
    """

    out_trade_no: str
    description: str
    total_fen: int
    notify_url: str
    expires: datetime
    attach: str = ""


@dataclass(frozen=True, slots=True)
class Trade:
    """A payment as WeChat Pay tells it. `state` SUCCESS: paid; REFUND: was paid; NOTPAY, CLOSED: not paid."""

    out_trade_no: str
    state: str
    transaction_id: str
    total_fen: int
    payer_openid: str
    success_time: datetime | None
    appid: str
    mchid: str
    currency: str

    @property
    def was_paid(self) -> bool:
        return self.state in ("SUCCESS", "REFUND")


@dataclass(frozen=True, slots=True)
class RefundState:
    """A refund as WeChat Pay tells it: SUCCESS, PROCESSING, CLOSED (not done) or ABNORMAL (needs a human).

    `mchid` is "" in replies: only the callback names it.
    """

    out_refund_no: str
    state: str
    refund_id: str
    out_trade_no: str
    transaction_id: str
    refund_fen: int
    total_fen: int
    success_time: datetime | None
    mchid: str


def trade_of(told: Mapping[str, Any]) -> Trade:
    """The payment in a query's reply or a decrypted callback; raises ValueError for a field odd or absent."""
    state, amount, payer = str_of(told, "trade_state"), told.get("amount") or {}, told.get("payer") or {}
    if not isinstance(amount, dict) or not isinstance(payer, dict):
        raise ValueError("amount or payer")
    paid = state in ("SUCCESS", "REFUND")
    return Trade(
        out_trade_no=str_of(told, "out_trade_no"),
        state=state,
        transaction_id=str_of(told, "transaction_id", None if paid else ""),
        total_fen=fen_of(amount, "total", None if paid else 0),  # not payer_total: coupons make it smaller
        payer_openid=str_of(payer, "openid", ""),
        success_time=moment_of(told, "success_time"),
        appid=str_of(told, "appid"),
        mchid=str_of(told, "mchid"),
        currency=str_of(amount, "currency", ""),
    )


def refund_of(told: Mapping[str, Any]) -> RefundState:
    """The refund in a reply (`status`) or decrypted callback (`refund_status`); raises ValueError alike."""
    amount = told.get("amount")
    if not isinstance(amount, dict):
        raise ValueError("amount")
    return RefundState(
        out_refund_no=str_of(told, "out_refund_no"),
        state=str_of(told, "refund_status" if "refund_status" in told else "status"),
        refund_id=str_of(told, "refund_id"),
        out_trade_no=str_of(told, "out_trade_no"),
        transaction_id=str_of(told, "transaction_id"),
        refund_fen=fen_of(amount, "refund"),
        total_fen=fen_of(amount, "total"),
        success_time=moment_of(told, "success_time"),
        mchid=str_of(told, "mchid", ""),
    )


def str_of(told: Mapping[str, Any], name: str, default: str | None = None) -> str:
    found = told.get(name, default)
    if not isinstance(found, str) or len(found) > 1024 or (not found and default is None):
        raise ValueError(name)
    return found


def fen_of(told: Mapping[str, Any], name: str, default: int | None = None) -> int:
    found = told.get(name, default)
    if type(found) is not int or not 0 <= found <= 10**11:  # type(): True is an int to isinstance
        raise ValueError(name)
    return found


def moment_of(told: Mapping[str, Any], name: str) -> datetime | None:
    found = str_of(told, name, "")
    if not found:
        return None
    at = datetime.fromisoformat(found)
    if at.tzinfo is None:
        raise ValueError(name)
    return at.astimezone(UTC)
