"""The till: carries the shop's errands to WeChat Pay, and brings back what became of them as facts."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import TypeVar

from bot.clock import Clock
from bot.courier import Unknown
from bot.pay.notify import Notice
from bot.pay.seal import Forged
from bot.pay.told import Bill, PayRefused, PayUnknown, RefundState, Trade
from bot.pay.wxpay import WxPay
from bot.points import point
from bot.settings import Settings
from handlers.asking import Intent
from handlers.errands import AskRefund, AskTrade, CloseTrade, PayBack, Prepay
from handlers.intents import PrepayMade, PrepayRefused, RefundSeen, TradeSeen
from handlers.replies import Errand
from models.refund import NO_CASHIER

log = logging.getLogger(__name__)

CALLBACK, QUERY, CLOSE = "callback", "query", "close"
UNKNOWN = "UNKNOWN"  # no word to be trusted: the rules ask again in their own time

_T = TypeVar("_T")


class Till:
    """Performs errands of the money path.

    That nobody knows how it ended is a fact like any other: the attempt's and the refund's own schedule asks again,
    so that a cashier who is away for an hour is not asked by a growing crowd of errands. Only a way to pay that
    somebody waits for is asked for again at once: it raises Unknown.
    """

    def __init__(self, pay: WxPay, clock: Clock, settings: Settings) -> None:
        self.pay, self.clock = pay, clock
        base = settings.shop.public_url.rstrip("/")
        self.paid_url = f"{base}/pay/wechat/notify"
        self.refund_url = f"{base}/pay/wechat/refund-notify"

    async def perform(self, errand: Errand) -> Intent:
        """The fact that an errand ends in; raises Unknown for a way to pay that nobody knows about."""
        try:
            match errand:
                case Prepay():
                    return await self._prepay(errand)
                case AskTrade():
                    return await self._ask(errand.out_trade_no, QUERY)
                case CloseTrade():
                    return await self._close(errand.out_trade_no)
                case PayBack():
                    return await self._pay_back(errand)
                case AskRefund():
                    return await self._ask_refund(errand.out_refund_no)
        except (PayUnknown, Unknown) as nobody_knows:
            log.info(
                "the cashier's word is not known", extra={"errand": type(errand).__name__, "why": str(nobody_knows)}
            )
            match errand:
                case AskTrade():
                    return TradeSeen(errand.out_trade_no, UNKNOWN, source=QUERY)
                case CloseTrade():
                    return TradeSeen(errand.out_trade_no, UNKNOWN, source=CLOSE)
                case PayBack():
                    return RefundSeen(errand.out_refund_no, UNKNOWN)
                case AskRefund():
                    return RefundSeen(errand.out_refund_no)
            raise Unknown(str(nobody_knows)) from None
        raise TypeError(f"the till does not carry {type(errand).__name__}")

    async def _call(self, name: str, call: Awaitable[_T]) -> _T:
        """One request to the cashier."""
        point(f"till.{name}.asking")
        try:
            return await call
        finally:
            point(f"till.{name}.asked")

    async def noticed(self, notice: Notice) -> Intent:
        """A verified callback as a fact; raises Forged when it speaks of another merchant or account."""
        about = notice.about
        if isinstance(about, Trade):
            return self._seen(about, CALLBACK)
        if about.mchid and about.mchid != self.pay.merchant.mchid:
            raise Forged("mchid")
        return _refund(about)

    async def _prepay(self, errand: Prepay) -> Intent:
        number = errand.out_trade_no
        expires = datetime.fromtimestamp(errand.expires, UTC)
        if expires <= self.clock.now():  # an errand that waited too long: nobody may pay by it any more
            return PrepayRefused(number, "closed")
        bill = Bill(number, errand.description, errand.amount_fen, self.paid_url, expires)
        try:
            return PrepayMade(number, await self._call("prepay", self._way(errand, bill)))
        except PayRefused as no:
            if no.means == "later":
                raise Unknown(str(no)) from None
            return PrepayRefused(number, no.means if no.means != "other" else no.code)

    def _way(self, errand: Prepay, bill: Bill) -> Awaitable[str]:
        if errand.way == "jsapi":
            return self.pay.jsapi(bill, errand.openid)
        return self.pay.h5(bill, errand.address) if errand.way == "h5" else self.pay.native(bill)

    async def _ask(self, number: str, source: str) -> Intent:
        try:
            return self._seen(await self._call("query", self.pay.query(number)), source)
        except PayRefused as no:
            if no.means == "missing":  # never heard of: nobody can have paid it
                return TradeSeen(number, "NOTPAY", source=source)
            raise Unknown(str(no)) from None

    async def _close(self, number: str) -> Intent:
        """Asks first, closes, and says what it is then: who was typing the password may have paid meanwhile."""
        seen = await self._ask(number, CLOSE)
        if isinstance(seen, TradeSeen) and seen.state not in ("NOTPAY", "USERPAYING", "PAYERROR"):
            return seen
        try:
            await self._call("close", self.pay.close(number))
        except PayRefused as no:
            if no.means == "paid":
                return await self._ask(number, CLOSE)
            if no.means == "missing":
                return TradeSeen(number, "CLOSED", source=CLOSE)
            raise Unknown(str(no)) from None
        after = await self._ask(number, CLOSE)
        if isinstance(after, TradeSeen) and after.state == "NOTPAY":
            return TradeSeen(number, "CLOSED", source=CLOSE)  # it said yes, and knows of no payment
        return after

    async def _pay_back(self, errand: PayBack) -> Intent:
        try:
            asked = self.pay.refund(
                out_refund_no=errand.out_refund_no,
                out_trade_no=errand.out_trade_no,
                refund_fen=errand.amount_fen,
                total_fen=errand.total_fen,
                reason=errand.reason,
                notify_url=self.refund_url,
            )
            done = await self._call("refund", asked)
        except PayRefused as no:
            return RefundSeen(errand.out_refund_no, "REFUSED", no.means if no.means != "other" else no.code)
        return _refund(done)

    async def _ask_refund(self, number: str) -> Intent:
        try:
            return _refund(await self._call("refund_query", self.pay.query_refund(number)))
        except PayRefused as no:
            if no.means == "missing":  # it was never taken: asked for again under the same number
                return RefundSeen(number, UNKNOWN)
            raise Unknown(str(no)) from None

    def _seen(self, trade: Trade, source: str) -> TradeSeen:
        merchant = self.pay.merchant
        if trade.mchid != merchant.mchid:
            raise Forged("mchid")
        if trade.appid != merchant.appid:
            raise Forged("appid")
        return TradeSeen(
            trade.out_trade_no,
            trade.state,
            trade.transaction_id,
            trade.total_fen,
            trade.currency,
            trade.payer_openid,
            trade.appid,
            trade.mchid,
            int(trade.success_time.timestamp()) if trade.success_time else 0,
            source,
        )


async def no_till(errand: Errand) -> Intent:
    """A shop that has given up its cashier can ask nothing there, and must not wait for an answer.

    What it owes there waits for a hand (已退), and staff hear so every day; what was open there is over.
    """
    match errand:
        case PayBack() | AskRefund():
            return RefundSeen(errand.out_refund_no, "REFUSED", NO_CASHIER)
        case AskTrade() | CloseTrade():
            return TradeSeen(errand.out_trade_no, NO_CASHIER)
        case Prepay():
            return PrepayRefused(errand.out_trade_no, NO_CASHIER)
    raise TypeError(f"no till carries {type(errand).__name__}")


def _refund(state: RefundState) -> RefundSeen:
    return RefundSeen(state.out_refund_no, state.state, "", state.refund_fen)
