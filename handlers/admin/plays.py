"""What runs on a product, by the merchant: group-buy offers set, changed and stopped."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from handlers.asking import Intent
from handlers.intents import PutOffer, SetOffer, SetOfferSomehow, StopOffer
from handlers.replies import Question, Reply, confirm, digits, reply
from handlers.routing import shop
from models.catalog import Catalog
from models.figures import Figures
from models.groupglance import GroupGlance
from models.offer import Offer, Offers, offer_sane
from models.prices import yuan
from models.product import NotForSale, Products

STEEP_PERCENT = 50
ALL = "all"


@shop.on(
    "设团 {product} {size}人 {price} {hours}小时",
    "设团 {product} {size}人团 {price} {hours}小时",
    "设团 {product} {size}人 {price}",
    "设团 {size}人 {price} {hours}小时",
    "group {product} {size} {price} {hours}h",
    "group {product} {size} {price}",
)
async def set_offer(ask: SetOffer, catalog: Catalog, glance: GroupGlance, figures: Figures) -> Reply | Intent:
    """Shows before → after; a group's price is a price of something published, so four digits confirm it."""
    if not ask.product:
        return reply("plays/offer_missing", missing=["哪个商品（编号）"])
    code, _, place = ask.product.partition("-")
    goods = catalog.get(code)
    if goods is None or int(place or 0) > len(goods.specs):
        raise NotForSale(product=ask.product)
    ask = ask.filled(product=code, spec=ask.spec or place.lstrip("0"))
    hours = ask.hours or figures.group.hours
    if len(goods.specs) > 1 and not ask.spec:
        # No choices: a tap would send its words, and the words of a price are not its fen.
        options = (*(str(n) for n in range(1, len(goods.specs) + 1)), ALL)
        asked = reply("plays/which_spec", name=goods.name, specs=goods.specs)
        return replace(asked, question=Question(ask, "spec", options)).now_seen("product", goods.code)
    chosen = goods.specs
    if ask.spec and ask.spec != ALL:
        chosen = tuple(s for n, s in enumerate(goods.specs, 1) if str(n) == ask.spec)
    offer_sane(ask.size, ask.price, hours, min(s.price_fen for s in chosen), figures.group)
    running = {d.sku_id: d for d in await glance.deals(goods.code)}
    rows = []
    for spec in chosen:
        old = running.get(spec.id)
        rows.append(
            {
                "spec": spec.label or goods.name,
                "before": f"{old.size}人 ¥{yuan(old.price_fen)} {old.hours}小时" if old else "",
                "usual_fen": spec.price_fen,
                "percent": (spec.price_fen - ask.price) * 100 // spec.price_fen,
            }
        )
    put = PutOffer(goods.code, tuple(s.id for s in chosen), ask.size, ask.price, hours)
    return confirm(
        "plays/set_offer",
        put,
        digits(),
        name=goods.name,
        product=goods.code,
        rows=rows,
        size=ask.size,
        price_fen=ask.price,
        hours=hours,
        steep=any(int(str(row["percent"])) > STEEP_PERCENT for row in rows),
    )


@shop.on("设团 {words}", "设团", "group {words}")
async def set_offer_somehow(ask: SetOfferSomehow) -> Reply:
    """Says what is missing, with an example."""
    said = ask.words.lower()
    parts = {
        "哪个商品（编号）": r"\ba[0-9a-z]{1,5}\b",
        "几人（比如 3人）": r"[0-9一二两三四五六七八九十]+\s*人|\ba\S+\s+[0-9]+\b",
        "团价（比如 29.9）": r"[0-9]+\.[0-9]|[0-9]+\s*(?:元|块)|\ba\S+\s+\S+\s+[0-9]+(?!\s*(?:小时|h))\b",
    }
    missing = [name for name, pattern in parts.items() if not re.search(pattern, said, re.ASCII)]
    return reply("plays/offer_missing", missing=missing or ["写法对不上"])


@shop.on()
async def put_offer(ask: PutOffer, products: Products, offers: Offers, figures: Figures, now: datetime) -> Reply:
    """Confirmed: the new figures hold for groups that open from now on; groups that exist keep theirs."""
    product = await products.hold(ask.product)
    skus = [sku for sku in await products.skus(product.id) if sku.id in ask.sku_ids]
    if not skus:
        raise NotForSale(product=ask.product)
    offer_sane(ask.size, ask.price, ask.hours, min(sku.price_fen for sku in skus), figures.group)
    for sku in skus:
        new = Offer(
            product_id=product.id,
            sku_id=sku.id,
            size=ask.size,
            price_fen=ask.price,
            hours=ask.hours,
            state="on",
            made=now,
        )
        await offers.start(new)
    return reply(
        "plays/offer_set",
        name=product.name,
        product=product.code,
        specs=[sku.label for sku in skus if sku.label],
        size=ask.size,
        price_fen=ask.price,
        hours=ask.hours,
    )


@shop.on("停团 {product}", "停团", "stop group {product}", "stop group")
async def stop_offer(ask: StopOffer, products: Products, offers: Offers, glance: GroupGlance, now: datetime) -> Reply:
    """No new groups from now on; it only makes the shop safer, so no code is asked for."""
    product = await products.get(ask.product)  # left out, and nothing on screen: it asks which
    running = await offers.of_product(product.id)
    if not running:
        return reply("plays/no_offer_runs", name=product.name)
    for offer in running:
        await offers.stop(offer.sku_id, now)
    forming = await glance.open(now, 200, product=product.code, least_minutes=0)
    return reply("plays/offer_stopped", name=product.name, forming=len(forming))
