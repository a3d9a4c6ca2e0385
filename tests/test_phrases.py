"""A command is heard with marks, stickers and courtesies around it, and never out of a question."""

import pytest
from town import Town

from handlers.asking import Intent
from handlers.intents import (
    Browse,
    Buy,
    CancelOrder,
    Checkout,
    ClearCart,
    Groups,
    Help,
    InviteCard,
    JoinGroup,
    ListCases,
    ListOrders,
    More,
    MyParcel,
    OpenGroup,
    PayForMe,
    PayOrder,
    Person,
    RefundOrder,
    Search,
    ShowCart,
    ShowGroup,
    ShowOrder,
    ShowProduct,
    Subscribe,
    Unsubscribe,
    WithdrawCase,
)
from handlers.resolving import resolve
from handlers.routing import Told
from models.staff import Role
from models.talk import Talking

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

HEARD = {
    "商品！": Browse,
    "商品。": Browse,
    "商品[微笑]": Browse,
    "商品😊": Browse,
    "请问商品": Browse,
    "購物車~": ShowCart,
    "购物车呢": ShowCart,
    "订单？": ListOrders,
    "我的订单呢": ListOrders,
    "去付款啊": PayOrder,
    "取消订单！！": CancelOrder,
    "取消订单吧": CancelOrder,
    "麻烦取消订单": CancelOrder,
    "帮我取消订单，谢谢": CancelOrder,
    "结算！": Checkout,
    "帮我清空购物车": ClearCart,
    "看看A11": ShowProduct,
    "买 A11！": Buy,
    "我想买 A11": Buy,
    "我要开团 A6": OpenGroup,
    "我要团购": Groups,
    "我要订阅 龙井": Subscribe,
    "人工！": Person,
    "人工？": Person,
    "我要人工": Person,
    "帮助！": Help,
    "退款！": RefundOrder,
    "退錢！！！": RefundOrder,
    "退款吧": RefundOrder,
    "给我退钱": RefundOrder,
    "快退钱": RefundOrder,
    "把钱退给我": RefundOrder,
    "赶紧把钱退给我！": RefundOrder,
    "撤回": WithdrawCase,
    "撤回！": WithdrawCase,
    "代付一下": PayForMe,
    "帮我付": PayForMe,
    "让我老公付": PayForMe,
    "找朋友帮忙付款": PayForMe,
    "能代付吗": PayForMe,
    "朋友代付怎么弄": PayForMe,
    "看看购物车": ShowCart,
    "查一下订单": ListOrders,
    "我要退了": RefundOrder,
    "还有别的吗": More,
    "代付链接再发我一下": PayForMe,
    "你们是卖什么的呀": Browse,
    "店里有什么": Browse,
    "你们家都卖些啥东西": Browse,
    "退订！": Unsubscribe,
    "快递呢": MyParcel,
    "我想要龙井": Search,
    "怎么邀请朋友": InviteCard,
    "分享给朋友": InviteCard,
}
ONLY_ASKED = (
    "取消订单？",
    "取消订单吗",
    "能取消订单吗",
    "清空购物车吗",
    "退订单吗",
    "不退款",
    "先付钱",
    "来付款",
    "货到付款",
    "不要代付了",
    "已经代付了",
    "麻烦同意",
    "麻烦你同意吧",
)


async def test_what_is_typed_around_a_command_does_not_hide_it(town: Town) -> None:
    found = {words: type(heard(town, words)) for words in HEARD}
    assert found == HEARD


async def test_a_group_is_looked_at_by_its_code_among_words_and_goods_by_the_word_for_groups(town: Town) -> None:
    assert heard(town, "G7K2还能进吗") == ShowGroup("G7K2")
    assert heard(town, "参加G7K2") == JoinGroup("G7K2")
    assert heard(town, "gate怎么走") != ShowGroup("GATE")
    for words in ("龙井那个团怎么买", "我想开个龙井的团", "有人拼龙井吗"):
        assert heard(town, words) == ShowProduct("A1"), words
    assert not isinstance(heard(town, "有团圆饼吗"), ShowProduct | Groups), "its name holds the word"


async def test_a_question_about_a_command_changes_nothing(town: Town) -> None:
    assert {words for words in ONLY_ASKED if heard(town, words).changes} == set()
    assert not any(isinstance(heard(town, words), PayForMe | CancelOrder | ClearCart) for words in ONLY_ASKED)


async def test_how_groups_work_is_told_and_not_searched_for(town: Town) -> None:
    mei = town.wechat("小美")
    for words in ("拼团怎么玩", "有团吗", "啥时候成团", "不成团怎么办", "几个人成团？", "拼團怎麼開"):
        assert "全额原路退" in (await mei.says(words)).text, words


async def test_staff_hear_how_a_command_is_written(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    assert "发货 单号 顺丰" in (await boss.says("发货 x")).text
    assert "顺丰" not in (await mei.says("发货 x")).text, "nobody else hears of commands"
    assert "今天付款 0 单" in (await boss.says("今天卖了多少")).text
    assert "库存" in (await boss.says("改库存 A1")).text


async def test_words_of_ones_own_keep_their_marks(town: Town) -> None:
    assert heard(town, "备注 轻拿轻放！").to_json()["words"] == "轻拿轻放！"
    assert heard(town, "搜 龙井！").to_json()["words"] == "龙井！"


async def test_a_tap_or_the_word_that_comes_twice_cancels_once(town: Town) -> None:
    """The second one spoke of another order, which was paid."""
    mei = town.wechat("小美")
    await mei.says("地址 张三 13800138000 浙江省杭州市西湖区文三路1号")
    await mei.pays(await mei.says("买 A11 50g 罐装"))
    await town.settles()
    await mei.says("买 A11 50g 罐装")
    first = await mei.says("取消订单")
    assert "已取消，没有扣款" in first.text
    assert (await mei.says("取消订单")).text == first.text


def heard(town: Town, words: str) -> Intent:
    """What a customer who says this, out of the blue, is taken to want."""
    house = town.stage.house
    told = Told("wechat", "gh", "oMei", "1", text=words)
    return resolve(told, Talking(), house.clock.now(), house.catalogs.current, role=Role.ANYONE)


async def test_the_words_of_a_next_step_may_be_typed_instead_of_its_number(town: Town) -> None:
    lin = town.weibo("小林")  # where nothing can be tapped
    await lin.follows()
    assert "开团 3人 ¥69" in (await lin.says("看 A1")).choices.values()
    assert "寄到哪里" in (await lin.says("开团3人 ￥69")).text
    await lin.says("算了")
    await lin.says("看 A1")
    assert "人团" in (await lin.says("团")).text
    assert "寄到哪里" not in (await lin.says("开团3人 ￥69")).text, "it is not on screen any more"
    await lin.says("看 A1")
    await town.later(minutes=31)
    assert "寄到哪里" not in (await lin.says("开团3人 ￥69")).text, "it was on screen half an hour ago"


async def test_what_stands_on_older_answers_is_understood_wherever_one_is(town: Town) -> None:
    words = ("看订单", "售后进度", "再看看别的", "看看商品", "逛逛有什么", "正在拼的团")
    kinds = (ShowOrder, ListCases, Browse, Browse, Browse, Groups)
    assert tuple(type(heard(town, said)) for said in words) == kinds


async def test_the_space_between_a_code_and_words_may_be_missing(town: Town) -> None:
    for words in ("备注 K7M2P9QA 轻拿轻放", "改地址 K7M2P9QA 张三 13800138000 杭州西湖区文三路1号", "聊 K7M2P9QA 在吗"):
        apart, glued = heard(town, words), heard(town, words.replace(" K7M2P9QA ", "K7M2P9QA"))
        assert glued == apart, words
        assert glued.to_json()["order"] == "K7M2P9QA"
    assert heard(town, "加A11礼盒") == heard(town, "加 A11 礼盒")


@pytest.mark.parametrize("words", ["要大罐的", "罐装的吧", "250克罐装", "来个罐装", "88的", "250g 罐装"])
async def test_an_option_is_meant_by_a_part_of_its_words(town: Town, words: str) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    assert "要哪种规格" in (await mei.says("买 A1")).text
    assert "寄到哪里" in (await mei.says(words)).text


async def test_what_fits_several_options_is_asked_again(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    for words in ("250克的", "要大的", "随便"):
        await mei.says("买 A1")
        assert "寄到哪里" not in (await mei.says(words)).text, words
