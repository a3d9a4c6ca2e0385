"""Second thoughts (改地址, 换规格, 备注): what may still change of an order that is not packed, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from models import hold
from models.address import Label
from models.aftersale import Cases
from models.base import Invariant, Refusal, Work, fresh_code
from models.figures import Figures
from models.freight import NoFreightThere, province_of, tariff
from models.order import Order, OrderLine, Orders
from models.payment import Attempts
from models.pricing import Line
from models.product import Product, Sku, SoldOut
from models.refund import Refunds
from models.supplement import Supplement, Supplements
from models.wayback import WayBack, WayBackGlance

LONGEST_NOTE = 100  # characters


class Dearer(Refusal):
    """It would cost more than was paid, and that cannot be asked for. Facts: order, what (freight, spec), more_fen."""


class BeingPaid(Refusal):
    """The sum would change while somebody may be paying it. Facts: order."""


class SpecStays(Refusal):
    """A spec bought in a play, unpaid, or paid back in part, is not changed. Facts: order, why (play, unpaid, case)."""


@dataclass(frozen=True)
class Changed:
    """What a change did to the money: what goes back (paid) and which `way`, `total_fen` is the sum now.

    `supplement`: it costs more; nothing has changed yet, and nothing will unless that is paid.
    """

    way: WayBack
    total_fen: int
    supplement: Supplement | None = None


async def note(work: Work, order: Order, words: str, *, actor: str = "buyer") -> None:
    """Another note on the parcel ("" takes it off). Raises NotNow."""
    order.amend("note", work.now, actor=actor)
    order.note = words.strip()[:LONGEST_NOTE]


async def freight_to(work: Work, order: Order, province: str, figures: Figures) -> int:
    """What its freight would be (fen) in another province. Raises NoFreightThere.

    In its own, or when a parcel has left, it stays as it is.
    """
    if not order.ships or order.tracking or province == province_of(order.region):
        return order.freight_fen
    return (await tariff(work, figures)).fee(await _travelling(work, order), province).fen


async def readdress(
    work: Work, order: Order, to: Label, figures: Figures, *, actor: str = "buyer", no_dearer: bool = False
) -> Changed:
    """Send it elsewhere, at that place's freight, which is asked for first, or with `no_dearer` at what was paid.

    Raises NotNow, OrderWaits, NoFreightThere, Dearer, BeingPaid.
    """
    order.at_rest()
    freight_fen = await freight_to(work, order, province_of(to.region), figures)
    if no_dearer:
        freight_fen = min(freight_fen, order.freight_fen)
    less_fen = order.freight_fen - freight_fen
    if await _dearer(work, order, less_fen, "freight"):
        asked = await Supplements(work).ask_address(order, to, freight_fen, figures)
        return Changed(WayBack(), order.total_fen, asked)
    order.amend("address", work.now, actor=actor)
    order.freight_fen = freight_fen
    order.receiver, order.phone, order.region, order.detail = to.name, to.phone, to.region, to.detail
    return await _settled(work, order, less_fen)


async def pick_up(work: Work, order: Order, *, actor: str = "buyer") -> Changed:
    """Its buyer fetches it at the shop: no freight, and a code to show. Raises NotNow, OrderWaits, BeingPaid."""
    order.at_rest()
    order.amend("pick up", work.now, actor=actor)
    less_fen = order.freight_fen
    await _still_unpaid(work, order, less_fen)
    code = await fresh_code(work, Order.pickup_code, "", 6)
    order.freight_fen, order.ships, order.pickup_code = 0, False, code
    return await _settled(work, order, less_fen)


async def respec(work: Work, order: Order, line: OrderLine, sku: Sku, goods: Product, figures: Figures) -> Changed:
    """Another spec of the same product in the same number, both stocks moved in this step; a dearer one is asked for.

    The line keeps its discount in proportion. Raises NotNow, OrderWaits, SpecStays, SoldOut, Dearer; Contended when
    somebody was faster.
    """
    if order.play or order.state != "paid":
        raise SpecStays(order=order.no, why="play" if order.play else "unpaid")
    order.at_rest()
    if await Cases(work).touched(line.id):  # what was agreed was about this spec
        raise SpecStays(order=order.no, why="case")
    if sku.left < line.quantity:
        facts = {"product": goods.code, "name": goods.name, "spec": sku.label}
        raise SoldOut(**facts, left=max(0, sku.left), asked=line.quantity)
    gross = sku.price_fen * line.quantity
    old_gross = line.list_fen * line.quantity
    discount = line.discount_fen * gross // old_gross if old_gross else 0
    less_fen = line.amount_fen - (gross - discount)
    if await _dearer(work, order, less_fen, "spec"):
        asked = await Supplements(work).ask_spec(order, line, sku, discount, figures)
        return Changed(WayBack(), order.total_fen, asked)
    order.amend(f"spec {line.spec} → {sku.label}"[:80], work.now)
    await hold.swap(work, order.id, line.sku_id, sku.id, line.quantity)
    order.goods_fen += gross - old_gross
    order.discount_fen += discount - line.discount_fen
    line.sku_id, line.spec, line.list_fen = sku.id, sku.label, sku.price_fen
    line.discount_fen, line.amount_fen = discount, gross - discount
    return await _settled(work, order, less_fen)


async def _still_unpaid(work: Work, order: Order, less_fen: int) -> None:
    """BeingPaid when the sum would change under somebody's thumb."""
    if order.state == "pending" and less_fen and await Attempts(work).open_of(order.id) is not None:
        raise BeingPaid(order=order.no)


async def _dearer(work: Work, order: Order, less_fen: int, what: str) -> bool:
    """Whether a paid order would cost more, and that can be asked for.

    Raises BeingPaid; Dearer in a play, which has its own time.
    """
    await _still_unpaid(work, order, less_fen)
    if order.state == "pending" or less_fen >= 0:
        return False
    if order.play:
        raise Dearer(order=order.no, what=what, more_fen=-less_fen)
    return True


async def _settled(work: Work, order: Order, less_fen: int) -> Changed:
    """The sums after a change: an unpaid order costs something else now, a paid one gets the difference back."""
    if order.state == "pending":
        order.recount()
        return Changed(WayBack(), order.total_fen)
    if less_fen:
        what = f"{order.spare_fen}"  # so much of what was paid had become spare before
        order.cheaper(less_fen)
        change = order.version  # counts the order's changes: each has a refund of its own
        await Refunds(work).owe_back(order.id, less_fen, "change", work.now, seq=change, what=what)
        return Changed(await WayBackGlance(work).owed(order.id, "change", change), order.total_fen)
    return Changed(WayBack(), order.total_fen)


async def _travelling(work: Work, order: Order) -> list[Line]:
    rows = await work.all(
        select(OrderLine, Sku.weight_g)
        .join(Sku, Sku.id == OrderLine.sku_id)
        .where(OrderLine.order_id == order.id, OrderLine.back_at.is_(None))
    )
    return [Line(x.sku_id, x.quantity, x.list_fen, x.ships, x.discount_fen, weight_g=weight or 0) for x, weight in rows]


async def other_specs(work: Work, order: Order, line: OrderLine) -> list[tuple[Product, Sku]]:
    """The specs that a line may be changed to: others of its product that the order does not hold already."""
    mine = {x.sku_id for x in await Orders(work).lines(order.id)}
    rows = (
        await work.session.execute(
            select(Product, Sku)
            .join(Sku, Sku.product_id == Product.id)
            .where(Product.code == line.code)
            .order_by(Sku.place, Sku.id)
            .execution_options(populate_existing=True)
        )
    ).all()
    return [(goods, sku) for goods, sku in rows if sku.id not in mine]


__all__ = [
    "BeingPaid",
    "Changed",
    "Dearer",
    "NoFreightThere",
    "SpecStays",
    "note",
    "other_specs",
    "readdress",
    "respec",
]

INVARIANTS: tuple[Invariant, ...] = ()
