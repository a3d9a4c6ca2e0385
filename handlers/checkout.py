"""Buying: the only place where orders are made; what is missing is asked for, one thing at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar
from zlib import crc32

from handlers.asking import Intent
from handlers.intents import Browse, Buy, BuyLines, CancelOrder, ChangeAddress, PayOrder, ShowProduct
from handlers.replies import Choice, Reply, ask, reply
from handlers.routing import shop
from models import pricing
from models.address import PIECES, Addresses, AddressGlance, AddressUnclear, Label
from models.base import Work
from models.catalog import Catalog, Spec
from models.checkout import InHand, Item, place, read_ahead
from models.figures import Figures
from models.follower import Follower
from models.order import Order
from models.orderglance import OrderGlance
from models.prices import yuan
from models.pricing import Quote
from models.product import ProductGlance, Products, Sku, SoldOut
from models.promise import selling
from models.talk import Talking
from models.words import counted, plain

S = TypeVar("S", Sku, Spec)

NEAR = 3


@shop.on(
    "买 {product} x{quantity}",
    "买 {product} {quantity}",
    "买 {product} {quantity}份",
    "买 {product} {spec}",
    "买 {product}",
    "买",
    "下单 {product}",
    "下单",
    "buy {product} x{quantity}",
    "buy {product} {quantity}",
    "buy {product}",
    "buy",
)
async def buy(
    wish: Buy, me: Follower, products: Products, figures: Figures, catalog: Catalog, talk: Talking, now: datetime
) -> Reply | Intent:
    """One product: which spec, how many; then it is an order of one line."""
    if not wish.product and wish.quantity and talk.fresh(now):  # of the list on screen, which stays
        return reply("checkout/which_line", many=wish.quantity).aside()
    if not wish.product:
        return reply("checkout/which_product", Choice("看看商品", Browse()))
    product, skus = await products.offered(wish.product)
    wish = _numbered(wish, talk, now)
    if wish.play == "group:new":
        goods = catalog.get(product.code)
        on_offer = {deal.sku_id for deal in goods.deals} if goods else set()
        skus = [sku for sku in skus if sku.id in on_offer] or skus
    prices = _prices(skus)
    moved = bool(wish.seen) and wish.seen != prices  # a number whose meaning changed is shown again, not executed
    sku = None if moved else _chosen(wish.spec, skus)
    if sku is None:
        await selling(products.work, figures)  # said before anything is asked for
        options = [(_label(s, figures), str(i)) for i, s in enumerate(skus, 1)]
        asking = wish.filled(spec="", seen=prices)
        facts = {"product": product.name, "axis": product.axis, "moved": moved, "many": wish.quantity}
        asked = ask("checkout/which_spec", asking, "spec", options=options, **facts)
        return replace(asked, personal=False).now_seen("product", product.code)
    many = wish.quantity or 1
    if many > figures.order.max_quantity:
        return ask(
            "checkout/how_many",
            wish.filled(quantity=0, spec=str(skus.index(sku) + 1)),
            "quantity",
            product=product.name,
            asked=many,
            most=figures.order.max_quantity,
        )
    return BuyLines(((sku.id, many),), wish.play)


@shop.beforehand
async def gone(wish: Buy, catalog: Catalog, stock: ProductGlance, talk: Talking, now: datetime) -> Reply | None:
    """Sold out, as far as that can be read: whoever comes too late to a rush keeps nobody from buying."""
    goods = catalog.get(wish.product)
    if goods is None or wish.play:
        return None
    wish = _numbered(wish, talk, now)
    chosen = _chosen(wish.spec, goods.specs)
    if chosen is None or (wish.seen and wish.seen != _prices(goods.specs)):
        return None
    left = await stock.left_of(chosen.id)
    if left is None or left > 0:
        return None
    many = wish.quantity or 1
    return _sold_out(Gone(goods.code, goods.name, goods.unit, chosen.id, chosen.label, left, many), catalog, "")


def _numbered(wish: Buy, talk: Talking, now: datetime) -> Buy:
    """买 A1 两盒, 买 A1 250g x2: how many may stand where the spec is said, or was said when it was looked for."""
    if wish.quantity:
        return wish
    spec, pieces = counted(wish.spec)
    if not pieces and not wish.play:
        pieces = talk.wanted(wish.product, now)
    return wish.filled(quantity=pieces, spec=spec) if pieces else wish


def _prices(skus: Sequence[Sku] | Sequence[Spec]) -> str:
    """What the prices were that somebody saw."""
    return format(crc32(repr([sku.price_fen for sku in skus]).encode()), "x")


def _label(sku: Sku, figures: Figures) -> str:
    return f"{sku.label or '一种'} ¥{yuan(sku.price_fen)}" + ("" if sku.left > 0 else " 售罄")


def _chosen(said: str, skus: Sequence[S]) -> S | None:
    """The spec that was meant: by its label, by its place in the list, or because there is only one."""
    if len(skus) == 1:
        return skus[0]
    want = plain(said).replace(" ", "")
    if not want:
        return None
    labels = [plain(sku.label).replace(" ", "") for sku in skus]
    fits = [sku for sku, label in zip(skus, labels, strict=True) if label == want]
    fits = fits or [sku for sku, label in zip(skus, labels, strict=True) if len(want) > 1 and want in label]
    if len(fits) == 1:
        return fits[0]
    if want.isascii() and want.isdigit() and 1 <= int(want[:4]) <= len(skus):
        return skus[int(want[:4]) - 1]
    return None


@shop.on()
async def buy_lines(
    wish: BuyLines,
    me: Follower,
    work: Work,
    products: Products,
    addresses: Addresses,
    book: AddressGlance,
    figures: Figures,
    catalog: Catalog,
    glance: OrderGlance,
    talk: Talking,
) -> Reply:
    """So many of each spec: asks where they go if nobody has said, holds them, and says the sum."""
    merged: dict[int, int] = {}
    for sku_id, many in wish.lines:
        merged[sku_id] = merged.get(sku_id, 0) + many
    items = []
    for sku_id, many in merged.items():
        product, sku = await products.sku(sku_id)
        product.on_shelf()  # said before the address is asked for, as what is short
        items.append(Item(product, sku, many))
    if not items:
        return reply("checkout/which_product", Choice("看看商品", Browse()))
    first = items[0]
    short = next((i for i in items if i.sku.left < i.quantity), None)
    if short is not None:
        return _sold_out(_gone(short), catalog, wish.play)
    to, *known = await work.together(book.of(me.id), *read_ahead(work, me.id, items, figures))
    if wish.like:  # as that order was sent
        before = await glance.by_no(wish.like, me.id)
        to = Label(before.receiver, before.phone, before.region, before.detail) if before.receiver else to
    ships, typed = any(item.product.ships for item in items), False
    if ships and wish.address:
        said = PIECES.join(p for p in (wish.said, wish.address) if p)
        try:
            to = (await addresses.remember(me.id, said, work.now, squeeze=True)).label
            typed = True
        except AddressUnclear as no:  # what was understood is kept, the rest is asked for
            wanted = wish.filled(said=said, address="")
            return ask(f"address/ask_{no.facts['field']}", wanted, "address", known=no.facts["known"])
    if ships and to is None:
        asked = ask("checkout/where_to", wish, "address", product=first.product.name, count=len(items))
        return replace(asked, personal=False)
    terms = await pricing.terms(work, wish.play, first.sku, me.id, first.quantity, figures)
    try:
        order, quote = await place(
            work,
            me.id,
            items,
            to=to if ships else None,
            terms=terms,
            play=wish.play,
            figures=figures,
            from_cart=wish.from_cart,
            known=known,
        )
    except SoldOut as no:
        short = next(i for i in items if i.product.code == no.facts["product"])
        return _sold_out(_gone(short), catalog, wish.play)
    except InHand as no:
        waiting = str(no.facts["order"])
        steps = (Choice("去付款", PayOrder(waiting)), Choice("取消订单", CancelOrder(waiting)))
        no_more = reply("checkout/in_hand", *steps, order=waiting, product=first.product.name)
        return replace(no_more.now_seen("order", waiting), refused=True)
    for item in items:
        talk.had(item.product.code, work.now)
    where = "" if to is None or not ships else to.one_line() if typed else to.masked()
    return _placed(order, quote, items, where, figures)


def _placed(order: Order, quote: Quote, items: Sequence[Item], where: str, figures: Figures) -> Reply:
    """The sum, line by line, and how to pay it."""
    lines = [
        {
            "name": item.product.name,
            "spec": item.sku.label,
            "quantity": line.quantity,
            "fen": line.gross_fen,
        }
        for item, line in ((i, next(x for x in quote.lines if x.id == i.sku.id)) for i in items)
    ]
    said = reply(
        "checkout/placed",
        Choice("去付款" if figures.cashier else "怎么付", PayOrder(order.no)),
        Choice("取消订单", CancelOrder(order.no)),
        *([Choice("换地址", ChangeAddress(order.no))] if where else ()),
        no=order.no,
        paid=order.state == "paid",
        lines=lines,
        discounts=quote.discounts,
        freight_fen=quote.freight_fen,
        ships=order.ships,
        to_free_fen=quote.to_free_fen,
        total_fen=quote.total_fen,
        where=where,
        pay_url=f"{figures.public_url}/pay/{order.pay_code}" if figures.cashier else "",
        pay_words=figures.service.pay_words,
        pay_until=order.pay_until,
        rests_until=order.promise_after,
        hours=order.promise_hours,
        group=bool(order.play),
        not_back=[item.product.name for item in items if item.product.returns == "no"],
        sealed=[item.product.name for item in items if item.product.returns == "sealed"],
    )
    return said.now_seen("order", order.no)


@dataclass(frozen=True)
class Gone:
    """A spec of which less is left than was asked for."""

    product: str
    name: str
    unit: str
    sku_id: int
    label: str
    left: int
    asked: int


def _gone(item: Item) -> Gone:
    product, sku = item.product, item.sku
    return Gone(product.code, product.name, product.unit, sku.id, sku.label, sku.left, item.quantity)


def _sold_out(gone: Gone, catalog: Catalog, play: str) -> Reply:
    """Names what is left, and the nearest that can be had: other specs first, then other goods of its kind."""
    left = max(0, gone.left)
    steps: list[Choice] = []
    goods = catalog.get(gone.product)
    specs = goods.specs if goods else ()
    if left and not play:
        place_of = next((i for i, s in enumerate(specs, 1) if s.id == gone.sku_id), 1)
        steps.append(Choice(f"就要 {left} {gone.unit}", Buy(gone.product, left, str(place_of))))
    for i, spec in enumerate(specs, 1):
        if spec.id != gone.sku_id and spec.word != "售罄":
            steps.append(Choice(f"{spec.label} {spec.word}", Buy(gone.product, min(gone.asked, 99), str(i))))
    if goods is not None:
        for code in catalog.order:
            other = catalog.goods[code]
            if other.code != goods.code and other.category == goods.category and other.word != "售罄":
                steps.append(Choice(f"看看 {other.name}", ShowProduct(other.code)))
    if not steps:
        steps.append(Choice("看看别的", Browse()))
    said = reply(
        "checkout/sold_out",
        *steps[:NEAR],
        product=gone.name,
        spec=gone.label,
        unit=gone.unit,
        left=left,
        asked=gone.asked,
    )
    return replace(said.now_seen("product", gone.product), refused=True)
