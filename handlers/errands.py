"""Everything the shop may ask of the network; each errand's outcome enters the desk again as a fact."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from handlers.replies import Errand


@dataclass(frozen=True)
class Prepay(Errand):
    """Ask the cashier for a way to pay an attempt; fact: PrepayMade or PrepayRefused."""

    out_trade_no: str
    amount_fen: int
    description: str
    expires: int  # Unix seconds of the shop's clock
    way: str = "native"
    openid: str = ""  # jsapi: who pays
    address: str = ""  # h5: the payer's address on the net


@dataclass(frozen=True)
class AskTrade(Errand):
    """Ask the cashier what became of an attempt; fact: TradeSeen."""

    out_trade_no: str


@dataclass(frozen=True)
class CloseTrade(Errand):
    """Ask the cashier to close an attempt, after asking what became of it; fact: TradeSeen."""

    out_trade_no: str


@dataclass(frozen=True)
class PayBack(Errand):
    """Ask the cashier for a refund under its fixed number; fact: RefundSeen."""

    out_refund_no: str
    out_trade_no: str
    amount_fen: int
    total_fen: int
    reason: str


@dataclass(frozen=True)
class AskRefund(Errand):
    """Ask the cashier what became of a refund; fact: RefundSeen."""

    out_refund_no: str


@dataclass(frozen=True)
class DrawCard(Errand):
    """Get a QR with a parameter, draw a card and upload it; fact: CardDrawn, which sends it.

    All that is drawn comes along, so that nothing is read again. Times are Unix seconds of the shop's clock. A card
    that asks a friend to pay has no code and no scene: its QR says the link, and no row of ours keeps it.
    """

    card: str  # its code, or ""
    to: int  # follower id
    channel: str
    scene: str  # what the QR code carries: "card:K7QP", an integer where the platform knows only those, or ""
    asked: int  # when; names this one request
    drawn: str  # hash of what the card says; without a code, the order's number
    kind: str  # shop, product, group, pay
    shop_name: str
    title: str
    price_fen: int | None
    was_fen: int | None
    line: str  # what matters beside the price: 3人团 · 还差 2 人
    deadline: str  # in words
    initials: str  # of who sends it; in full where a friend is asked to pay
    picture: str  # sha256 of the product's picture, or ""
    footer: str  # what one can type who cannot scan
    link: str  # the page of the thing, for channels that show articles
    scene_url: str = ""  # what the QR code says, if it is still good
    scene_until: int = 0
    ready: str = ""  # sha256 of the card as it was drawn before, if only the platform has forgotten it


@dataclass(frozen=True)
class FetchPicture(Errand):
    """Fetch a picture that a follower has sent as evidence, and make it safe and small; fact: PictureFetched."""

    channel: str
    media_id: str
    case: int  # row id


ERRANDS: dict[str, type[Errand]] = {
    e.__name__: e for e in (Prepay, AskTrade, CloseTrade, PayBack, AskRefund, DrawCard, FetchPicture)
}


def packed(errand: Errand) -> dict[str, Any]:
    """An errand as its row keeps it."""
    return asdict(errand)


def unpacked(name: str, payload: dict[str, Any]) -> Errand:
    """The errand of a row; KeyError for one the shop no longer knows."""
    return ERRANDS[name](**payload)
