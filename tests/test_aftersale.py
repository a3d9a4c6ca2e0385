"""After-sale as it is lived, through the real doors: complaints, pictures, yes, no, silence, and every fen of it."""

import asyncio
import io
import re
from dataclasses import replace
from typing import Any

import pytest
from follower import Follower
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import func, select, text
from test_sale import broken, customer, number, orders, told
from town import Town

from handlers import complaint
from models import aftersale, aftersaleglance, checkout, remedy
from models.aftersale import Case, CaseMove, Left
from models.evidence import CasePicture
from models.order import Order, OrderLine
from models.product import Picture, Product, Sku
from models.refund import Refund, Refunds

# What each database would answer alike; the ways on which rows are locked and counted are walked on both.
here = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

ONE = "买 A11"  # ¥19 and ¥8 to send
TWO = "买 A11 x2"
THREE = "买 A11 x3"


async def paid(town: Town, mei: Follower, what: str = ONE, spec: str = "1") -> str:
    """An order that was paid: its number."""
    placed = await orders(mei, what, spec)
    await mei.pays(placed)
    await town.settles()
    told(mei)
    return number(placed)


async def arrived(town: Town, boss: Follower, mei: Follower, what: str = ONE) -> str:
    """An order that was paid, sent and received: its number."""
    no = await paid(town, mei, what)
    await boss.says(f"发货 {no} SF1234567890")
    await mei.says(f"收货 {no}")
    await town.settles()
    told(boss)
    told(mei)
    return no


async def two_lines(town: Town, mei: Follower) -> str:
    """A paid order of two things: its number."""
    for goods in ("加 A11", "加 A2"):
        await mei.says(goods)
        await mei.says("1")
    heard = await mei.says("结算")
    if "寄到哪里" in heard.text:
        heard = await mei.says("张三 13800138000 浙江省杭州市西湖区文三路1号")
    await mei.pays(heard)
    await town.settles()
    told(mei)
    return number(heard)


async def confirms(boss: Follower, words: str) -> str:
    """Says a command of money and the four digits that it asks for."""
    asked = (await boss.says(words)).text
    digits = re.search(r"确认 (\d{4})", asked)
    assert digits, asked
    return (await boss.says(f"确认 {digits[1]}")).text


async def money_goes(town: Town) -> None:
    """Time for what is owed to go back."""
    for _ in range(3):
        await town.later(minutes=2)


async def refunds(town: Town) -> list[tuple[int, str]]:
    rows = await town.stage.house.store.reader.all(select(Refund.amount_fen, Refund.state).order_by(Refund.id))
    return [(row.amount_fen, row.state) for row in rows]


async def states(town: Town) -> list[str]:
    return [row.state for row in await town.stage.house.store.reader.all(select(Case.state).order_by(Case.id))]


async def stock(town: Town, code: str = "A11") -> int:
    rows = await town.stage.house.store.reader.all(
        select(Sku.on_hand).join(Product, Product.id == Sku.product_id).where(Product.code == code).order_by(Sku.place)
    )
    return int(rows[0].on_hand)


def figures(town: Town, **changed: Any) -> None:
    desk = town.stage.house.desk
    desk.figures = replace(desk.figures, order=replace(desk.figures.order, **changed))


def photo(colour: str = "brown") -> bytes:
    drawn = io.BytesIO()
    Image.new("RGB", (640, 480), colour).save(drawn, "JPEG", exif=b"Exif\x00\x00secret-place")
    return drawn.getvalue()


# -- before it has left ----------------------------------------------------------------------------------


async def test_what_has_not_left_goes_back_with_its_freight_when_the_shop_agrees(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    before = await stock(town)
    no = await paid(town, mei)
    assert "是因为什么" in (await mei.says(f"退款 {no}")).text
    applied = await mei.says("不想要了")
    assert "48 小时内答复您" in applied.text
    assert "运费 ¥8 也一起退" in applied.text
    assert "运费 ¥8 也一起退" in (await mei.says("售后进度")).text
    await town.settles()
    assert "新售后" in told(boss)
    assert await refunds(town) == [], "the word alone pays nothing back"
    asked = (await boss.says(f"同意 {no}")).text
    assert "¥27" in asked
    assert "含运费 ¥8" in asked
    assert await refunds(town) == []
    assert "¥27 正在退给买家" in await confirms(boss, f"同意 {no}")
    await money_goes(town)
    assert await refunds(town) == [(2700, "done")]
    news = told(mei)
    assert "¥27 原路退回" in news
    assert re.search("¥27 已原路退回.*零钱马上到账，银行卡 1–3 个工作日", news)
    shown = (await mei.says(f"订单 {no}")).text
    assert "已取消" in shown
    assert "办好了" in shown
    assert await stock(town) == before, "the pieces are for others again"
    assert not await broken(town)


@here
async def test_the_shop_answers_without_a_number_what_alone_waits_for_an_answer(town: Town) -> None:
    boss, mei, hao = await town.owner(), await customer(town, "小美"), await customer(town, "阿强")
    assert "没有等您答复的售后" in (await boss.says("同意")).text
    hers, his = await paid(town, mei), await paid(town, hao)
    await mei.says(f"退款 {hers} 不想要了")
    await town.settles()
    await boss.says(f"面单 {his}")
    assert f"订单 {his} 没有等您答复的售后" in (await boss.says("同意")).text, "what is on the screen is meant"
    await town.later(minutes=11)
    assert hers in (await boss.says("同意")).text, "nothing is on the screen any more: it is the one that waits"
    await hao.says(f"退款 {his} 不想要了")
    await town.later(minutes=11)
    asked = await boss.says("同意")
    assert "是哪一件" in asked.text
    assert sorted(no for no in (hers, his) if no in asked.text) == sorted((hers, his))
    assert "是哪一件" in (await boss.says("拒绝 看不清")).text
    assert await states(town) == ["applied", "applied"], "asked which, and nothing done"
    await boss.says("1")
    assert sorted(await states(town)) == ["applied", "refused"]
    await town.later(minutes=11)
    assert "已向买家提议" in await confirms(boss, "退 5")
    await town.settles()
    assert not await broken(town)


@here
async def test_resending_without_a_number_is_the_shop_s_only_when_no_question_waits_for_it(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    assert "没有等您答复的售后" in (await boss.says("补发")).text
    no = await arrived(town, boss, mei)
    await _again(mei, no)
    await town.later(minutes=11)
    assert "已向买家提议" in await confirms(boss, "补发")
    assert "补发" in (await mei.says("售后")).text
    own = await arrived(town, boss, boss)
    await boss.says(f"退款 {own} 坏了")
    assert "确认" not in (await boss.says("补发")).text, "it answers what was asked of a merchant who has bought"
    kinds = await town.stage.house.store.reader.all(select(Case.kind).order_by(Case.id.desc()).limit(1))
    assert kinds[0].kind == "resend"
    assert not await broken(town)


@here
async def test_an_order_the_shop_cannot_keep_may_be_picked_from_those_that_wait(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    assert "没有要发的货" in (await boss.says("退单")).text
    no = await paid(town, mei)
    assert no in (await boss.says("退单")).text
    assert await refunds(town) == []
    digits = re.search(r"确认 (\d{4})", (await boss.says("1")).text)
    assert digits, "picked, it is read back first"
    await boss.says(f"确认 {digits[1]}")
    await money_goes(town)
    assert await refunds(town) == [(2700, "done")]
    assert not await broken(town)


async def test_one_line_of_two_stays_here_and_the_rest_is_shipped(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    before = await stock(town)
    no = await two_lines(town, mei)
    assert "整单都退" in (await mei.says(f"退款 {no} 不想要了")).text
    assert "申请递给店主了" in (await mei.says("2")).text
    assert "先别发" in (await boss.says("待发货")).text
    refused = (await boss.says(f"发货 {no} SF1234567890")).text
    assert "先别发" in refused
    assert "待发货" in (await mei.says(f"订单 {no}")).text
    assert "¥19 正在退给买家" in await confirms(boss, f"同意 {no}")
    assert await stock(town) == before
    waiting = (await boss.says("待发货")).text
    assert "先别发" not in waiting
    await boss.says(f"发货 {no} SF1234567890")
    assert "已发货" in (await mei.says(f"订单 {no}")).text
    await money_goes(town)
    assert await refunds(town) == [(1900, "done")], "the freight was used"
    assert not await broken(town)


async def test_another_address_is_past_when_what_it_was_for_stays_here(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await two_lines(town, mei)
    await boss.says(f"发货 {no} SF1234567890 行 2")
    assert "店主" in (await mei.says(f"改地址 {no} 李四 13900139000 上海市浦东新区世纪大道100号")).text
    assert "上海市" in (await boss.says("待发货")).text
    await mei.says(f"退款 {no} 不想要了")
    await mei.says("1")
    assert "正在退给买家" in await confirms(boss, f"同意 {no}")
    assert "上海市" not in (await boss.says("待发货")).text
    assert "已发货" in (await mei.says(f"订单 {no}")).text
    assert not await broken(town)


@here
async def test_freight_that_was_used_for_one_line_does_not_go_back_with_the_other(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await two_lines(town, mei)
    await boss.says(f"发货 {no} SF1234567890 行 2")
    await mei.says(f"退款 {no} 不想要了")
    assert "运费" not in (await mei.says("1")).text
    assert "¥19 正在退给买家" in await confirms(boss, f"同意 {no}")
    await money_goes(town)
    assert await refunds(town) == [(1900, "done")]
    assert not await broken(town)


@here
async def test_what_travels_stays_here_and_what_never_travelled_is_the_buyer_s(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    async with town.stage.house.store.engine.begin() as connection:
        await connection.execute(text("UPDATE product SET ships = (1 = 0) WHERE code = 'A2'"))
    no = await two_lines(town, mei)
    await mei.says(f"退款 {no} 不想要了")
    await mei.says("1")
    assert "¥27 正在退给买家" in await confirms(boss, f"同意 {no}"), "the freight was for the one that travels"
    assert no not in (await boss.says("待发货")).text
    assert "已完成" in (await mei.says(f"订单 {no}")).text
    await money_goes(town)
    assert await refunds(town) == [(2700, "done")]
    assert not await broken(town)


@here
async def test_one_line_stays_here_while_the_other_waits_to_be_paid_for_and_nothing_is_odd(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await two_lines(town, mei)
    await mei.says(f"退款 {no} 不想要了")
    await mei.says("3")
    await confirms(boss, f"同意 {no}")
    await mei.says(f"换规格 {no} 100g 罐装")
    assert "补差价" in (await mei.says("1")).text
    assert not await broken(town)


@here
async def test_all_lines_at_once_give_back_everything_that_was_paid(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await two_lines(town, mei)
    await mei.says(f"退款 {no} 买错了")
    await mei.says("整单都退")
    await confirms(boss, f"同意 {no}")
    await money_goes(town)
    rows = await town.stage.house.store.reader.all(select(Order.total_fen, Order.refunded_fen, Order.state))
    assert rows[0].total_fen == rows[0].refunded_fen
    assert rows[0].state == "closed"
    assert set(await states(town)) == {"done"}
    assert not await broken(town)


@here
async def test_lines_that_go_back_one_after_the_other_give_back_everything_too(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await two_lines(town, mei)
    for place in ("2", ""):
        await mei.says(f"退款 {no} 买错了")
        if place:
            await mei.says(place)
        await confirms(boss, f"同意 {no}")
    await money_goes(town)
    rows = await town.stage.house.store.reader.all(select(Order.total_fen, Order.refunded_fen, Order.state))
    assert (rows[0].refunded_fen, rows[0].state) == (rows[0].total_fen, "closed")
    assert not await broken(town)


@here
async def test_a_shop_may_pay_back_at_once_what_is_not_packed_and_only_after_a_word(town: Town) -> None:
    figures(town, instant_refund=True)
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei)
    await mei.says(f"退款 {no}")
    assert "想好了回 好" in (await mei.says("1")).text
    assert await states(town) == [], "a bare number pays nothing back"
    assert "¥27 原路退回" in (await mei.says("好")).text
    await money_goes(town)
    assert await refunds(town) == [(2700, "done")]
    assert "不用发货" in told(boss)
    packed = await paid(town, mei)
    await boss.says(f"面单 {packed}")
    await mei.says(f"退款 {packed}")
    assert "申请递给店主了" in (await mei.says("1")).text
    assert not await broken(town)


@here
async def test_while_a_group_forms_leaving_it_is_the_way(town: Town) -> None:
    mei = await customer(town, "小美")
    no = await paid(town, mei, "开团 A6")
    heard = await mei.says(f"退款 {no}")
    assert "退团" in heard.text
    assert await states(town) == []
    assert "退团" in (await mei.says(f"退款 {no} 不想要了")).text
    assert await states(town) == []


# -- after it has arrived --------------------------------------------------------------------------------


async def test_something_broken_is_picked_shown_and_partly_paid_back(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await arrived(town, boss, mei, THREE)
    assert "几" in (await mei.says("茶叶罐子压扁了")).text
    heard = (await mei.says("1")).text
    assert "您想怎么处理" in heard
    assert "想退多少" in (await mei.says("退一部分钱，东西留着")).text
    assert "¥10" in (await mei.says("10")).text
    kept = await mei.sends_picture(photo())
    assert "图收到了" in kept.text
    await town.settles()
    alert = told(boss)
    assert "茶叶罐子压扁了" in alert
    assert "发来了照片" in alert
    shown = (await boss.says(f"售后 {no}")).link("照片 1")
    address = re.search(r"/pic/([0-9a-f]{64})\.jpg", shown.url)
    assert address
    pictures = await town.stage.house.store.reader.all(select(Picture.jpeg).where(Picture.sha256 == address[1]))
    assert b"secret-place" not in pictures[0].jpeg, "encoded afresh"
    assert "¥10 正在退给买家" in await confirms(boss, f"同意 {no}")
    await money_goes(town)
    assert await refunds(town) == [(1000, "done")]
    assert "东西您留着" in told(mei)
    assert not await broken(town)


async def test_a_picture_from_weibo_is_evidence_too(town: Town) -> None:
    boss, lin = await town.owner(), town.weibo("小林")
    await lin.follows()
    await lin.says(ONE)
    for words in ("1", "张三 13800138000 浙江省杭州市西湖区文三路1号"):
        await lin.says(words)
    await town.settles()
    (placed,) = [heard for heard in lin.inbox if "/pay/" in heard.text]
    no = number(placed)
    await lin.pays(placed)
    await town.settles()
    await boss.says(f"发货 {no} SF1234567890")
    await lin.says(f"收货 {no}")
    await lin.says("坏了")
    await lin.says("全部退款")
    await lin.sends_picture(photo())
    await town.settles()
    assert "图收到了" in told(lin)
    assert "发来了照片" in told(boss)
    shown = (await boss.says(f"售后 {no}")).link("照片 1")
    address = re.search(r"/pic/([0-9a-f]{64})\.jpg", shown.url)
    assert address
    pictures = await town.stage.house.store.reader.all(select(Picture.jpeg).where(Picture.sha256 == address[1]))
    assert b"secret-place" not in pictures[0].jpeg, "encoded afresh"


@here
async def test_pictures_that_come_before_the_last_answer_are_kept_with_the_case(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    await arrived(town, boss, mei)
    assert "您想怎么处理" in (await mei.says("坏了")).text
    assert "您想怎么处理" in (await mei.sends_picture(photo())).text
    assert "有照片" in (await mei.says("全部退款")).text
    await town.settles()
    rows = await town.stage.house.store.reader.all(select(CasePicture.sha256))
    assert [bool(row.sha256) for row in rows] == [True]
    assert "机器" in (await (await customer(town, "小林")).sends_picture(photo())).text


@here
async def test_a_picture_that_is_none_is_asked_for_again(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    await arrived(town, boss, mei)
    await mei.says("坏了")
    await mei.says("全部退款")
    await mei.sends_picture(b"\xff\xd8\xff no picture at all")
    await town.settles()
    assert "图没收到" in told(mei)


async def test_the_shop_proposes_a_part_and_the_buyers_yes_makes_it_so(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await arrived(town, boss, mei)
    await mei.says("坏了")
    await mei.says("全部退款")
    assert "等对方点头" in await confirms(boss, f"退 {no} 5.5 磕碰")
    await town.settles()
    assert "店主提议退您 ¥5.5" in told(mei)
    assert await refunds(town) == []
    assert "¥5.5 原路退回" in (await mei.says("好")).text
    await money_goes(town)
    assert await refunds(town) == [(550, "done")]
    assert "买家同意了" in told(boss)
    assert not await broken(town)


@here
async def test_a_yes_to_something_else_takes_no_proposal(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await arrived(town, boss, mei)
    await mei.says("坏了")
    await mei.says("全部退款")
    await confirms(boss, f"退 {no} 5")
    await town.later(seconds=30)
    await mei.says("商品")
    assert "同意就回 好" in (await mei.says("好")).text, "shown again first"
    assert await states(town) == ["applied"]
    assert "等店主再答复您" in (await mei.says("不用")).text
    await town.settles()
    assert "没有接受" in told(boss)
    assert "没有等您点头" in (await mei.says("接受")).text
    assert await refunds(town) == []


@here
async def test_a_resend_that_nobody_has_agreed_to_gives_nothing_back_when_it_is_dropped(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await arrived(town, boss, mei)
    before = await stock(town)
    await mei.says("少了")
    await mei.says("补发")
    assert await states(town) == ["applied"]
    assert "撤回了" in (await mei.says(f"撤回 {no}")).text
    assert await stock(town) == before
    assert not await broken(town)


@here
async def test_the_number_of_the_first_parcel_is_none_of_what_is_sent_again(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await arrived(town, boss, mei)
    await mei.says("少了")
    await mei.says("补发")
    await confirms(boss, f"同意 {no}")
    await boss.says(f"发货 {no} SF1234567890")
    assert await states(town) == ["agreed"]
    await boss.says(f"发货 {no} SF1234567891")
    assert await states(town) == ["done"]
    assert not await broken(town)


@here
async def test_only_a_yes_takes_what_the_shop_proposes(town: Town) -> None:
    """不要, 不 and 我再想想 were smalltalk like 好, and moved money."""
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await arrived(town, boss, mei)
    await mei.says("坏了")
    await mei.says("全部退款")
    for words in ("不要", "不", "no", "不了", "不用", "算了", "不行", "不同意", "不接受", "不要了"):
        await town.later(minutes=2)
        await confirms(boss, f"退 {no} 5")
        await town.settles()
        assert "等店主再答复您" in (await mei.says(words)).text, words
    for words in ("我想想", "再看看", "收到", "没事", "稍等", "下次再说", "谢谢", "哈哈", "可以吗", "行不行"):
        await town.later(minutes=2)
        await confirms(boss, f"退 {no} 5")
        await town.settles()
        await mei.says(words)
        assert await states(town) == ["applied"], words
    assert await refunds(town) == []
    await town.later(minutes=2)
    await confirms(boss, f"退 {no} 5")
    await town.settles()
    assert "¥5 原路退回" in (await mei.says("好吧")).text
    assert not await broken(town)


async def test_a_resend_is_a_parcel_of_the_same_order_out_of_the_stock(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await arrived(town, boss, mei, TWO)
    before = await stock(town)
    await mei.says("少了")
    await mei.says("1")
    assert "补发" in (await mei.says("补发")).text
    assert "货已从库存留出" in await confirms(boss, f"补发 {no}")
    assert await stock(town) == before - 1
    assert "补发" in (await boss.says("待发货")).text
    assert "补发的" in (await boss.says(f"发货 {no} SF7777777777")).text
    await town.settles()
    assert "SF7777777777" in told(mei)
    shown = (await mei.says(f"订单 {no}")).text
    assert "SF1234567890" in shown
    assert "SF7777777777" in shown
    assert "没有要发的货" in (await boss.says("待发货")).text
    assert await states(town) == ["done"]
    assert await refunds(town) == []
    assert not await broken(town)


@here
async def test_a_resend_that_is_not_there_is_refused_to_staff(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await arrived(town, boss, mei)
    async with town.stage.house.store.session() as session, session.begin():
        await session.execute(text("UPDATE sku SET on_hand = held"))
    await mei.says("发错了")
    await mei.says("补发")
    assert "库存只有 0" in await confirms(boss, f"同意 {no}")
    assert await states(town) == ["applied"]
    await town.later(hours=49)
    assert await states(town) == ["refunding"], "a silent shop without pieces pays back"
    assert not await broken(town)


async def test_a_change_of_mind_is_sent_back_and_paid_when_it_is_here(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    desk = town.stage.house.desk
    desk.figures = replace(desk.figures, service=replace(desk.figures.service, return_to="李店 13700137000 文三路2号"))
    no = await arrived(town, boss, mei)
    assert "退货退款" in (await mei.says(f"退款 {no} 不想要了")).text
    assert "文三路2号" in (await boss.says(f"同意 {no}")).text
    assert "同意退货了" in await confirms(boss, f"同意 {no}")
    await town.settles()
    news = told(mei)
    assert "文三路2号" in news
    assert "邮费请您出" in news
    assert await refunds(town) == []
    assert "寄回：李店" in (await mei.says(f"售后 {no}")).text  # asked again, it is said again
    assert "店主收到就退款" in (await mei.says(f"寄回 {no} SF5555555555")).text
    await town.settles()
    assert "SF5555555555" in told(boss)
    assert "¥19 正在退给买家" in await confirms(boss, f"收到退货 {no}")
    await money_goes(town)
    assert await refunds(town) == [(1900, "done")]
    moves = await town.stage.house.store.reader.all(select(CaseMove.after, CaseMove.actor).order_by(CaseMove.id))
    assert [tuple(move) for move in moves] == [
        ("applied", "buyer"),
        ("agreed", "staff"),
        ("returned", "buyer"),
        ("refunding", "staff"),
        ("done", "house"),
    ]
    assert not await broken(town)


async def test_a_question_chooses_no_remedy_and_opens_no_case(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    await arrived(town, boss, mei)
    assert "您想怎么处理" in (await mei.says("有一罐是坏的")).text
    assert "递给店主" not in (await mei.says("怎么退货")).text
    assert "运费我们出" in (await mei.says("退货运费谁出")).text
    assert await states(town) == []
    await mei.says("有一罐是坏的")
    assert "先不弄" in (await mei.says("不用了没事了")).text
    await mei.says("有一罐是坏的")
    assert "补发申请递给店主了" in (await mei.says("重新发一罐给我")).text


async def test_who_asks_how_to_give_it_back_after_it_has_arrived_is_asked_why(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    await arrived(town, boss, mei)
    heard = (await mei.says("怎么退货")).text
    assert "怎么了" in heard
    assert "不想要了" in heard
    assert await states(town) == []


@here
async def test_a_fault_s_way_back_is_paid_by_the_shop(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await arrived(town, boss, mei)
    await mei.says("发错了")
    await mei.says("退货退款")
    await confirms(boss, f"同意 {no}")
    await town.settles()
    assert "邮费我们出" in told(mei)


@here
async def test_what_is_not_taken_back_says_so_before_it_is_bought_and_faults_always_are(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    assert "不支持七天无理由" in (await boss.says("七天无理由 A11 不支持")).text
    await town.later(seconds=3)
    assert "不支持七天无理由" in (await mei.says("看 A11")).text
    placed = await orders(mei, ONE)
    assert "不支持七天无理由" in placed.text
    await mei.pays(placed)
    await town.settles()
    no = number(placed)
    await boss.says("七天无理由 A11 支持")
    await boss.says(f"发货 {no} SF1234567890")
    assert "退不了" in (await mei.says(f"退款 {no} 不想要了")).text, "as it was when it was ordered"
    assert await states(town) == []
    await mei.says(f"退款 {no} 发霉了")
    assert "申请递给店主了" in (await mei.says("全部退款")).text


async def test_a_refusal_says_why_and_takes_one_more_application_with_something_new(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await arrived(town, boss, mei)
    await mei.says("坏了")
    await mei.says("全部退款")
    assert "原因是什么" in (await boss.says(f"拒绝 {no}")).text
    assert "已告诉买家" in (await boss.says("照片看不出破损")).text
    await town.settles()
    news = told(mei)
    assert "照片看不出破损" in news
    assert "12315" in news
    assert "人工" in news
    assert "补充点新的" in await _again(mei, no)
    assert "您想怎么处理" in (await mei.sends_picture(photo())).text
    assert "申请递给店主了" in (await mei.says("全部退款")).text
    await town.settles()
    assert "再次申请" in told(boss)
    assert "已告诉买家" in (await boss.says(f"拒绝{no}还是不行")).text, "on a phone the spaces go missing"
    await town.settles()
    news = told(mei)
    assert "还是不行" in news
    assert f"拒绝{no}" not in news, "the command is not a part of the reason"
    assert "再申请一次" not in news
    assert "申请过两次" in await _again(mei, no, "罐子裂了")
    assert await states(town) == ["refused", "refused"]
    assert await refunds(town) == []
    assert not await broken(town)


async def _again(mei: Follower, no: str, words: str = "") -> str:
    """Applies once more for all of it."""
    heard = await mei.says(f"退款 {no} {words}".strip())
    if "怎么了" in heard.text:
        heard = await mei.says("坏了、破了")
    if "您想怎么处理" in heard.text:
        heard = await mei.says("全部退款")
    return heard.text


@here
async def test_the_buyer_lets_it_drop_and_may_complain_again(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei)
    await mei.says(f"退款 {no} 不想要了")
    assert "撤回了" in (await mei.says("不退了")).text
    await town.settles()
    assert "买家撤回了" in told(boss)
    assert "没有等您答复" in (await boss.says(f"同意 {no}")).text
    assert "已发货" in (await boss.says(f"发货 {no} SF1234567890")).text
    await mei.says(f"退款 {no} 发错了")
    assert "申请递给店主了" in (await mei.says("退货退款")).text
    assert await states(town) == ["withdrawn", "applied"]
    assert not await broken(town)


@here
async def test_an_application_is_dropped_in_any_words_that_say_so(town: Town) -> None:
    """算了不退了 was answered 好的, and the application went on."""
    mei = await customer(town, "小美")
    no = await paid(town, mei)
    drops = "算了不退了|取消退款|撤销退款|撤回退款|不退款了|不用退了|别退了|取消申请|我又想要了|算了 不退了，给我发货吧"
    for words in drops.split("|"):
        await mei.says(f"退款 {no} 不想要了")
        assert "撤回了" in (await mei.says(words)).text, words
        assert (await states(town))[-1] == "withdrawn", words
    await mei.says(f"退款 {no} 不想要了")
    for words in ("取消退款？", "取消退款吗", "能取消退款吗", "不退款就投诉", "怎么还不退款", "算了"):
        await mei.says(words)
        assert (await states(town))[-1] == "applied", words
    assert not await broken(town)


@here
async def test_not_going_on_with_a_question_about_money_back_withdraws_nothing_else(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    first = await paid(town, mei)
    await mei.says(f"退款 {first} 不想要了")
    second = await arrived(town, boss, mei)
    for asked in (f"退款 {second}", f"退款 {second} 坏了"):
        for words in ("算了不退了", "不退了", "取消退款"):
            await mei.says(asked)
            assert "先不弄" in (await mei.says(words)).text, (asked, words)
            assert await states(town) == ["applied"], (asked, words)
    await mei.says("买 A2")
    assert "撤回了" in (await mei.says("算了不退了")).text, "a question about something else is no refuge"
    assert (await mei.says("算了不退了")).text == "好的。", "nothing is open: it is no more than a no"
    assert "没有可以撤回的" in (await mei.says("取消退款")).text


@here
async def test_letting_drop_what_is_under_way_already_shows_how_it_stands(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei)
    await mei.says(f"退款 {no} 不想要了")
    await confirms(boss, f"同意 {no}")
    for words in ("算了不退了", "取消退款"):
        assert "¥27 原路退回" in (await mei.says(words)).text, words
    later = await arrived(town, boss, mei)
    await mei.says(f"退款 {later} 不想要了")
    await confirms(boss, f"同意 {later}")
    await mei.says("寄回")
    assert "撤回了" in (await mei.says("不退了")).text, "the number is asked for what is not sent back after all"
    assert not await broken(town)


@here
async def test_a_complaint_comes_in_time(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await arrived(town, boss, mei)
    await town.later(days=7, minutes=1)
    assert "超过 7 天" in (await mei.says(f"退款 {no} 坏了")).text
    assert await states(town) == []


@here
async def test_the_shop_gives_a_part_back_by_itself(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await arrived(town, boss, mei)
    assert "最多还能退 ¥19" in (await boss.says(f"退 {no} 20")).text
    assert "¥3 正在退给买家" in await confirms(boss, f"退 {no} 3 让您久等")
    await money_goes(town)
    assert await refunds(town) == [(300, "done")]
    assert "¥3 原路退回" in told(mei)
    assert "最多还能退 ¥16" in (await boss.says(f"退 {no} 16.01")).text
    assert not await broken(town)


@here
async def test_both_sides_say_a_word_about_an_order(town: Town) -> None:
    boss, mei, lin = await town.owner(), await customer(town, "小美"), await customer(town, "小林")
    no = await arrived(town, boss, mei)
    assert "转告买家了" in (await boss.says(f"聊 {no} 明天给您补寄盖子")).text
    await town.settles()
    assert "明天给您补寄盖子" in told(mei)
    assert "转告店主了" in (await mei.says(f"聊 {no} 好的谢谢")).text
    await town.settles()
    assert "好的谢谢" in told(boss)
    assert "没找到" in (await lin.says(f"聊 {no} 是我")).text
    for said in (f"售后 {no}", f"撤回 {no}", f"退款 {no} 坏了"):
        assert "龙井" not in (await lin.says(said)).text
    assert await states(town) == []


# -- when nobody says anything ---------------------------------------------------------------------------


async def test_a_shop_that_says_nothing_for_two_days_has_agreed(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei)
    await mei.says(f"退款 {no} 不想要了")
    await town.later(hours=47)
    assert await states(town) == ["applied"]
    await town.later(hours=2)
    await money_goes(town)
    assert await states(town) == ["done"]
    assert await refunds(town) == [(2700, "done")]
    assert "一直没有答复" in told(boss) + (await boss.says("今日")).text
    assert not await broken(town)


async def to_send_back(town: Town, boss: Follower, mei: Follower) -> str:
    """An order that arrived and may be sent back: its number."""
    no = await arrived(town, boss, mei)
    await mei.says(f"退款 {no} 不想要了")
    await confirms(boss, f"同意 {no}")
    await town.settles()
    told(mei)
    return no


@here
async def test_the_parcel_that_goes_back_is_told_in_any_words_that_hold_its_number(town: Town) -> None:
    """退货单号 SF… showed the order, and 已经寄出 顺丰SF… was told which carriers there are."""
    boss, mei = await town.owner(), await customer(town, "小美")
    for words in (
        "寄回去了 SF1234567891",
        "退货单号 SF1234567891",
        "已经寄出 顺丰SF1234567891",
        "我寄回了，单号SF1234567891",
        "SF1234567891",
        "顺丰 SF1234567891",
    ):
        await to_send_back(town, boss, mei)
        assert "由 顺丰 SF1234567891 寄回" in (await mei.says(words)).text, words
        assert (await states(town))[-1] == "returned", words
        assert "退货 顺丰 SF1234567891 在路上" in (await mei.says("寄回去了 SF1234567891")).text, "said twice"
        await confirms(boss, "收到退货")
        await money_goes(town)
    assert not await broken(town)


@here
async def test_a_number_is_asked_for_until_one_is_said_and_means_nothing_where_nothing_goes_back(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await arrived(town, boss, mei)
    assert f"订单 {no}" in (await mei.says("SF1234567890")).text, "its own parcel"
    assert "没有等您寄回的货" in (await mei.says("寄回去了 SF1234567891")).text
    assert "发货 单号 顺丰" in (await boss.says("已经寄出 顺丰SF1234567891")).text, "staff send things out"
    await to_send_back(town, boss, mei)
    for words in ("13800138000", "SF1234567891 寄回了吗", "寄回"):
        await mei.says(words)
        assert (await states(town))[-1] == "agreed", words
    await mei.says("还没寄")
    assert (await states(town))[-1] == "agreed", "no words were taken for the number that was asked for"
    assert "由 顺丰 SF1234567891 寄回" in (await mei.says("单号是SF1234567891")).text
    assert not await broken(town)


@here
async def test_the_number_of_the_order_is_none_of_the_parcel_that_goes_back(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """寄回 K7M2P9QA was told to the shop as a parcel that is on its way."""
    boss, mei = await town.owner(), await customer(town, "小美")
    for no in ("K7M2P9QA", "637856T9"):
        monkeypatch.setattr(checkout, "draw", lambda length, no=no: no.ljust(length, "2")[:length])
        assert await to_send_back(town, boss, mei) == no
        for words in (f"寄回 {no}", f"{no} 寄回了"):
            await mei.says(words)
            assert (await states(town))[-1] == "agreed", words
        await mei.says(f"寄回 {no}")
        assert "由 顺丰 SF1234567891 寄回" in (await mei.says("SF1234567891")).text
        await confirms(boss, "收到退货")
        await money_goes(town)
    assert not await broken(town)


@here
async def test_where_a_return_goes_and_who_pays_for_it_is_answered_by_the_case(town: Town) -> None:
    """运费谁出 was answered with the rule for orders, also where the shop pays the way back."""
    boss, mei = await town.owner(), await customer(town, "小美")
    desk = town.stage.house.desk
    desk.figures = replace(desk.figures, service=replace(desk.figures.service, return_to="李店 13700137000 文三路2号"))
    assert "包邮" in (await mei.says("运费谁出")).text
    no = await arrived(town, boss, mei)
    assert f"订单 {no}" in (await mei.says("寄到哪里")).text
    await mei.says(f"退款 {no} 发错了")
    await mei.says("退货退款")
    assert "邮费我们出" in (await mei.says("运费谁出")).text
    assert "最晚" in (await mei.says("寄到哪里")).text
    await confirms(boss, f"同意 {no}")
    for words in ("寄到哪里", "退到哪", "退货寄到哪", "退货地址", "怎么寄回", "运费谁出", "邮费你们出吗"):
        shown = (await mei.says(words)).text
        assert "寄回：李店" in shown, words
        assert "邮费我们出" in shown, words
    await mei.says(f"寄回 {no} SF5555555555")
    assert "邮费我们出" in (await mei.says("邮费谁付")).text
    await confirms(boss, f"收到退货 {no}")
    await money_goes(town)
    broke = await arrived(town, boss, mei)
    await mei.says(f"退款 {broke} 坏了")
    await mei.says("全部退款")
    assert "不用寄回" in (await mei.says("运费谁出")).text


@here
async def test_a_return_that_is_never_sent_is_dropped_and_one_that_was_sent_is_paid(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    first = await arrived(town, boss, mei)
    await mei.says(f"退款 {first} 不想要了")
    await confirms(boss, f"同意 {first}")
    await town.later(days=7, minutes=6)
    assert await states(town) == ["withdrawn"]
    second = await arrived(town, boss, mei)
    await mei.says(f"退款 {second} 不想要了")
    await confirms(boss, f"同意 {second}")
    await mei.says(f"寄回 {second} SF5555555555")
    await town.later(days=10, minutes=6)
    await money_goes(town)
    assert await states(town) == ["withdrawn", "done"]
    assert await refunds(town) == [(1900, "done")]
    assert not await broken(town)


@here
async def test_an_order_that_the_shop_cancels_ends_what_was_asked_about_it(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei)
    await mei.says(f"退款 {no} 不想要了")
    await confirms(boss, f"取消 {no} 缺货")
    await money_goes(town)
    assert await states(town) == ["withdrawn"]
    assert await refunds(town) == [(2700, "done")]
    assert not await broken(town)


# -- to the fen ------------------------------------------------------------------------------------------


@given(
    amount=st.integers(0, 100_000),
    quantity=st.integers(1, 99),
    parts=st.lists(st.tuples(st.booleans(), st.integers(1, 5_000)), max_size=12),
)
def test_however_a_line_is_taken_apart_its_parts_are_what_was_paid(
    amount: int, quantity: int, parts: list[tuple[bool, int]]
) -> None:
    left, gone = Left(amount, quantity), 0
    for by_piece, much in parts:
        pieces = min(much % quantity + 1, left.pieces) if by_piece else 0
        fen = left.worth(pieces) if by_piece else min(much, left.fen)
        assert 0 <= fen <= left.fen
        left, gone = Left(left.fen - fen, left.pieces - pieces), gone + fen
    rest = left.worth(left.pieces)
    assert gone + rest == amount


@here
async def test_pieces_parts_and_the_rest_of_a_line_are_its_amount(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    async with town.stage.house.store.session() as session, session.begin():
        await session.execute(text("UPDATE sku SET price_fen = 1001 WHERE price_fen = 1900"))
    no = await arrived(town, boss, mei, THREE)
    for much, how in (("1", "all"), ("", "part"), ("1", "all"), ("全部", "all")):
        if how == "part":
            await confirms(boss, f"退 {no} 0.37")
        else:
            heard = await mei.says(f"退款 {no} 坏了")
            if "有问题？" in heard.text:
                await mei.says(much)
            await mei.says("全部退款")
            await confirms(boss, f"同意 {no}")
        await money_goes(town)
    assert sum(fen for fen, _ in await refunds(town)) == 3 * 1001
    assert "都退过了" in await _again(mei, no, "坏了")
    assert not await broken(town)


# -- two at once, on PostgreSQL --------------------------------------------------------------------------


async def _asked(town: Town) -> tuple[list[Follower], Follower, list[str]]:
    """A case that two of the staff are about to agree to: they, the buyer, and their confirmations."""
    boss, mei = await town.owner(), await customer(town, "小美")
    code = re.search(r"绑定码：(\d{6})", (await boss.says("授权 店长")).text)
    assert code
    other = await customer(town, "店长小周")
    await other.says(f"绑定 {code[1]}")
    no = await arrived(town, boss, mei)
    await mei.says(f"退款 {no} 坏了")
    await mei.says("全部退款")
    digits = []
    for one in (boss, other):
        found = re.search(r"确认 (\d{4})", (await one.says(f"同意 {no}")).text)
        assert found
        digits.append(f"确认 {found[1]}")
    return [boss, other], mei, digits


async def _owed(town: Town) -> int:
    row = await town.stage.house.store.reader.one(select(func.coalesce(func.sum(Refund.amount_fen), 0)))
    return int(row[0]) if row is not None else 0


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_two_of_the_staff_who_agree_at_once_pay_back_once(town: Town) -> None:
    staff, _, digits = await _asked(town)
    heard = await asyncio.gather(*(one.says(words) for one, words in zip(staff, digits, strict=True)))
    assert sorted("正在退给买家" in one.text for one in heard) == [False, True]
    assert await _owed(town) == 1900
    assert not await broken(town)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_control_without_the_guards_two_who_agree_at_once_pay_back_twice(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter(range(10_000, 20_000))
    monkeypatch.setattr(aftersale, "may_go", lambda before, to: True)
    monkeypatch.setattr(remedy, "number_of", lambda case: next(numbers))

    async def all_of_it(self: remedy.Remedies, line: OrderLine) -> Left:
        return Left(line.amount_fen, line.quantity)

    owe_back = Refunds.owe_back

    async def unnamed(self: Refunds, *about: Any, what: str = "", **more: Any) -> list[Refund]:
        return await owe_back(self, *about, **more)

    monkeypatch.setattr(Refunds, "owe_back", unnamed)
    monkeypatch.setattr(remedy.Remedies, "left", all_of_it)
    monkeypatch.setattr("handlers.admin.aftersale.changed_since", lambda wish, cases: False)
    staff, _, digits = await _asked(town)
    async with town.stage.house.store.session() as session, session.begin():
        await session.execute(text("UPDATE payment SET amount_fen = 5000"))
    await asyncio.gather(*(one.says(words) for one, words in zip(staff, digits, strict=True)))
    assert await _owed(town) > 1900, "the race did not happen: this test has lost its teeth"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_buyer_who_lets_it_drop_while_the_shop_agrees_gets_one_of_the_two(town: Town) -> None:
    staff, mei, digits = await _asked(town)
    heard = await asyncio.gather(mei.says("不退了"), staff[0].says(digits[0]))
    dropped, agreed = "撤回了" in heard[0].text, "正在退给买家" in heard[1].text
    assert dropped != agreed
    assert await _owed(town) == (1900 if agreed else 0)
    assert await states(town) == (["refunding"] if agreed else ["withdrawn"])
    assert not await broken(town)


# -- said in one's own words -----------------------------------------------------------------------------


@here
async def test_what_a_case_asks_may_be_answered_in_ones_own_words(town: Town) -> None:
    """Not only by the lines of a list: a reason, a way out, a sum of money."""
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await arrived(town, boss, mei, THREE)
    assert "怎么了" in (await mei.says(f"退款 {no}")).text
    assert "几罐有问题" in (await mei.says("盖子摔碎了")).text
    assert "您想怎么处理" in (await mei.says("全部")).text
    assert "想退多少" in (await mei.says("赔点钱吧")).text
    assert "¥10" in (await mei.says("十块就行")).text
    await town.settles()
    assert "盖子摔碎了" in told(boss)
    await mei.says("撤回申请")
    await mei.says(f"退款 {no}")
    assert "想退几罐" in (await mei.says("不喜欢这个")).text, "nothing is wrong with it"


@here
async def test_a_refund_is_what_one_wants_of_the_ways_and_not_another_case(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    await arrived(town, boss, mei)
    assert "您想怎么处理" in (await mei.says("罐子压扁了")).text
    assert "退款申请递给店主了" in (await mei.says("退款")).text
    assert await states(town) == ["applied"]


@here
@pytest.mark.parametrize("words", ["我要退款", "退钱", "想退货", "退欵", "申请退款"])
async def test_who_wants_their_money_back_is_asked_why_and_not_what_is_meant(town: Town, words: str) -> None:
    mei = await customer(town, "小美")
    await paid(town, mei)
    assert "是因为什么" in (await mei.says(words)).text


@here
async def test_what_is_broken_is_what_has_arrived_and_not_what_was_last_on_screen(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    sent = await arrived(town, boss, mei)
    await mei.says(f"订单 {await paid(town, mei, '买 A2')}")
    assert "桐乡胎菊" in (await mei.says("罐子压扁了")).text
    await mei.says("补发")
    assert "售后" in (await mei.says(f"订单 {sent}")).text


@here
async def test_what_was_refused_is_asked_for_again_by_a_word_where_nothing_can_be_tapped(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei)
    await mei.says(f"退款 {no} 不想要了")
    await boss.says(f"拒绝 {no} 已经打包了")
    await town.settles()
    assert "再申请" in told(mei)
    assert "是因为什么" in (await mei.says("再申请")).text


def test_every_reason_that_is_offered_has_a_name_for_the_shop() -> None:
    for reasons in (complaint.SENT_REASONS, complaint.HERE_REASONS):
        assert {code for _, code in reasons} <= set(aftersaleglance.REASONS)
