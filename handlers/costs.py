"""What sending costs, and what makes it cheaper: by the rules in force, for the one who asks."""

from __future__ import annotations

from datetime import datetime

from handlers.asking import Intent
from handlers.intents import AboutShop, Browse, Discounts, Freight, Groups, SetAddress, ShowProduct
from handlers.replies import Choice, Reply, reply
from handlers.routing import shop
from models.address import AddressGlance
from models.cart import CartGlance
from models.catalog import Catalog
from models.checkout import CartCosts
from models.discount import DiscountGlance
from models.figures import Figures
from models.follower import Me
from models.freight import WEIGHT, FreightGlance, NoFreightThere, province_of
from models.talk import Talking


@shop.on()
async def freight(
    ask: Freight,
    me: Me,
    figures: Figures,
    cart: CartGlance,
    costs: CartCosts,
    freights: FreightGlance,
    addresses: AddressGlance,
    now: datetime,
) -> Reply | Intent:
    """The rule in one line, for where this person's parcels go; with a cart, what is missing to free shipping."""
    if ask.topic == "pickup":
        step = Choice("商品", Browse())
        return reply("everyday/pickup", step, at=figures.order.pickup_at).aside()
    if ask.topic == "return_freight":
        return reply("everyday/return_freight", by=figures.service.return_freight).aside()
    tariff, to = await freights.tariff(figures), await addresses.of(me.id)
    province = province_of(to.region) if to else ""
    if ask.topic == "regions":
        if not any(zone.provinces for zone in tariff.zones):
            return AboutShop("regions")
        return reply("everyday/regions", zones=tariff.zones, weighed=tariff.by == WEIGHT).aside()
    try:
        zone = tariff.zone(province)
    except NoFreightThere:
        return reply("everyday/no_freight", Choice("换地址", SetAddress()), province=province).aside()
    cost = await costs.of(me.id, await cart.basket(me.id), figures, now)
    there = province if len(tariff.zones) > 1 else ""
    enough = cost.goods_fen > 0 and not cost.freight_fen
    facts = {"zone": zone, "weighed": tariff.by == WEIGHT, "there": there, "enough": enough}
    return reply("everyday/freight", **facts, missing=cost.to_free_fen if cost.goods_fen else 0).aside()


@shop.on("coupons")
async def discounts(
    ask: Discounts,
    me: Me,
    catalog: Catalog,
    figures: Figures,
    running: DiscountGlance,
    cart: CartGlance,
    costs: CartCosts,
    freights: FreightGlance,
    addresses: AddressGlance,
    talk: Talking,
    now: datetime,
) -> Reply:
    """What this person can use now, what is on screen and then the best first; the shop does not haggle."""
    off = await running.all(now)
    goods = {one.id: one for one in catalog.goods.values()}
    timed = [(goods[d.product_id].name if d.product_id else "全店", d) for d in off if d.product_id in (None, *goods)]
    deals = [(one, one.deals[0]) for one in catalog.goods.values() if one.deals]
    shown = talk.shown("product", now)
    deals.sort(key=lambda pair: (pair[0].code != shown, pair[1].price_fen / max(1, pair[0].offered(pair[1]).price_fen)))
    to = await addresses.of(me.id)
    try:
        free = (await freights.tariff(figures)).zone(province_of(to.region) if to else "").free_from_fen
    except NoFreightThere:
        free = None
    cost = await costs.of(me.id, await cart.basket(me.id), figures, now)
    missing = cost.to_free_fen if cost.goods_fen else 0
    steps = [Choice("正在拼的团", Groups())] if deals else [Choice("商品", Browse())]
    best = next((goods[d.product_id].code for _, d in timed if d.product_id), "")
    if best:
        steps.insert(0, Choice("看打折的", ShowProduct(best)))
    facts = {"timed": timed[:2], "deals": deals[:2], "free": free, "missing": missing}
    return reply("everyday/discounts", *steps, **facts).aside()
