"""The goods, from the chat: put up, take down, price, stock, and how the day goes."""

from __future__ import annotations

from datetime import datetime

from handlers.intents import (
    ListToShip,
    Publish,
    PublishNow,
    PutOn,
    PutOnNow,
    SetPrice,
    SetPriceNow,
    SetStock,
    SetStockNow,
    ShowProduct,
    TakeOff,
    Today,
)
from handlers.replies import Choice, Reply, ask, confirm, digits, reply
from handlers.routing import shop
from models.figures import Figures
from models.prices import yuan
from models.product import NotForSale
from models.report import Report, day_start
from models.stockroom import (
    MOST_STOCK,
    Stocked,
    StockGlance,
    StockHeld,
    Stockroom,
    StockSpec,
    moved,
    read_draft,
)

LOW_LINES = 3


@shop.on("上架 {line}", "publish {line}", "上架", "publish")
async def publish(what: Publish) -> Reply:
    """A new product, read back; it is published after a bare 确认."""
    return confirm("products/draft", PublishNow(what.line), draft=read_draft(what.line))


@shop.on()
async def publish_now(what: PublishNow, room: Stockroom, now: datetime) -> Reply:
    """On the shelf, under a code of its own."""
    draft = read_draft(what.line)
    code = await room.publish(draft, now)
    shown = reply("products/published", Choice("看看", ShowProduct(code)), name=draft.name, code=code)
    return shown.now_seen("product", code)


@shop.on("上架 {product}", "publish {product}", "开售 {product}")
async def put_on(what: PutOn, stock: StockGlance) -> Reply:
    """A product that was taken down, read back before it is sold again."""
    goods = await stock.get(what.product)
    if goods.state == "on":
        return reply("products/on_already", Choice("看看", ShowProduct(goods.code)), name=goods.name)
    return confirm("products/put_on", PutOnNow(goods.code), goods=goods).now_seen("product", goods.code)


@shop.on()
async def put_on_now(what: PutOnNow, room: Stockroom) -> Reply:
    """Sold again."""
    product = await room.shelve(what.product, on=True)
    see = Choice("看看", ShowProduct(product.code))
    return reply("products/put_on_done", see, name=product.name, code=product.code)


@shop.on("下架 {product}", "unlist {product}", "停售 {product}", "下架", "停售", "unlist")
async def take_off(what: TakeOff, room: Stockroom) -> Reply:
    """Off the shelf at once: what makes the shop safer asks for nothing."""
    product = await room.shelve(what.product, on=False)
    done = reply("products/taken_off", name=product.name, code=product.code)
    return done.now_seen("product", product.code)


@shop.on("改价 {product} {price}", "改价 {price}", "改价 {product}", "改价")
@shop.on("price {product} {price}", "price {price}", "price {product}")
async def set_price(what: SetPrice, stock: StockGlance) -> Reply:
    """Before and after, and four digits to type."""
    goods, n = await _goods(what.product, what.spec, stock)
    spec = goods.spec(n)
    if not what.price:
        return reply("products/which_price", goods=goods).now_seen("product", goods.code)
    if spec is None:
        return ask("products/which_spec", SetPrice(goods.code, what.price), "spec", options=_specs(goods), goods=goods)
    if spec.price_fen == what.price:
        return reply("products/price_same", goods=goods, spec=spec)
    percent = round((what.price - spec.price_fen) * 100 / spec.price_fen) if spec.price_fen else None
    change = SetPriceNow(goods.code, spec.n, spec.price_fen, what.price)
    facts = {"goods": goods, "spec": spec, "to_fen": what.price, "percent": percent}
    return confirm("products/price", change, digits(), **facts).now_seen("product", goods.code)


@shop.on()
async def set_price_now(what: SetPriceNow, room: Stockroom, stock: StockGlance) -> Reply:
    """Another price from now on; orders that were made keep theirs."""
    goods = await stock.get(what.product)
    spec = await room.reprice(goods, what.spec, what.was, what.price)
    facts = {"goods": goods, "spec": spec, "was_fen": what.was, "to_fen": what.price}
    return reply("products/priced", Choice("看看", ShowProduct(goods.code)), **facts)


@shop.on("库存 {product} {move}", "库存 {move}", "库存 {product}", "改库存 {product} {move}", "改库存 {product}")
@shop.on("stock {product} {move}", "stock {move}", "stock {product}")
async def set_stock(what: SetStock, stock: StockGlance) -> Reply:
    """What is there; with +10, -3 or 50 before and after, and four digits to type."""
    goods, n = await _goods(what.product, what.spec, stock)
    spec = goods.spec(n)
    if not what.move:
        return reply("products/stock", goods=goods).now_seen("product", goods.code)
    if spec is None:
        return ask("products/which_spec", SetStock(goods.code, what.move), "spec", options=_specs(goods), goods=goods)
    after = moved(spec.on_hand, what.move)
    if after < spec.held or after > MOST_STOCK:
        raise StockHeld(product=goods.code, held=spec.held, asked=after)
    change = SetStockNow(goods.code, spec.n, spec.on_hand, what.move)
    asked = confirm("products/stock_change", change, digits(), goods=goods, spec=spec, after=after)
    return asked.now_seen("product", goods.code)


@shop.on()
async def set_stock_now(what: SetStockNow, room: Stockroom, stock: StockGlance) -> Reply:
    """So many on hand from now on."""
    goods = await stock.get(what.product)
    after = await room.restock(goods, what.spec, what.was, what.move)
    return reply("products/stocked", goods=goods, spec=goods.spec(what.spec), after=after)


@shop.on("今日", "今天怎么样", "今天卖了多少", "今天多少单", "今日订单", "今日数据", "今日销量", "统计", "today")
async def today(what: Today, report: Report, stock: StockGlance, figures: Figures, now: datetime) -> Reply:
    """How the day goes: paid, to ship, running out."""
    day = await report.day(day_start(now, figures.zone))
    low, count = await stock.low(LOW_LINES)
    return reply("products/today", Choice("待发货", ListToShip()), day=day, low=low, low_count=count)


async def _goods(said: str, n: int, stock: StockGlance) -> tuple[Stocked, int]:
    """The product of A12 or A12-2, and the number of the spec that was meant (0: not said)."""
    if not said:
        raise NotForSale(product="")
    code, _, place = said.partition("-")
    return await stock.get(code), int(place or n or 0)


def _specs(goods: Stocked) -> list[tuple[str, str]]:
    def words(spec: StockSpec) -> str:
        return f"{spec.label or goods.name} ¥{yuan(spec.price_fen)} 库存 {spec.on_hand}"

    return [(words(spec), str(spec.n)) for spec in goods.specs]
