"""Everything a person can ask of the shop, on one page: the table of contents."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, get_args

from handlers.asking import (
    POINTING,
    AddressLine,
    Coded,
    Digits,
    GroupCode,
    Intent,
    Number,
    OrderNo,
    ProductCode,
    Quantity,
    Scene,
    Slot,
    Spec,
    Words,
    YesNo,
    Yuan,
)
from models import carrier
from models.address import TITLES
from models.staff import Role
from models.words import numeral, quantity

ALL_PIECES = 9999
_TRACKING = r"[a-z]{0,4}[0-9][0-9a-z-]{2,24}"


def _sku(text: str) -> str:
    code, dash, place = text.partition("-")
    return str(get_args(ProductCode)[1].parse(code)) + dash + place


def _tracking(text: str) -> str:
    if not re.fullmatch(_TRACKING, text):
        raise ValueError(text)
    return text.upper()


def _ticket(text: str) -> str:
    return f"{text[:8]}-{text[-3:]}".upper()


def _pieces(text: str) -> int:
    """So many of a line's pieces, or all of them."""
    found = (
        ALL_PIECES if text.strip("的了") in ("全部", "全", "都", "全都", "所有") else quantity(text) or numeral(text)
    )
    if not found:
        raise ValueError(text)
    return found


# A spec of a product: A12-2 is the second of A12; a minus that belongs to a number is none of the code's.
_SKU = rf"(?:(?:a[0-9oil]{{1,5}}(?![0-9oil])|a[2-9a-hjkmnp-z]{{3,4}})(?:-[0-9]{{1,2}}(?=\s|$))?|{POINTING})"
SkuCode = Annotated[str, Slot("sku", _SKU, _sku, 1, "product")]
StockMove = Annotated[str, Slot("move", r"[+-]?[0-9]{1,5}", str, 2)]

PlaceName = Annotated[str, Slot("place", "|".join(sorted(TITLES, key=len, reverse=True)), TITLES.__getitem__, 1)]
Cutoff = Annotated[str, Slot("cutoff", r"[0-9]{1,2}(?::[0-9]{2}|[点时])", str, 2)]
PickupCode = Annotated[str, Slot("pickup", r"[2-9a-hjkmnp-z]{6}", str.upper, 1)]
LineNumbers = Annotated[str, Slot("lines", r"[0-9]{1,2}(?:[,、 ]+[0-9]{1,2})*", str, 2)]
PayTicket = Annotated[str, Slot("ticket", r"[2-9a-hjkmnp-z]{8}\s?[-—–_]\s?[2-9a-hjkmnp-z]{3}", _ticket, 1)]
Carrier = Annotated[str, Slot("carrier", "|".join(carrier.WORDS), carrier.named, 1)]
PhonePart = Annotated[str, Slot("phone", r"[0-9]{2,11}", str, 2)]
Reason = Annotated[str, Slot("reason", r".+", str, 3)]
Remedy = Annotated[str, Slot("remedy", r".+", str, 3)]
Pieces = Annotated[int, Slot("pieces", r".{1,8}", _pieces, 2)]
Tracking = Annotated[str, Slot("tracking", _TRACKING, _tracking, 1)]


# fmt: off
# -- coming and going (follow, help) -------------------------------------------------------------------
@dataclass(frozen=True)
class Arrive(Intent, verb="arrive", changes=True): scene: str = ""
@dataclass(frozen=True)
class Scan(Intent, verb="scan", changes=True): scene: str = ""
@dataclass(frozen=True)
class Leave(Intent, verb="leave", changes=True): pass
@dataclass(frozen=True)
class Silent(Intent, verb="silent"): pass
@dataclass(frozen=True)
class Help(Coded, verb="help", page=True): pass
@dataclass(frozen=True)
class NotUnderstood(Intent, verb="lost"): words: Words = ""
@dataclass(frozen=True)
class BeyondList(Intent, verb="beyond"): n: Number = 0; of: Number = 0; answer: YesNo = ""
@dataclass(frozen=True)
class ListGone(Intent, verb="listgone"): pass
@dataclass(frozen=True)
class StrangeThing(Intent, verb="strange"): kind: str = ""
@dataclass(frozen=True)
class DropCommand(Intent, verb="dropcommand", changes=True): pass
@dataclass(frozen=True)
class CancelQuestion(Intent, verb="nevermind"): goods: int = 0
@dataclass(frozen=True)
class NotOffered(Coded, verb="notoffered"): what: str = ""; product: ProductCode = ""; code: Scene = ""
@dataclass(frozen=True)
class Simple(Coded, verb="simple"): pass
@dataclass(frozen=True)
class WelcomeNews(Intent, verb="welcomenews", changes=True): answer: YesNo = ""
@dataclass(frozen=True)
class Wanted(Intent, verb="wanted", changes=True): pass

# -- looking around (catalog) --------------------------------------------------------------------------
@dataclass(frozen=True)
class Browse(Coded, verb="browse", page=True): category: Number = 0; after: str = ""
@dataclass(frozen=True)
class ShowProduct(Coded, verb="show", page=True): product: ProductCode = ""; quantity: Quantity = 0
@dataclass(frozen=True)
class Search(Intent, verb="search"): words: Words = ""; nth: Number = 0
@dataclass(frozen=True)
class More(Coded, verb="more"): pass
@dataclass(frozen=True)
class Back(Coded, verb="back"): pass

# -- everyday questions (everyday) ---------------------------------------------------------------------
@dataclass(frozen=True)
class MyParcel(Coded, verb="parcel", personal=True): goods: str = ""
@dataclass(frozen=True)
class LateParcel(Intent, verb="lateparcel", changes=True, personal=True): order: OrderNo = ""
@dataclass(frozen=True)
class MyPayment(Coded, verb="paid", personal=True): goods: str = ""
@dataclass(frozen=True)
class SaysPaid(Intent, verb="sayspaid", changes=True, personal=True): order: OrderNo = ""
@dataclass(frozen=True)
class MyRefund(Coded, verb="refunded", personal=True): pass
@dataclass(frozen=True)
class ChangeOrder(Coded, verb="change", personal=True): what: str = ""; goods: str = ""
@dataclass(frozen=True)
class SomethingWrong(Coded, verb="wrong", personal=True): pass
@dataclass(frozen=True)
class Freight(Coded, verb="freight"): topic: str = "freight"
@dataclass(frozen=True)
class Discounts(Coded, verb="discounts"): pass
@dataclass(frozen=True)
class Care(Intent, verb="care", personal=True): words: Words = ""
@dataclass(frozen=True)
class ProductFacts(Intent, verb="facts"): product: ProductCode = ""; words: Words = ""
@dataclass(frozen=True)
class AboutShop(Coded, verb="about"): topic: str = ""
@dataclass(frozen=True)
class Health(Intent, verb="health"): product: ProductCode = ""; words: Words = ""
@dataclass(frozen=True)
class SmallTalk(Coded, verb="talk"): topic: str = ""; word: str = ""
@dataclass(frozen=True)
class Anger(Coded, verb="anger", changes=True): pass
@dataclass(frozen=True)
class Person(Coded, verb="person", changes=True): pass
@dataclass(frozen=True)
class Forget(Coded, verb="forget", personal=True): pass
@dataclass(frozen=True)
class ForgetNow(Intent, verb="forgetnow", changes=True, personal=True): pass

# -- the cart (cart) -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class ShowCart(Coded, verb="cart", personal=True): nth: Number = 0
@dataclass(frozen=True)
class AddToCart(Coded, verb="add", changes=True): product: ProductCode = ""; quantity: Quantity = 0; spec: Spec = ""
@dataclass(frozen=True)
class EditLine(Coded, verb="cartline", changes=True, personal=True): product: ProductCode = ""; spec: Number = 0; was: Number = 0; price: Number = 0; quantity: Quantity = 0
@dataclass(frozen=True)
class ChangeCart(Intent, verb="changecart", changes=True, personal=True): line: Number = 0; quantity: Quantity = 0
@dataclass(frozen=True)
class DropFromCart(Intent, verb="dropfromcart", changes=True, personal=True): line: Number = 0
@dataclass(frozen=True)
class ClearCart(Coded, verb="clearcart", changes=True): pass
@dataclass(frozen=True)
class Checkout(Coded, verb="checkout", changes=True, personal=True): pass

# -- where it goes (address) ---------------------------------------------------------------------------
@dataclass(frozen=True)
class ShowAddress(Coded, verb="address", personal=True): pass
@dataclass(frozen=True)
class SetAddress(Intent, verb="setaddress", changes=True, personal=True): line: AddressLine = ""; more: AddressLine = ""
@dataclass(frozen=True)
class MeanAddress(Coded, verb="meanaddress", changes=True, personal=True): which: Number = 0
@dataclass(frozen=True)
class SendTo(Intent, verb="sendto", changes=True, personal=True): title: PlaceName = ""; order: OrderNo = ""
@dataclass(frozen=True)
class DropAddress(Intent, verb="dropaddress", changes=True, personal=True): which: Number = 0
@dataclass(frozen=True)
class PrivateWords(Intent, verb="privatewords"): pass

# -- buying (checkout, payment, orders) ----------------------------------------------------------------
@dataclass(frozen=True)
class Buy(Coded, verb="buy", changes=True, personal=True): product: ProductCode = ""; quantity: Quantity = 0; spec: Spec = ""; play: str = ""; seen: str = ""
@dataclass(frozen=True)
class BuyLines(Intent, verb="buylines", changes=True, personal=True): lines: tuple[tuple[int, int], ...] = (); play: str = ""; from_cart: bool = False; said: AddressLine = ""; address: AddressLine = ""; like: str = ""
@dataclass(frozen=True)
class BuyAgain(Coded, verb="again", changes=True, personal=True): order: OrderNo = ""; word: YesNo = ""
@dataclass(frozen=True)
class ShowPay(Intent, verb="payp"): code: str = ""; way: str = "native"; payer: str = ""; friend: str = ""
@dataclass(frozen=True)
class StartPay(Intent, verb="startpay", changes=True): code: str = ""; way: str = "native"; payer: str = ""; friend: str = ""; again: bool = False
@dataclass(frozen=True)
class PayByToken(Intent, verb="paybytoken", changes=True): ticket: PayTicket = ""
@dataclass(frozen=True)
class ListOrders(Coded, verb="orders", personal=True): which: str = ""; after: str = ""
@dataclass(frozen=True)
class ShowOrder(Coded, verb="order", personal=True): order: OrderNo = ""
@dataclass(frozen=True)
class OrderInWords(Intent, verb="orderinwords", personal=True): order: OrderNo = ""
@dataclass(frozen=True)
class PayOrder(Coded, verb="payorder", personal=True): order: OrderNo = ""
@dataclass(frozen=True)
class PayElsewhere(Coded, verb="payelsewhere", changes=True, personal=True): order: OrderNo = ""
@dataclass(frozen=True)
class PayForMe(Coded, verb="payforme", changes=True, personal=True): order: OrderNo = ""
@dataclass(frozen=True)
class CancelOrder(Coded, verb="cancelorder", changes=True, personal=True): order: OrderNo = ""; bare: int = 0
@dataclass(frozen=True)
class TrackOrder(Coded, verb="track", personal=True): order: OrderNo = ""
@dataclass(frozen=True)
class ReceiveOrder(Coded, verb="received", changes=True, personal=True): order: OrderNo = ""; bare: int = 0

# -- after-sale (aftersale) ------------------------------------------------------------------------------
@dataclass(frozen=True)
class RefundOrder(Coded, verb="refund", personal=True): order: OrderNo = ""
@dataclass(frozen=True)
class AskBack(Intent, verb="askback", changes=True, personal=True): order: OrderNo = ""; line: Number = 0; reason: Reason = ""; pieces: Pieces = 0; how: Remedy = ""; fen: Yuan = 0; words: Words = ""; shots: str = ""; word: YesNo = ""
@dataclass(frozen=True)
class ReopenCase(Coded, verb="reopencase", personal=True): order: OrderNo = ""; line: Number = 0
@dataclass(frozen=True)
class ListCases(Coded, verb="cases", personal=True): after: Number = 0
@dataclass(frozen=True)
class ShowCase(Coded, verb="case", personal=True): order: OrderNo = ""; line: Number = 0
@dataclass(frozen=True)
class WithdrawCase(Coded, verb="withdraw", changes=True, personal=True): order: OrderNo = ""; line: Number = 0; bare: int = 0
@dataclass(frozen=True)
class TakeOffer(Coded, verb="takeoffer", changes=True, personal=True): order: OrderNo = ""; line: Number = 0; word: YesNo = ""
@dataclass(frozen=True)
class SendBack(Intent, verb="sendback", changes=True, personal=True): order: OrderNo = ""; carrier: Carrier = ""; tracking: Tracking = ""; line: Number = 0; bare: int = 0
@dataclass(frozen=True)
class WayOfReturn(Coded, verb="wayofreturn", personal=True): topic: str = ""
@dataclass(frozen=True)
class ShowPicture(Intent, verb="picture", changes=True, personal=True): media_id: str = ""
@dataclass(frozen=True)
class SayAbout(Intent, verb="sayabout", changes=True, personal=True): order: OrderNo = ""; words: Words = ""

# -- second thoughts about an order (second) -------------------------------------------------------------
@dataclass(frozen=True)
class ChangeAddress(Intent, verb="changeaddress", changes=True, personal=True): order: OrderNo = ""; line: AddressLine = ""; more: AddressLine = ""
@dataclass(frozen=True)
class ChangePart(Intent, verb="changepart", personal=True): order: OrderNo = ""; phone: str = ""; name: str = ""
@dataclass(frozen=True)
class ChangeSpec(Intent, verb="changespec", changes=True, personal=True): order: OrderNo = ""; spec: Spec = ""; line: Number = 0
@dataclass(frozen=True)
class PickUp(Intent, verb="pickup", changes=True, personal=True): order: OrderNo = ""
@dataclass(frozen=True)
class PaySupplement(Coded, verb="paymore", personal=True): order: OrderNo = ""
@dataclass(frozen=True)
class DropSupplement(Coded, verb="dropmore", changes=True, personal=True): order: OrderNo = ""
@dataclass(frozen=True)
class NoteOrder(Intent, verb="note", changes=True, personal=True): order: OrderNo = ""; words: Words = ""

# -- group-buys (groupbuy) -----------------------------------------------------------------------------
SomeGroup = Annotated[str, Slot("group", r"g[2-9a-hjkmnp-z]{3,5}", str.upper, 1, "group")]  # not 这个: that shows the goods
@dataclass(frozen=True)
class ShowGroup(Coded, verb="group", page=True): group: SomeGroup = ""
@dataclass(frozen=True)
class JoinGroup(Coded, verb="join", changes=True, personal=True): group: GroupCode = ""
@dataclass(frozen=True)
class Groups(Coded, verb="groups", page=True): pass
@dataclass(frozen=True)
class OpenGroup(Coded, verb="start", changes=True, personal=True): product: ProductCode = ""; spec: str = ""
@dataclass(frozen=True)
class MyGroups(Coded, verb="mygroups", personal=True): pass
@dataclass(frozen=True)
class LeaveGroup(Coded, verb="leavegroup", changes=True, personal=True): group: GroupCode = ""; word: YesNo = ""

# -- invite cards (invite) -----------------------------------------------------------------------------
CardThing = Annotated[str, Slot("thing", rf"(?:a[0-9oil]{{1,5}}|[ag][2-9a-hjkmnp-z]{{3,5}}|小店|店|shop|{POINTING})", str, 1)]
@dataclass(frozen=True)
class InviteCard(Coded, verb="invite", changes=True): thing: CardThing = ""
@dataclass(frozen=True)
class OpenCard(Coded, verb="card", changes=True): card: str = ""; back: int = 0

# -- what may be pushed (subscribe) --------------------------------------------------------------------
@dataclass(frozen=True)
class Subscribe(Intent, verb="subscribe", changes=True): words: Words = ""
@dataclass(frozen=True)
class SubscribeNews(Coded, verb="subnews", changes=True): words: Words = ""
@dataclass(frozen=True)
class Unsubscribe(Intent, verb="unsubscribe", changes=True): words: Words = ""; said: Words = ""
@dataclass(frozen=True)
class MySubscriptions(Coded, verb="mysubs"): pass
@dataclass(frozen=True)
class PausePushes(Coded, verb="pause", changes=True): pass
@dataclass(frozen=True)
class ResumePushes(Coded, verb="resume", changes=True): pass
@dataclass(frozen=True)
class QuietHours(Intent, verb="quiet", changes=True): words: Words = ""
@dataclass(frozen=True)
class WeeklyCap(Coded, verb="weekly", changes=True): number: Number = 0

# -- staff (admin) -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ListToShip(Coded, verb="toship", personal=True, role=Role.CLERK): after: str = ""
@dataclass(frozen=True)
class Ship(Intent, verb="ship", changes=True, role=Role.CLERK): order: OrderNo = ""; carrier: Carrier = ""; tracking: Tracking = ""; lines: LineNumbers = ""
@dataclass(frozen=True)
class ShowLabel(Intent, verb="label", changes=True, personal=True, role=Role.CLERK): order: OrderNo = ""
@dataclass(frozen=True)
class LookAtOrder(Coded, verb="look", personal=True, role=Role.SUPPORT): order: OrderNo = ""
@dataclass(frozen=True)
class SendElsewhere(Intent, verb="sendelsewhere", changes=True, personal=True, role=Role.CLERK): order: OrderNo = ""; line: AddressLine = ""; more: AddressLine = ""
@dataclass(frozen=True)
class PickList(Intent, verb="picking", personal=True, role=Role.CLERK): pass
@dataclass(frozen=True)
class ShipSomehow(Intent, verb="shipsomehow", role=Role.CLERK): order: OrderNo = ""
@dataclass(frozen=True)
class KeepAsIs(Intent, verb="keepasis", changes=True, role=Role.CLERK): order: OrderNo = ""; reason: Words = ""
@dataclass(frozen=True)
class HandOut(Intent, verb="handout", changes=True, role=Role.CLERK): code: PickupCode = ""
@dataclass(frozen=True)
class SellerCancel(Intent, verb="sellercancel", proposes=True, personal=True, role=Role.MANAGER): order: OrderNo = ""; reason: Words = ""
@dataclass(frozen=True)
class SellerCancelNow(Intent, verb="sellercancelnow", changes=True, role=Role.MANAGER): order: str = ""; reason: str = ""
@dataclass(frozen=True)
class TakeMoney(Intent, verb="takemoney", proposes=True, role=Role.MANAGER): order: OrderNo = ""; fen: Yuan = 0
@dataclass(frozen=True)
class TakeMoneyNow(Intent, verb="takemoneynow", changes=True, role=Role.MANAGER): order: str = ""; fen: int = 0
@dataclass(frozen=True)
class GiveBack(Intent, verb="giveback", proposes=True, role=Role.MANAGER): order: OrderNo = ""
@dataclass(frozen=True)
class GiveBackNow(Intent, verb="givebacknow", changes=True, role=Role.MANAGER): order: str = ""; fen: int = 0
@dataclass(frozen=True)
class TakeRest(Intent, verb="rest", proposes=True, role=Role.MANAGER): words: Words = ""
@dataclass(frozen=True)
class TakeRestNow(Intent, verb="restnow", changes=True, role=Role.MANAGER): until: int = 0; notice: str = ""
@dataclass(frozen=True)
class OpenAgain(Intent, verb="openagain", changes=True, role=Role.MANAGER): pass
@dataclass(frozen=True)
class StopSelling(Intent, verb="stopselling", changes=True, role=Role.MANAGER): pass
@dataclass(frozen=True)
class SellAgain(Intent, verb="sellagain", proposes=True, role=Role.MANAGER): pass
@dataclass(frozen=True)
class SellAgainNow(Intent, verb="sellagainnow", changes=True, role=Role.MANAGER): pass
@dataclass(frozen=True)
class SetPromise(Intent, verb="promise", changes=True, role=Role.MANAGER): hours: Number = 0; cutoff: Cutoff = ""
@dataclass(frozen=True)
class SetDiscount(Intent, verb="discount", proposes=True, role=Role.MANAGER): product: ProductCode = ""; words: Words = ""
@dataclass(frozen=True)
class PutDiscount(Intent, verb="putdiscount", changes=True, role=Role.MANAGER): product: str = ""; percent: int = 0; until: int = 0
@dataclass(frozen=True)
class StopDiscount(Intent, verb="stopdiscount", changes=True, role=Role.MANAGER): product: ProductCode = ""
@dataclass(frozen=True)
class SetFreight(Intent, verb="setfreight", proposes=True, role=Role.MANAGER): words: Words = ""
@dataclass(frozen=True)
class PutFreight(Intent, verb="putfreight", changes=True, role=Role.MANAGER): words: str = ""
@dataclass(frozen=True)
class ShowFreight(Intent, verb="showfreight", role=Role.MANAGER): pass
@dataclass(frozen=True)
class BindStaff(Intent, verb="bind", changes=True, proven=True): code: Digits = ""
@dataclass(frozen=True)
class Confirm(Intent, verb="confirm", changes=True, role=Role.SUPPORT): code: Digits = ""
@dataclass(frozen=True)
class Undo(Intent, verb="undo", role=Role.SUPPORT): pass
@dataclass(frozen=True)
class ListStaff(Intent, verb="staff", role=Role.OWNER): pass
@dataclass(frozen=True)
class GrantRole(Intent, verb="grant", changes=True, role=Role.OWNER): word: Words = ""
@dataclass(frozen=True)
class Dismiss(Intent, verb="dismiss", proposes=True, role=Role.OWNER): n: Number = 0; who: int = 0
@dataclass(frozen=True)
class DismissNow(Intent, verb="dismissnow", changes=True, role=Role.OWNER): who: int = 0
@dataclass(frozen=True)
class ShowTrail(Intent, verb="trail", role=Role.OWNER): pass
@dataclass(frozen=True)
class Publish(Intent, verb="publish", proposes=True, role=Role.MANAGER): line: Words = ""
@dataclass(frozen=True)
class PublishNow(Intent, verb="publishnow", changes=True, role=Role.MANAGER): line: Words = ""
@dataclass(frozen=True)
class PutOn(Intent, verb="puton", proposes=True, role=Role.MANAGER): product: ProductCode = ""
@dataclass(frozen=True)
class PutOnNow(Intent, verb="putonnow", changes=True, role=Role.MANAGER): product: ProductCode = ""
@dataclass(frozen=True)
class TakeOff(Intent, verb="takeoff", changes=True, role=Role.MANAGER): product: ProductCode = ""
@dataclass(frozen=True)
class SetPrice(Intent, verb="price", proposes=True, role=Role.MANAGER): product: SkuCode = ""; price: Yuan = 0; spec: Number = 0
@dataclass(frozen=True)
class SetPriceNow(Intent, verb="pricenow", changes=True, role=Role.MANAGER): product: ProductCode = ""; spec: int = 0; was: int = 0; price: int = 0
@dataclass(frozen=True)
class SetStock(Intent, verb="stock", proposes=True, role=Role.MANAGER): product: SkuCode = ""; move: StockMove = ""; spec: Number = 0
@dataclass(frozen=True)
class SetStockNow(Intent, verb="stocknow", changes=True, role=Role.MANAGER): product: ProductCode = ""; spec: int = 0; was: int = 0; move: str = ""
@dataclass(frozen=True)
class Today(Intent, verb="today", role=Role.MANAGER): pass
@dataclass(frozen=True)
class SetOffer(Intent, verb="setoffer", proposes=True, role=Role.MANAGER): product: SkuCode = ""; size: Number = 0; price: Yuan = 0; hours: Number = 0; spec: str = ""
@dataclass(frozen=True)
class SetOfferSomehow(Intent, verb="setofferwords", proposes=True, role=Role.MANAGER): words: Words = ""
@dataclass(frozen=True)
class PutOffer(Intent, verb="putoffer", changes=True, role=Role.MANAGER): product: str = ""; sku_ids: tuple[int, ...] = (); size: int = 0; price: int = 0; hours: int = 0
@dataclass(frozen=True)
class StopOffer(Intent, verb="stopoffer", changes=True, role=Role.MANAGER): product: ProductCode = ""
@dataclass(frozen=True)
class PlanPush(Intent, verb="planpush", proposes=True, role=Role.MANAGER): words: Words = ""; mark: str = ""
@dataclass(frozen=True)
class SchedulePush(Intent, verb="schedulepush", changes=True, role=Role.MANAGER): topic: str = ""; text: str = ""; at: int = 0
@dataclass(frozen=True)
class ListPushes(Intent, verb="pushes", role=Role.MANAGER): pass
@dataclass(frozen=True)
class ShowPush(Coded, verb="showpush", role=Role.MANAGER): push: str = ""
@dataclass(frozen=True)
class CancelPush(Intent, verb="cancelpush", changes=True, role=Role.MANAGER): words: Words = ""

@dataclass(frozen=True)
class AgreeCase(Intent, verb="agree", proposes=True, personal=True, role=Role.MANAGER): order: OrderNo = ""; line: Number = 0
@dataclass(frozen=True)
class AgreeNow(Intent, verb="agreenow", changes=True, role=Role.MANAGER): order: str = ""; cases: tuple[int, ...] = (); steps: int = 0
@dataclass(frozen=True)
class RefuseCase(Intent, verb="refuse", changes=True, personal=True, role=Role.MANAGER): order: OrderNo = ""; line: Number = 0; reason: Words = ""
@dataclass(frozen=True)
class GivePart(Intent, verb="givepart", proposes=True, personal=True, role=Role.MANAGER): order: OrderNo = ""; line: Number = 0; fen: Yuan = 0; reason: Words = ""
@dataclass(frozen=True)
class GivePartNow(Intent, verb="givepartnow", changes=True, role=Role.MANAGER): order: str = ""; line: int = 0; fen: int = 0; reason: str = ""; last: tuple[int, ...] = ()
@dataclass(frozen=True)
class Resend(Intent, verb="resend", proposes=True, personal=True, role=Role.MANAGER): order: OrderNo = ""; line: Number = 0; pieces: Quantity = 0
@dataclass(frozen=True)
class ResendNow(Intent, verb="resendnow", changes=True, role=Role.MANAGER): order: str = ""; line: int = 0; pieces: int = 0; last: tuple[int, ...] = ()
@dataclass(frozen=True)
class NotYet(Intent, verb="notyet", role=Role.MANAGER): what: str = ""; words: Words = ""; product: ProductCode = ""; phone: PhonePart = ""; order: OrderNo = ""
@dataclass(frozen=True)
class SetReturns(Intent, verb="setreturns", changes=True, role=Role.MANAGER): product: ProductCode = ""; words: Words = ""

# -- what the world has done: facts, by the house only -------------------------------------------------
@dataclass(frozen=True)
class PrepayMade(Intent, verb="prepaymade", changes=True, role=Role.HOUSE): out_trade_no: str = ""; code_url: str = ""
@dataclass(frozen=True)
class PrepayRefused(Intent, verb="prepayrefused", changes=True, role=Role.HOUSE): out_trade_no: str = ""; means: str = ""
@dataclass(frozen=True)
class TradeSeen(Intent, verb="tradeseen", changes=True, role=Role.HOUSE): out_trade_no: str = ""; state: str = ""; transaction_id: str = ""; amount_fen: int = 0; currency: str = ""; payer: str = ""; appid: str = ""; mchid: str = ""; success_time: int = 0; source: str = ""
@dataclass(frozen=True)
class RefundSeen(Intent, verb="refundseen", changes=True, role=Role.HOUSE): out_refund_no: str = ""; state: str = ""; error: str = ""; amount_fen: int = 0
@dataclass(frozen=True)
class AskAgain(Intent, verb="askagain", changes=True, role=Role.HOUSE): out_trade_no: str = ""
@dataclass(frozen=True)
class CloseOverdue(Intent, verb="closeoverdue", changes=True, role=Role.HOUSE): order: str = ""
@dataclass(frozen=True)
class EndSupplement(Intent, verb="endmore", changes=True, role=Role.HOUSE): order: str = ""
@dataclass(frozen=True)
class WarnPromise(Intent, verb="warnpromise", changes=True, role=Role.HOUSE): order: str = ""
@dataclass(frozen=True)
class BreakPromise(Intent, verb="breakpromise", changes=True, role=Role.HOUSE): order: str = ""
@dataclass(frozen=True)
class ReceiveByItself(Intent, verb="receivebyitself", changes=True, role=Role.HOUSE): order: str = ""
@dataclass(frozen=True)
class PayBackAgain(Intent, verb="paybackagain", changes=True, role=Role.HOUSE): out_refund_no: str = ""
@dataclass(frozen=True)
class RemindRefused(Intent, verb="remindrefused", changes=True, role=Role.HOUSE): pass
@dataclass(frozen=True)
class RemindOwed(Intent, verb="remindowed", changes=True, role=Role.HOUSE): out_refund_no: str = ""
@dataclass(frozen=True)
class CaseDue(Intent, verb="casedue", changes=True, role=Role.HOUSE): case_id: int = 0
@dataclass(frozen=True)
class SealLedger(Intent, verb="sealledger", changes=True, role=Role.HOUSE): pass
@dataclass(frozen=True)
class JudgeGroup(Intent, verb="judge", changes=True, role=Role.HOUSE): group_id: int = 0
@dataclass(frozen=True)
class ReleasePush(Intent, verb="releasepush", changes=True, role=Role.HOUSE): campaign_id: int = 0
@dataclass(frozen=True)
class RightLost(Intent, verb="rightlost", changes=True, role=Role.HOUSE): channel: str = ""; call: str = ""
@dataclass(frozen=True)
class PictureFetched(Intent, verb="picturefetched", changes=True, role=Role.HOUSE): case_id: int = 0; media_id: str = ""; sha256: str = ""; jpeg: bytes = b""; thumb: bytes = b""; lost: str = ""
@dataclass(frozen=True)
class CardDrawn(Intent, verb="carddrawn", changes=True, role=Role.HOUSE): card: str; to: int; asked: int; drawn: str; media_id: str; good_until: int; scene_url: str; scene_until: int; sha256: str; jpeg: bytes; thumb: bytes; title: str = ""; text: str = ""; link: str = ""
# fmt: on
