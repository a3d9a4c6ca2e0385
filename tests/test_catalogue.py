"""The demo shop is one that could open tomorrow, and a broken file is refused with a reason."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from bot.demo import catalogue
from bot.demo.catalogue import CatalogueFault, read

SHOP = catalogue.load()
TEXT = (resources.files("bot.demo") / "catalogue.toml").read_text(encoding="utf-8")
TOPICS = "发货时间 快递 运费 偏远 发票 退换 价保 保存 真伪 营业时间 电话 地址 执照"
# Advertising law 9 and food safety law 73: the demo must pass what the shop will ask of its merchants.
CLAIMS = re.compile(
    r"最好|最佳|第一|国家级|顶级|极品|唯一|治|降压|降糖|三高|减肥|养生|养颜|排毒|抗癌|安神|助眠|补血|必中|转发"
)


def test_the_demo_shop_has_enough_to_look_around_in() -> None:
    assert len(SHOP.products) == 48
    assert 110 <= sum(len(product.specs) for product in SHOP.products) <= 130
    assert 6 <= len(SHOP.categories) <= 8
    assert [product.code for product in SHOP.products] == [f"A{n}" for n in range(1, 49)]
    assert {product.category for product in SHOP.products} == set(SHOP.categories)


def test_the_small_default_has_several_teas_and_the_well_known_longjing() -> None:
    small = SHOP.small()
    assert len(small.products) == 14
    names = {product.name for product in small.products}
    assert {"明前龙井", "洞庭碧螺春", "茉莉花茶"} <= names
    longjing = small.products[0]
    assert {spec.label: spec.price_fen for spec in longjing.specs}["250g 罐装"] == 88_00
    assert {offer.product for offer in small.offers} <= {product.code for product in small.products}
    assert small.offers


def test_some_goods_are_sold_out_and_some_are_few() -> None:
    for shop in (SHOP, SHOP.small()):
        stock = [spec.stock for product in shop.products for spec in product.specs]
        assert 0 in stock
        assert any(0 < left <= 3 for left in stock)


def test_every_product_can_be_found_and_asked_about() -> None:
    for product in SHOP.products:
        assert 5 <= len(product.keywords) <= 8, product.code
        assert sum(word.isascii() for word in product.keywords) == 1, product.code
        assert {"产地", "储存"} <= set(product.facts), product.code
        if product.category != "茶具":
            assert {"保质期", "配料", "净含量"} <= set(product.facts), product.code
        assert len(product.line) <= 40


def test_what_is_eaten_goes_back_sealed_or_not_at_all_and_a_cup_within_seven_days() -> None:
    told = {product.category: product.returns for product in SHOP.products}
    assert (told["茶叶"], told["糕点"], told["茶具"]) == ("sealed", "no", "")
    assert {product.returns for product in SHOP.small().products} == {"", "sealed", "no"}
    with pytest.raises(CatalogueFault, match="七天无理由"):
        read(TEXT.replace('returns = "no"', 'returns = "never"'))


def test_four_group_buys_are_on() -> None:
    assert len(SHOP.offers) == 4
    assert all(2 <= offer.size <= 10 for offer in SHOP.offers)


def test_the_shop_has_an_answer_to_each_of_its_topics() -> None:
    assert set(SHOP.answers) == set(TOPICS.split())
    assert all(len(answer) <= 90 for answer in SHOP.answers.values())


def test_no_text_claims_what_the_law_forbids() -> None:
    assert CLAIMS.findall(TEXT) == []


def test_a_product_is_handed_to_the_index_with_all_its_prices() -> None:
    doc = SHOP.products[0].doc
    assert (doc.code, doc.price_from_fen, doc.prices_fen) == ("A1", 26_00, (26_00, 88_00, 118_00))
    assert doc.stock_word == "有货"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('code = "A2"\n', 'code = "A1"\n', "A1: the code occurs twice"),
        ('code = "A2"\n', 'code = "X2"\n', "X2: a code is A and a number"),
        ('name = "洞庭碧螺春"', f'name = "{"茶" * 31}"', "A2: a name has 1 to 30 characters"),
        ('category = "茶具"', 'category = "餐具"', "A16: there is no category 餐具"),
        ("fen = 4500, stock = 40", "fen = 0, stock = 40", "A2 100g 袋装: whole numbers"),
        ("fen = 4500, stock = 40", "fen = 45.5, stock = 40", "A2 100g 袋装: whole numbers"),
        ("fen = 4500, stock = 40", "fen = 4500, stock = -1", "A2 100g 袋装: whole numbers"),
        ("fen = 6900\nhours = 24", "fen = 8800\nhours = 24", "offer A1 250g 罐装: a group pays less than 8800 fen"),
        ('spec = "12 枚礼盒"', 'spec = "13 枚"', "offer A34 13 枚: there is no such spec"),
        ("size = 5", "size = 11", "2 to 10 people"),
        ('line = "卷曲如螺', 'lime = "卷曲如螺', "the field 'line' is missing"),
        ("[shop]", "[shop", "not TOML"),
    ],
)
def test_a_file_no_shop_could_open_with_is_refused(old: str, new: str, reason: str) -> None:
    assert old in TEXT
    with pytest.raises(CatalogueFault, match=re.escape(reason)):
        read(TEXT.replace(old, new, 1))
