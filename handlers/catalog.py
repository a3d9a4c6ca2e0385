"""Looking around: the shelf, one product, and a search in one's own words."""

from __future__ import annotations

from handlers.asking import Intent, remembered
from handlers.intents import Back, Browse, Buy, More, OpenGroup, Search, ShowProduct, Subscribe
from handlers.replies import Choice, Reply, listing, reply
from handlers.routing import Hearing, shop
from models.catalog import Catalog, Goods
from models.prices import yuan
from models.product import NotForSale, ProductGlance
from models.search import understand
from models.talk import Talking
from models.topics import goods_like
from models.words import numeral, quantity

PAGE = 6


def line_of(goods: Goods) -> Choice:
    """A product as one line of a list."""
    few = "" if goods.word == "有货" else f" {goods.word}"
    start = "起" if len({s.price_fen for s in goods.specs}) > 1 else ""
    return Choice(f"{goods.name} ¥{yuan(goods.from_fen)}{start}{few}", ShowProduct(goods.code))


@shop.on("商品", "逛逛", "逛一逛", "看看", "有什么", "有啥", "目录", "全部商品", "browse", "shop")
async def browse(ask: Browse, catalog: Catalog) -> Reply:
    """The shelf, six at a time; categories first where there are many goods."""
    categories = catalog.categories
    category = categories[ask.category - 1] if 0 < ask.category <= len(categories) else ""
    page, more = catalog.page(category, ask.after, PAGE)
    if not page:
        return reply("catalog/empty")
    following = Browse(ask.category, page[-1].code) if more else None
    if not category and not ask.after and len(categories) > 1:
        rooms = [Choice(name, Browse(i)) for i, name in enumerate(categories[:2], 1)]
        return listing(
            "catalog/shelf",
            [line_of(g) for g in page],
            *rooms,
            more=following,
            categories=categories,
            category="",
        )
    return listing("catalog/shelf", [line_of(g) for g in page], more=following, categories=(), category=category)


@shop.on("看 {product}", "{product}", "show {product}")
async def show(ask: ShowProduct, catalog: Catalog, stock: ProductGlance) -> Reply | Intent:
    """One product: what it is, what it costs, whether it is there, what can be done with it."""
    goods = catalog.get(ask.product)
    if goods is None:
        if not ask.product:
            return Browse()
        raise NotForSale(product=ask.product)
    left = await stock.left(goods.code)
    words = {s.id: s.word for s in goods.specs}
    deal = goods.deals[0] if goods.deals else None
    steps = []
    if any(n > 0 for n in left.values()):
        steps.append(Choice("买", Buy(goods.code)))
        if deal is not None:
            steps.append(Choice(f"开团 {deal.size}人 ¥{yuan(deal.price_fen)}", OpenGroup(goods.code)))
    steps.append(Choice("再看看别的", Browse()))
    return reply("catalog/show", *steps, goods=goods, words=words, deal=deal, left=left).now_seen("product", goods.code)


@shop.on("搜 {words}", "搜索 {words}", "找找 {words}", "search {words}", "搜{words}")
async def search(ask: Search, catalog: Catalog) -> Reply:
    """Goods words, bounds, occasions, exclusions; the first line says what was understood."""
    query = understand(ask.words, catalog.index)
    if query.empty:
        return reply("catalog/search_nothing", Choice("看看全部商品", Browse()), said=ask.words[:30])
    hits = catalog.index.find(query)
    if not hits:
        near = [h for h in catalog.index.nearest(query, 4) if h.doc.code in catalog.goods]
        steps = [Choice(f"订阅 {query.goods}", Subscribe(query.goods))] if query.goods else []
        lines = [line_of(catalog.goods[h.doc.code]) for h in near]
        return listing("catalog/search_near", lines, *steps, said=query.said(), goods=query.goods, near=near)
    page = hits[ask.nth * PAGE : ask.nth * PAGE + PAGE]
    more = Search(ask.words, ask.nth + 1) if len(hits) > (ask.nth + 1) * PAGE else None
    lines = [line_of(catalog.goods[h.doc.code]) for h in page if h.doc.code in catalog.goods]
    found = listing("catalog/found", lines, more=more, said=query.said(), guesses=query.guesses, count=len(hits))
    return found.now_seen("product", page[0].doc.code) if len(hits) == 1 else found


@shop.on("更多", "下一页", "还有吗?", "more", "next")
async def more(ask: More, talk: Talking) -> Reply | Intent:
    """The next page of the list on screen, or the part of the last answer that did not fit."""
    if talk.rest:
        return reply("catalog/rest", words=talk.rest)
    following = remembered(talk.more) if talk.more else None
    return following or reply("catalog/no_more", Choice("看看全部商品", Browse()))


@shop.on("返回", "上一页", "back")
async def back(ask: Back, talk: Talking) -> Reply | Intent:
    """Back to the list that was shown before."""
    shown = remembered(talk.listing) if talk.listing else None
    if isinstance(shown, Browse):
        return Browse(shown.category)
    return shown if shown is not None and not shown.changes else Browse()


@shop.cue(200)
def so_many(hearing: Hearing) -> Intent | None:
    """3盒, 两份 after a product was shown is a quantity of it."""
    many = quantity(hearing.said)
    shown = hearing.talk.shown("product", hearing.now)
    if many is None or not shown or numeral(hearing.said) is not None:
        return None
    return Buy(shown, many)


@shop.cue(300)
def goods_words(hearing: Hearing) -> Intent | None:
    """Words that look like goods are searched; everyday questions came before."""
    if hearing.said and goods_like(hearing.said, hearing.catalog.index.words):
        return Search(hearing.raw)
    return None
