"""From paid to received: parcels, goods that do not travel, promises kept or apologised for, shops that cancel."""

import re
from dataclasses import replace

import pytest
from follower import Follower
from sqlalchemy import select, text
from test_sale import GREEN, WHERE, broken, customer, number, orders, told
from test_second_thoughts import SHANGHAI as ELSEWHERE
from test_second_thoughts import freight
from test_staff import grant
from town import Town

from models import carrier, checkout
from models.audit import Audit
from models.freight import Zone
from models.order import Order


async def _sql(town: Town, statement: str) -> None:
    async with town.stage.house.store.session() as session, session.begin():
        await session.execute(text(statement))


async def _broken_but_old_mail(town: Town) -> list[str]:
    """What does not hold; the process that forgets old mail does not run on a stage whose clock leaps for days."""
    return [one.name for one in await broken(town) if one.name != "inbox_forgotten"]


async def _two_lines(town: Town, mei: Follower) -> str:
    """A paid order of two lines: 龙井 250g 罐装 and 碧螺春 100g 袋装."""
    for said in ("加 A1", "2", "加 A2", "1"):
        await mei.says(said)
    placed = await mei.says("结算")
    if "寄到哪里" in placed.text:
        placed = await mei.says(WHERE)
    await mei.pays(placed)
    await town.settles()
    told(mei)
    return number(placed)


async def _paid(town: Town, mei: Follower, what: str = GREEN, spec: str = "1") -> str:
    placed = await orders(mei, what, spec)
    await mei.pays(placed)
    await town.settles()
    return number(placed)


def digits(words: str) -> str:
    found = re.search(r"确认 ([0-9]{4})", words)
    assert found, words
    return found[1]


# -- parcels ---------------------------------------------------------------------------------------------


async def test_an_order_leaves_in_two_parcels_and_each_is_told(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await _two_lines(town, mei)
    first = await boss.says(f"发货 {no} SF1111111111 行 2")
    assert "碧螺春" in first.text
    assert "还有 明前龙井" in first.text
    await town.settles()
    news = told(mei)
    assert "一个包裹" in news
    assert "明前龙井 250g 罐装 ×1，另外发出" in news
    waiting = (await boss.says("待发货")).text
    assert "明前龙井" in waiting
    assert "其余已发" in waiting
    assert "碧螺春" not in waiting
    assert "SF1111111111" in (await mei.says(f"物流 {no}")).text
    assert "已发货" in (await boss.says(f"发货 {no} SF2222222222")).text
    await town.settles()
    assert "SF2222222222" in told(mei)
    shown = (await mei.says(f"订单 {no}")).text
    assert "SF1111111111" in shown
    assert "SF2222222222" in shown
    assert "已发货" in shown
    assert not await broken(town)


async def test_the_same_parcel_said_again_changes_nothing_and_tells_nobody(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await _two_lines(town, mei)
    await boss.says(f"发货 {no} SF1111111111 行 2")
    await town.settles()
    told(mei)
    assert "没有改动" in (await boss.says(f"发货 {no} SF1111111111 行 2")).text
    await town.settles()
    assert told(mei) == ""
    assert "没有要发的第 3 行" in (await boss.says(f"发货 {no} SF3333333333 行 3")).text
    assert not await broken(town)


async def test_a_wrong_number_of_one_parcel_is_put_right_by_its_line(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await _two_lines(town, mei)
    await boss.says(f"发货 {no} SF1111111111 行 2")
    await boss.says(f"发货 {no} SF2222222222")
    assert "分 2 个包裹" in (await boss.says(f"发货 {no} SF9999999999")).text
    assert "改成了" in (await boss.says(f"发货 {no} SF9999999999 行 2")).text
    await town.settles()
    shown = (await mei.says(f"订单 {no}")).text
    assert "SF9999999999" in shown
    assert "SF1111111111" not in shown
    assert not await broken(town)


async def test_what_has_partly_left_is_not_cancelled_by_the_shop(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await _two_lines(town, mei)
    await boss.says(f"发货 {no} SF1111111111 行 2")
    assert "现在不能" in (await boss.says(f"取消 {no} 缺货")).text


async def test_a_label_is_shown_in_full_to_staff_only(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await _paid(town, mei)
    assert "文三路1号" in (await boss.says(f"面单 {no}")).text
    assert "文三路1号" not in (await mei.says(f"面单 {no}")).text


async def test_what_was_shipped_counts_as_received_after_fifteen_days(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await _paid(town, mei)
    await boss.says(f"发货 {no} SF1111111111")
    await town.later(days=14, hours=23)
    assert "已发货" in (await mei.says(f"订单 {no}")).text
    await town.later(hours=2)
    assert "已完成" in (await mei.says(f"订单 {no}")).text
    assert not await _broken_but_old_mail(town)


# -- what does not travel --------------------------------------------------------------------------------


@pytest.mark.parametrize("fact", ['{"交付": "凭短信到店泡茶"}', "{}"])
async def test_goods_that_do_not_travel_are_handed_over_with_the_money(town: Town, fact: str) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    await _sql(town, f"UPDATE product SET ships = (1 = 0), facts = '{fact}' WHERE code = 'A11'".replace(":", "\\:"))
    placed = await orders(mei, GREEN)
    assert "寄到" not in placed.text
    assert "运费" not in placed.text
    await mei.pays(placed)
    await town.settles()
    news = told(mei)
    assert "给您的" in news
    assert ("凭短信到店泡茶" if len(fact) > 2 else "没收到就回 人工") in news
    assert "已完成" in (await mei.says(f"订单 {number(placed)}")).text
    assert "没有要发的货" in (await boss.says("待发货")).text
    assert not await broken(town)


# -- promises --------------------------------------------------------------------------------------------


async def test_staff_hear_before_a_promise_breaks_and_the_buyer_first_when_it_does(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await _paid(town, mei)
    told(boss)
    told(mei)
    await town.later(hours=43)
    assert "快到发货时间了" not in told(boss)
    await town.later(hours=2)
    await boss.says("今日")
    assert "快到发货时间了" in told(boss) + "".join(line.heard.text for line in boss.transcript[-2:])
    await mei.says("在吗")
    await town.later(hours=4)
    news = told(mei)
    assert "没能按时发出" in news
    assert "想退款" in news
    assert "新的时间是" in (await mei.says(f"物流 {no}")).text
    assert "没能按时" not in told(mei)
    assert not await broken(town)


async def test_a_resting_shop_sells_and_says_when_it_ships(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    before = await orders(mei, GREEN)
    assert "到哪天" in (await boss.says("打烊")).text
    assert "3月10日" in (await boss.says("打烊 到3月10日 春茶上山")).text
    assert "已打烊" in (await boss.says("确认")).text
    placed = await orders(mei, "买 A11 x2")
    assert "3月11日起 48 小时内发出" in placed.text
    assert "休息" not in (await mei.says(f"订单 {number(before)}")).text
    await mei.pays(placed)
    await town.settles()
    assert "3月13日 00:00 前发出" in told(mei)
    assert "开门了" in (await boss.says("营业")).text
    assert "休息" not in (await orders(mei, "买 A11 x3")).text


async def test_a_shop_that_stops_selling_takes_no_order_in_any_way_until_it_sells_again(town: Town) -> None:
    """停售 全店 asks for nothing, for it only makes the shop safer; 开售 wants its four digits (C7, C25)."""
    boss, mei, wang = await town.owner(), await customer(town, "小美"), town.wechat("王阿姨")
    await wang.follows()
    waiting = await orders(mei, GREEN)
    await mei.says("加 A11 50g 罐装")
    assert "本来就在卖" in (await boss.says("开售")).text
    assert "全店停售了" in (await boss.says("停售 全店")).text
    assert "全店停售了" in (await boss.says("停售全店")).text
    for words in (GREEN, "结算", "开团 A1"):
        heard = await mei.says(words)
        while "哪种" in heard.text or "哪一种" in heard.text:
            heard = await mei.says("1")
        assert "不接新单" in heard.text, words
    for words in ("买 A11", "买 A11 50g 罐装"):
        assert "不接新单" in (await wang.says(words)).text, "said before a spec or an address is asked for"
    card = await mei.says("看 A11")
    assert "暂时不接单" in card.text
    assert "买" not in [link.label for link in card.links]
    assert "还停售着" in (await boss.says("营业")).text
    await mei.pays(waiting)
    await town.settles()
    assert "收到您的付款" in told(mei), "what was ordered may be paid"
    assert "停售中" in (await boss.says("发货承诺")).text
    await boss.says("发货承诺 72小时")
    assert "不接新单" in (await mei.says(GREEN)).text, "another promise sells nothing"
    asked = (await boss.says("开售 全店")).text
    assert "不接新单" in (await mei.says(GREEN)).text
    await boss.says("确认 " + re.findall(r"确认 (\d{4})", asked)[0])
    assert "合计" in (await orders(mei, GREEN)).text
    assert "停售全店" in (log := (await boss.says("日志")).text)
    assert "开售全店" in log
    assert not await broken(town)


async def test_the_shop_s_promise_is_set_and_shown_on_its_goods(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    assert "48 小时" in (await boss.says("发货承诺")).text
    assert "72 小时" in (await boss.says("发货承诺 72小时 16:00前当天发")).text
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.settles()
    assert "3月3日 00:00 前发出" in told(mei)  # it is noon: paid before 16:00, it leaves today
    await town.later(hours=5)
    late = await orders(mei, "买 A11 x2")
    await mei.pays(late)
    await town.settles()
    assert "3月5日 17:00 前发出" in told(mei)


# -- the shop cancels ------------------------------------------------------------------------------------


async def test_an_order_the_shop_cannot_keep_is_cancelled_and_paid_back_in_full(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await _paid(town, mei)
    asked = (await boss.says(f"取消 {no} 缺货")).text
    assert "¥27 会原路退给买家" in asked
    assert "待发货" in (await mei.says(f"订单 {no}")).text
    assert "正在退给买家" in (await boss.says(f"确认 {digits(asked)}")).text
    await town.later(minutes=2)
    await town.later(minutes=2)
    news = told(mei)
    assert "店主没法发货，只能取消了：缺货" in news
    assert "¥27 已原路退回" in news
    assert "已取消" in (await mei.says(f"订单 {no}")).text
    assert not await broken(town)


async def test_a_customer_cannot_cancel_somebody_else_s_order(town: Town) -> None:
    mei, lin = await customer(town, "小美"), await customer(town, "小林")
    no = await _paid(town, mei)
    await lin.says(f"取消 {no} 缺货")
    await lin.says(f"退单 {no}")
    assert "待发货" in (await mei.says(f"订单 {no}")).text


# -- timed discounts -------------------------------------------------------------------------------------


async def test_a_timed_discount_runs_from_its_confirmation_to_its_end(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    asked = (await boss.says("限时 A11 9折 到3月5日")).text
    assert "¥19 → ¥17.1" in asked
    assert "限时" not in (await orders(mei, GREEN)).text
    assert "开始了" in (await boss.says(f"确认 {digits(asked)}")).text
    placed = await orders(mei, "买 A11 x2")
    assert "限时9折 -¥3.8" in placed.text
    assert "合计 ¥42.2" in placed.text
    await mei.pays(placed)
    await town.later(days=4)
    assert "限时" not in (await orders(mei, "买 A11 x3")).text
    assert not await _broken_but_old_mail(town)


async def test_a_timed_discount_says_what_is_missing_and_can_be_stopped(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    assert "打几折" in (await boss.says("限时 A11 便宜点")).text
    asked = (await boss.says("限时 全店 85折 3天")).text
    await boss.says(f"确认 {digits(asked)}")
    assert "限时8.5折" in (await orders(mei, GREEN)).text
    assert "恢复原价" in (await boss.says("停限时")).text
    assert "限时" not in (await orders(mei, "买 A11 x2")).text
    assert "全国" in (await boss.says("运费表")).text


# -- what is fetched -------------------------------------------------------------------------------------


async def test_an_order_is_fetched_with_its_code_and_never_sent(town: Town) -> None:
    house = town.stage.house
    house.figures = house.desk.figures = replace(
        house.figures, order=replace(house.figures.order, pickup_at="湖滨路8号")
    )
    boss, mei = await town.owner(), await customer(town, "小美")
    placed = await orders(mei, GREEN)
    assert "湖滨路8号" in (await mei.says("可以自提吗")).text
    fetched = (await mei.says("自提")).text
    assert "合计 ¥19" in fetched
    await mei.pays(placed)
    await town.settles()
    no, code = number(placed), str(re.search(r"自提码 ([2-9A-HJ-NP-Z]{6})", fetched)[1])  # type: ignore[index]
    assert f"报自提码 {code}" in (await mei.says("发货了吗")).text
    assert "不用地址" in (await mei.says("改地址 李四 13900139000 上海市浦东新区世纪大道100号")).text
    assert "没有要发的货" in (await boss.says("待发货")).text
    assert "到店自提的，不用发货" in (await boss.says(f"发货 {no} SF1234567890")).text
    assert "已核销" in (await boss.says(f"核销 {code}")).text
    assert "已经取走" in (await boss.says(f"核销 {code}")).text
    assert "已完成" in (await mei.says(f"订单 {no}")).text
    assert not await broken(town)


@pytest.mark.parametrize(
    ("tracking", "carriers"),
    [("SF1234567890", ["顺丰"]), ("123456789012", ["顺丰", "圆通"]), ("7712345678901", ["中通", "申通"]), ("7", [])],
)
def test_a_carrier_is_known_by_its_numbers_and_asked_for_when_two_fit(tracking: str, carriers: list[str]) -> None:
    assert carrier.of_number(tracking) == carriers


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("寄回了 637856t9 sf1234567891", ("", "SF1234567891", "寄回了 637856t9  ")),
        ("k7sf2345 1234567891", ("", "1234567891", "k7sf2345  ")),
        ("637856t9 到哪了", None),
    ],
)
def test_an_order_s_number_is_no_parcel_s_and_names_no_carrier(said: str, found: tuple[str, str, str] | None) -> None:
    assert carrier.spotted(said) == found


async def test_an_order_does_not_leave_with_its_own_number(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """发货 JD7M2P9Q shipped the order on screen by a parcel of that number."""
    boss, mei = await town.owner(), await customer(town, "小美")
    for no in ("JD234567", "K7M2P9QA"):
        monkeypatch.setattr(checkout, "draw", lambda length, no=no: no.ljust(length, "2")[:length])
        assert await _paid(town, mei) == no
        await boss.says(f"面单 {no}")
        assert f"{no} 还没有发" in (await boss.says(f"发货 {no}")).text
        assert "待发货" in (await mei.says(f"订单 {no}")).text
        assert "已发货" in (await boss.says(f"发货 {no} SF1234567890")).text
    assert not await broken(town)


# -- from the shelf into the box -------------------------------------------------------------------------


async def test_the_picking_list_sums_what_has_to_leave_and_shows_what_to_mind(town: Town) -> None:
    boss, mei, lin = await town.owner(), await customer(town, "小美"), await customer(town, "小林")
    assert "没有要发的货" in (await boss.says("拣货")).text
    await _paid(town, mei)
    no = await _paid(town, lin, "买 A11 x2")
    await lin.says(f"备注 {no} 轻拿轻放")
    await orders(mei, "买 A2")  # not paid: nothing to pick
    picked = (await boss.says("拣货")).text
    assert "桐乡胎菊 50g 罐装 ×3（2 单）" in picked
    assert f"备注 {no}：轻拿轻放" in picked
    assert "碧螺春" not in picked
    await boss.says(f"发货 {no} SF1234567890")
    assert "桐乡胎菊 50g 罐装 ×1" in (await boss.says("拣货")).text
    assert "拣" not in (await mei.says("拣货")).text


async def test_what_does_not_read_as_shipping_is_said_so_and_ships_nothing(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await _paid(town, mei)
    assert "没看懂" in (await boss.says(f"发货 {no} 随便什么快递 12345")).text
    assert "待发货" in (await mei.says(f"订单 {no}")).text
    assert "已发货" in (await boss.says(f"发货 {no} 顺丰：SF99999")).text


async def test_an_order_that_nobody_has_paid_has_no_label(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = number(await orders(mei, GREEN))
    for said in (f"面单 {no}", f"打单 {no}"):
        assert "文三路" not in (await boss.says(said)).text


async def test_a_rest_is_announced_in_one_breath(town: Town) -> None:
    boss = await town.owner()
    assert "打烊到 3月5日（含当天），公告：春茶上山" in (await boss.says("打烊到3月5日，春茶上山")).text


# -- a buyer's order, by the words that its buyer has for it ---------------------------------------------


async def test_staff_look_at_a_buyers_order_by_any_word_for_it_and_nobody_else_does(town: Town) -> None:
    boss, mei, hao = await town.owner(), await customer(town, "小美"), town.wechat("小浩")
    await hao.follows()
    no = await _paid(town, mei)
    for words in (
        f"订单 {no}",
        no,
        f"物流 {no}",
        f"付款 {no}",
        f"取消 {no}",
        f"退款 {no}",
        f"收货 {no}",
        f"备注 {no} 轻放",
    ):
        seen = (await boss.says(words)).text
        assert f"买家的订单 {no} · 待发货" in seen, words
        assert "寄到 张* 138****8000" in seen
        assert f"取消 {no} 原因" in seen
        assert "买家的订单" not in (await hao.says(words)).text, words
    assert "买家的订单" not in (await mei.says(f"订单 {no}")).text
    assert await _states(town) == ["paid"], "looking changes nothing"
    await boss.says(f"发货 {no} SF1234567890")
    assert "SF1234567890" in (await boss.says("物流")).text, "the one that was on screen"
    await town.settles()
    support = town.wechat("客服小周")
    await support.says(f"绑定 {await grant(boss, '客服')}")
    seen = (await support.says(f"订单 {no}")).text
    assert "已发货" in seen
    assert "补发" not in seen, "what one may not do is not offered"
    assert "没找到订单" in (await support.says(f"改地址 {no} {ELSEWHERE}")).text
    await boss.says("员工")
    await boss.says("撤权 2")
    await boss.says("确认")
    assert "买家的订单" not in (await support.says(f"订单 {no}")).text, "who was sent away is a customer"


async def test_staff_send_an_order_elsewhere_and_its_buyer_hears_where(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await _paid(town, mei)
    await boss.says(f"面单 {no}")
    told(mei)
    assert "改寄哪里" in (await boss.says(f"改地址 {no}")).text
    assert "手机" in (await boss.says("李四 上海市浦东新区世纪大道100号")).text
    moved = (await boss.says("13900139000")).text
    assert ELSEWHERE in moved
    assert "原来那张面单作废" in moved
    await town.settles()
    news = told(mei)
    assert "李* 139****9000" in news
    assert "世纪大道" not in news
    assert "世纪大道100号" in (await boss.says(f"面单 {no}")).text
    assert not [facts for facts in await _noted(town) if "世纪大道" in facts], "no record says where somebody lives"
    await mei.says(f"改地址 {no} {WHERE}")  # packed: a wish
    assert WHERE.split()[2] in (await boss.says(f"改地址 {no} {ELSEWHERE}")).text, "the wish is answered first"
    await boss.says(f"不改 {no}")
    await boss.says(f"发货 {no} SF1234567890")
    assert "现在改不了了" in (await boss.says(f"改地址 {no} {ELSEWHERE}")).text
    assert not await broken(town)


async def test_freight_to_where_staff_send_it_costs_its_buyer_nothing_more(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    await freight(town, Zone(("上海市",), 1, 500), Zone(("新疆维吾尔自治区",), 1, 2000), Zone((), 1, 900))
    no = await _paid(town, mei)
    assert "运费" not in (await boss.says(f"改地址 {no} 李四 13900139000 新疆乌鲁木齐市天山区人民路1号")).text
    assert "¥4 正在退给买家" in (await boss.says(f"改地址 {no} {ELSEWHERE}")).text
    for _ in range(3):
        await town.later(minutes=2)
    assert "¥4" in told(mei)
    assert not await broken(town)


async def _states(town: Town) -> list[str]:
    return [row.state for row in await town.stage.house.store.reader.all(select(Order.state))]


async def _noted(town: Town) -> list[str]:
    return [str(row.facts) for row in await town.stage.house.store.reader.all(select(Audit.facts))]
