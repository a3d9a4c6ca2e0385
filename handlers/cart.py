"""The cart: put in, look, change, take out, and hand over to the till."""

from __future__ import annotations

import re
from datetime import datetime

from handlers.asking import Intent, remembered
from handlers.intents import (
    AddToCart,
    Browse,
    BuyLines,
    ChangeCart,
    Checkout,
    ClearCart,
    DropFromCart,
    EditLine,
    ShowCart,
)
from handlers.replies import Choice, Reply, ask, listing, reply
from handlers.routing import Hearing, shop
from models.cart import Basket, Cart, CartGlance, InCart
from models.catalog import Catalog, Goods
from models.checkout import CartCost, CartCosts
from models.figures import Figures
from models.follower import Follower, Me
from models.order import OrderPlaced
from models.prices import yuan
from models.product import NotForSale, ProductGlance, SoldOut
from models.talk import Talking
from models.words import asks, counted, number, numeral, plain, quantity, unfill

PAGE = 6
NAME = 12  # characters of a name in a list
TROUBLE = {"off": "已下架", "out": "卖完了"}
_N = r"(?P<line>第?\s?[0-9一二两三四五六七八九十]{1,3}\s?(?:[个号款样种行条项])?)"
_MANY = r"\s?(?P<many>[0-9一二两三四五六七八九十俩仨]{1,3}\s?\w?)(?:[吧了]|就[好行])*"
_OUT = r"(?:删除?|[删去拿移撤]掉|移除|拿出来?|拿走)"
_NO = r"(?P<no>不想?[要买])"
_TO = (
    re.compile(rf"[把将]?{_N}的?(?:数量)?\s?(?:[改换变调加减][成为到]|改){_MANY}"),
    re.compile(rf"[把将]?改\s?{_N}(?:\s?[成为到]|\s){_MANY}"),
    re.compile(rf"(?P<line>)(?:数量)?[改换变调加减][成为到]{_MANY}"),
)
_TAKEN_OUT = (
    re.compile(rf"[把将]?{_N}[也都]?(?:{_OUT}|{_NO})(?:一下|[了掉吧])*"),
    re.compile(rf"(?:{_OUT}|{_NO})\s?{_N}[了吧]*"),
)
_INTO = re.compile(
    r"(?:把?[这那它]个?)?再?[加放](?P<many>.{0,4}?)[到进入]?(?:我的)?购物车里?面?|购物车里?再?[加放](?P<more>.{2,4})"
)
_SO_MANY_MORE = re.compile(r"(?:再|多)?加\s?(?P<many>.{1,5})|add (?P<more>.{2,4})")


@shop.on(
    "加 {product} x{quantity}",
    "加 {product}",
    "加 {product} {spec}",
    "加 x{quantity}",
    "加",
    "加购 {product}",
    "加购物车",
    "加入购物车",
    "add {product} x{quantity}",
    "add {product}",
    "add",
)
async def add(
    what: AddToCart,
    me: Follower,
    cart: Cart,
    catalog: Catalog,
    stock: ProductGlance,
    figures: Figures,
    talk: Talking,
    now: datetime,
) -> Reply:
    """Put pieces of a spec into the cart; asks which spec when there are several."""
    if not what.product:
        return reply("checkout/which_product", Choice("看看商品", Browse()))
    goods = catalog.get(what.product)
    if goods is None:
        raise NotForSale(product=what.product)
    many, said = what.quantity, what.spec
    if not many:
        said, pieces = counted(said)
        many = pieces or 0
    many = many or talk.wanted(goods.code, now) or 1
    place = 1 if len(goods.specs) == 1 else _spec(goods, said)
    if not place:
        options = [(f"{s.label} ¥{yuan(s.price_fen)}", str(n)) for n, s in enumerate(goods.specs, 1)]
        which = AddToCart(goods.code, many)
        return ask("cart/which_spec", which, "spec", options=options, name=goods.name, axis=goods.axis)
    spec = goods.specs[place - 1]
    left = (await stock.left(goods.code)).get(spec.id, 0)
    if left < many:
        raise SoldOut(product=goods.code, name=goods.name, spec=spec.label, left=max(0, left), asked=many)
    there = await cart.lay_in(me.id, spec.id, many, figures.order.max_quantity)
    talk.had(goods.code, now)
    talk.dropped = []  # whoever has put something in since does not say 删 1 twice by mistake
    steps = (Choice("购物车", ShowCart()), Choice("结算", Checkout()), Choice("再逛逛", Browse()))
    facts = {"name": goods.name, "spec": spec.label, "unit": goods.unit, "price_fen": spec.price_fen}
    return reply("cart/added", *steps, many=many, there=there, **facts).now_seen("product", goods.code)


@shop.on("购物车", "我的购物车", "看购物车", "cart")
async def show(
    what: ShowCart, me: Me, cart: CartGlance, costs: CartCosts, figures: Figures, talk: Talking, now: datetime
) -> Reply:
    """What is in the cart, numbered, what it would cost as an order, and what is missing to free freight."""
    basket = await cart.basket(me.id)
    return _shown(basket, await costs.of(me.id, basket, figures, now), talk, now, page=what.nth)


@shop.on()
async def edit(
    what: EditLine, me: Follower, cart: Cart, costs: CartCosts, figures: Figures, talk: Talking, now: datetime
) -> Reply:
    """One line as it was shown; if it means something else by now, the cart is shown again and nothing is done."""
    basket = await cart.basket(me.id)
    line = basket.line(what.product, what.spec)
    if line is None or (line.quantity, line.price_fen) != (what.was, what.price):
        return _shown(basket, await costs.of(me.id, basket, figures, now), talk, now, note="moved")
    if not what.quantity:
        asked = ask("cart/how_many", what, "quantity", name=line.name, spec=line.label, many=line.quantity)
        return asked.now_seen("product", line.product)
    if line.left < what.quantity:
        facts = {"product": line.product, "name": line.name, "spec": line.label}
        raise SoldOut(**facts, left=max(0, line.left), asked=what.quantity)
    await cart.change(me.id, line.sku_id, what.quantity, figures.order.max_quantity)
    basket = await cart.basket(me.id)
    return _shown(basket, await costs.of(me.id, basket, figures, now), talk, now, note="changed")


@shop.on("改 {line} x{quantity}", "change {line} x{quantity}")
async def change(
    what: ChangeCart, me: Follower, cart: Cart, costs: CartCosts, figures: Figures, talk: Talking, now: datetime
) -> Reply | Intent:
    """So many pieces of the line that had this number when the cart was last shown."""
    talk.dropped = []  # nobody changes how many of what has just been taken out: the number was read off the new list
    line = _meant(talk, what.line, now)
    if line is None:
        basket = await cart.basket(me.id)
        return _shown(basket, await costs.of(me.id, basket, figures, now), talk, now, note="which")
    if not what.quantity:
        return DropFromCart(what.line)
    return line.filled(quantity=what.quantity)


@shop.on("删 {line}", "删除 {line}", "删掉 {line}", "remove {line}")
async def drop(
    what: DropFromCart, me: Follower, cart: Cart, costs: CartCosts, figures: Figures, talk: Talking, now: datetime
) -> Reply:
    """Take out the line that had this number when the cart was last shown."""
    meant = _meant(talk, what.line, now)
    basket = await cart.basket(me.id)
    line = basket.line(meant.product, meant.spec) if meant is not None else None
    if line is None:
        note = "which" if meant is None and not talk.doubled(what.line, now) else "moved"
        return _shown(basket, await costs.of(me.id, basket, figures, now), talk, now, note=note)
    await cart.take_out(me.id, [line.sku_id])
    talk.dropped = [what.line, now.timestamp()]
    basket = await cart.basket(me.id)
    return _shown(basket, await costs.of(me.id, basket, figures, now), talk, now, note="dropped")


@shop.on("清空", "清空购物车", "全部删掉", "全删了", "都删了", "clear")
async def clear(what: ClearCart, me: Follower, cart: Cart) -> Reply:
    """Take everything out."""
    await cart.clear(me.id)
    return reply("cart/cleared", Choice("商品", Browse()))


@shop.on("结算", "去结算", "结账", "结帐", "去结账", "买单", "checkout")
async def checkout(
    what: Checkout, me: Follower, cart: Cart, costs: CartCosts, figures: Figures, talk: Talking, now: datetime
) -> Reply | Intent:
    """Order what is in the cart; while a line cannot be bought as it stands, nothing is ordered."""
    basket = await cart.basket(me.id)
    if not basket.lines or basket.troubled:
        return _shown(basket, await costs.of(me.id, basket, figures, now), talk, now, note="trouble")
    return BuyLines(tuple((line.sku_id, line.quantity) for line in basket.lines), from_cart=True)


@shop.when(OrderPlaced)
async def bought(news: OrderPlaced, cart: Cart) -> None:
    """What was ordered from the cart is no longer in it."""
    if news.from_cart:
        await cart.take_out(news.follower_id, list(news.sku_ids))


def _spec(goods: Goods, said: str) -> int:
    """The place (from 1) of the spec that was said by its number or its label; 0 when none is meant."""
    if said.isascii() and said.isdigit() and len(said) <= 2:
        return int(said) if 1 <= int(said) <= len(goods.specs) else 0
    words = plain(said)
    labels = [plain(s.label) for s in goods.specs]
    if words in labels:
        return labels.index(words) + 1
    near = [n for n, label in enumerate(labels, 1) if words and (words in label or (label and label in words))]
    return near[0] if len(near) == 1 else 0


def _meant(talk: Talking, n: int, now: datetime) -> EditLine | None:
    """删 and 改 are the cart's own words: a list that was shown since does not take its numbers away."""
    line = talk.in_cart(n, now)
    found = remembered(line) if line is not None else None
    return found if isinstance(found, EditLine) else None


def _shown(basket: Basket, cost: CartCost, talk: Talking, now: datetime, *, page: int = 0, note: str = "") -> Reply:
    if not basket.lines:
        return reply("cart/empty", Choice("商品", Browse()))
    page = page if page * PAGE < len(basket.lines) else 0
    lines = basket.lines[page * PAGE : page * PAGE + PAGE]
    edits = [EditLine(line.product, line.spec, line.quantity, line.price_fen) for line in lines]
    talk.cart, talk.cart_at = [edit.to_json() for edit in edits], now.timestamp()
    following = ShowCart(page + 1) if (page + 1) * PAGE < len(basket.lines) else None
    steps = () if basket.troubled else (Choice("结算", Checkout()),)
    return listing(
        "cart/show",
        [Choice(_line(line), edit) for line, edit in zip(lines, edits, strict=True)],
        *steps,
        Choice("再逛逛", Browse()),
        more=following,
        note=note if note != "trouble" or basket.troubled else "",
        troubled=basket.troubled,
        pieces=basket.pieces,
        cost=cost,
    )


def _line(line: InCart) -> str:
    trouble = TROUBLE.get(line.trouble) or (f"只剩 {line.left}" if line.trouble else "")
    spec = f" {line.label}" if line.label else ""
    return f"{line.name[:NAME]}{spec} ×{line.quantity} {f'（{trouble}）' if trouble else f'¥{yuan(line.sum_fen)}'}"


@shop.cue(55)
def edited(hearing: Hearing) -> Intent | None:
    """第1个改成3个, 改成3, 把第一个删了: the cart's lines as people speak of them, while it is what they look at.

    Without a number it is the line that is asked about, or the only one.
    """
    talk, now, said = hearing.talk, hearing.now, unfill(hearing.said)
    asked = talk.asked(now)
    about = remembered(asked["intent"]) if asked else None
    if not talk.cart or asks(hearing.said) or (asked and not isinstance(about, EditLine)):
        return None
    on_screen = talk.offered[:1] == talk.cart[:1]
    if found := next((found for one in _TO if (found := one.fullmatch(said))), None):
        many = quantity(found["many"]) or number(found["many"])
        line = numeral(found["line"])
        if many and line:
            return ChangeCart(line, many)
        if not many or found["line"] or not on_screen:
            return None
        only = 1 if len(talk.cart) == 1 else 0
        return about.filled(quantity=many) if isinstance(about, EditLine) else ChangeCart(only, many)
    found = next((found for one in _TAKEN_OUT if (found := one.fullmatch(said))), None)
    line = numeral(found["line"]) if found else None
    return DropFromCart(line) if found and line and (on_screen or not found["no"]) else None


@shop.cue(56)
def into_the_cart(hearing: Hearing) -> Intent | None:
    """加两个到购物车, 购物车加2盒, 加 x2: so many of what is on screen; 加两盒, while an order asks, of that."""
    shown, words = hearing.talk.shown("product", hearing.now), unfill(hearing.said)
    found = None if asks(hearing.said) else _INTO.fullmatch(words)
    if found is None and not asks(hearing.said) and hearing.talk.asked(hearing.now) is None:
        found = _SO_MANY_MORE.fullmatch(words)
    said = (found["many"] or found["more"] or "") if found else ""
    many = quantity(said)
    return AddToCart(shown, many or 0) if found and (many or (shown and not said)) else None
