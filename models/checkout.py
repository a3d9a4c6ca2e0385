"""How an order comes to be: what is wanted is looked at, priced, written down and held, in one step."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, insert, or_, select

from models import freight, hold, pricing
from models.address import AddressGlance, Label
from models.base import Contended, Glance, Invariant, Refusal, Work, draw, table_of
from models.cart import Basket
from models.figures import Figures
from models.freight import NoFreightThere, province_of
from models.order import Order, OrderLine, OrderPlaced, Orders, QuantityOdd, TooManyUnpaid, Unpaid
from models.plays import Terms, Wish
from models.pricing import Line, Quote, quote
from models.product import Product, Sku, SoldOut
from models.promise import selling
from models.ready import Ready


class InHand(Refusal):
    """An order of the same play for the same spec waits for its payment: two of them would be two live groups.

    Facts: order.
    """


@dataclass(frozen=True)
class Item:
    """A spec that is wanted, with its product, read in this step."""

    product: Product
    sku: Sku
    quantity: int


def read_ahead(
    work: Work, follower_id: int, items: Sequence[Item], figures: Figures
) -> tuple[Coroutine[Any, Any, Any], ...]:
    """What `place` reads, to be read `together` with what else is wanted. Raises NotSelling."""
    return (
        Orders(work).unpaid_of(follower_id),
        pricing.granted(work, follower_id, {i.sku.id: i.product.id for i in items}, work.now),
        freight.tariff(work, figures),
        selling(work, figures),
        _names(work),
    )


async def place(
    work: Work,
    follower_id: int,
    items: Sequence[Item],
    *,
    to: Label | None,
    terms: Terms | None,
    play: str,
    figures: Figures,
    note: str = "",
    from_cart: bool = False,
    known: Sequence[Any] = (),
) -> tuple[Order, Quote]:
    """Make an order and hold what it wants; `terms` are those of the play of its one line, `known` is what was
    `read_ahead`.

    Raises NotSelling, NotForSale, SoldOut, QuantityOdd, InHand, TooManyUnpaid, NoFreightThere; Contended when somebody
    was faster.
    """
    now = work.now
    most = min(figures.order.max_quantity, terms.max_quantity if terms else figures.order.max_quantity)
    for item in items:
        item.product.on_shelf()
        if not 1 <= item.quantity <= most:
            raise QuantityOdd(product=item.product.code, asked=item.quantity, most=most)
        if item.sku.left < item.quantity:
            facts = {"product": item.product.code, "name": item.product.name, "spec": item.sku.label}
            raise SoldOut(**facts, left=max(0, item.sku.left), asked=item.quantity)
    known = known or await work.together(*read_ahead(work, follower_id, items, figures))
    waiting, granted, tariff, promised, (no, pay_code) = known
    if play:
        await _not_in_hand(work, waiting, play, items[0].sku.id)
    if len(waiting) >= figures.order.max_unpaid:
        raise TooManyUnpaid(most=figures.order.max_unpaid, order=waiting[0].no)
    plays = {items[0].sku.id: terms} if terms is not None else {}
    lines = [Line(i.sku.id, i.quantity, i.sku.price_fen, i.product.ships, weight_g=i.sku.weight_g) for i in items]
    province = province_of(to.region) if to else ""
    sum_ = quote(lines, plays, figures, granted=granted, tariff=tariff, province=province)
    usual = figures.order.pay_minutes if figures.cashier else figures.order.hand_pay_minutes
    ends = now + timedelta(minutes=terms.pay_minutes if terms else usual)
    if terms is not None and terms.pay_until is not None:
        ends = min(ends, terms.pay_until)
    order = await Orders(work).add(
        Order(
            no=no,
            pay_code=pay_code,
            follower_id=follower_id,
            state="pending",
            goods_fen=sum_.goods_fen,
            discount_fen=sum(fen for _, fen in sum_.discounts),
            freight_fen=sum_.freight_fen,
            total_fen=sum_.total_fen,
            receiver=to.name if to else "",
            phone=to.phone if to else "",
            region=to.region if to else "",
            detail=to.detail if to else "",
            note=note,
            ships=any(i.product.ships for i in items),
            play=play,
            group_id=next((w.thing for w in terms.holds if w.kind == "seat"), None) if terms else None,
            made=now,
            pay_until=ends,
            promise_hours=max(i.product.promise_hours for i in items),
            **promised.for_order(now, figures.zone, ships=any(i.product.ships for i in items)),
        )
    )
    rows = [(_LINE, _row(order.id, item, line)) for item, line in _paired(items, sum_.lines)]
    wishes = [*(terms.holds if terms else ()), *(Wish("stock", i.sku.id, i.quantity) for i in items)]
    await hold.hold_all(work, order, wishes, ends + timedelta(minutes=figures.order.hold_extra_minutes), rows)
    order.tell(OrderPlaced(*order.facts(), sku_ids=tuple(i.sku.id for i in items), from_cart=from_cart))
    if order.total_fen == 0:  # every price is 0: a prize needs no payment
        await hold.take_all(work, order)
        order.pay(now)
    return order, sum_


async def _not_in_hand(work: Work, waiting: Sequence[Unpaid], play: str, sku_id: int) -> None:
    """InHand when one of these unpaid orders is of the same kind of play, for this spec.

    One person's messages are handled one after another, so nothing comes between this look and the new order.
    """
    kind = play.partition(":")[0]
    same = {order.id: order.no for order in waiting if order.play.partition(":")[0] == kind}
    line = select(OrderLine.order_id).where(OrderLine.order_id.in_(same), OrderLine.sku_id == sku_id)
    if same and (found := await work.one(line.order_by(OrderLine.order_id).limit(1))) is not None:
        raise InHand(order=same[found.order_id])


@dataclass(frozen=True)
class CartCost:
    """What a cart would cost as an order, fen: its goods at list price, what is taken off them, and to send them.

    `to_free_fen` is missing to free freight (0: nothing is to be gained); `nowhere`: a province that is not served.
    """

    goods_fen: int
    discounts: tuple[tuple[str, int], ...]
    freight_fen: int
    to_free_fen: int
    nowhere: str = ""


class CartCosts(Glance):
    """Carts as the till would see them, read only: told before, it is what the order says afterwards."""

    async def of(self, follower_id: int, basket: Basket, figures: Figures, now: datetime) -> CartCost:
        """What of it can be bought, sent where this person's parcels go."""
        wanted = [line for line in basket.lines if not line.trouble]
        rows = await self.reader.all(
            select(Sku.id, Sku.product_id, Sku.weight_g).where(Sku.id.in_([line.sku_id for line in wanted]))
        )
        specs = {row.id: row for row in rows}
        products = {row.id: row.product_id for row in rows}
        off = await pricing.granted(self.reader, follower_id, products, now)
        lines = [
            Line(x.sku_id, x.quantity, x.price_fen, x.ships, weight_g=specs[x.sku_id].weight_g)
            for x in wanted
            if x.sku_id in specs
        ]
        to = await AddressGlance(self.reader).of(follower_id)
        province = province_of(to.region) if to else ""
        tariff, nowhere = await freight.tariff(self.reader, figures), ""
        try:
            sum_ = quote(lines, {}, figures, granted=off, tariff=tariff, province=province)
        except NoFreightThere:
            nowhere = province
            here = [replace(line, ships=False) for line in lines]
            sum_ = quote(here, {}, figures, granted=off, tariff=tariff)
        return CartCost(sum_.goods_fen, sum_.discounts, sum_.freight_fen, sum_.to_free_fen, nowhere)


_NAMED = Ready(select(Order.id).where(or_(Order.no == bindparam("no"), Order.pay_code == bindparam("pay_code"))))


async def _names(work: Work) -> tuple[str, str]:
    """An order's number, and the code of its pay link.

    The number is eight drawn characters, letters and digits among them, so that no word and no amount looks like one.
    """
    for _ in range(40):
        no, pay_code = draw(8), draw(10)
        if no.isalpha() or no.isdigit():
            continue
        if await work.first(_NAMED, {"no": no, "pay_code": pay_code}) is None:
            return no, pay_code
    raise Contended


def _paired(items: Sequence[Item], lines: Sequence[Line]) -> list[tuple[Item, Line]]:
    by_id = {line.id: line for line in lines}
    return [(item, by_id[item.sku.id]) for item in items]


_LINE = Ready(
    insert(table_of(OrderLine)),
    sets=(
        "order_id",
        "sku_id",
        "code",
        "name",
        "spec",
        "unit",
        "quantity",
        "list_fen",
        "discount_fen",
        "amount_fen",
        "ships",
        "returns",
        "back_at",
    ),
)


def _row(order_id: int, item: Item, line: Line) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "sku_id": item.sku.id,
        "code": item.product.code,
        "name": item.product.name,
        "spec": item.sku.label,
        "unit": item.product.unit,
        "quantity": line.quantity,
        "list_fen": line.list_fen,
        "discount_fen": line.discount_fen,
        "amount_fen": line.amount_fen,
        "ships": line.ships,
        "returns": item.product.returns,
        "back_at": None,
    }


INVARIANTS: tuple[Invariant, ...] = ()
