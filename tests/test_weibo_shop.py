"""The same shop on Weibo: no line in handlers/ knows it, and nothing personal is in an answer anybody could fetch."""

import json
import re
from datetime import timedelta
from pathlib import Path

from follower import Follower
from town import Town

from bot.simulator.driver import Heard

HANDLERS = Path(__file__).parent.parent / "handlers"
WHERE = "张三 13800138000 浙江省杭州市西湖区文三路1号"
SENT = "已经单独发给您了"


async def sent(town: Town, person: Follower) -> Heard:
    """The one message that the shop sent by the platform's send API since the last look."""
    await town.settles()
    (one,) = person.inbox
    return one


def test_no_line_in_handlers_mentions_weibo() -> None:
    """That the second channel needs none is the proof of the design."""
    named = [p.name for p in HANDLERS.rglob("*.py") if re.search("weibo|微博", p.read_text(), re.IGNORECASE)]
    assert named == []


async def test_a_sale_from_the_follow_to_the_parcel(town: Town) -> None:
    boss, lin = await town.owner(), town.weibo("小林")
    hello = await lin.follows()
    assert "欢迎来" in hello.text
    assert hello.choices == {"1": "逛逛有什么", "2": "正在拼的团", "3": "能做什么"}
    assert "明前龙井" in (await lin.says("1")).choices["1"]
    assert "明前龙井" in (await lin.says("longjing")).choices["1"]
    assert "明前龙井（A1）" in (await lin.says("1")).text
    asked = await lin.taps("买")
    assert asked.choices["2"].startswith("250g 罐装")
    assert "寄到哪里" in (await lin.says("2")).text
    assert SENT in (await lin.says(WHERE)).text
    placed = await sent(town, lin)
    assert "合计 ¥96" in placed.text
    await lin.pays(placed)
    assert "收到您的付款 ¥96" in (await sent(town, lin)).text
    number = re.search(r"订单 (\w{8})", placed.text)
    assert number
    await town.settles()
    assert number[1] in "".join(heard.text for heard in boss.inbox)
    await boss.says(f"发货 {number[1]} SF1234567890")
    assert "SF1234567890" in (await sent(town, lin)).text


async def test_no_answer_to_a_push_holds_anything_personal(town: Town) -> None:
    """Whoever has seen one query string can write a body in anybody's name, and reads the reply."""
    lin = town.weibo("小林")
    await lin.follows()
    await lin.says("加 A11 50g 罐装")
    await lin.says("买 A11 50g 罐装")
    await lin.says(WHERE)
    await town.settles()
    placed = lin.inbox[-1]
    number = re.search(r"订单 (\w{8})", placed.text)
    assert number
    pay = next(link.url for link in placed.links if "/pay/" in link.url)
    secret = (number[1], pay.rsplit("/", 1)[1], "13800138000", "138****8000", "张", "文三路", "西湖", "合计", "¥19")
    asked = 0
    for said in (
        *("订单", f"订单 {number[1]}", number[1], "1", "付款", f"付款 {number[1]}", "地址", "换地址 " + WHERE, WHERE),
        *("购物车", "结算", "发货了吗", "付了没", "钱退了吗", "改地址", "坏了", "物流", "收货", "退款", "我的团"),
        *("不要了", "取消", "再来一单", "注销"),
    ):
        town.stage.house.clock.move(timedelta(seconds=4))
        heard = await lin.says(said)
        told = json.dumps(heard.fields.get("data"), ensure_ascii=False) + heard.text
        assert not [word for word in secret if word in told], f"{said}: {heard.text}"
        assert SENT in heard.text, f"{said}: {heard.text}"
        asked += 1
    await town.settles()
    assert len(lin.inbox) == asked, "each answer follows by the send API"


async def test_who_comes_back_and_who_is_angry_hear_of_their_orders_in_private_only(town: Town) -> None:
    lin = town.weibo("小林")
    await lin.follows()
    await lin.says("买 A11 50g 罐装")
    await lin.says(WHERE)
    await town.settles()
    await lin.pays(lin.last)
    await town.settles()
    assert lin.inbox
    for heard in (await lin.says("骗子"), await lin.follows()):
        assert SENT in heard.text
        assert "胎菊" not in heard.text
    await town.settles()
    assert [("对不起" in heard.text, "欢迎回来" in heard.text) for heard in lin.inbox] == [(True, False), (False, True)]


async def test_a_staff_command_does_not_exist_on_weibo(town: Town) -> None:
    boss = town.weibo("老板")
    await boss.follows()
    stranger = await boss.says("待发货")
    assert "没有要发的" not in stranger.text
    owner = await town.owner()
    assert "待发货" in (await owner.says("帮助")).text
    assert "没听懂" in (await boss.says("今日")).text


async def test_lists_are_numbered_and_nothing_is_to_be_tapped(town: Town) -> None:
    lin = town.weibo("小林")
    await lin.follows()
    for said in (
        "商品",
        "2",
        "返回",
        "更多",
        "茶叶",
        "80以内的绿茶",
        "团",
        "1",
        "帮助",
        "200",
        "运费",
        "蓝牙耳机",
        "订阅 龙井",
        "退订",
    ):
        heard = await lin.says(said)
        assert "<a" not in heard.text
        assert "weixin" not in heard.text
        assert not heard.links
        assert 0 < len(heard.text) <= 280, f"{said}: {len(heard.text)}"
        assert list(heard.choices) == [str(n) for n in range(1, len(heard.choices) + 1)]
    assert "¥160–240" in (await lin.says("200") and await lin.says("好")).text


async def test_the_everyday_questions_and_the_exit_are_the_same_there(town: Town) -> None:
    lin = town.weibo("小林")
    await lin.follows()
    assert "上新" in (await lin.says("要")).text
    for said, answer in {
        "包邮吗": "¥99",
        "電話": "0571",
        "高血压能喝吗": "请问医生",
        "谢谢": "不客气",
    }.items():
        assert answer in (await lin.says(said)).text
    left = await lin.says("别发了")
    assert left.text == "好，以后不再给您发推送。"
    assert not left.choices
