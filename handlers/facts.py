"""Questions about goods: answered from what the shop has said of them, never beyond it."""

from __future__ import annotations

import re

from handlers.asking import Intent
from handlers.intents import Browse, Buy, Health, Person, ProductFacts, Search, ShowProduct
from handlers.replies import Choice, Reply, reply
from handlers.routing import shop
from models.answer import AnswerGlance
from models.catalog import Catalog
from models.search import words_of

# What is asked of a product, by the words for it, tried in this order; "" is what its card shows: price and stock.
ASPECTS = (
    ("", "多少钱|几钱|几多|什么价|啥价|价格|价钱|售价|报价|单价|怎么卖|贵吗|几块"),
    ("储存", "储存|保存|存放|怎么存|怎么放|冰箱|冷藏|防潮|受潮"),
    ("净含量", "净含量|多少克|几克|多重|多大|几两|规格|分量|多少颗|几包|几泡"),
    ("生产日期", "生产日期|哪天生产|什么时候生产|日期新|新茶|今年|新不新鲜|新鲜吗"),
    ("保质期", "保质|保值期|保鲜|过期|多久坏|放多久|能放|存多久|放几"),
    ("过敏原", "过敏"),
    ("配料", "配料|成分|原料|材料|添加|防腐|色素|含糖|无糖|咖啡因|什么做"),
    ("产地", "产地|哪里产|哪产|产自|原产|哪里的|哪儿的|哪的"),
    ("冲泡", "泡|冲|水温|几度|怎么喝|怎么煮|煮"),
    ("", "有货|现货|库存|卖完|补货|到货|断货|缺货|还有|没有了|没货"),
)
_GENUINE = re.compile("真的|假的|正品|真假|假货|正宗|保真|真货|靠谱")
_FOR_THINGS = re.compile("有(?!货|现货)")
_POINTS = re.compile(r"这|那|它")


@shop.on()
async def facts(ask: ProductFacts, catalog: Catalog, answers: AnswerGlance) -> Reply | Intent:
    """From the product's facts: the one that is named, else the one on screen; what is not known is said to be so."""
    named = words_of(ask.words, catalog.index)
    found = catalog.named(ask.words) if not (ask.product and _POINTS.search(ask.words)) else [ask.product]
    code = ask.product if not found or ask.product in found else found[0] if len(found) == 1 else ""
    goods = catalog.get(code)
    if _GENUINE.search(ask.words):
        words = await answers.of("真伪")
        if not words:
            return reply("everyday/unknown", Choice("人工", Person())).aside()
        return reply("everyday/about", words=words, page="").aside()
    if found and not ask.product and _FOR_THINGS.match(ask.words):
        return Search(" ".join(named))  # 有礼盒吗: not about one thing, but for things
    aspect = next((name for name, words in ASPECTS if re.search(words, ask.words)), None)
    if goods is None:
        if found:
            return Search(" ".join(named))
        stored = await answers.of("保存") if aspect == "储存" else ""
        if not stored:
            return reply("everyday/which_goods", Choice("商品", Browse()), Choice("人工", Person())).aside()
        return reply("everyday/facts", Choice("商品", Browse()), goods=None, aspect=aspect, known=stored).aside()
    if aspect == "":
        steps = (Choice("买", Buy(goods.code)), Choice("看详细的", ShowProduct(goods.code)))
        return reply("everyday/price", *steps, goods=goods).aside().now_seen("product", goods.code)
    if aspect == "过敏原" and not goods.facts.get(aspect):
        aspect = "配料"
    known = goods.facts.get(aspect, "") if aspect else goods.line
    said = reply("everyday/facts", Choice("看详细的", ShowProduct(goods.code)), goods=goods, aspect=aspect, known=known)
    return said.aside().now_seen("product", goods.code)


@shop.on()
async def health(ask: Health, catalog: Catalog) -> Reply:
    """Never a promise about health: ask a doctor; here is what is in it."""
    found = catalog.named(ask.words)
    goods = catalog.get(found[0] if len(found) == 1 else ask.product if not found else "")
    contents = goods.facts.get("配料", "") if goods is not None else ""
    return reply("everyday/health", contents=contents, name=goods.name if goods is not None else "").aside()
