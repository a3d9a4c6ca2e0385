"""The shop's manners, through the real doors: what people really say, and what the shop then says and does."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import pytest
from conftest import NOON
from follower import Follower
from sqlalchemy import func, select
from test_topics import UTTERANCES
from town import Town

from bot.demo import catalogue
from bot.simulator.driver import Heard
from bot.step import providable
from handlers.asking import Intent
from handlers.data import synonyms
from handlers.intents import Browse, Buy, BuyLines, NotUnderstood, Search, ShowProduct, Unsubscribe, WelcomeNews
from handlers.resolving import resolve
from handlers.routing import Told, load
from models.address import Address
from models.cart import CartLine
from models.catalog import Catalog
from models.follower import Follower as Row
from models.order import Order
from models.refund import Refund
from models.search import Index
from models.staff import Role
from models.subscription import Consent, Subscription
from models.talk import Talking
from models.words import word_lists

WHERE = "张三 13800138000 浙江省杭州市西湖区文三路1号"
CATALOG = Catalog(1, {}, (), ("茶叶", "坚果"), Index.build((p.doc for p in catalogue.load().products), synonyms()))
load(providable)


def meant(said: str, talk: Talking | None = None, role: Role = Role.ANYONE) -> Intent:
    """What the words mean in a talk, without any database."""
    return resolve(Told("wechat", "gh", "o", "1", text=said), talk or Talking(), NOON, CATALOG, role=role)


async def orders(person: Follower, what: str = "买 A11 50g 罐装") -> str:
    """An order that waits for its payment; gives its number."""
    heard = await person.says(what)
    if "寄到哪里" in heard.text:
        heard = await person.says(WHERE)
    found = re.search(r"订单 ([2-9A-HJ-NP-Z]{8})", heard.text)
    assert found, heard.text
    return found[1]


async def buys(town: Town, person: Follower, what: str = "买 A11 50g 罐装") -> str:
    """A paid order; gives its number."""
    number = await orders(person, what)
    await person.pays(person.last)
    await town.settles()
    return number


@dataclass(frozen=True)
class World:
    """What the words of one person could change."""

    orders: tuple[str, ...]
    wishes: tuple[str, ...]
    cart: int
    refunds: int

    @classmethod
    async def of(cls, town: Town, person: Follower) -> "World":
        read = town.stage.house.store.reader
        mine = select(Row.id).where(Row.who == person.person.who).scalar_subquery()
        states = await read.all(select(Order.state).where(Order.follower_id == mine).order_by(Order.id))
        wishes = await read.all(select(Subscription.state).where(Subscription.follower_id == mine))
        cart = await read.all(select(func.count()).select_from(CartLine).where(CartLine.follower_id == mine))
        refunds = await read.all(select(func.count()).select_from(Refund))
        return cls(tuple(r[0] for r in states), tuple(r[0] for r in wishes), cart[0][0], refunds[0][0])


def one_line(heard: Heard) -> bool:
    """One line, nothing to choose from and nothing to tap."""
    return bool(heard.text) and "\n" not in heard.text and not heard.choices and not heard.links


# -- seven words that live close together ------------------------------------------------------------------

STATES = ("nothing", "question", "unpaid", "on screen", "paid")
STOPPED = "以后不再给您发推送"
# What the shop says to each word in each of the states; the words' effects stand in EFFECTS, all others have none.
TABLE = {
    "取消": ("没有可以取消的", "先不弄", "已取消", "已取消", "已经付过款"),
    "退团": ("没有可退的", "没有可退的", "没有可退的", "没有可退的", "没有可退的"),
    "算了": ("^好|^嗯", "先不弄", "^好|^嗯", "^好|^嗯", "^好|^嗯"),
    "不用": ("^好|^嗯", "先不弄", "^好|^嗯", "^好|^嗯", "^好|^嗯"),
    "注销": ("注销会删掉", "注销会删掉", "1 个订单没走完", "1 个订单没走完", "1 个订单没走完"),
    "删 1": ("购物车", "购物车", "购物车", "购物车", "购物车"),
    "清空": ("清空了", "清空了", "清空了", "清空了", "清空了"),
    "退订": (STOPPED, STOPPED, STOPPED, STOPPED, STOPPED),
    "退款": ("还没有订单", "还没有订单", "直接取消", "直接取消", "是因为什么"),
    "不要了": ("^好|^嗯", "先不弄", "不要了回 取消", "不要了回 取消", "不要了回 退款"),
}
LEAVES = {"取消", "算了", "不用", "不要了"}  # an open question
EFFECTS = {
    "清空": lambda world, state: World(world.orders, world.wishes, 0, 0),
    "退订": lambda world, state: World(world.orders, ("left",), world.cart, 0),
    "取消": lambda world, state: (
        World(("closed",), world.wishes, world.cart, 0) if state in ("unpaid", "on screen") else world
    ),
}


@pytest.mark.parametrize("state", STATES)
async def test_seven_words_that_live_close_together(town: Town, state: str) -> None:
    mei, hao = town.wechat("小美"), town.wechat("阿强")
    number = ""
    for person in (mei, hao):
        await person.follows()
        await person.says("订阅 龙井")
        await person.says("加 A11 100g 罐装")
        if state == "paid":
            await buys(town, person)
        elif state in ("unpaid", "on screen"):
            number = await orders(person)
    if state in ("unpaid", "paid"):  # the order is no longer on screen
        await town.later(minutes=11)
    for word, answers in TABLE.items():
        person = mei if word == "取消" else hao  # no word but this one changes an order
        if state == "question":
            assert "寄到哪里" in (await person.says("买 A11 50g 罐装")).text
        elif state == "on screen" and person is hao:
            await person.says(f"订单 {number}")
        before = await World.of(town, person)
        heard = await person.says(word)
        assert re.search(answers[STATES.index(state)], heard.text), f"{word}: {heard.text}"
        assert await World.of(town, person) == (EFFECTS[word](before, state) if word in EFFECTS else before), word
        if word == "退订":
            assert heard.text.startswith("好，")
            assert not heard.links
            assert ("要退的是订单的话回 退款" in heard.text) == (state == "on screen")
        if state == "question" and word in LEAVES | {"退订"}:  # still open, if a piece of an address is taken as one
            assert ("哪个省" in (await person.says("文三路1号")).text) == (word == "退订"), word
        if (state, word) in (("paid", "不要了"), ("unpaid", "退款"), ("paid", "退款")):  # these have shown the order
            await town.later(minutes=31 if (state, word) == ("paid", "退款") else 11)  # and have asked why


async def test_in_a_forming_group_one_word_undoes_nothing_and_the_second_has_to_be_the_word(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await buys(town, mei, "开团 A1")
    offered = await mei.says("取消")
    assert "退团" in offered.text
    assert (await World.of(town, mei)).orders == ("forming",)
    asked = await mei.says("退团")
    assert "¥77 原路退回" in asked.text
    for said in ("1", "好", "要", "行"):
        await mei.says(said)
        assert (await World.of(town, mei)).orders == ("forming",), said
    assert "已退出" in (await mei.says("退团")).text
    assert (await World.of(town, mei)).orders == ("closed",)


async def test_of_several_unpaid_orders_the_bare_word_closes_none(town: Town) -> None:
    mei = town.wechat("小美")
    for _ in range(2):
        await orders(mei)
    assert "是哪一单" in (await mei.says("取消")).text
    assert (await World.of(town, mei)).orders == ("pending", "pending")
    await mei.says("2")
    assert (await World.of(town, mei)).orders == ("closed", "pending")


# -- C1: not everything is a search ------------------------------------------------------------------------


def test_no_everyday_question_of_real_life_is_searched_or_not_understood() -> None:
    wrong = [(t, said) for t, said in UTTERANCES if isinstance(meant(said), Search | NotUnderstood | ShowProduct)]
    assert wrong == []


def test_the_order_of_understanding() -> None:
    """A code, a phrase, an open question, a number, an everyday question, goods words."""
    talk = Talking()
    talk.offered, talk.offered_at = [ShowProduct("A1").to_json(), ShowProduct("A2").to_json()], NOON.timestamp()
    talk.question = {"intent": WelcomeNews().to_json(), "field": "answer", "options": [], "at": NOON.timestamp()}
    coded = Told("wechat", "gh", "o", "1", text="龙井", code="show:A7", tapped=True)
    assert resolve(coded, talk, NOON, CATALOG, role=Role.ANYONE) == ShowProduct("A7")
    assert meant("商品", talk) == Browse()
    assert meant("好的", talk) == WelcomeNews("yes")
    assert meant("2", talk) == ShowProduct("A2")
    assert type(meant("龙井什么时候发货", talk)).__name__ == "MyParcel"
    assert meant("龙井", talk) == Search("龙井")
    assert isinstance(meant("下雨了怎么办", talk), NotUnderstood)


def test_staff_phrases_that_begin_ordinary_sentences_are_theirs_only_with_the_right_words() -> None:
    for said in ("找妈妈", "今日天气", "发货了吗", "上架什么时候", "库存还有吗", "推送太多"):
        assert meant(said, role=Role.OWNER).role is Role.ANYONE, said


SAID = {
    "我的包裹到哪了": "没有在走的订单",
    "付了没": "没有在走的订单",
    "能用支付宝吗": "微信支付",
    "钱退了吗": "没看到您有退款",
    "地址写错了": "没有在走的订单",
    "压扁了": "给您添麻烦了",
    "邮費多少": "满 ¥99 包邮，不满收 ¥8",
    "走顺丰吗": "中通",
    "幾天能到": "48 小时内发出",
    "新疆能发吗": "都能寄",
    "七天无理由吗": "7 天内可以退换",
    "最低多少": "不讲价",
    "龙井保质期多久": "明前龙井的保质期：18个月",
    "碧螺春怎么泡": "80℃ 水",
    "龙井多少钱": "250g 罐装 ¥88",
    "真的假的": "检测报告",
    "电话多少": "0571-5550 0186",
    "你们在哪": "良渚",
    "几点开门": "9:00–21:00",
    "能开发票吗": "电子普通发票",
    "营业执照有吗": "/about/licence",
    "你是机器人吗": "小机器人",
    "高血压能喝吗": "请问医生",
    "在吗": "您好",
    "谢谢": "不客气",
    "好的": "好的",
    "哈哈哈": "您开心就好",
    "拜拜": "回头见",
    "🍵": "收到",
    "骗子": "对不起",
    "曝光你们": "店主",
    "今天天气怎么样": "这句我没听懂",
}
SMALL = ("在吗", "谢谢", "好的", "哈哈哈", "拜拜", "🍵")


async def test_every_topic_has_an_answer_of_its_own(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    await mei.follows()
    await mei.says("不用")
    for said, answer in SAID.items():
        town.stage.house.clock.move(timedelta(seconds=3))
        heard = await mei.says(said)
        assert answer in heard.text, f"{said}: {heard.text}"
        assert "没找到「" not in heard.text, f"{said} was searched"
        assert one_line(heard) or said not in SMALL, f"{said} wants one line: {heard.text}"
    await town.settles()
    angry = [heard.text for heard in boss.inbox if "不满意" in heard.text]
    assert len(angry) == 1, "staff hear of anger, once an hour"


async def test_freight_says_what_is_missing_with_a_cart_and_my_parcel_has_its_state(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    await mei.follows()
    await mei.says("加 A11 50g 罐装 x2")
    await mei.says("加 A11 50g 罐装")
    assert "购物车还差 ¥" in (await mei.says("包邮吗")).text
    number = await buys(town, mei)
    assert "前发出" in (await mei.says("发货了吗")).text
    await town.later(days=3)
    await boss.says("在吗")
    late = await mei.says("怎么还没发货")
    assert "真对不起" in late.text
    assert "想退款" in late.choices.values()
    await town.settles()
    assert any("还没发" in heard.text for heard in boss.inbox), "the merchant hears of it"
    await boss.says(f"发货 {number} SF1234567890")
    assert "\nSF1234567890" in (await mei.says("到哪了")).text, "the number alone on its line"


async def test_nothing_found_offers_the_goods_words_once_and_never_a_sentence(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    assert (await mei.says("加湿器")).choices == {"1": "订阅 加湿器"}
    again = await mei.says("qwerty")
    assert "订阅" not in "".join(again.choices.values())
    assert "qwerty" in again.text
    await mei.says("在吗")
    asked = await mei.says("会自己走路的红色小板凳和大桌子")
    assert "订阅" not in "".join(asked.choices.values())
    shelf = await mei.says("推荐一下")
    assert "明前龙井" in shelf.text
    assert "茶叶、花草茶" in shelf.text, "the header names the categories"
    assert not {"茶叶", "花草茶"} & set(shelf.choices.values())
    assert set((await mei.says("花草茶")).choices.values()) == {"桐乡胎菊 ¥19起"}


# -- C2: codes may be left out -----------------------------------------------------------------------------


async def test_what_was_shown_is_meant_for_ten_minutes(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    for words in ("买", "买这个", "要買這個", "就它了", "3盒", "俩", "来两罐", "100g 罐裝"):
        await mei.says("看 A11")
        heard = await mei.says(words)
        assert "桐乡胎菊 要哪种" in heard.text or "桐乡胎菊 寄到哪里" in heard.text, f"{words}: {heard.text}"
        assert "先不弄" in (await mei.says("取消")).text
    await mei.says("看 A2")
    assert "碧螺春的产地" in (await mei.says("这个产地在哪")).text
    assert "龙井的产地" in (await mei.says("龙井产地在哪")).text, "what the words name comes before what is shown"
    await town.later(minutes=11)
    assert "想买哪一样" in (await mei.says("买")).text


async def test_quantities_and_lines_are_told_apart(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("地址 " + WHERE)
    await mei.says("看 A11")
    for said in ("买 A11 两罐", "買a11兩罐", "买 A11 x2", "来2罐A11"):
        assert "要哪种" in (await mei.says(said)).text, said
        assert "×2" in (await mei.says("3")).text, said
        await mei.says("取消")
    assert "×2" in (await mei.says("買Ａ１１　１００ｇ罐装　ｘ２")).text
    await mei.says("取消")
    shelf = await mei.says("坚果")
    name = shelf.choices["2"].split(" ")[0]
    assert (await mei.says("第2个")).text.startswith(name)
    assert "要哪种" in (await mei.says("坚果") and await mei.says("买第二個")).text
    assert name in mei.last.text
    assert "没有第 9 行" in (await mei.says("坚果") and await mei.says("买第9个")).text
    number = await orders(mei)
    await mei.says("订单")
    assert f"订单 {number}" in (await mei.says("第1个")).text, "a line is what it is, not always goods"
    await mei.says("订单")
    assert "直接取消" in (await mei.says("退款第1个")).text


async def test_bare_codes_open_their_thing_in_any_case_and_width(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    for said in ("A11", "a11", "Ａ１１", "AlI", "ａil", "看a11", "看 Ａ11"):
        assert "桐乡胎菊（A11）" in (await mei.says(said)).text, said
    assert "A10 现在不卖" in (await mei.says("A1O")).text
    number = await orders(mei)
    for said in (number, number.lower(), f"订单{number}", f"看 {number}"):
        assert f"订单 {number} · 待付款" in (await mei.says(said)).text, said
    assert "没找到「" in (await mei.says("asdf")).text, "a word that looks like a code is a word"
    await buys(town, mei, "开团 A6")
    group = re.search(r"G[2-9A-HJ-NP-Z]{3,5}", "\n".join(heard.text for heard in mei.inbox))
    assert group
    for said in (group[0], group[0].lower(), f"看 {group[0]}", "这个团"):
        assert f"{group[0]} · 茉莉花茶" in (await mei.says(said)).text, said


async def test_the_same_once_more_at_todays_prices_to_its_address(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    await mei.follows()
    assert "没有买过" in (await mei.says("再来一单")).text.replace("还没有买过", "没有买过")
    first = await buys(town, mei)
    await mei.says("地址 李四 13900139000 浙江省宁波市海曙区中山路2号")
    placed = await mei.says("和上次一样")
    assert "桐乡胎菊 50g 罐装 ×1 ¥19" in placed.text
    assert "张* 138****8000" in placed.text, "to the address of that order"
    await mei.says("取消")
    await town.later(minutes=11)
    asked = await boss.says("改价 A11-1 23")
    digits = re.search(r"确认 (\d{4})", asked.text)
    assert digits
    await boss.says(f"确认 {digits[1]}")
    changed = await mei.says("再来一单")
    assert "¥19 → ¥23" in changed.text
    assert first in changed.text
    assert (await World.of(town, mei)).orders == ("paid", "closed"), "what changed waits for a yes"
    assert "×1 ¥23" in (await mei.says("好")).text


# -- C3: leaving in any words ------------------------------------------------------------------------------


def test_every_wording_of_stop_leaves_whatever_is_open() -> None:
    lists = word_lists("leaving.toml")
    wordings = [w.replace("*", "再给我") for key in ("alone", "verbs", "cues") for w in lists[key]]
    at = NOON.timestamp()
    open_questions = [
        None,
        {"intent": BuyLines(((1, 1),)).to_json(), "field": "address", "options": [], "at": at},
        {"intent": Buy("A1").to_json(), "field": "spec", "options": ["1", "2"], "at": at, "labels": ["50g", "250g"]},
        {"intent": WelcomeNews().to_json(), "field": "answer", "options": [], "at": at},
    ]
    for question in open_questions:
        talk = Talking(question=question)
        for role in (Role.ANYONE, Role.OWNER):
            lost = [said for said in wordings if not isinstance(meant(said, talk, role), Unsubscribe)]
            assert lost == [], f"{question}, {role}"


def test_what_is_about_an_order_or_a_parcel_is_no_exit() -> None:
    taken = [said for said in word_lists("leaving.toml")["not_exit"] if isinstance(meant(said), Unsubscribe)]
    assert taken == []
    for said in ("取消", "退款", "退订单", "退团", "取消订单", "我的推荐", "退货"):
        assert not isinstance(meant(said), Unsubscribe), said


EXITS = {
    "nothing": "退訂",
    "question": "别再给我发消息了",
    "人工": "太吵了！！",
    "paused": "ＴＤ",
    "simple": "怎么取关啊",
    "staff": "不要再推送了",
    "flood": "T",
    "left": "拉黑",
    "angry": "你们烦死我了，屏蔽",
    "never asked": "unsubscribe",
}


async def test_leaving_is_one_line_in_every_state_and_the_log_keeps_the_words(town: Town) -> None:
    for state, exit_ in EXITS.items():
        person = await town.owner() if state == "staff" else town.wechat(state)
        await person.follows()
        if state != "never asked":
            await person.says("订阅 龙井")
            await person.says("要") if state == "staff" else None
        before = {"question": "买 A1", "人工": "人工", "paused": "暂停", "simple": "搞不懂", "angry": "骗子"}
        if state in before:
            await person.says(before[state])
        if state == "staff":
            assert "确认" in (await person.says("改价 A1-1 27")).text
        if state == "left":
            await person.says("退订")
        if state == "flood":
            for _ in range(40):
                heard = await person.says("在吗")
            assert heard.silent, "too many by now"
        heard = await person.says(exit_)
        assert one_line(heard), f"{state}: {heard.text}"
        assert heard.text.startswith("好，")
        assert set((await World.of(town, person)).wishes) <= {"left"}, state
    read = town.stage.house.store.reader
    log = await read.all(select(Consent.words).where(Consent.act == "leave_all").order_by(Consent.id))
    assert {row.words for row in log} >= {"退訂", "别再给我发消息了", "太吵了！！", "TD", "T", "退订", "unsubscribe"}


# -- C6: numbers, yes and no -------------------------------------------------------------------------------


async def test_a_number_however_it_is_written_is_a_line_of_the_last_list(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    for said in ("2", "２", "②", "二", "第二個", "2号", "(2)", "要第2个", "2.", " 2 "):
        await mei.says("茶叶")
        assert "洞庭碧螺春（A2）" in (await mei.says(said)).text, said
    assert "没有第 200 行" in (await mei.says("200")).text
    assert "¥160–240" in (await mei.says("好")).text
    assert "没有第 9 行" in (await mei.says("茶叶") and await mei.says("9")).text
    assert "洞庭碧螺春（A2）" in (await mei.says("2")).text, "the list stays"


async def test_after_thirty_minutes_the_list_is_shown_again_and_nothing_is_done(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("地址 " + WHERE)
    shown = await mei.says("坚果")
    await town.later(minutes=29)
    assert (await mei.says("1")).text.startswith(shown.choices["1"].split(" ")[0])
    await mei.says("坚果")
    await town.later(minutes=31)
    again = await mei.says("1")
    assert again.choices == shown.choices
    assert "过期" in again.text
    await mei.says("买 A11")
    await town.later(minutes=31)
    assert "过期" in (await mei.says("1")).text
    assert (await World.of(town, mei)).orders == ()


async def test_yes_and_no_answer_an_open_question_only(town: Town) -> None:
    mei, hao = town.wechat("小美"), town.wechat("阿强")
    await mei.follows()
    number = await orders(mei)
    for said in ("好", "嗯", "行", "对", "OK", "👌", "不", "不用", "算了", "别", "要"):
        heard = await mei.says(said)
        assert (await World.of(town, mei)).orders == ("pending",), said
        assert number not in heard.text
    await hao.follows()
    assert "上新" in (await hao.says("嗯")).text
    assert (await World.of(town, hao)).wishes == ("live",), "the question of the welcome was open"
    await hao.says("买 A1")
    assert "要哪种" in (await hao.says("好")).text, "which one is asked again"
    assert "先不弄" in (await hao.says("算啦")).text
    assert "记下了" in (await hao.says(WHERE)).text, "the question is closed"


async def test_no_bare_number_pays_or_undoes_what_is_paid(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    number = await buys(town, mei)
    await buys(town, mei, "开团 A1")
    before = await World.of(town, mei)
    for said in (number, "退款", "取消", "退团", "注销", "我的团", "订单", f"付款 {number}", "发货了吗"):
        for n in ("1", "2", "3"):
            await mei.says(said)
            await mei.says(n)
        assert await World.of(town, mei) == before, said
        town.stage.house.clock.move(timedelta(minutes=1))


async def test_a_number_whose_price_has_changed_is_shown_again(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    await mei.says("地址 " + WHERE)
    assert mei.last.text
    shown = await mei.says("买 A11")
    asked = await boss.says("改价 A11-1 23")
    digits = re.search(r"确认 (\d{4})", asked.text)
    assert digits
    await boss.says(f"确认 {digits[1]}")
    again = await mei.says("1")
    assert "价格刚刚变了" in again.text
    assert "¥23" in again.choices["1"]
    assert shown.choices != again.choices
    assert "合计 ¥31" in (await mei.says("1")).text


# -- C9: the card comes first ------------------------------------------------------------------------------


async def test_who_follows_hears_what_is_sold_and_is_asked_for_news_in_the_last_line(town: Town) -> None:
    mei = town.wechat("小美")
    heard = await mei.follows()
    assert "茶叶" in heard.text
    assert len(heard.choices) == 3
    own = re.sub(r"(?m)^\d\. .*\n?", "", heard.text).strip().splitlines()
    assert own[-1].endswith("回 要 或 不用。")
    for n in ("1", "2", "3"):
        await mei.follows()
        await mei.says(n)
    assert (await World.of(town, mei)).wishes == (), "a number is never the yes"
    hao = town.wechat("阿强")
    await hao.follows()
    assert "不打扰" in (await hao.says("不用")).text
    assert (await World.of(town, hao)).wishes == ()
    lin = town.wechat("小林")
    await lin.follows()
    assert "上新" in (await lin.says("要")).text
    assert (await World.of(town, lin)).wishes == ("live",)


async def test_who_follows_by_a_card_sees_its_thing_and_is_asked_for_news_after_the_first_paid_order(
    town: Town,
) -> None:
    mei, hao = town.wechat("小美"), town.wechat("阿强")
    await mei.follows()
    await mei.says("看 A11")
    await mei.says("邀请卡")
    await town.settles()
    card = mei.last.picture
    assert card is not None
    seen = await hao.scans(card)
    assert seen.text.startswith("朋友觉得您会喜欢：桐乡胎菊（A11）")
    assert len(seen.choices) == 2
    assert "告诉您" not in seen.text
    assert "1. 买" in (await hao.says("要")).text, "no question is open: nothing is ordered or agreed to"
    assert (await World.of(town, hao)).wishes == ()
    await buys(town, hao)
    asked = [heard.text for heard in hao.inbox if "告诉您一声吗" in heard.text]
    assert len(asked) == 1
    assert (await World.of(town, hao)).wishes == ()
    assert "上新" in (await hao.says("要")).text
    assert (await World.of(town, hao)).wishes == ("live",)
    await buys(town, hao)
    assert not [heard for heard in hao.inbox if "告诉您一声吗" in heard.text], "asked once"


async def test_after_an_exit_the_question_in_a_notice_is_no_longer_open(town: Town) -> None:
    hao = town.wechat("阿强")
    await hao.follows("card:ZZZZ")
    await buys(town, hao)
    assert any("告诉您一声吗" in heard.text for heard in hao.inbox)
    await hao.says("别发了")
    await hao.says("要")
    assert (await World.of(town, hao)).wishes == ()


async def test_who_comes_back_sees_open_orders_and_what_has_stopped(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("订阅 龙井")
    number = await buys(town, mei)
    await mei.unfollows()
    assert (await World.of(town, mei)).wishes == ("paused",)
    back = await mei.follows()
    assert back.text.startswith("欢迎回来")
    assert "龙井停着" in back.text
    assert "告诉您一声吗" not in back.text
    assert number in (await mei.says("1")).text
    await mei.says("恢复")
    assert (await World.of(town, mei)).wishes == ("live",)
    card = await mei.follows("show:A2")
    assert "洞庭碧螺春（A2）" in card.text, "the card's thing, if there is one"


# -- C12: the shape of an answer ---------------------------------------------------------------------------

LONG_TALK = (
    "在吗|商品|1|返回|更多|更多|花草茶|龙井|80以内的茶|200|15|7|看 a1|这个多少钱|保质期|买|2|什么鬼|"
    f"{WHERE}|订单|1|付款|发货了吗|付了没|坏了|改地址|取消|加 a11 50g 罐装 x3|加 a2 200g 罐装 x9|购物车|改 1 x2|结算|"
    "团|开团 a1|我的团|邀请卡|订阅 龙井|我的订阅|暂停|免打扰|退订|地址|骗子|人工|运费|最低多少|几天能到|执照|"
    "高血压能喝吗|帮助|帮助|搞不懂|1|3|蓝牙耳机|蓝牙耳机|再来一单|a99|g7k2|2A3B4C5D|注销|🍵|谢谢|拜拜"
)


LISTED = re.compile(r"(?m)^\d+\. (.+)$")
EMOJI = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]")


def shape(answer: str) -> Iterable[str]:
    """What is wrong with an answer that is read on a phone at arm's length."""
    text = re.sub(r"https?://\S+", "", answer)
    numbered = [block for block in text.split("\n\n") if LISTED.search(block)]
    lists = [block for block in numbered if len(LISTED.findall(block)) == len(block.splitlines())]
    lines = LISTED.findall(lists[0]) if lists else []
    steps = [step for block in numbered if block not in lists[:1] for step in LISTED.findall(block) if step != "更多"]
    if len(text) > 300:
        yield f"{len(text)} characters"
    if len([line for line in lines if line != "更多"]) > 8:
        yield f"{len(lines)} lines"
    if len(steps) > 3:
        yield f"{len(steps)} next steps"
    if len(re.findall(r"[？?]", re.sub(r"「.*?」|“.*?”", "", text))) > 1:
        yield "more than one question"
    if re.search(r"亲(?![子人手])|[!！]{2,}|你", text):
        yield "a word we do not use"
    if len(EMOJI.findall(text)) > (0 if "¥" in text else 1):
        yield "too many emoji, or one beside money"


def test_the_measure_of_an_answer_can_fail() -> None:
    lines = "\n".join(f"{n}. 龙井" for n in range(1, 10))
    assert list(shape("您好。\n1. 买\n2. 看\n3. 再逛逛")) == []
    assert list(shape(f"绿茶：\n\n{lines[:48]}\n\n7. 更多")) == []
    for bad in (
        f"绿茶：\n\n{lines}",
        "您好。\n1. a\n2. b\n3. c\n4. d",
        "亲，在的",
        "好！！",
        "¥9 😊",
        "要吗？好吗？",
        "茶" * 301,
    ):
        assert list(shape(bad)), bad


@pytest.mark.parametrize("channel", ["wechat", "weibo"])
async def test_every_answer_of_a_long_talk_can_be_read_at_arms_length(town: Town, channel: str) -> None:
    mei = town.wechat("小美") if channel == "wechat" else town.weibo("小美")
    said = {"follows": (await mei.follows()).text}
    for words in LONG_TALK.split("|"):
        town.stage.house.clock.move(timedelta(seconds=4))
        said[f"{words} {len(said)}"] = (await mei.says(words)).text
    await town.settles()
    said |= {f"sent {n}": heard.text for n, heard in enumerate(mei.inbox)}
    wrong = [(words, fault, text) for words, text in said.items() for fault in shape(text)]
    assert not wrong, wrong[0]
    if channel == "weibo":
        assert max(map(len, said.values())) <= 280


async def test_help_refusals_and_what_was_not_understood_are_never_repeated_word_for_word(town: Town) -> None:
    for said in ("今天天气怎么样", "a99", "g7k2", "帮助", "2A3B4C5D", "参团 g7k2", "搞不懂", "投诉", "人工"):
        person = town.wechat(said)
        await person.says("在吗")
        heard = [(await person.says(said)).text for _ in range(4)]
        assert all(first != second for first, second in pairwise(heard)), heard
        assert heard[0] not in heard[1:]
        assert "人工" in heard[1] or "找人" in heard[1] or said == "人工", "the second time a person is offered"


async def test_simple_mode_is_three_digits_at_a_time_until_the_next_order(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("看着晕")
    for said in ("1", "3", "3", "2", "龙井", "1", "看不懂", "茶叶", "红茶", "帮助"):
        heard = await mei.says(said)
        assert set(heard.choices) <= {"1", "2", "3"}, heard.text
    await orders(mei)
    assert len((await mei.says("商品")).choices) == 7


async def test_an_aside_leaves_the_numbers_to_the_open_question(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("买 A11")
    for aside in ("保质期多久", "多少钱", "包邮吗", "几天能到", "在吗", "人工", "骗子", "今天天气怎么样", "退订"):
        heard = await mei.says(aside)
        assert not heard.choices or "要哪种" in heard.text, f"{aside}: {heard.text}"
    assert "寄到哪里" in (await mei.says("2")).text
    for aside in ("包邮吗", "多少钱", "几天能到", "发货了吗", "2"):
        await mei.says(aside)
    placed = await mei.says(WHERE)
    assert "100g 罐装" in placed.text


async def test_on_screen_addresses_are_kept_and_only_masked_ever_after(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says(WHERE)
    for said in ("地址", "买 A11 50g 罐装", "订单", "1", "付款", "发货了吗"):
        heard = await mei.says(said)
        assert "文三路" not in heard.text
        assert "13800138000" not in heard.text
    rows = await town.stage.house.store.reader.all(select(func.count()).select_from(Address))
    assert rows[0][0] == 1
