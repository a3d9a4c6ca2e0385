"""A sale in chat, through the real doors: ordered, paid, shipped; sold out; cancelled; nobody else's business."""

import asyncio
import re

from town import Town

WHERE = "张三 13800138000 浙江省杭州市西湖区文三路1号"


def number(text: str) -> str:
    """The order number in an answer."""
    found = re.search(r"订单 ([2-9A-HJ-NP-Z]{8})", text)
    assert found, text
    return found[1]


async def order(person, what: str):  # type: ignore[no-untyped-def]
    """Orders and answers what is asked on the way."""
    heard = await person.says(what)
    for _ in range(3):
        print(heard.text)
        if "寄到哪里" in heard.text:
            heard = await person.says(WHERE)
        elif "要哪种" in heard.text:
            heard = await person.says("1")
    return heard


async def test_a_sale_from_the_wish_to_the_parcel(town: Town) -> None:
    boss = await town.owner()
    mei = town.wechat("小美")
    await mei.follows()
    placed = await order(mei, "买 A1 x2")
    print(placed.text)
    no = number(placed.text)
    assert "合计" in placed.text
    page = await mei.pays(placed)
    print(page.text)
    await town.later(minutes=1)
    print([h.text for h in mei.inbox], [h.text for h in boss.inbox])
    print((await boss.says("待发货")).text)
    print((await boss.says(f"发货 {no} 顺丰 SF123")).text)
    await town.settles()
    print([h.text for h in mei.inbox])
    print((await mei.says("收货")).text)
    print((await mei.says("订单")).text)
    raise AssertionError
