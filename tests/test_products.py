"""The goods from the chat: a new product out of one line, prices and stock read back before they change."""

import re
from datetime import UTC, datetime

import pytest
from town import Town

from models.report import day_start
from models.stockroom import DraftUnclear, Stocked, StockSpec, moved, read_draft


async def fresh(town: Town) -> None:
    """A moment passes, and the process reads again what has changed."""
    await town.later(seconds=5)


def test_a_new_product_is_read_from_one_line() -> None:
    draft = read_draft("龙井250g 88 库存50 #茶 关键词:绿茶,明前")
    assert (draft.name, draft.price_fen, draft.stock) == ("龙井250g", 8800, 50)
    assert (draft.category, draft.keywords, draft.weight_g) == ("茶", ("绿茶", "明前"), 250)


@pytest.mark.parametrize(
    ("line", "fen"),
    [("瓜子 9.9 库存3", 990), ("瓜子 ¥12 库存3", 1200), ("库存3 瓜子 五香 15元", 1500), ("5号茶杯 20 库存 3", 2000)],
)
def test_the_price_is_the_last_amount_that_is_no_stock(line: str, fen: int) -> None:
    assert read_draft(line).price_fen == fen
    assert read_draft(line).stock == 3


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("88 库存50", "name"),
        ("龙井 库存50", "price"),
        ("龙井 0 库存50", "price"),
        ("龙井 88", "stock"),
        ("了吗", "price"),
    ],
)
def test_what_a_new_product_lacks_is_named(line: str, field: str) -> None:
    with pytest.raises(DraftUnclear) as unclear:
        read_draft(line)
    assert unclear.value.facts["field"] == field


@pytest.mark.parametrize(("move", "after"), [("+10", 60), ("-3", 47), ("50", 50), ("7", 7)])
def test_stock_moves_by_a_sign_or_to_a_number(move: str, after: int) -> None:
    assert moved(50, move) == after


def test_a_single_spec_needs_no_number() -> None:
    spec = StockSpec(1, 1, "", 100, 5, 0)
    assert Stocked(1, "A1", "茶", "on", (spec,)).spec(0) is spec
    assert Stocked(1, "A1", "茶", "on", (spec, spec)).spec(0) is None
    assert Stocked(1, "A1", "茶", "on", (spec,)).spec(2) is None


def test_the_day_begins_at_midnight_of_the_shop() -> None:
    late = datetime(2026, 3, 1, 16, 30, tzinfo=UTC)  # half past midnight of the second, in Shanghai
    assert day_start(late, "Asia/Shanghai").isoformat() == "2026-03-02T00:00:00+08:00"


async def test_a_new_product_is_published_after_a_bare_confirmation(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    back = (await boss.says("上架 狮峰龙井250g 188 库存5 #茶叶 关键词:绿茶,明前")).text
    for word in ("狮峰龙井250g", "¥188", "库存 5", "茶叶", "绿茶、明前"):
        assert word in back
    code = re.search(r"编号 (A\d+)", (await boss.says("确认")).text)
    assert code
    await fresh(town)
    assert "狮峰龙井250g" in (await mei.says(f"看 {code[1]}")).text
    assert "狮峰龙井250g" in (await mei.says("搜 狮峰龙井")).text


async def test_nothing_is_published_before_the_confirmation(town: Town) -> None:
    boss = await town.owner()
    await boss.says("上架 新茶 88 库存5")
    assert "编号" in (await boss.says("库存 A99")).text
    await fresh(town)
    assert "¥88" not in (await town.wechat("小美").says("搜 新茶")).text


async def test_a_line_that_lacks_something_brings_an_example(town: Town) -> None:
    boss = await town.owner()
    answer = (await boss.says("上架 龙井 88")).text
    assert "还差库存" in answer
    assert "上架 龙井250g 88 库存50" in answer


async def test_what_is_taken_down_cannot_be_bought_and_comes_back(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    assert "已下架" in (await boss.says("下架 A1")).text  # at once: it only makes the shop safer
    await fresh(town)
    assert "不卖了" in (await mei.says("买 A1")).text
    assert "要重新上架" in (await boss.says("上架 A1")).text
    await boss.says("确认")
    await fresh(town)
    assert "明前龙井" in (await mei.says("看 A1")).text


async def test_a_price_is_shown_before_and_after_and_changes_with_its_digits(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    await fresh(town)
    asked = (await boss.says("改价 A1-2 66")).text
    assert "¥88 → ¥66（-25%）" in asked
    assert "¥88" in (await mei.says("看 A1")).text
    found = re.search(r"确认 \d{4}", asked)
    assert found
    await boss.says(found[0])
    await fresh(town)
    assert "¥66" in (await mei.says("看 A1")).text


async def test_several_specs_are_asked_for(town: Town) -> None:
    boss = await town.owner()
    assert "哪一种" in (await boss.says("改价 A1 58")).text
    assert "¥88 → ¥58" in (await boss.says("2")).text


async def test_the_code_may_be_left_out_for_what_is_on_screen(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    for words in ("改价", "下架", "停团", "库存 +10"):
        assert "您要的是哪一样" in (await boss.says(words)).text
    await boss.says("看 A1")
    assert "不再开新团" in (await boss.says("停团")).text
    assert "要改哪一种" in (await boss.says("库存 +10")).text
    assert "现在的价格" in (await boss.says("改价")).text
    assert "已下架" in (await boss.says("下架")).text
    await fresh(town)
    assert "现在不卖了" in (await mei.says("买 A1")).text


async def test_selling_is_stopped_and_taken_up_again_in_other_words(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    assert "已下架" in (await boss.says("停售 A1")).text
    await fresh(town)
    assert "现在不卖了" in (await mei.says("买 A1")).text
    assert "确认" in (await boss.says("开售 A1")).text
    assert "重新上架" in (await boss.says("确认")).text


@pytest.mark.parametrize(
    "said",
    ["后台", "报表 周", "缺货", "没搜到", "没答上", "问答", "设问答 发票 可以", "设秒杀", "设砍价", "设抽奖", "发券",
     "图片 A1", "找 13800138000", "客户 张三", "求谅解 ABCDEFGH", "暂停推送", "console"],
)  # fmt: skip
async def test_a_word_of_staff_that_does_nothing_yet_says_so_and_is_no_search(town: Town, said: str) -> None:
    boss = await town.owner()
    heard = (await boss.says(said)).text
    assert "没有" in heard or "还不能" in heard
    assert not [odd for odd in ("没听懂", "没找到", "订阅", "不再给您发") if odd in heard]


async def test_a_price_that_somebody_else_has_changed_meanwhile_is_not_changed(town: Town) -> None:
    boss, wife = await town.owner(), await town.owner("老板娘")
    first, second = [(await one.says(f"改价 A1-2 {yuan}")).text for one, yuan in ((boss, 66), (wife, 77))]
    codes = [re.search(r"确认 \d{4}", asked) for asked in (first, second)]
    assert codes[0]
    assert codes[1]
    await wife.says(codes[1][0])
    assert "刚被改成 ¥77" in (await boss.says(codes[0][0])).text


@pytest.mark.parametrize(("move", "after"), [("+10", 70), ("-3", 57), ("50", 50)])
async def test_stock_is_shown_before_and_after_and_changes_with_its_digits(town: Town, move: str, after: int) -> None:
    boss = await town.owner()
    asked = (await boss.says(f"库存 A1-2 {move}")).text
    assert f"60 → {after}" in asked
    found = re.search(r"确认 \d{4}", asked)
    assert found
    assert f"库存 {after}" in (await boss.says(found[0])).text


async def test_stock_never_falls_below_what_is_ordered(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    await mei.says("地址 张三 13800138000 浙江省杭州市西湖区文三路1号")
    await mei.says("买 A1 x3")
    await mei.says("2")
    assert "3 件等人付款" in (await boss.says("库存 A1")).text
    assert "不能少于 3" in (await boss.says("库存 A1-2 2")).text
    assert "没有这么多" in (await boss.says("库存 A1-2 -99")).text


async def test_today_counts_what_was_paid_today(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    await mei.says("地址 张三 13800138000 浙江省杭州市西湖区文三路1号")
    await mei.says("买 A1 x2")
    placed = await mei.says("2")
    assert "付款 0 单" in (await boss.says("今日")).text
    await mei.pays(placed)
    await town.later(minutes=1)
    shown = (await boss.says("今日")).text
    assert "今天付款 1 单，¥176" in shown
    assert "待发货 1 单" in shown
    await town.later(days=1)
    assert "今天付款 0 单" in (await boss.says("今日")).text


async def test_a_product_name_cannot_plant_a_link(town: Town) -> None:
    boss = await town.owner()
    back = await boss.says('上架 <a href="weixin://bizmsgmenu?msgmenucontent=撤权&msgmenuid=1">茶</a> 88 库存5')
    assert not back.links
