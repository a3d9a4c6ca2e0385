"""What is said to the shop as its manners tell it, sentence by sentence: what came of it is read word for word."""

import pytest
from follower import Follower
from sqlalchemy import select
from test_aftersale import arrived, confirms, paid, photo, states
from test_sale import GREEN, WHERE, customer, number, orders, told
from town import Town

from bot.simulator.driver import Heard
from models.address import Address
from models.order import Order
from models.subscription import Subscription

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

SHANGHAI = "李四 13900139000 上海市浦东新区世纪大道100号"
HONG_KONG = "李四 13900139000 香港特别行政区油尖旺区弥敦道1号"


def lines(heard: Heard) -> list[str]:
    """The lines of an answer without its numbered ones."""
    return [line for line in heard.text.splitlines() if line.strip() and not line[:1].isdigit()]


async def live(town: Town) -> list[str]:
    """The subscriptions that live."""
    rows = await town.stage.house.store.reader.all(select(Subscription.topic).where(Subscription.state == "live"))
    return [row.topic for row in rows]


async def opened(town: Town, one: Follower, what: str = "开团 A1") -> str:
    """A group that was opened and paid for: its code."""
    await one.pays(await orders(one, what))
    await town.settles()
    return next(heard.text.split("：")[1].split(" ")[0] for heard in one.inbox if "团开好了" in heard.text)


# -- following ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["wechat", "weibo"])
async def test_the_last_line_of_the_welcome_asks_for_the_news(town: Town, door: str) -> None:
    hello = await getattr(town, door)("小美").follows()
    assert len(hello.choices) == 3
    assert hello.text.splitlines()[-1].endswith("回 要 或 不用。")


async def test_a_yes_that_comes_after_a_no_is_no_consent(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("不用")
    await town.later(minutes=1)
    await mei.says("要")
    assert await live(town) == []


async def test_who_comes_back_by_a_card_sees_its_thing_first_and_then_what_had_stopped(town: Town) -> None:
    mei, hao = await customer(town, "小美"), await customer(town, "阿强")
    await hao.says("订阅 龙井")
    await paid(town, hao)
    await hao.unfollows()
    await mei.says("邀请卡 A4")
    await town.settles()
    card = mei.last.picture
    assert card is not None
    seen = (await hao.scans(card)).text
    assert seen.startswith("朋友觉得您会喜欢：祁门红茶（A4）")
    assert seen.splitlines()[-1].startswith("欢迎回来。您有 1 个订单还没走完")
    assert "以前订阅的龙井停着" in seen
    new = town.wechat("小王")
    assert "欢迎回来" not in (await new.scans(card)).text


async def test_the_news_of_the_payment_comes_before_the_question_that_waited_for_it(town: Town) -> None:
    hao = town.wechat("阿强")
    await hao.follows("card:ZZZZ")
    hao.inbox  # noqa: B018
    await hao.pays(await orders(hao, GREEN))
    await town.settles()
    sent = [heard.text for heard in hao.inbox]
    assert "收到您的付款" in sent[0]
    assert "告诉您一声吗" in sent[-1]


# -- numbers --------------------------------------------------------------------------------------------


async def test_a_question_whose_numbers_are_too_old_is_put_again(town: Town) -> None:
    mei = await customer(town, "小美")
    asked = await mei.says("买 A1")
    await town.later(minutes=31)
    again = await mei.says("2")
    assert "过期" in again.text
    assert again.choices == asked.choices
    assert "寄到哪里" in (await mei.says("2")).text


async def test_the_reasons_of_a_refund_are_listed_again_when_they_are_too_old(town: Town) -> None:
    mei = await customer(town, "小美")
    await paid(town, mei)
    asked = await mei.says("退款")
    await town.later(minutes=31)
    again = await mei.says("1")
    assert again.choices == asked.choices
    assert await states(town) == []


@pytest.mark.parametrize("before", ["follow", "加 A11 50g 罐装", "注销确认"])
async def test_what_stood_under_something_done_is_listed_again_and_nothing_is_done_twice(
    town: Town, before: str
) -> None:
    mei = town.wechat("小美")
    first = await mei.follows()
    listed = first if before == "follow" else await mei.says(before)
    if not listed.choices:
        return
    await town.later(minutes=31)
    for _ in range(2):
        again = await mei.says("1")
        assert "过期" in again.text
        assert again.choices == listed.choices
        await town.later(minutes=31)


async def test_orders_to_cancel_are_listed_as_they_are_by_then(town: Town) -> None:
    mei = await customer(town, "小美")
    await orders(mei, GREEN)
    await orders(mei, "买 A21")
    assert len((await mei.says("取消")).choices) == 2
    await town.later(minutes=31)
    again = await mei.says("1")
    assert "已取消" in again.text
    assert "待付款" not in again.text


async def test_nought_is_a_number_beyond_the_list(town: Town) -> None:
    mei = await customer(town, "小美")
    await mei.says("商品")
    assert "没有第 0 行" in (await mei.says("0")).text


async def test_so_many_pieces_before_anything_was_shown_are_asked_of_what(town: Town) -> None:
    mei = await customer(town, "小美")
    assert "哪一样" in (await mei.says("3盒")).text
    await mei.says("商品")
    assert "来3份第1个" in (await mei.says("3盒")).text
    assert "A2" in (await mei.says("2")).text, "the list stays"


async def test_what_was_put_in_since_may_be_taken_out_at_once(town: Town) -> None:
    mei = await customer(town, "小美")
    for _ in range(2):
        await mei.says("加 A11 50g 罐装")
        await mei.says("购物车")
        assert "空" in (await mei.says("删 1")).text


# -- what may be left out -------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["加", "加 x2", "加两份"])
async def test_the_code_may_be_left_out_where_something_is_put_into_the_cart(town: Town, said: str) -> None:
    mei = await customer(town, "小美")
    assert "哪一样" in (await mei.says(said)).text
    await mei.says("看 A11")
    assert "哪一种" in (await mei.says(said)).text
    kept = (await mei.says("1")).text
    assert "放进购物车了：桐乡胎菊" in kept
    assert ("×2" in kept) == (said != "加")


async def test_the_code_may_be_left_out_where_something_is_looked_at(town: Town) -> None:
    mei = await customer(town, "小美")
    no = await paid(town, mei)
    await town.later(minutes=11)
    await mei.says("看 A4")
    for said in ("看", "看这个", "看刚才那个"):
        assert "祁门红茶（A4）" in (await mei.says(said)).text
    await town.later(minutes=1)
    await mei.says(f"订单 {no}")
    assert no in (await mei.says("看这个")).text


async def test_the_one_from_last_time_is_the_last_completed_order_and_is_not_ordered_by_pointing_at_it(
    town: Town,
) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await arrived(town, boss, mei)
    await paid(town, mei, "买 A21", "1")
    await town.later(minutes=11)
    seen = await mei.says("上次那个")
    assert f"订单 {no} · 已完成" in seen.text
    assert "怎么了" in (await mei.says("退款上次那个")).text
    await mei.says("算了")
    assert len(await town.stage.house.store.reader.all(select(Order.id))) == 2
    assert "桐乡胎菊" in (await mei.says("上次买的那个再来一份")).text
    assert len(await town.stage.house.store.reader.all(select(Order.id))) == 3


async def test_the_only_group_that_can_be_joined_is_joined_and_of_several_one_is_asked_which(town: Town) -> None:
    mei, hao, lan = [await customer(town, name) for name in ("小美", "阿强", "小兰")]
    assert "可以拼团" in (await hao.says("参团")).text
    one = await opened(town, mei)
    assert "3人团" in (await orders(hao, "参团")).text
    await mei.pays(await mei.says("开团 A6"))
    await town.settles()
    asked = await lan.says("参团")
    assert len(asked.choices) == 2
    assert "3人团" in (await orders(lan, next(n for n, words in asked.choices.items() if one in words))).text
    assert "可以拼团" in (await mei.says("参团")).text or "能开的团" in mei.last.text, (
        "nobody joins a group of their own"
    )


async def test_what_a_group_is_opened_for_is_asked_and_the_number_opens_it(town: Town) -> None:
    mei = await customer(town, "小美")
    asked = await mei.says("开团")
    which = next(n for n, words in asked.choices.items() if "茉莉花茶" in words)
    assert "2人团" in (await orders(mei, which)).text


async def test_which_group_is_left_is_asked_by_number_and_left_by_the_word(town: Town) -> None:
    mei = await customer(town, "小美")
    await opened(town, mei)
    await mei.pays(await mei.says("开团 A6"))
    await town.settles()
    assert len((await mei.says("退团")).choices) == 2
    assert "再回一次 退团" in (await mei.says("1")).text
    assert "已退出" in (await mei.says("退团")).text


async def test_the_only_label_that_waits_is_shown_and_its_order_is_packed(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei)
    assert no in (await boss.says("打单")).text
    assert "已转告店主" in (await mei.says(f"改地址 {SHANGHAI}")).text
    assert "先别发" in (await boss.says(f"发货 {no} SF1234567890")).text


# -- leaving --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", ["停", "停止", "请不要再打扰我", "不要再打扰了", "消息免打扰", "烦", "不接收", "别再来了", "垃圾信息"]
)
async def test_an_exit_is_heard_in_whatever_words(town: Town, said: str) -> None:
    mei = await customer(town, "小美")
    await mei.says("订阅 龙井")
    left = await mei.says(said)
    assert left.text == "好，以后不再给您发推送。"
    assert await live(town) == []


# -- everyday questions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["钱怎么还没到", "钱怎么没到", "多久到帳", "钱一直没到"])
async def test_where_the_money_is_is_asked_in_many_words(town: Town, said: str) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei)
    await mei.says(f"退款 {no} 不想要了")
    await confirms(boss, f"同意 {no}")
    assert "原路退回" in (await mei.says(said)).text


@pytest.mark.parametrize("said", ["我填错地址了", "写错地址了怎么办"])
async def test_an_address_that_was_written_wrongly_is_changed(town: Town, said: str) -> None:
    mei = await customer(town, "小美")
    no = await paid(town, mei)
    assert f"订单 {no} 改寄哪里" in (await mei.says(said)).text


@pytest.mark.parametrize(
    ("said", "fact"),
    [
        ("龙井保质期", "18个月"),
        ("核桃的配料", "核桃、食用盐"),
        ("芒果干产地", "广西百色"),
        ("瓜子的过敏原", "同线加工花生"),
        ("龙井价格", "¥88"),
    ],
)
async def test_goods_and_what_is_asked_of_them_need_no_question_mark(town: Town, said: str, fact: str) -> None:
    assert fact in (await town.wechat("小美").says(said)).text


@pytest.mark.parametrize("said", ["便宜点的龙井", "散装瓜子", "龙井", "坚果"])
async def test_words_before_goods_are_a_wish_for_goods(town: Town, said: str) -> None:
    heard = await town.wechat("小美").says(said)
    assert heard.choices
    assert "标价" not in heard.text


@pytest.mark.parametrize("said", ["淘宝上更便宜", "打个折吧老板", "今日特价有吗", "网上更低", "讲讲价"])
async def test_who_haggles_hears_what_can_be_used_and_the_second_time_is_told_so_shortly(town: Town, said: str) -> None:
    mei = await customer(town, "小美")
    first = (await mei.says(said)).text
    assert "拼团" in first
    second = (await mei.says(said)).text
    assert "人工" in second
    assert len(second) < len(first)


async def test_what_is_on_screen_comes_first_among_what_can_be_used(town: Town) -> None:
    mei = await customer(town, "小美")
    await mei.says("看 A6")
    assert lines(await mei.says("最低多少"))[1].startswith("茉莉花茶 2 人拼团")
    hao = await customer(town, "阿强")
    assert lines(await hao.says("最低多少"))[1].startswith("纸皮核桃") or "凤梨酥" in hao.last.text


# -- the shape of an answer -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", ["取消", "付款", "退团", "收货", "退款", "备注", "再来一单", "买 A99", "订单 ABCDEFG9"]
)
async def test_a_refusal_is_never_repeated_word_for_word_and_offers_a_person(town: Town, said: str) -> None:
    mei = await customer(town, "小美")
    await mei.says("不用")
    heard = [(await mei.says(said)).text for _ in range(3)]
    assert len(set(heard)) == 3
    assert "人工" in heard[1]


async def test_what_was_not_understood_is_said_more_shortly_the_second_time(town: Town) -> None:
    mei = await customer(town, "小美")
    first, second, third = [await mei.says("你说的话让我觉得怪怪的呢") for _ in range(3)]
    assert "这句我没听懂" in first.text
    assert len(second.text) < len(first.text)
    assert "人工" in second.choices.values()
    assert third.text != second.text


@pytest.mark.parametrize("what", [GREEN, "开团 A1", "参团"])
async def test_an_order_is_read_back_in_eight_lines(town: Town, what: str) -> None:
    await opened(town, await customer(town, "小王"))
    mei = await customer(town, "小美")
    placed = await orders(mei, what)
    assert "运费 ¥8" in placed.text
    assert "合计" in placed.text
    assert len(lines(placed)) <= 8
    assert len(placed.text) <= 300
    assert ("成团后 48 小时内发出" in placed.text) == (what != GREEN), "the promise counts from when it fills"


async def test_a_voice_without_its_words_is_asked_for_them(town: Town) -> None:
    mei = await customer(town, "小美")
    assert "转文字" in (await mei.sends("voice", MediaId="m", Format="amr")).text


# -- after-sale -----------------------------------------------------------------------------------------


async def test_what_is_wrong_is_heard_in_traditional_characters_and_its_picture_is_thanked_for(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    await arrived(town, boss, mei)
    assert "想怎么处理" in (await mei.says("壞了")).text
    assert (await mei.sends_picture(photo())).text.startswith("照片收到了。\n桐乡胎菊")
    assert "照片收到了" not in (await mei.says("2")).text


async def test_what_is_applied_for_names_the_pieces_that_it_is_about(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    await arrived(town, boss, mei, "买 A11 x3")
    await mei.says("罐子瘪了")
    await mei.says("2")
    assert "×2 的补发申请" in (await mei.says("补发")).text


# -- addresses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["地址 ", ""])
async def test_a_house_number_that_was_missing_is_put_behind_its_street(town: Town, first: str) -> None:
    mei = await customer(town, "小美")
    if not first:
        await mei.says("买 A11 50g 罐装")
    assert "门牌号" in (await mei.says(f"{first}张三 13800138000 浙江省杭州市西湖区文三路")).text
    assert "浙江省杭州市西湖区文三路12号" in (await mei.says("12号")).text


async def test_a_place_of_the_book_that_is_taken_for_one_order_is_for_this_order_only(town: Town) -> None:
    mei = await customer(town, "小美")
    await mei.says(f"地址 公司 {SHANGHAI}")
    await mei.says(f"地址 家 {WHERE}")
    for said in ("寄公司", "改地址 公司"):
        no = number(await orders(mei, GREEN))
        assert "上海市" in (await mei.says(said)).text
        assert "上海市" in (await mei.says(f"订单 {no}")).text
        assert "现在寄第 2 个" in (await mei.says("地址")).text
    rows = await town.stage.house.store.reader.all(select(Address.title).order_by(Address.used.desc()))
    assert rows[0].title == "家"


async def test_another_address_is_chosen_from_the_book_where_no_order_waits(town: Town) -> None:
    mei = await customer(town, "小美")
    await mei.says(f"地址 公司 {SHANGHAI}")
    await mei.says(f"地址 家 {WHERE}")
    assert "公司" in (await mei.says("换地址")).choices["1"]
    assert "寄到公司" in (await mei.says("1")).text


async def test_where_the_shop_says_it_does_not_send_it_takes_no_order(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    assert "港澳台和海外暂时寄不了" in (await mei.says("港澳")).text
    await mei.says("买 A11 50g 罐装")
    assert "送不到" in (await mei.says(HONG_KONG)).text
    assert await town.stage.house.store.reader.all(select(Order.id)) == []
    no = await paid(town, mei)
    assert "送不到" in (await mei.says(f"改地址 {HONG_KONG}")).text
    assert no in (await boss.says("待发货")).text
    await confirms(boss, "设运费 首1件8元 续1件2元；香港 首1件30元 续1件10元")
    assert "改寄" in (await mei.says(f"改地址 {HONG_KONG}")).text


async def test_who_cancels_while_a_group_forms_is_told_of_leaving_it(town: Town) -> None:
    mei = await customer(town, "小美")
    await opened(town, mei)
    heard = await mei.says("取消")
    assert "可以退团" in heard.text
    assert "退团" in heard.choices["1"]


# -- in the middle of a question ------------------------------------------------------------------------


async def test_what_is_asked_in_between_leaves_the_question_open(town: Town) -> None:
    mei = await customer(town, "小美")
    no = await paid(town, mei)
    assert "写什么" in (await mei.says("备注")).text
    for said in ("发货了吗", "付了没", "邮费多少"):
        assert "记下了" not in (await mei.says(said)).text
    assert f"订单 {no} 记下了备注：放门卫" in (await mei.says("放门卫")).text


async def test_the_word_address_while_an_order_waits_for_one_does_not_lose_the_order(town: Town) -> None:
    mei = await customer(town, "小美")
    await mei.says("买 A11 50g 罐装")
    assert "还没有您的收货地址" in (await mei.says("地址")).text
    assert "合计" in (await mei.says(WHERE)).text


@pytest.mark.parametrize("said", ["我的单子", "看看我的单子", "我买的东西", "我下的单"])
async def test_the_orders_are_shown_by_what_people_call_them(town: Town, said: str) -> None:
    mei = await customer(town, "小美")
    await orders(mei, GREEN)
    assert "您的订单，新的在前：" in (await mei.says(said)).text


@pytest.mark.parametrize(("said", "fen"), [("5块5", "¥5.5"), ("退五块五吧", "¥5.5"), ("十块", "¥10")])
async def test_a_sum_is_heard_as_people_say_it(town: Town, said: str, fen: str) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    await arrived(town, boss, mei)
    await mei.says("坏了")
    await mei.says("退一部分")
    assert fen in (await mei.says(said)).text


async def test_on_weibo_a_notice_says_what_to_type_about_its_very_order(town: Town) -> None:
    boss, lin = await town.owner(), town.weibo("小林")
    await lin.follows()
    await lin.says(f"地址 {WHERE}")
    await orders(lin, GREEN)
    await town.settles()
    no = number(lin.last)
    await lin.pays(lin.last)
    await town.settles()
    assert f"回 订单 {no}" in told(lin)
    await town.later(hours=47)
    await lin.says("你好")
    await town.later(hours=2)
    assert "回 人工" in told(lin).splitlines()
    await boss.says(f"发货 {no} SF1234567890")
    await town.later(minutes=3)
    assert f"回 收货 {no}" in told(lin)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("好的，买 A11", "桐乡胎菊"),
        ("嗯嗯 购物车", "购物车"),
        ("转接人工客服", "真人每天"),
        ("有没有真人", "要真人，回 人工"),
        ("我要一张邀请卡", "正在画"),
    ],
)
async def test_politeness_around_a_command_takes_nothing_from_it(town: Town, said: str, heard: str) -> None:
    mei = await customer(town, "小美")
    await mei.says("不用")
    assert heard in (await mei.says(said)).text
