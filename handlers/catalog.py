"""Looking around: the shelf, one product, and a search in one's own words."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from handlers.asking import Intent, remembered
from handlers.intents import Back, Browse, Buy, Groups, More, OpenGroup, Search, ShowProduct, Subscribe
from handlers.replies import Choice, Reply, listing, reply
from handlers.routing import Hearing, shop
from models.catalog import Catalog, Goods
from models.figures import Figures
from models.prices import yuan
from models.product import NotForSale, ProductGlance
from models.promise import PromiseGlance
from models.search import Hit, Query, understand, words_of
from models.talk import Talking
from models.topics import goods_like
from models.words import bare, numeral, quantity, unfill

PAGE = 6
SIMPLE = 2  # goods at a time in simple mode: with 更多 these are three digits
NEAR = 4
_SHELF = re.compile(r"(?:看看?|逛逛?|有什么|有哪些|想买|找)?(.+?)(?:有哪些|有什么|有啥|类)?")
_SOME_OF = re.compile(
    r"(?:(?:你们|你家|店里)?(?:都|还)?有(?:些?什么|哪些|啥|没有)|我?(?:想|要)+(?:买|喝|吃)?(?:点|些)?)(?:好|新)?(.{1,6}?)(?:吗|呢|卖)?"
)
_ALL = re.compile(
    r"全部|(?:[你您]们|咱们?|这)?(?:家|店|这里|这儿)?里?(?:都|主要)?(?:是)?(?:卖|有)些?(?:什么|啥|哪些)"
    r"(?:东西|商品|货|宝贝)?(?:卖|可以买|能买)?的?"
)
_TOGETHER = re.compile("[团拼]")
_ANYTHING = re.compile("推荐|有什么|有啥|好[喝吃]|卖")


def line_of(goods: Goods, many: int = 0) -> Choice:
    """A product as one line of a list; how many were asked for goes with it."""
    few = "" if goods.word == "有货" else f" {goods.word}"
    start = "起" if len({s.price_fen for s in goods.specs}) > 1 else ""
    return Choice(f"{goods.name} ¥{yuan(goods.from_fen)}{start}{few}", ShowProduct(goods.code, many))


@shop.on(
    "商品",
    "逛逛",
    "逛一逛",
    "看看",
    "有什么",
    "有啥",
    "卖什么",
    "你们卖什么",
    "目录",
    "全部商品",
    "随便看看",
    "看看商品",
    "看看全部商品",
    "看看别的",
    "再看看别的",
    "再逛逛",
    "逛逛有什么",
    "新品",
    "有新品吗?",
    "有什么新品",
    "热销",
    "爆款",
    "招牌",
    "什么卖得好",
    "什么卖得最好",
    "卖得最好的是哪个",
    "browse",
    "shop",
)
async def browse(ask: Browse, catalog: Catalog, talk: Talking) -> Reply:
    """The shelf, or one category of it, a handful at a time; what categories there are stands on top."""
    return catalog.kept((ask, talk.simple), lambda: _shelf(ask, catalog, talk.simple))


def _shelf(ask: Browse, catalog: Catalog, simple: bool) -> Reply:
    categories = catalog.categories
    category = categories[ask.category - 1] if 0 < ask.category <= len(categories) else ""
    page, more = catalog.page(category, ask.after, SIMPLE if simple else PAGE)
    if not page:
        return reply("catalog/empty")
    following = Browse(ask.category, page[-1].code) if more else None
    named = categories if len(categories) > 1 and not category and not ask.after and not simple else ()
    facts = {"category": category, "categories": named, "first": not ask.after}
    shelf = listing("catalog/shelf", [line_of(g) for g in page], more=following, **facts)
    return replace(shelf, lasting=True)


def _size(talk: Talking) -> int:
    return SIMPLE if talk.simple else PAGE


@shop.cue(285)
def everything(hearing: Hearing) -> Intent | None:
    """全部 is all the goods, where it answers nothing that was asked (几罐有问题？); so is 你们是卖什么的呀."""
    return Browse() if _ALL.fullmatch(bare(unfill(hearing.said))) else None


@shop.cue(290)
def category(hearing: Hearing) -> Intent | None:
    """A category's name, also 看看茶叶 and 茶叶有哪些, is that shelf."""
    said = _SHELF.fullmatch(bare(hearing.said))
    names = [bare(name) for name in hearing.catalog.categories]
    return Browse(names.index(said[1]) + 1) if said and said[1] in names else None


@shop.on("看 {product}", "看看 {product}", "{product}", "show {product}", "看", "show")
async def show(
    ask: ShowProduct,
    catalog: Catalog,
    stock: ProductGlance,
    promises: PromiseGlance,
    figures: Figures,
    talk: Talking,
    now: datetime,
) -> Reply | Intent:
    """One product: what it is, what it costs, whether it is there, what can be done with it."""
    goods = catalog.get(ask.product)
    if goods is None:
        if not ask.product:
            return Browse()
        if ask.product.isalpha():  # a word that happens to look like a code
            return Search(ask.product.lower())
        raise NotForSale(product=ask.product)
    left = await stock.left(goods.code)
    words = {s.id: s.word for s in goods.specs}
    deal = goods.deals[0] if goods.deals else None
    rule = await promises.now(figures)
    steps = []
    if rule.stopped is None and any(n > 0 for n in left.values()):
        many = ask.quantity or talk.wanted(goods.code, now)
        steps.append(Choice(f"买 {many} {goods.unit}" if many > 1 else "买", Buy(goods.code, many)))
        if deal is not None:
            steps.append(Choice(f"开团 {deal.size}人 ¥{yuan(deal.price_fen)}", OpenGroup(goods.code)))
    steps.append(Choice("再看看别的", Browse()))
    facts = {
        "rests_until": rule.rests_until if rule.resting(now) else None,
        "cutoff": rule.cutoff,
        "stopped": rule.stopped,
    }
    said = reply("catalog/show", *steps, goods=goods, words=words, deal=deal, left=left, **facts)
    return said.now_seen("product", goods.code, ask.quantity)


@shop.on("搜 {words}", "搜索 {words}", "找找 {words}", "search {words}", "搜{words}")
async def search(ask: Search, catalog: Catalog, talk: Talking) -> Reply | Intent:
    """Goods words, bounds, occasions, exclusions; the first line says what was understood."""
    query = understand(ask.words, catalog.index)
    if query.empty:
        if _ANYTHING.search(ask.words):
            return Browse()
        return reply("catalog/search_nothing", Choice("看看全部商品", Browse()), said=ask.words[:20])
    hits = catalog.index.find(query)
    if not hits:
        return _nothing_of(query, catalog, talk)
    size = _size(talk)
    page = hits[ask.nth * size : ask.nth * size + size]
    more = Search(ask.words, ask.nth + 1) if len(hits) > (ask.nth + 1) * size else None
    lines = [_found_line(catalog.goods[h.doc.code], query) for h in page if h.doc.code in catalog.goods]
    found = listing("catalog/found", lines, more=more, said=query.said(), guesses=query.guesses, first=not ask.nth)
    return found.now_seen("product", page[0].doc.code, query.quantity or 0) if len(hits) == 1 else found


def _found_line(goods: Goods, query: Query) -> Choice:
    """A product as one line of what was found; with bounds it is the spec that lies within them that is named."""
    low, high, many = query.min_fen or 0, query.max_fen, query.quantity or 0
    if not low and high is None:
        return line_of(goods, many)
    fits = [s for s in goods.specs if low <= s.price_fen and (high is None or s.price_fen <= high)]
    if not fits or len(goods.specs) == 1:
        return line_of(goods, many)
    spec = min(fits, key=lambda s: (s.word == "售罄", s.price_fen))
    few = "" if spec.word == "有货" else f" {spec.word}"
    return Choice(f"{goods.name} {spec.label} ¥{yuan(spec.price_fen)}{few}", ShowProduct(goods.code, many))


def _nothing_of(query: Query, catalog: Catalog, talk: Talking) -> Reply:
    """The nearest, with the difference, and an offer to tell when there is some; not offered twice in a row."""
    near = [h for h in catalog.index.nearest(query, NEAR) if h.doc.code in catalog.goods]
    known = all(term in catalog.index for term in query.terms)
    few = len(query.terms) <= (2 if known else 1) and len(query.goods) <= 10  # a sentence is not subscribed to
    goods = query.goods if few and (near or talk.last != "catalog/search_near") else ""
    steps = (Choice(f"订阅 {goods}", Subscribe(goods)),) if goods else (Choice("看看全部商品", Browse()),)
    lines = [_near_line(hit, query, catalog) for hit in near]
    said = listing("catalog/search_near", lines, *steps, said=query.said(), near=near)
    return said if near else said.aside()


def _near_line(hit: Hit, query: Query, catalog: Catalog) -> Choice:
    """龙井 ¥118（便宜 ¥12）: what comes nearest to the price that was asked for, and how far it is from it."""
    goods, many = catalog.goods[hit.doc.code], query.quantity or 0
    bound = query.max_fen if hit.off_fen > 0 else query.min_fen
    if not hit.off_fen or bound is None:
        return line_of(goods, many)
    far = f"{'贵' if hit.off_fen > 0 else '便宜'} ¥{yuan(abs(hit.off_fen))}"
    return Choice(f"{goods.name} ¥{yuan(bound + hit.off_fen)}（{far}）", ShowProduct(goods.code, many))


@shop.on("更多", "下一页", "还有吗?", "还有别的", "还有别的吗", "还有其他的吗", "换一批", "more", "next")
async def more(ask: More, talk: Talking) -> Reply | Intent:
    """The next page of the list on screen, or the part of the last answer that did not fit."""
    if talk.rest:
        return reply("catalog/rest", words=talk.rest)
    following = remembered(talk.more) if talk.more else None
    return following or reply("catalog/no_more", Choice("看看全部商品", Browse()))


@shop.on("返回", "上一页", "回去", "back")
async def back(ask: Back, talk: Talking) -> Reply | Intent:
    """From a thing back to the list it was in; from a list back to the one before it."""
    shelf = remembered(talk.shelf) if talk.shelf else None
    if shelf is None or shelf.changes:
        return Browse()
    if talk.listing != talk.shelf:
        return shelf
    if isinstance(shelf, Search) and shelf.nth:
        return Search(shelf.words, shelf.nth - 1)
    return Browse(shelf.category) if isinstance(shelf, Browse) and shelf.after else Browse()


@shop.cue(102)
def together(hearing: Hearing) -> Intent | None:
    """龙井那个团, 想开个龙井的团: the thing that is bought together is looked at; with several the groups are."""
    index, goods = hearing.catalog.index, hearing.catalog.goods
    named = words_of(hearing.said, index) if _TOGETHER.search(hearing.said) else ()
    rest = bare(unfill(hearing.said))
    for word in named:
        rest = rest.replace(word, "")
    if not named or not _TOGETHER.search(rest):  # 团圆饼 is no group
        return None
    found = [hit.doc.code for hit in index.find(understand(" ".join(named), index))]
    offered = [code for code in found if code in goods and goods[code].deals]
    return ShowProduct(offered[0]) if len(offered) == 1 else Groups() if offered else None


@shop.cue(200)
def so_many(hearing: Hearing) -> Intent | None:
    """3盒, 两份 after a product was shown is a quantity of it; before, one is asked of what."""
    many = quantity(hearing.said)
    if many is None or numeral(hearing.said) is not None:
        return None
    return Buy(hearing.talk.shown("product", hearing.now), many)


@shop.cue(210)
def the_spec(hearing: Hearing) -> Intent | None:
    """250g 罐装 after a product was shown is that spec of it."""
    goods = hearing.catalog.get(hearing.talk.shown("product", hearing.now))
    labels = [bare(spec.label) for spec in goods.specs] if goods is not None else []
    said = bare(hearing.said)
    return Buy(goods.code, 0, str(labels.index(said) + 1)) if goods is not None and said in labels and said else None


@shop.cue(280)
def some_of(hearing: Hearing) -> Intent | None:
    """有什么好茶: one character may name goods, where it is asked for like that."""
    said = _SOME_OF.fullmatch(bare(hearing.said))
    return Search(said[1]) if said and said[1] in hearing.catalog.index else None


@shop.cue(300)
def goods_words(hearing: Hearing) -> Intent | None:
    """Words that look like goods are searched; everyday questions came before."""
    index = hearing.catalog.index
    if hearing.said and goods_like(hearing.said, index.words, index.synonyms):
        return Search(hearing.raw)
    return None
