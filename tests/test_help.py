"""Ways on where a sentence could have ended nowhere: what is not offered, a person, a line of another kind."""

import re

import pytest
from test_manners import CATALOG, NOON, WHERE, meant
from town import Town

from handlers.asking import Intent
from handlers.intents import Anger, NotOffered, OpenGroup, Search, ShowOrder, ShowProduct
from models.search import understand
from models.talk import Talking


def talk(*lines: Intent) -> Talking:
    """A talk in which these lines were just offered."""
    return Talking(offered=[line.to_json() for line in lines], offered_at=NOON.timestamp())


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("秒杀", "秒杀"), ("砍价 A12", "砍价"), ("帮砍 B9X1", "砍价"), ("评价 5 很好喝", "评价"),
        ("积分", "积分"), ("簽到", "签到"),
        ("抽獎", "抽奖"), ("会员", "会员"), ("投票", "投票"), ("我的邀请", "邀请奖励"),
        ("points", "积分"), ("checkin", "签到"), ("领 C5", "优惠券"), ("claim C5", "优惠券"),
        ("建议 多进点红茶", "建议"), ("suggest more black tea", "建议"), ("送礼 A1", "送礼"), ("附言 生日快乐", "送礼"),
        ("到货提醒", "到货提醒"), ("到货提醒 A11", "到货提醒"), ("降价提醒 A1 60", "降价提醒"),
        ("我的数据", "我的数据"), ("my data", "我的数据"),
    ],
)  # fmt: skip
def test_what_this_shop_has_not_is_not_searched_for(said: str, what: str) -> None:
    found = meant(said)
    assert isinstance(found, NotOffered)
    assert found.what == what


async def test_who_wants_to_be_told_when_it_is_back_may_subscribe_to_it(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    assert "订阅 桐乡胎菊" in (await mei.says("到货提醒 A11")).text
    assert "有“桐乡胎菊”的消息就告诉您" in (await mei.says("1")).text


@pytest.mark.parametrize("channel", ["wechat", "weibo"])
async def test_a_voice_that_was_not_recognised_asks_for_words(town: Town, channel: str) -> None:
    mei = getattr(town, channel)("小美")
    await mei.follows()
    sent = {"MediaId": "V", "Format": "amr"} if channel == "wechat" else {"tovfid": "1", "vfid": "2"}
    heard = await mei.sends("voice", **sent)
    assert "这条没转成文字" in heard.text
    assert "没听懂" not in (await mei.sends("voice", **sent)).text
    if channel == "wechat":
        assert "明前龙井" in (await mei.sends("voice", **sent, Recognition="龙井")).text


async def test_an_idea_that_answers_a_question_is_its_answer(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("买 A11 50g 罐装")
    await mei.says(WHERE)
    await mei.says("备注")
    assert "记下了备注：建议用纸箱" in (await mei.says("建议用纸箱")).text


@pytest.mark.parametrize("said", ["12315", "１２３１５", "12345"])
def test_the_consumers_hotline_is_no_line_of_a_list(said: str) -> None:
    assert meant(said, talk(ShowProduct("A1"), ShowProduct("A2"))) == Anger()


def test_looking_at_a_line_opens_what_it_is_and_does_nothing() -> None:
    assert meant("看第2个", talk(ShowProduct("A1"), ShowProduct("A2"))) == ShowProduct("A2")
    assert meant("看第2个", talk(ShowProduct("A1"), Search("龙井"))) == Search("龙井")
    assert meant("看第2个", talk(ShowProduct("A1"), OpenGroup("A1"))) == ShowOrder()


@pytest.mark.parametrize(("said", "code"), [("A01", "A1"), ("看 a012", "A12"), ("Ａ０１", "A1"), ("A10", "A10")])
def test_noughts_before_a_number_are_none_of_it(said: str, code: str) -> None:
    assert meant(said) == ShowProduct(code)


@pytest.mark.parametrize("said", ["有什么好茶", "你们有什么茶", "有没有好茶呢", "我要买茶", "想喝点茶"])
def test_one_character_names_goods_where_it_is_asked_for(said: str) -> None:
    assert meant(said) == Search("茶")


def test_a_cake_to_go_with_tea_is_no_tea() -> None:
    found = [hit.doc.category for hit in CATALOG.index.find(understand("便宜点的茶", CATALOG.index))]
    assert found
    assert "糕点" not in found


def test_what_comes_nearest_is_of_the_kind_that_was_named() -> None:
    def nearest(said: str) -> list[str]:
        return [hit.doc.category for hit in CATALOG.index.nearest(understand(said, CATALOG.index))]

    assert set(nearest("马蹄糕")) == {"糕点"}
    assert nearest("后台") == nearest("手机") == []


async def test_within_bounds_the_spec_that_fits_is_named(town: Town) -> None:
    heard = await town.wechat("小美").says("一百左右的茶")
    assert "明前龙井 250g 罐装 ¥88" in heard.text
    prices = [float(price) for price in re.findall(r"¥([0-9.]+)", heard.text.split("：", 1)[1])]
    assert all(80 <= price <= 120 for price in prices)


async def test_an_address_with_its_word_before_it_answers_the_order_that_waits_for_it(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    assert "寄到哪里" in (await mei.says("买 A1 250g 罐装")).text
    assert "合计" in (await mei.says(f"地址 {WHERE}")).text


async def test_no_is_heard_by_the_question_about_a_group(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("开团 A1")
    await mei.pays(await mei.says(WHERE))
    await town.settles()
    await mei.says("退团")
    assert "给您留着" in (await mei.says("不退了")).text


async def test_present_boxes_are_found_whatever_the_dictionary_cuts(town: Town) -> None:
    for said in ("有礼盒吗", "搜 礼盒", "三百以内的礼盒"):
        heard = (await town.wechat("小美").says(said)).text
        assert "明前龙井" in heard
        assert "祁门红茶" in heard


async def test_only_words_for_goods_are_offered_to_subscribe_to(town: Town) -> None:
    mei = town.wechat("小美")
    assert "订阅" not in (await mei.says("讲个笑话")).text
    assert "订阅 马蹄糕" in (await mei.says("搜 马蹄糕")).text


async def test_what_a_group_costs_stands_beside_the_spec_it_is_for(town: Town) -> None:
    mei = town.wechat("小美")
    assert "拼团：250g 罐装 3 人 ¥69" in (await mei.says("看 A1")).text  # 50g is ¥26: a group of ¥69 would be dear
    assert "250g 罐装 3 人拼团 ¥69" in (await mei.says("龙井多少钱")).text


async def test_a_card_alone_is_the_one_for_the_group_that_waits_for_friends(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("开团 A1")
    await mei.pays(await mei.says(WHERE))
    await town.settles()
    await mei.says("看 A2")
    assert "明前龙井 250g 罐装的邀请卡" in (await mei.says("邀请卡")).text
    assert "洞庭碧螺春的邀请卡" in (await mei.says("邀请卡 A2")).text


async def test_whoever_asks_for_a_person_is_named_to_staff_once_an_hour(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    for words in ("人工", "有人吗", "客服"):
        await mei.says(words)
    await town.settles()
    assert len([heard for heard in boss.inbox if "找人工" in heard.text]) == 1
    assert "回头见" in (await mei.says("结束")).text
    await town.later(minutes=61)
    await mei.says("人工")
    await town.settles()
    assert len([heard for heard in boss.inbox if "找人工" in heard.text]) == 1


async def test_a_one_that_is_sent_twice_cancels_no_order(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("买 A1 250g 罐装")
    await mei.says(WHERE)
    for _ in range(3):  # 1. 去付款
        assert "已取消" not in (await mei.says("1")).text
    assert "待付款" in (await mei.says("订单")).text


async def test_a_yes_to_an_order_that_was_just_made_makes_no_other(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("买 A1 250g 罐装")
    assert "合计" in (await mei.says(WHERE)).text
    assert "规格" not in (await mei.says("要")).text


async def test_the_log_speaks_as_people_do(town: Town) -> None:
    boss = await town.owner()
    await boss.says("停团 A1")
    await boss.says("推送 #龙井 明天10:00 新茶到了")
    await boss.says("确认")
    said = (await boss.says("日志")).text
    assert "店主 推送 #龙井 新茶到了" in said
    assert "店主 停团 A1" in said
    assert not re.search(r"[a-z]{4}|\d{9}", said)
