"""The same once more: an order repeated at today's prices, sent where it was sent."""

from __future__ import annotations

import re
from dataclasses import replace

from handlers.asking import Intent
from handlers.intents import Browse, BuyAgain, BuyLines
from handlers.replies import Choice, Reply, ask, reply
from handlers.routing import Hearing, shop
from models.follower import Follower
from models.order import PAID
from models.orderglance import OrderGlance, OrderSeen, Which
from models.product import NotForSale, Products
from models.words import asks, unfill

LOOK = 20  # orders among which the last completed one is looked for


_ONCE_MORE = re.compile(
    r"[把照按跟和]?(?:着)?上(?:次|回)(?:买|拍|订|点)?(?:的|过的)?(?:那[个些款单份样]|东西|一样)?的?(?:再|给我)*[来买要订]"
    r"(?:上)?(?:一|1)?[单份次遍个盒罐袋包]?(?:一?样的)?[吧了]?"
)


@shop.cue(110)
def once_more(hearing: Hearing) -> Intent | None:
    """上次买的那个再来一份."""
    return BuyAgain() if _ONCE_MORE.fullmatch(unfill(hearing.said)) and not asks(hearing.said) else None


@shop.on(
    "再来一单 {order}",
    "再来一单",
    "再买一单",
    "再买一次",
    "和上次一样",
    "跟上次一样",
    "老样子",
    "买上次那个",
    "来上次那个",
    "again {order}",
    "again",
)
async def buy_again(wish: BuyAgain, me: Follower, orders: OrderGlance, products: Products) -> Reply | Intent:
    """What has changed since is shown first and waits for a yes; otherwise it is ordered at once."""
    if wish.word == "no":
        return reply("again/left", Choice("看看商品", Browse()))
    before = await orders.by_no(wish.order, me.id) if wish.order else await _last(orders, me.id)
    if before is None:
        return reply("again/none", Choice("看看商品", Browse()))
    lines: list[tuple[int, int]] = []
    changed: list[tuple[str, int, int | None]] = []  # what, then, now in fen; None: not sold any more
    for line in before.lines:
        try:
            product, sku = await products.sku(line.sku_id)
            product.on_shelf()
        except NotForSale:
            changed.append((line.words, line.amount_fen, None))
            continue
        now_fen = sku.price_fen * line.quantity
        lines.append((sku.id, line.quantity))
        if now_fen != line.amount_fen:
            changed.append((line.words, line.amount_fen, now_fen))
    if not lines:
        return reply("again/gone", Choice("看看商品", Browse()), order=before)
    if changed and wish.word != "yes":
        yes = Choice("照样来一单", BuyAgain(before.no, "yes"))
        asked = ask("again/changed", BuyAgain(before.no), "word", order=before, changed=changed)
        return replace(asked, choices=(yes,)).now_seen("order", before.no)
    return BuyLines(tuple(lines), like=before.no)


async def _last(orders: OrderGlance, follower_id: int) -> OrderSeen | None:
    """The last completed order, else the last that was paid."""
    page, _ = await orders.page(follower_id, Which.ALL, "", LOOK)
    paid = [order for order in page if order.state in PAID]
    return next((order for order in paid if order.state == "completed"), paid[0] if paid else None)
