"""A sale in chat, through the real doors: ordered, paid, shipped; sold out; cancelled; nobody else's business."""

import asyncio
import re

import pytest
from follower import Follower
from sqlalchemy import select
from town import Town

from bot.simulator.driver import Heard
from models import settlement, verify
from models.base import Invariant
from models.inbox import Inbox

WHERE = "张三 13800138000 浙江省杭州市西湖区文三路1号"
GREEN = "买 A11"  # its first spec costs ¥19, and ¥8 to send


def number(heard: Heard) -> str:
    """The order number in an answer."""
    found = re.search(r"订单 ([2-9A-HJ-NP-Z]{8})", heard.text)
    assert found, heard.text
    return found[1]


async def customer(town: Town, name: str) -> Follower:
    """Somebody who follows the shop, so that it may speak to them."""
    one = town.wechat(name)
    await one.follows()
    return one


async def orders(person: Follower, what: str, spec: str = "1") -> Heard:
    """Says what is wanted, and answers what is asked on the way."""
    heard = await person.says(what)
    if "要哪种" in heard.text:
        heard = await person.says(spec)
    if "寄到哪里" in heard.text:
        heard = await person.says(WHERE)
    return heard


async def broken(town: Town) -> list[Invariant]:
    """Every invariant that does not hold now."""
    house = town.stage.house
    found = [invariant for _, invariant, _ in await verify.offenders(house.store, house.clock.now())]
    for invariant in settlement.INVARIANTS:
        if await house.store.reader.all(invariant.statement):
            found.append(invariant)
    return found


def told(person: Follower) -> str:
    """Everything the shop has sent unasked since the last look."""
    return "\n\n".join(heard.text for heard in person.inbox)


async def test_a_sale_from_the_wish_to_the_parcel(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    assert "要哪种" in (await mei.says("买 A1 x2")).text
    assert "寄到哪里" in (await mei.says("250g 罐装")).text
    placed = await mei.says(WHERE)
    no = number(placed)
    assert "明前龙井 250g 罐装 ×2 ¥176" in placed.text
    assert "包邮" in placed.text
    assert "合计 ¥176" in placed.text
    assert "寄到 张三 13800138000 浙江省杭州市西湖区文三路1号" in placed.text  # read back in full this once
    page = await mei.pays(placed)
    assert "¥176" in page.text
    assert "张" not in page.text
    assert no not in page.text
    await town.settles()
    assert "收到您的付款 ¥176" in told(mei)
    assert no in told(boss)
    waiting = await boss.says("待发货")
    assert no in waiting.text
    assert "文三路1号" in waiting.text
    assert "顺丰" in (await boss.says(f"发货 {no} SF1234567890")).text
    await town.settles()
    assert "SF1234567890" in told(mei)
    again = await boss.says(f"发货 {no} SF1234567890")
    assert "没有改动" in again.text
    await town.settles()
    assert told(mei) == ""
    assert "SF1234567890" in (await mei.says("物流")).text
    assert "已确认收货" in (await mei.says("收货")).text
    assert "已完成" in (await mei.says("订单")).text
    assert not await broken(town)


async def heard_and_kept(town: Town) -> int:
    """How many messages have had a transaction."""
    return len(await town.stage.house.store.reader.all(select(Inbox.id)))


async def test_the_second_buyer_of_the_last_piece_hears_that_it_is_sold_out(town: Town) -> None:
    first, second = await customer(town, "小美"), await customer(town, "阿强")
    assert "合计" in (await orders(first, "买 A2 x3", "200g 罐装")).text
    heard = await orders(second, "买 A2", "200g 罐装")
    assert "卖完了" in heard.text
    assert "100g" in heard.text, "another spec is offered"
    assert "还没有订单" in (await second.says("订单")).text
    assert not await broken(town)


async def test_who_comes_too_late_is_told_so_before_anything_is_written_and_may_have_what_is_freed(town: Town) -> None:
    """In a rush most come too late: a transaction for each of them kept those waiting who could still buy."""
    first, second = await customer(town, "小美"), await customer(town, "阿强")
    await second.says(f"地址 {WHERE}")
    placed = await orders(first, "买 A2 x3", "200g 罐装")
    written = await heard_and_kept(town)
    late = await second.says("买 A2 200g 罐装")
    assert "卖完了" in late.text
    await first.says(f"取消 {number(placed)}")
    assert await heard_and_kept(town) == written + 1, "only what changed something was written down"
    for again in await second.gets_it_again(late):
        assert again.text == late.text, "the same message, the same answer, although there is some again"
    assert "还没有订单" in (await second.says("订单")).text
    assert "合计" in (await second.says("买 A2 200g 罐装")).text
    assert not await broken(town)


async def test_so_many_of_a_line_beyond_the_list_is_asked_back(town: Town) -> None:
    mei = await customer(town, "小美")
    await mei.says("搜 龙井")
    assert "没有第 2 行" in (await mei.says("来3份第2个")).text
    assert "（要 3 份）" in (await mei.says("来3份第1个")).text


async def test_too_few_left_names_what_is_left_and_takes_it_by_a_tap(town: Town) -> None:
    mei = await customer(town, "小美")
    await orders(mei, GREEN)
    heard = await orders(mei, "买 A2 x5", "200g 罐装")
    assert "只剩 3" in heard.text
    assert "×3" in (await mei.says("1")).text


async def test_a_yes_to_no_question_orders_nothing_and_shows_what_is_on_screen(town: Town) -> None:
    mei = await customer(town, "小美")
    await mei.says(f"地址 {WHERE}")
    await town.later(minutes=1)
    await mei.says("桐乡胎菊")
    await mei.says("好")
    for said in ("要", "想要", "来", "要的"):
        heard = (await mei.says(said)).text
        assert "A11" in heard
        assert "1. 买" in heard
    assert "还没有订单" in (await mei.says("订单")).text
    assert "要哪种" in (await mei.says("要买这个")).text, "who says so wants it"


async def test_an_unpaid_order_frees_its_stock_by_itself(town: Town) -> None:
    first, second = await customer(town, "小美"), await customer(town, "阿强")
    placed = await orders(first, "买 A2 x3", "200g 罐装")
    await town.later(minutes=29)
    assert "卖完了" in (await orders(second, "买 A2 x3", "200g 罐装")).text
    await town.later(minutes=2)
    assert "到时间没有付款" in told(first)
    assert "合计" in (await orders(second, "买 A2 x3", "200g 罐装")).text
    page = await first.opens(next(link for link in placed.links if "/pay/" in link.url))
    assert "不再收款" in page.text
    assert not page.code_url
    assert not await broken(town)


async def test_an_order_with_an_open_attempt_is_closed_when_the_cashier_has_said_so(town: Town) -> None:
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    page = await (await mei.opens(next(x for x in placed.links if "/pay/" in x.url))).presses_the_button()
    assert page.code_url
    heard = await mei.says("取消")
    assert "正在取消" in heard.text
    await town.settles()
    assert "已取消" in told(mei)
    assert [o.state for o in town.stage.cashier.books.orders.values()] == ["CLOSED"]
    assert not await broken(town)


async def test_two_presses_of_the_pay_button_are_one_attempt(town: Town) -> None:
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    link = next(x for x in placed.links if "/pay/" in x.url)
    pages = [await mei.opens(link) for _ in range(3)]
    pressed = await asyncio.gather(*(page.presses_the_button() for page in pages))
    await town.settles()
    assert len(town.stage.cashier.books.orders) == 1
    assert any(page.code_url for page in pressed)
    assert (await mei.opens(link)).code_url, "and whoever waited sees it when the page looks again"


async def test_a_payment_without_any_callback_is_found_by_asking(town: Town) -> None:
    mei = await customer(town, "小美")
    town.stage.cashier.withhold = True
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.settles()
    assert "待付款" in (await mei.says(f"订单 {number(placed)}")).text
    await town.later(minutes=1)
    assert "待发货" in (await mei.says(f"订单 {number(placed)}")).text
    assert not await broken(town)


async def test_a_callback_that_comes_three_times_is_one_payment(town: Town) -> None:
    mei = await customer(town, "小美")
    town.stage.cashier.repeat = 3
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    answers = await asyncio.gather(*(town.stage.cashier.deliver() for _ in range(3)))
    assert [status for one in answers for status, _ in one] == [200] * 3
    await town.settles()
    assert told(mei).count("收到您的付款") == 1
    assert not await broken(town)


async def test_money_for_a_cancelled_order_goes_back_by_itself(town: Town) -> None:
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    page = await (await mei.opens(next(x for x in placed.links if "/pay/" in x.url))).presses_the_button()
    await mei.says("取消")
    await town.settles()
    told(mei)
    # Who was typing the password may still pay: the cashier's own close is not the last word.
    next(iter(town.stage.cashier.books.orders.values())).state = "NOTPAY"
    await town.stage.cashier.pay(page.code_url, mei.person.who)
    await town.settles()
    heard = told(mei)
    assert "之前已取消" in heard
    assert "10 分钟" in heard
    assert "已取消" in (await mei.says(f"订单 {number(placed)}")).text
    await town.later(minutes=11)
    await town.later(minutes=1)
    assert "已原路退回" in told(mei)
    assert not await broken(town)


async def test_money_of_a_wrong_amount_pays_nothing_and_goes_back(town: Town) -> None:
    mei = await customer(town, "小美")
    town.stage.cashier.withhold = True
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    changed = {"amount": {"total": 1, "currency": "CNY", "payer_total": 1, "payer_currency": "CNY"}}
    assert [s for s, _ in await town.stage.cashier.deliver(changed=changed)] == [200]
    await town.settles()
    assert "金额和订单对不上" in told(mei)
    assert "待付款" in (await mei.says(f"订单 {number(placed)}")).text


@pytest.mark.parametrize("changed", [{"appid": "wxsomebodyelse"}, {"mchid": "1900000001"}])
async def test_a_callback_about_another_merchant_changes_nothing(town: Town, changed: dict[str, str]) -> None:
    mei = await customer(town, "小美")
    town.stage.cashier.withhold = True
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    assert [s for s, _ in await town.stage.cashier.deliver(changed=changed)] != [200]
    assert "待付款" in (await mei.says(f"订单 {number(placed)}")).text


async def test_a_foreign_order_sounds_like_one_that_does_not_exist(town: Town) -> None:
    mei, thief = await customer(town, "小美"), await customer(town, "小偷")
    no = number(await orders(mei, GREEN))
    for words in ("订单", "付款", "取消", "物流", "收货", "退款"):
        foreign = (await thief.says(f"{words} {no}")).text
        missing = (await thief.says(f"{words} 2A3B4C5D")).text
        assert foreign.replace(no, "X") == missing.replace("2A3B4C5D", "X")
        assert "没找到" in foreign
    assert "待付款" in (await mei.says(no.lower())).text, "a bare number is enough for its owner"


async def test_a_paid_order_is_not_cancelled_by_one_word(town: Town) -> None:
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.settles()
    heard = await mei.says("取消")
    assert "已经付过款" in heard.text
    assert "退款" in heard.text
    assert "待发货" in (await mei.says(f"订单 {number(placed)}")).text


async def test_cancel_leaves_an_open_question_before_it_closes_an_order(town: Town) -> None:
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    assert "要哪种" in (await mei.says("买 A1")).text
    await mei.says("取消")
    assert "待付款" in (await mei.says(f"订单 {number(placed)}")).text
    assert "已取消" in (await mei.says("取消")).text


async def test_nobody_holds_more_than_five_unpaid_orders(town: Town) -> None:
    mei = await customer(town, "小美")
    for _ in range(5):
        assert "合计" in (await orders(mei, GREEN)).text
    assert "等付款" in (await orders(mei, GREEN)).text
    assert not await broken(town)


async def test_an_amount_nobody_can_mean_is_asked_back(town: Town) -> None:
    mei = await customer(town, "小美")
    await orders(mei, GREEN)
    assert "要几份" in (await orders(mei, "买 A11 x500")).text
    assert "×2" in (await mei.says("2")).text


async def test_an_address_said_in_pieces_is_put_together_and_the_order_goes_on(town: Town) -> None:
    mei = await customer(town, "小美")
    assert "寄到哪里" in (await mei.says("买 A1 250g 罐装")).text
    assert "省" in (await mei.says("张三 13800138000")).text
    placed = await mei.says("浙江省杭州市西湖区文三路1号")
    assert "寄到 张三 13800138000 浙江省杭州市西湖区文三路1号" in placed.text


async def test_three_boxes_while_an_order_is_asked_about_is_how_many_of_it(town: Town) -> None:
    mei = await customer(town, "小美")
    await mei.says("买 A1")
    assert "要哪种" in (await mei.says("3盒")).text
    assert "寄到哪里" in (await mei.says("250g 罐装")).text
    assert "×3" in (await mei.says(WHERE)).text


async def test_with_several_unpaid_orders_cancel_asks_which(town: Town) -> None:
    mei = await customer(town, "小美")
    for _ in range(2):
        await orders(mei, GREEN)
    await town.later(minutes=11)  # nothing is on screen any more
    assert "哪一单" in (await mei.says("取消")).text
    assert "已取消" in (await mei.says("1")).text
    assert "待付款" in (await mei.says("订单")).text


async def test_how_many_were_asked_for_stays_with_the_wish_until_it_is_bought(town: Town) -> None:
    mei = await customer(town, "小美")
    await mei.says(f"地址 {WHERE}")
    assert "2 份" in (await mei.says("来两盒碧螺春")).text
    assert "1. 买 2" in (await mei.says("1")).text
    await mei.says("包邮吗")
    assert "（要 2 份）" in (await mei.says("买")).text
    assert "×2 ¥90" in (await mei.says("1")).text
    assert "2 份" not in (await mei.says("买 A2")).text, "it is bought"


async def test_how_many_were_asked_for_goes_with_no_other_goods(town: Town) -> None:
    mei = await customer(town, "小美")
    await mei.says(f"地址 {WHERE}")
    await mei.says("来两盒碧螺春")
    await mei.says("1")
    await mei.says("看 A11")
    assert "2 份" not in (await mei.says("买")).text
    await mei.says("算了")
    await mei.says("来两盒碧螺春")
    await mei.says("买第1个")
    assert "×2 ¥90" in (await mei.says("1")).text


async def test_how_many_were_asked_for_go_into_the_cart(town: Town) -> None:
    mei = await customer(town, "小美")
    await mei.says("我要三袋碧螺春")
    await mei.says("加购物车")
    assert "×3" in (await mei.says("1")).text
    await mei.says("加购物车")
    assert "×1" in (await mei.says("1")).text


@pytest.mark.parametrize("said", ["A11来三罐", "想买三罐A11", "A11 x3", "A11x3", "我想要3罐a11", "来A11 三罐"])
async def test_so_many_of_a_code_in_any_order(town: Town, said: str) -> None:
    mei = await customer(town, "小美")
    await mei.says(f"地址 {WHERE}")
    assert "要哪种" in (await mei.says(said)).text
    assert "桐乡胎菊 100g 罐装 ×3" in (await mei.says("2")).text


@pytest.mark.parametrize("verb", ["买", "加"])
async def test_so_many_of_an_option_answers_which_and_how_many(town: Town, verb: str) -> None:
    mei = await customer(town, "小美")
    await mei.says(f"地址 {WHERE}")
    await mei.says(f"{verb} A11")
    assert "桐乡胎菊 100g 罐装 ×3" in (await mei.says("来3份第2个")).text


@pytest.mark.parametrize(
    ("said", "spec"),
    [
        ("要大包的", "200g 袋装"),
        ("小的", "50g 罐装"),
        ("要大罐的", "100g 罐装"),
        ("最便宜的", "50g 罐装"),
        ("要便宜点的吧", "50g 罐装"),
        ("来最贵的", "200g 袋装"),
    ],
)
async def test_an_option_is_told_by_its_size_or_its_price(town: Town, said: str, spec: str) -> None:
    mei = await customer(town, "小美")
    await mei.says(f"地址 {WHERE}")
    await mei.says(GREEN)
    assert f"桐乡胎菊 {spec} ×1" in (await mei.says(said)).text


async def test_where_several_are_meant_the_question_is_asked_again(town: Town) -> None:
    mei = await customer(town, "小美")
    await mei.says(f"地址 {WHERE}")
    await mei.says("买 A4")
    for said in ("要大的", "要大份的", "换个口味"):
        assert "祁门红茶 要哪种" in (await mei.says(said)).text, said
    assert "要哪种" not in (await mei.says("便宜点")).text, "who haggles chooses nothing"
    assert "80g 小罐 ×1" in (await mei.says("要小罐的")).text


async def test_so_many_of_a_line_of_the_list(town: Town) -> None:
    mei = await customer(town, "小美")
    await orders(mei, GREEN)
    shown = await mei.says("商品")
    assert re.search(r"^2\W.*碧螺春", shown.text, re.M), shown.text
    placed = await orders(mei, "来3份第2个")
    assert "洞庭碧螺春 100g 袋装 ×3" in placed.text


async def test_a_follower_ships_nothing(town: Town) -> None:
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.settles()
    await mei.says(f"发货 {number(placed)} SF1234567890")
    assert "待发货" in (await mei.says(f"订单 {number(placed)}")).text


async def test_on_weibo_the_sum_is_sent_and_never_in_the_reply(town: Town) -> None:
    lin = town.weibo("小林")
    await lin.follows()
    await lin.says(GREEN)
    await lin.says("1")
    heard = await lin.says(WHERE)
    assert "合计" not in heard.text
    await town.settles()
    assert "合计 ¥27" in told(lin)


@pytest.mark.parametrize("said", ["买A2x3", "买 A2X3", "来a2x3", "要Ａ２×３"])
async def test_how_many_may_be_glued_to_the_code(town: Town, said: str) -> None:
    mei = await customer(town, "小美")
    await mei.says(said)
    assert "×3 ¥135" in (await orders(mei, "1")).text
