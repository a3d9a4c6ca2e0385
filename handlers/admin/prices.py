"""Prices for a while, by the merchant: timed discounts; and what freight costs now."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from handlers.intents import PutDiscount, PutFreight, SetDiscount, SetFreight, ShowFreight, StopDiscount
from handlers.replies import Reply, confirm, digits, reply
from handlers.routing import shop
from models.catalog import Catalog
from models.discount import Discounts, sane, tenths
from models.figures import Figures
from models.freight import FreightGlance, Freights, plain_tariff, read_tariff
from models.moments import take_moment
from models.product import NotForSale, Products, touch

_TENTHS = re.compile(r"(?P<a>[0-9])(?:\.(?P<b>[0-9])|(?P<c>[0-9]))?\s*折")
_DAYS = re.compile(r"^([0-9]{1,2})\s*天")
_UNTIL = re.compile(r"^[\s,到至]+")
USUAL = ("恢复", "默认", "usual")
WHOLE = ("全店", "全场")


@shop.on("限时 {product} {words}", "限时 {words}", "限时", "discount {product} {words}")
async def set_discount(wish: SetDiscount, catalog: Catalog, figures: Figures, now: datetime) -> Reply:
    """限时 A12 9折 到11月30日, 限时 全店 85折 3天: shows before → after, four digits confirm it."""
    found = _TENTHS.search(wish.words)
    whole = not wish.product or any(word in wish.words for word in WHOLE)
    goods = catalog.get(wish.product)
    if found is None or (whole and not any(word in wish.words for word in WHOLE)):
        return reply("prices/discount_missing", percent=found is not None)
    if goods is None and not whole:
        raise NotForSale(product=wish.product)
    percent = 100 - int(found["a"]) * 10 - int(found["b"] or found["c"] or 0)
    until = _until(wish.words[found.end() :], now, figures.zone)
    if until is None:
        return reply("prices/discount_missing", percent=True)
    sane(percent, until, now)
    specs = goods.specs if goods and not whole else ()
    rows = [(s.label or (goods.name if goods else ""), s.price_fen, _after(s.price_fen, percent)) for s in specs]
    put = PutDiscount("" if whole else wish.product, percent, int(until.timestamp()))
    facts = {"name": goods.name if goods and not whole else "全店", "label": tenths(percent), "until": until}
    return confirm("prices/discount", put, digits(), rows=rows, steep=percent > 50, **facts)


def _after(price_fen: int, percent: int) -> int:
    return price_fen - price_fen * percent // 100


def _until(words: str, now: datetime, zone: str) -> datetime | None:
    """到11月30日 (its end), 到明天18:00, 3天 (from now)."""
    said = _UNTIL.sub("", words)
    if days := _DAYS.match(said):
        return now + timedelta(days=int(days[1])) if int(days[1]) else None
    found = take_moment(said, now, ZoneInfo(zone))
    if found is None:
        return None
    if re.search(r"[0-9]:[0-9]{2}|点", said):
        return found[0]
    night = (found[0].astimezone(ZoneInfo(zone)) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return night.astimezone(UTC)


@shop.on()
async def put_discount(wish: PutDiscount, discounts: Discounts, products: Products) -> Reply:
    """Confirmed: it runs from now on; orders that were made keep their price."""
    product = await products.hold(wish.product) if wish.product else None
    until = datetime.fromtimestamp(wish.until, UTC)
    await discounts.start(product.id if product else None, wish.percent, until)
    if product is not None:
        touch(discounts.work, product.id)
    name = product.name if product else "全店"
    return reply("prices/discount_set", name=name, label=tenths(wish.percent), until=until)


@shop.on("停限时 {product}", "停限时", "stop discount {product}", "stop discount")
async def stop_discount(wish: StopDiscount, discounts: Discounts, products: Products) -> Reply:
    """The usual price again, at once; without a product, the discount on everything."""
    product = await products.get(wish.product) if wish.product else None
    ran = await discounts.stop(product.id if product else None)
    if ran and product is not None:
        touch(discounts.work, product.id)
    return reply("prices/discount_stopped", name=product.name if product else "全店", ran=ran)


@shop.on("运费表", "运费模板", "freight table")
async def show_freight(wish: ShowFreight, freights: FreightGlance, figures: Figures) -> Reply:
    """What a parcel costs, zone by zone."""
    return reply("prices/freight", tariff=await freights.tariff(figures))


@shop.on("设运费 {words}", "设运费", "set freight {words}")
async def set_freight(wish: SetFreight, figures: Figures) -> Reply:
    """A new template, read back zone by zone; four digits confirm it. 恢复 goes back to the shop's figures."""
    if not wish.words:
        return reply("prices/freight_how")
    usual = wish.words.strip() in USUAL
    tariff = plain_tariff(figures) if usual else read_tariff(wish.words)
    rest = usual or any(not zone.provinces for zone in tariff.zones)
    return confirm("prices/set_freight", PutFreight(wish.words), digits(), tariff=tariff, rest=rest)


@shop.on()
async def put_freight(wish: PutFreight, freights: Freights) -> Reply:
    """Confirmed: for orders from now on."""
    if wish.words.strip() in USUAL:
        await freights.take_down()
    else:
        await freights.put_up(read_tariff(wish.words))
    return reply("prices/freight_set")
