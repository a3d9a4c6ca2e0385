"""Second thoughts: another address, another spec, a note, until the order is packed; every change is on record."""

import asyncio
import re
from dataclasses import replace

import pytest
from follower import Follower
from sqlalchemy import select, text
from test_sale import GREEN, broken, customer, number, orders, told
from town import Town

from models.base import Work
from models.freight import PIECE, Freights, Tariff, Zone
from models.order import OrderMove
from models.product import Product, Sku

SHANGHAI = "李四 13900139000 上海市浦东新区世纪大道100号"
URUMQI = "李四 13900139000 新疆维吾尔自治区乌鲁木齐市天山区人民路1号"


async def freight(town: Town, *zones: Zone) -> None:
    house = town.stage.house
    async with house.store.session() as session, session.begin():
        await Freights(Work(session, house.clock.now())).put_up(Tariff(PIECE, zones))


async def moves(town: Town) -> list[tuple[str, str]]:
    rows = await town.stage.house.store.reader.all(select(OrderMove.cause, OrderMove.actor).order_by(OrderMove.id))
    return [(row.cause, row.actor) for row in rows]


async def stock(town: Town) -> dict[str, tuple[int, int]]:
    rows = await town.stage.house.store.reader.all(
        select(Sku.label, Sku.on_hand, Sku.held)
        .join(Product, Product.id == Sku.product_id)
        .where(Product.code == "A11")
    )
    return {row.label: (row.on_hand, row.held) for row in rows}


async def test_a_paid_order_goes_to_another_address_read_back_in_full(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.settles()
    no = number(placed)
    assert SHANGHAI in (await mei.says(f"改地址 {no} {SHANGHAI}")).text
    shown = (await mei.says(f"订单 {no}")).text
    assert "李* 139****9000 上海市浦东新区***" in shown
    assert "世纪大道100号" in (await boss.says("待发货")).text
    assert ("address", "buyer") in await moves(town)
    assert "张* 138****8000" in (await mei.says("地址")).text, "the book keeps its own"
    assert not await broken(town)


async def test_what_is_missing_of_the_new_address_is_asked(town: Town) -> None:
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    assert "改寄哪里" in (await mei.says("改地址")).text
    assert "手机" in (await mei.says("李四 上海市浦东新区世纪大道100号")).text
    assert SHANGHAI in (await mei.says("13900139000")).text
    assert "李* 139****9000" in (await mei.says(f"订单 {number(placed)}")).text


async def test_a_cheaper_place_gives_the_difference_back(town: Town) -> None:
    await freight(town, Zone(("上海市",), 1, 500), Zone((), 1, 900))
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    assert "合计 ¥28" in placed.text
    await mei.pays(placed)
    await town.settles()
    assert "¥4 原路退回" in (await mei.says(f"改地址 {number(placed)} {SHANGHAI}")).text
    await town.later(minutes=2)
    await town.later(minutes=2)
    assert "¥4 已原路退回" in told(mei)
    assert not await broken(town)


async def test_a_dearer_place_reprices_an_order_that_is_not_paid(town: Town) -> None:
    await freight(town, Zone(("新疆维吾尔自治区",), 1, 2000), Zone((), 1, 900))
    mei = await customer(town, "小美")
    await orders(mei, GREEN)
    assert "合计 ¥39" in (await mei.says(f"换地址 {URUMQI}")).text
    assert not await broken(town)


async def test_an_unserved_place_is_refused(town: Town) -> None:
    await freight(town, Zone(("浙江省",), 1, 900))
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    assert "暂时送不到" in (await mei.says(f"改地址 {number(placed)} {SHANGHAI}")).text


async def test_the_sum_does_not_change_while_it_may_be_being_paid(town: Town) -> None:
    await freight(town, Zone(("上海市",), 1, 500), Zone((), 1, 900))
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await (await mei.opens(next(x for x in placed.links if "/pay/" in x.url))).presses_the_button()
    assert "正在付款" in (await mei.says(f"换地址 {SHANGHAI}")).text
    assert "¥28" in (await mei.says(f"订单 {number(placed)}")).text


async def test_another_spec_at_a_lower_price_swaps_both_stocks_and_pays_the_difference_back(town: Town) -> None:
    mei = await customer(town, "小美")
    before = await stock(town)
    placed = await orders(mei, "买 A11 x2", "2")
    await mei.pays(placed)
    await town.settles()
    no = number(placed)
    changed = (await mei.says("换规格 50g")).text
    assert "50g 罐装 ×2" in changed
    assert "¥30 原路退回" in changed
    after = await stock(town)
    assert after["100g 罐装"] == before["100g 罐装"]
    assert after["50g 罐装"] == (before["50g 罐装"][0] - 2, 0)
    assert "差价 ¥30 退回" in (await mei.says(f"订单 {no}")).text
    await town.later(minutes=2)
    await town.later(minutes=2)
    assert "¥30 已原路退回" in told(mei)
    assert any(cause.startswith("spec") for cause, _ in await moves(town))
    assert not await broken(town)


async def test_another_spec_at_the_same_price_is_only_swapped(town: Town) -> None:
    mei = await customer(town, "小美")
    async with town.stage.house.store.session() as session, session.begin():
        await session.execute(text("UPDATE sku SET price_fen = 1900 WHERE label = '200g 袋装'"))
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    changed = (await mei.says("换规格 200g")).text
    assert "换好了" in changed
    assert "退回" not in changed
    assert not await broken(town)


async def test_a_spec_that_is_sold_out_is_not_swapped_in(town: Town) -> None:
    mei = await customer(town, "小美")
    placed = await orders(mei, "买 A11 x2", "2")
    await mei.pays(placed)
    async with town.stage.house.store.session() as session, session.begin():
        await session.execute(text("UPDATE sku SET on_hand = held + 1 WHERE label = '50g 罐装'"))
    assert "只剩 1" in (await mei.says("换规格 50g 罐装")).text
    assert "100g 罐装 ×2" in (await mei.says(f"订单 {number(placed)}")).text
    assert not await broken(town)


async def test_a_group_s_order_keeps_its_spec_and_may_change_its_address(town: Town) -> None:
    mei = await customer(town, "小美")
    placed = await orders(mei, "开团 A1")
    await mei.pays(placed)
    await town.settles()
    no = number(placed)
    assert "拼团的订单" in (await mei.says(f"换规格 {no} 250g 礼盒")).text
    assert SHANGHAI in (await mei.says(f"改地址 {no} {SHANGHAI}")).text
    assert not await broken(town)


async def test_a_note_stands_on_the_packing_list(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    assert "记下了备注：轻拿轻放" in (await mei.says("备注 轻拿轻放")).text
    assert "轻拿轻放" in (await boss.says("待发货")).text
    assert "轻拿轻放" in (await mei.says(f"订单 {number(placed)}")).text


async def test_a_question_that_one_has_left_takes_no_later_word_for_its_answer(town: Town) -> None:
    """收货 was refused and is over; the 1 that follows is no note for the parcel."""
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    assert "写什么" in (await mei.says("备注")).text
    assert "还不能确认收货" in (await mei.says(f"收货 {number(placed)}")).text
    await mei.says("1")
    assert "备注" not in (await mei.says(f"订单 {number(placed)}")).text


async def test_received_is_what_is_on_its_way_whatever_is_on_screen(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    first, second = [await orders(mei, GREEN) for _ in range(2)]
    for placed in (first, second):
        await mei.pays(placed)
    await town.settles()
    await boss.says(f"发货 {number(first)} SF1234567890")
    await mei.says(f"订单 {number(second)}")
    assert number(first) in (await mei.says("收到了")).text
    assert "已完成" in (await mei.says(f"订单 {number(first)}")).text
    assert "待发货" in (await mei.says(f"订单 {number(second)}")).text


async def test_after_packing_a_change_is_a_request_to_the_merchant(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.settles()
    no = number(placed)
    await boss.says(f"面单 {no}")
    told(boss)
    assert "已转告店主" in (await mei.says(f"备注 {no} 多放一个袋子")).text
    assert "已转告店主" in (await mei.says(f"改地址 {no} {SHANGHAI}")).text
    await town.settles()
    news = told(boss)
    assert "多放一个袋子" in news
    assert "世纪大道100号" in news
    assert "浙江省杭州市西湖区" in (await mei.says(f"订单 {no}")).text


async def test_nobody_changes_somebody_else_s_order(town: Town) -> None:
    mei, lin = await customer(town, "小美"), await customer(town, "小林")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    no = number(placed)
    for said in (f"改地址 {no} {SHANGHAI}", f"换规格 {no} 100g", f"备注 {no} 送我"):
        assert "没找到" in (await lin.says(said)).text
        await lin.says("你好")
    shown = (await mei.says(f"订单 {no}")).text
    assert "浙江省" in shown
    assert "送我" not in shown


async def test_a_shop_without_a_counter_says_so(town: Town) -> None:
    mei = await customer(town, "小美")
    await orders(mei, GREEN)
    assert "还没有自提点" in (await mei.says("自提")).text


async def test_an_order_is_fetched_with_its_code_and_its_freight_goes_back(town: Town) -> None:
    desk = town.stage.house.desk
    desk.figures = replace(desk.figures, order=replace(desk.figures.order, pickup_at="文三路1号 9–18点"))
    boss, mei = await town.owner(), await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.settles()
    heard = (await mei.says("自提")).text
    assert "文三路1号 9–18点" in heard
    assert "¥8 原路退回" in heard
    code = re.search(r"自提码 ([2-9A-Z]{6})", heard)
    assert code, heard
    assert "没有要发的货" in (await boss.says("待发货")).text
    await mei.says(f"核销 {code[1]}")
    assert "待发货" in (await mei.says(f"订单 {number(placed)}")).text, "only staff hand out"
    assert "请把货交给" in (await boss.says(f"核销 {code[1]}")).text
    assert "已经取走" in (await boss.says(f"核销 {code[1]}")).text
    assert "已完成" in (await mei.says(f"订单 {number(placed)}")).text
    await town.later(minutes=2)
    assert not await broken(town)


async def test_what_became_cheaper_and_a_cancellation_give_back_what_was_paid_to_the_fen(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    placed = await orders(mei, "买 A11 x2", "2")
    await mei.pays(placed)
    await town.settles()
    no = number(placed)
    await mei.says(f"换规格 {no} 50g")
    asked = (await boss.says(f"取消 {no} 缺货")).text
    assert "¥46 会原路退给买家" in asked  # ¥76 were paid, ¥30 are on their way back already
    await boss.says(f"确认 {asked.rsplit('确认 ', 1)[1][:4]}")
    for _ in range(3):
        await town.later(minutes=2)
    rows = await town.stage.house.store.reader.all(text('SELECT total_fen, refunded_fen FROM "order"'))
    assert [tuple(row) for row in rows] == [(7600, 7600)]
    assert (await stock(town))["50g 罐装"][1] == 0
    assert not await broken(town)


async def test_two_who_want_the_last_piece_of_another_spec_are_one_who_gets_it(town: Town) -> None:
    people = [await customer(town, name) for name in ("小美", "小林")]
    for one in people:
        await one.pays(await orders(one, "买 A11", "2"))
    await town.settles()
    async with town.stage.house.store.session() as session, session.begin():
        await session.execute(text("UPDATE sku SET on_hand = held + 1 WHERE label = '50g 罐装' AND price_fen = 1900"))
    heard = await asyncio.gather(*(one.says("换规格 50g 罐装") for one in people))
    assert sorted("换好了" in one.text for one in heard) == [False, True]
    assert (await stock(town))["50g 罐装"] == (0, 0)
    assert not await broken(town)


# -- when it is packed -----------------------------------------------------------------------------------


async def _packed(town: Town, boss: Follower, mei: Follower) -> str:
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.settles()
    assert "文三路1号" in (await boss.says(f"面单 {number(placed)}")).text
    told(boss)
    return number(placed)


async def test_another_address_for_a_packed_order_stops_the_parcel_until_it_is_seen(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await _packed(town, boss, mei)
    asked = (await mei.says(f"改地址 {no} {SHANGHAI}")).text
    assert SHANGHAI in asked
    assert "看到之前不会发出" in asked
    await town.settles()
    assert SHANGHAI in told(boss)
    waiting = (await boss.says("待发货")).text
    assert waiting.index(f"买家改了地址 {no}：{SHANGHAI}") < waiting.index("待发货")
    refused = (await boss.says(f"发货 {no} SF1111111111")).text
    assert "先别发" in refused
    assert SHANGHAI in refused
    assert "待发货" in (await mei.says(f"订单 {no}")).text
    label = (await boss.says(f"面单 {no}")).text
    assert "原来那张作废" in label
    assert "世纪大道100号" in label
    assert "文三路" not in label
    assert "买家改了地址" not in (await boss.says("待发货")).text
    assert "已发货" in (await boss.says(f"发货 {no} SF1111111111")).text
    await town.settles()
    assert "改好了，寄到 李* 139****9000" in told(mei)
    assert ("address", "staff") in await moves(town)
    assert not await broken(town)


async def test_staff_who_try_again_hear_again_what_to_do_and_are_not_sent_to_themselves(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await _packed(town, boss, mei)
    await mei.says(f"改地址 {no} {SHANGHAI}")
    await town.settles()
    told(boss)
    heard = [(await boss.says(f"发货 {no} SF1111111111")).text for _ in range(3)]
    assert len(set(heard)) == 3, "nothing is repeated word for word"
    for words in heard:
        assert f"面单 {no}" in words
        assert "人工" not in words
    assert heard[1].startswith("还是不行：")


async def test_staff_who_cannot_change_a_packed_order_say_so_and_it_goes_as_it_was(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await _packed(town, boss, mei)
    await mei.says(f"改地址 {no} {SHANGHAI}")
    await town.later(minutes=11)
    assert "照原样发" in (await boss.says("不改 已经封箱")).text, "it is the only one that waits for this"
    assert "没有等您答复" in (await boss.says(f"不改 {no}")).text
    await town.settles()
    assert "还是寄到 张* 138****8000 浙江省杭州市西湖区***：已经封箱" in told(mei)
    assert "已发货" in (await boss.says(f"发货 {no} SF1111111111")).text
    assert not await broken(town)


async def test_the_newest_wish_about_a_packed_order_is_the_one_that_counts(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await _packed(town, boss, mei)
    await mei.says(f"改地址 {no} {SHANGHAI}")
    await mei.says(f"改地址 {no} 王五 13700137000 江苏省南京市玄武区中山路8号")
    await mei.says(f"备注 {no} 放门口")
    waiting = (await boss.says("待发货")).text
    assert waiting.count("买家改了地址") == 1
    label = (await boss.says(f"面单 {no}")).text
    assert "中山路8号" in label
    assert "备注 放门口" in label
    assert not await broken(town)


async def test_a_packed_order_goes_to_a_cheaper_place_with_the_difference_and_to_no_dearer_one(town: Town) -> None:
    await freight(town, Zone(("上海市",), 1, 500), Zone(("新疆维吾尔自治区",), 1, 2000), Zone((), 1, 900))
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await _packed(town, boss, mei)
    assert "要多 ¥11" in (await mei.says(f"改地址 {no} {URUMQI}")).text
    assert "买家改了地址" not in (await boss.says("待发货")).text
    await mei.says(f"改地址 {no} {SHANGHAI}")
    await boss.says(f"面单 {no}")
    await town.settles()
    assert "¥4 原路退回" in told(mei)
    await town.later(minutes=2)
    await town.later(minutes=2)
    assert "¥4 已原路退回" in told(mei)
    assert not await broken(town)


async def test_what_is_wished_of_a_packed_order_is_kept_sealed(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await _packed(town, boss, mei)
    await mei.says(f"改地址 {no} {SHANGHAI}")
    async with town.stage.house.store.session() as session:
        kept = bytes((await session.execute(text("SELECT said FROM change_request"))).scalar_one())
    assert b"13900139000" not in kept
    assert "世纪大道".encode() not in kept


# -- told in passing -------------------------------------------------------------------------------------


async def test_another_phone_or_name_leaves_the_rest_of_the_address_as_it_is(town: Town) -> None:
    mei = await customer(town, "小美")
    assert "改寄" not in (await mei.says("电话换了 13911112222")).text, "there is no order that it could be of"
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.settles()
    assert "张三 13911112222 浙江省杭州市西湖区文三路1号" in (await mei.says("电话换了 13911112222")).text
    assert "王五 13911112222 浙江省杭州市西湖区文三路1号" in (await mei.says("收件人改成王五")).text
    assert "改寄哪里" in (await mei.says("能不能换个地址")).text
    assert "王五 13933334444 浙江" in (await mei.says("手机号写错了，应该是13933334444")).text
    assert "改寄" not in (await mei.says("名字叫什么")).text
    assert "王* 139****4444" in (await mei.says(f"订单 {number(placed)}")).text


async def test_a_phone_that_is_asked_for_is_an_answer_and_no_second_thought(town: Town) -> None:
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await mei.says("地址 李四 上海市浦东新区世纪大道100号")
    assert "记下了" in (await mei.says("我的电话是13900139000")).text
    assert "张* 138****8000" in (await mei.says(f"订单 {number(placed)}")).text


@pytest.mark.parametrize(
    "words",
    [
        f"寄错了，寄到 {SHANGHAI}",
        f"发到{SHANGHAI}",
        f"寄公司 {SHANGHAI}",
        f"地址错了，应该是{SHANGHAI}",
        f"都寄 {SHANGHAI}",
    ],
)
async def test_where_the_order_on_screen_should_go_may_be_said_in_ones_own_words(town: Town, words: str) -> None:
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    assert f"订单 {number(placed)} 改寄：\n{SHANGHAI}" in (await mei.says(words)).text


async def test_who_says_only_another_place_still_gets_it_themselves(town: Town) -> None:
    mei = await customer(town, "小美")
    await orders(mei, GREEN)
    assert (
        "张三 13800138000 上海市浦东新区世纪大道100号"
        in (await mei.says("地址写错了，应该是上海市浦东新区世纪大道100号")).text
    )
    assert "还差" in (await mei.says("改地址 李四 上海市浦东新区世纪大道100号")).text, "whose phone would that be?"


async def test_a_new_address_beside_an_order_says_where_that_goes_and_how_to_send_it_there(town: Town) -> None:
    mei = await customer(town, "小美")
    no = number(await orders(mei, GREEN))
    kept = await mei.says(SHANGHAI)
    assert f"订单 {no} 还是寄原来的地方（张* 138****8000" in kept.text
    await mei.says("1")
    assert "李* 139****9000 上海市" in (await mei.says(f"订单 {no}")).text
    assert "还是寄原来" not in (await mei.says(SHANGHAI)).text


async def test_a_sentence_is_no_address_and_several_noes_are_a_no(town: Town) -> None:
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.settles()
    await mei.says("改地址")
    assert "哪个省" not in (await mei.says("周末一般都不在家")).text
    assert "李* 139****9000" not in (await mei.says("李四")).text
    assert SHANGHAI in (await mei.says("13900139000 上海市浦东新区世纪大道100号")).text, "the question was still open"
    await mei.says("改地址")
    assert "先不弄" in (await mei.says("算了不换了")).text


async def test_a_note_may_be_said_along_with_the_word_for_it(town: Town) -> None:
    mei = await customer(town, "小美")
    await mei.pays(await orders(mei, GREEN))
    await town.settles()
    assert "记下了备注：别放驿站" in (await mei.says("帮我备注一下别放驿站")).text
    assert "记下了备注" not in (await mei.says("能备注一下别放驿站吗")).text, "who asks has not said it"
