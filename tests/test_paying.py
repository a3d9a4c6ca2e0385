"""Who pays, and where: each way through the real doors, one way at a time, and nothing personal for anybody."""

import asyncio
import base64
import ipaddress
import re
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from follower import IN_WECHAT, ON_A_DESK, ON_A_PHONE, Follower, Web
from sqlalchemy import select, true
from test_pages import Patch, browser_of, content, leaked, patched
from town import Town
from yarl import URL

from bot.simulator.cashier import CannotPay
from bot.simulator.cashier_keys import merchants_key
from bot.simulator.driver import Heard
from bot.simulator.stage import Stage
from bot.web import drawing
from bot.web.payer import address_of, device_of
from bot.web.poster import CardFacts, draw_card
from models import payment, paytoken
from models.payment import Attempt, Payment
from models.product import Picture

__all__ = ["patched"]

WHERE = "欧阳小美 13812345678 浙江省杭州市西湖区听泉巷77号"
PERSONAL = ("欧阳", "13812345678", "5678", "听泉巷", "杭州")


@pytest.fixture
def hamlet(sqlite_stage: Stage) -> Town:
    """The people around a shop on SQLite alone."""
    return Town(sqlite_stage)


async def placed(stage: Stage, person: Follower) -> tuple[str, str]:
    """Somebody orders; (the order's number, its pay link)."""
    if not stage.driver.follows_now(person.person):
        await person.follows()
    await person.says("买 A4")
    await person.says("1")
    await stage.house.courier.drain()  # on Weibo nothing personal goes through the door: it is sent
    if "寄到哪里" in person.last.text:
        await person.says(WHERE)
        await stage.house.courier.drain()
    heard = person.last
    return number_in(heard), next(link.url for link in heard.links if "/pay/" in link.url)


def number_in(heard: Heard) -> str:
    found = re.search(r"订单 ([2-9A-HJ-NP-Z]{8})", heard.text)
    assert found, heard.text
    return found[1]


def ticket_in(words: str) -> str:
    found = re.search(r"付款 ([2-9A-HJ-NP-Z]{8}-[2-9A-HJ-NP-Z]{3})", words)
    assert found, words
    return found[1]


async def attempts(stage: Stage) -> list[tuple[str, str]]:
    """(way, state) of every attempt, oldest first."""
    rows = await stage.house.store.reader.all(select(Attempt.way, Attempt.state).order_by(Attempt.id))
    return [(row.way, row.state) for row in rows]


def prepay_id(page: Web) -> str:
    return page.words["package"].removeprefix("prepay_id=")


# -- inside WeChat -----------------------------------------------------------------------------------------


async def test_inside_wechat_one_pays_with_ones_own_wechat(town: Town) -> None:
    mei = town.wechat("小美")
    _, link = await placed(town.stage, mei)
    page = await mei.opens(link, IN_WECHAT)
    assert page.status == 200
    assert URL(page.url).path == URL(link).path, "there and back again, and nothing of it is left in the address"
    assert not URL(page.url).query
    assert await attempts(town.stage) == [], "looking makes no attempt"
    pressed = await page.presses_the_button()
    assert set(pressed.words) == {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}
    signed = [pressed.words[name] for name in ("appId", "timeStamp", "nonceStr", "package")]
    key = merchants_key(town.stage.house.settings.wechat_pay.private_key_file.parent)  # type: ignore[union-attr]
    key.verify(
        base64.b64decode(pressed.words["paySign"]), "".join(f"{w}\n" for w in signed).encode(), PKCS1v15(), SHA256()
    )
    order = next(iter(town.stage.cashier.books.orders.values()))
    assert order.kind == "jsapi"
    assert order.said["payer"] == {"openid": mei.person.who}
    await town.stage.cashier.pay(prepay_id(pressed), mei.person.who)
    await town.settles()
    assert "收到您的付款" in mei.inbox[-1].text
    assert "已付款" in (await mei.opens(link, IN_WECHAT)).text


async def test_a_double_tap_is_one_attempt(hamlet: Town) -> None:
    mei = hamlet.wechat("小美")
    _, link = await placed(hamlet.stage, mei)
    page = await mei.opens(link, IN_WECHAT)
    first, second = await page.presses_the_button(), await page.presses_the_button()
    assert first.words["package"] == second.words["package"]
    assert await attempts(hamlet.stage) == [("jsapi", "live")]


async def test_another_payer_is_another_attempt_and_the_first_is_closed(hamlet: Town) -> None:
    mei, qiang = hamlet.wechat("小美"), hamlet.wechat("阿强")
    await qiang.follows()
    _, link = await placed(hamlet.stage, mei)
    hers = await (await mei.opens(link, IN_WECHAT)).presses_the_button()
    his = await (await qiang.opens(link, IN_WECHAT)).presses_the_button()
    assert prepay_id(his) != prepay_id(hers)
    assert await attempts(hamlet.stage) == [("jsapi", "closed"), ("jsapi", "live")]
    with pytest.raises(CannotPay, match="已关闭"):
        await hamlet.stage.cashier.pay(prepay_id(hers), mei.person.who)
    await hamlet.stage.cashier.pay(prepay_id(his), qiang.person.who)
    await hamlet.settles()
    assert "收到您的付款" in mei.inbox[-1].text, "whoever pays, the buyer hears of it"
    row = await hamlet.stage.house.store.reader.one(select(Payment.payer))
    assert row is not None
    assert row.payer == qiang.person.who


# -- changing the way --------------------------------------------------------------------------------------


async def test_changing_the_way_closes_the_live_attempt_first(town: Town) -> None:
    mei = town.wechat("小美")
    _, link = await placed(town.stage, mei)
    desk = await (await mei.opens(link, ON_A_DESK)).presses_the_button()
    assert desk.code_url
    phone = await (await mei.opens(link, IN_WECHAT)).presses_the_button()
    assert phone.words
    assert await attempts(town.stage) == [("native", "closed"), ("jsapi", "live")]
    with pytest.raises(CannotPay, match="已关闭"):
        await town.stage.cashier.pay(desk.code_url, "oSomebody")
    again = await mei.opens(link, ON_A_DESK)
    assert not again.code_url, "what was made for one person inside WeChat is no code for anybody"


async def test_what_the_cashier_will_not_close_stays_the_live_one_and_the_page_says_so(town: Town) -> None:
    mei = town.wechat("小美")
    _, link = await placed(town.stage, mei)
    desk = await (await mei.opens(link, ON_A_DESK)).presses_the_button()
    phone = await mei.opens(link, IN_WECHAT)
    town.stage.cashier.fail_next("/close", status=500)
    kept = await phone.presses_the_button()
    assert "还没把它关掉" in kept.text
    assert kept.code_url == desk.code_url, "a QR code is for anybody"
    assert not kept.words
    assert await attempts(town.stage) == [("native", "live")]
    assert (await kept.presses_the_button()).words, "pressed again, the cashier closes it"
    assert await attempts(town.stage) == [("native", "closed"), ("jsapi", "live")]


async def test_what_stays_live_for_one_person_is_shown_to_no_other(hamlet: Town) -> None:
    mei, qiang = hamlet.wechat("小美"), hamlet.wechat("阿强")
    await qiang.follows()
    _, link = await placed(hamlet.stage, mei)
    hers = await (await mei.opens(link, IN_WECHAT)).presses_the_button()
    for other in (await qiang.opens(link, IN_WECHAT), await qiang.opens(link, ON_A_DESK)):
        hamlet.stage.cashier.fail_next("/close", status=500)
        kept = await other.presses_the_button()
        assert "回到那一页付完它" in kept.text
        assert not leaked(kept.html, prepay_id(hers), mei.person.who)
    assert await attempts(hamlet.stage) == [("jsapi", "live")]


async def test_who_paid_while_the_way_was_changed_has_paid(hamlet: Town) -> None:
    mei = hamlet.wechat("小美")
    _, link = await placed(hamlet.stage, mei)
    desk = await (await mei.opens(link, ON_A_DESK)).presses_the_button()
    phone = await mei.opens(link, IN_WECHAT)
    hamlet.stage.cashier.withhold = True
    await hamlet.stage.cashier.pay(desk.code_url, mei.person.who)
    assert "已付款" in (await phone.presses_the_button()).text
    assert await attempts(hamlet.stage) == [("native", "paid")]


# -- on a phone, outside WeChat ----------------------------------------------------------------------------


async def test_from_weibo_one_pays_by_a_few_words_said_to_the_wechat_account(town: Town) -> None:
    lin, wang = town.weibo("小林"), town.wechat("王阿姨")
    await wang.follows()
    no, link = await placed(town.stage, lin)
    page = await lin.opens(link, ON_A_PHONE)
    assert no not in page.html
    pressed = await page.presses_the_button()
    ticket = ticket_in(pressed.text)
    assert pressed.ticket == ticket
    assert ticket.startswith(no)
    assert await attempts(town.stage) == [], "words alone ask nothing of the cashier"
    heard = await wang.says(f"付款 {ticket}")
    assert [link_.url for link_ in heard.links] == [link]
    assert not leaked(heard.text.replace(link, ""), *PERSONAL, no, "A4"), "it pays, and tells nothing"
    await town.stage.cashier.pay(
        prepay_id(await (await wang.opens(link, IN_WECHAT)).presses_the_button()), wang.person.who
    )
    await town.settles()
    assert "收到您的付款" in lin.inbox[-1].text
    assert "已付款" in (await lin.opens(link, ON_A_PHONE)).text
    assert "还没有订单" in (await wang.says("订单")).text, "to pay for somebody is to be nobody else"


async def test_weibo_says_in_the_chat_how_a_phone_can_pay(hamlet: Town) -> None:
    lin, wang = hamlet.weibo("小林"), hamlet.wechat("王阿姨")
    await wang.follows()
    no, link = await placed(hamlet.stage, lin)
    await lin.says("付款")
    await hamlet.settles()
    assert f"微信付 {no}" in lin.inbox[-1].text
    await lin.says("微信付")
    await hamlet.settles()
    heard = await wang.says(f"付款{ticket_in(lin.inbox[-1].text)}".lower())
    assert [link_.url for link_ in heard.links] == [link]
    await placed(hamlet.stage, wang)
    assert "微信付" not in (await wang.says("付款")).text, "inside WeChat nobody needs it"


async def test_a_pay_token_is_good_once_and_for_half_an_hour(town: Town) -> None:
    lin, wang = town.weibo("小林"), town.wechat("王阿姨")
    await wang.follows()
    _, link = await placed(town.stage, lin)
    phone = await lin.opens(link, ON_A_PHONE)
    first = (await phone.presses_the_button()).ticket
    while (second := (await phone.presses_the_button()).ticket) == first:  # three characters may be drawn twice
        pass
    assert "不对" in (await wang.says(f"付款 {first}")).text, "the newest counts"
    said = await wang.says(f"付款 {second}")
    assert link in said.text
    (again,) = await wang.gets_it_again(said, 1)
    assert again.text == said.text, "the same message has the same answer"
    assert "不对" in (await wang.says(f"付款 {second}")).text, "once"
    third = (await phone.presses_the_button()).ticket
    await town.later(minutes=29, seconds=59)
    assert link in (await wang.says(f"付款 {third}")).text
    _, link = await placed(town.stage, lin)
    await town.later(seconds=10)
    fourth = (await (await lin.opens(link, ON_A_PHONE)).presses_the_button()).ticket
    await town.later(minutes=29, seconds=55)
    assert "已取消" in (await lin.opens(link, ON_A_PHONE)).text
    assert "不用再付款" in (await wang.says(f"付款 {fourth}")).text, "the words are good, the order is over"
    fifth = (await (await lin.opens((await placed(town.stage, lin))[1], ON_A_PHONE)).presses_the_button()).ticket
    await town.later(minutes=30)
    assert "不对" in (await wang.says(f"付款 {fifth}")).text


async def test_a_pay_token_that_was_guessed_at_five_times_is_no_more(town: Town) -> None:
    lin, wang = town.weibo("小林"), town.wechat("王阿姨")
    await wang.follows()
    no, link = await placed(town.stage, lin)
    phone = await lin.opens(link, ON_A_PHONE)
    good = (await phone.presses_the_button()).ticket
    wrong = [w for w in ("222", "333", "444", "555", "666", "777") if f"{no}-{w}" != good][:5]
    for guess in wrong[:4]:
        assert "不对" in (await wang.says(f"付款 {no}-{guess}")).text
    assert link in (await wang.says(f"付款 {good}")).text, "four wrong tries are forgiven"
    good = (await phone.presses_the_button()).ticket
    for guess in wrong:
        await wang.says(f"付款 {no}-{guess}")
    refused = await wang.says(f"付款 {good}")
    unknown = await wang.says("付款 ZZZZ2222-222")
    assert "不对" in refused.text
    assert unknown.text == refused.text, "whether there is such an order, nobody learns"
    fresh = (await phone.presses_the_button()).ticket
    assert link in (await wang.says(f"付款 {fresh}")).text, "another one can be had at once"


async def test_only_the_hash_of_a_token_is_kept(sqlite_stage: Stage) -> None:
    lin = Town(sqlite_stage).weibo("小林")
    _, link = await placed(sqlite_stage, lin)
    phone, words = await lin.opens(link, ON_A_PHONE), re.findall(r"'([^']*)'", content(sqlite_stage))
    ticket = (await phone.presses_the_button()).ticket
    while ticket.partition("-")[2] in words:  # three characters may be the code of some goods: A22
        ticket = (await phone.presses_the_button()).ticket
    assert ticket.partition("-")[2] not in re.findall(r"'([^']*)'", content(sqlite_stage))
    assert ticket not in content(sqlite_stage)


async def test_a_phone_pays_by_h5_only_where_the_shop_says_that_it_may(patched: Patch) -> None:
    stage = await patched(wechat_pay={"h5": True})
    mei = Town(stage).weibo("小林")
    _, link = await placed(stage, mei)
    page = await (await mei.opens(link, ON_A_PHONE)).presses_the_button()
    order = next(iter(stage.cashier.books.orders.values()))
    assert order.kind == "h5"
    assert order.said["scene_info"] == {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}
    h5_url, _, back = page.h5_url.rpartition("&redirect_url=")
    assert h5_url in order.codes
    assert URL.build(path=back, encoded=True).path == link
    stage.house.clock.move(timedelta(minutes=5))
    fresh = await mei.opens(link, ON_A_PHONE)
    assert not fresh.h5_url, "five minutes are over"
    pressed = await fresh.presses_the_button()
    assert pressed.h5_url
    assert await attempts(stage) == [("h5", "closed"), ("h5", "live")]
    await stage.cashier.pay(pressed.h5_url.rpartition("&redirect_url=")[0], "oSomebody")
    assert "已付款" in (await mei.opens(link, ON_A_PHONE)).text


# -- at the same moment ------------------------------------------------------------------------------------


@pytest.mark.parametrize("guarded", [True, False])
async def test_of_two_who_say_a_token_at_once_one_gets_the_link(
    town: Town, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    """The control twin: without the guard both get it."""
    lin, wang, qiang = town.weibo("小林"), town.wechat("王阿姨"), town.wechat("阿强")
    for one in (wang, qiang):
        await one.follows()
    _, link = await placed(town.stage, lin)
    ticket = (await (await lin.opens(link, ON_A_PHONE)).presses_the_button()).ticket
    if not guarded:
        monkeypatch.setattr(paytoken, "unspent", lambda now: true())
    heard = await asyncio.gather(*(one.says(f"付款 {ticket}") for one in (wang, qiang)))
    assert sum(link in one.text for one in heard) == (1 if guarded else 2)


@pytest.mark.parametrize("guarded", [True, False])
async def test_of_two_who_press_at_once_nobody_is_given_what_the_other_pays_by(
    town: Town, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    """The control twin: without the guard both are called up for one attempt, and one of them cannot pay."""
    mei, qiang = town.wechat("小美"), town.wechat("阿强")
    await qiang.follows()
    _, link = await placed(town.stage, mei)
    pages = [await one.opens(link, IN_WECHAT) for one in (mei, qiang)]
    if not guarded:
        monkeypatch.setattr(payment, "serves", lambda *asked: True)
    pressed = await asyncio.gather(*(page.presses_the_button() for page in pages))
    await town.settles()
    states = [state for _, state in await attempts(town.stage)]
    assert states.count("live") <= 1
    orders = town.stage.cashier.books.orders.values()
    whose = {code: order.said["payer"]["openid"] for order in orders for code in order.codes}
    given = [(page, one) for page, one in zip(pressed, (mei, qiang), strict=True) if page.words]
    mine = all(whose[prepay_id(page)] == one.person.who for page, one in given)
    assert mine is guarded
    if guarded:
        last = await (await mei.opens(link, IN_WECHAT)).presses_the_button()
        await town.stage.cashier.pay(prepay_id(last), mei.person.who)
        for page, _ in given:
            if prepay_id(page) != prepay_id(last):
                with pytest.raises(CannotPay):
                    await town.stage.cashier.pay(prepay_id(page), qiang.person.who)


# -- for a friend ------------------------------------------------------------------------------------------


async def test_a_friend_who_is_asked_to_pay_sees_what_and_how_much_and_nothing_else(town: Town) -> None:
    mei, qiang = town.wechat("小美"), town.wechat("阿强")
    await qiang.follows()
    no, link = await placed(town.stage, mei)
    heard = await mei.says("代付")
    await town.settles()
    (asked,) = [one.url for one in heard.links if "/pay/" in one.url]
    assert asked.startswith(link + "/")
    assert "谁" in heard.text or "退给付款的人" in heard.text
    pages = [await qiang.opens(asked, IN_WECHAT)]
    pages.append(await pages[0].presses_the_button())
    for page in pages:
        assert "朋友想请您帮忙付" in page.text
        assert "×1" in page.text
        assert not leaked(page.html, *PERSONAL, no, mei.person.who)
    await town.stage.cashier.pay(prepay_id(pages[1]), qiang.person.who)
    await town.settles()
    assert "收到您的付款" in mei.inbox[-1].text
    thanks = await qiang.opens(asked, IN_WECHAT)
    assert "已付款，谢谢您" in thanks.text
    assert "聊天" not in thanks.text.partition("谢谢您")[2].partition("在聊天里回")[0], "it is not his order"
    assert "还没有订单" in (await qiang.says("订单")).text


async def test_a_friend_may_also_be_asked_by_a_card_whose_code_opens_the_same_page(town: Town) -> None:
    mei, qiang = town.wechat("小美"), town.wechat("阿强")
    await qiang.follows()
    no, _ = await placed(town.stage, mei)
    (link,) = [one.url for one in (await mei.says("代付")).links if "/pay/" in one.url]
    await town.settles()
    (card,) = [heard.picture for heard in mei.inbox if heard.picture]
    scanned = await qiang.scans(card)
    assert [one.url for one in scanned.links] == [link], "it opens a page, and makes nobody a follower by a scene"
    page = await (await qiang.opens(scanned.links[0].url, IN_WECHAT)).presses_the_button()
    await town.stage.cashier.pay(prepay_id(page), qiang.person.who)
    await town.settles()
    assert "收到您的付款" in mei.inbox[-1].text
    kept = await town.stage.house.store.reader.all(select(Picture.sha256).where(Picture.jpeg == card))
    assert kept == [], "what the platform keeps for three days is kept nowhere else"
    assert "转给帮您付的人" not in (await mei.says(f"代付 {no}")).text
    await town.settles()
    assert not [heard for heard in mei.inbox if heard.picture], "nobody is asked to pay what is paid"


async def test_what_stands_on_the_card_is_the_goods_the_sum_and_a_first_name(
    hamlet: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[CardFacts] = []

    def listen(facts: CardFacts) -> bytes:
        drawn.append(facts)
        return draw_card(facts)

    monkeypatch.setattr(drawing, "draw_card", listen)
    mei = hamlet.wechat("小美")
    no, _ = await placed(hamlet.stage, mei)
    await mei.says("代付")
    await hamlet.settles()
    (facts,) = drawn
    assert (facts.kind, facts.initials, facts.price_fen) == ("pay", "朋友", 4400)
    assert "×1" in facts.title
    assert facts.deadline.endswith("前付")
    said = str(replace(facts, picture=None, qr_url=""))
    assert not leaked(said, *PERSONAL, no, mei.person.who)


async def test_on_weibo_the_card_is_an_article_that_opens_the_page(town: Town) -> None:
    lin = town.weibo("小林")
    await placed(town.stage, lin)
    await lin.says("代付")
    await town.settles()
    heard = list(lin.inbox)
    links = {one.url for each in heard if "帮您付" in each.text for one in each.links if "/pay/" in one.url}
    (article,) = [each.article for each in heard if each.article]
    assert {article.url} == links
    assert article.title.startswith("请帮忙付：")
    async with browser_of(town.stage) as browser, browser.get(URL(article.picture).path) as seen:
        assert seen.content_type == "image/jpeg"


async def test_only_who_was_asked_sees_the_goods(hamlet: Town) -> None:
    mei = hamlet.wechat("小美")
    _, link = await placed(hamlet.stage, mei)
    await mei.says("代付")
    plain = await mei.opens(link, ON_A_DESK)
    assert "×1" not in plain.text
    assert (await mei.opens(link + "/ABCDEF", ON_A_DESK)).status == 404


async def test_the_friend_is_paid_back_and_the_buyer_hears_so(town: Town) -> None:
    boss, mei, qiang = await town.owner(), town.wechat("小美"), town.wechat("阿强")
    await qiang.follows()
    no, link = await placed(town.stage, mei)
    page = await (await qiang.opens(link, IN_WECHAT)).presses_the_button()
    await town.stage.cashier.pay(prepay_id(page), qiang.person.who)
    await town.settles()
    shown = await boss.says(f"取消 {no} 没货了")
    digits = re.search(r"确认 (\d{4})", shown.text)
    await boss.says(f"确认 {digits[1]}" if digits else "确认")
    await town.settles()
    await town.later(minutes=2)
    await town.later(minutes=2)
    assert any("已原路退回，谁付的退给谁" in heard.text for heard in mei.inbox)
    (refund,) = town.stage.cashier.books.refunds.values()
    assert town.stage.cashier.books.orders[refund.out_trade_no].payer == qiang.person.who


# -- who this is: the way to the platform and back ---------------------------------------------------------


def agent(**more: str) -> dict[str, str]:
    return {"User-Agent": IN_WECHAT} | more


async def begun(browser: aiohttp.ClientSession, path: str) -> tuple[str, dict[str, list[str]]]:
    """(where the browser is sent, the query) when it opens the pay page inside WeChat."""
    async with browser.get(path, allow_redirects=False) as seen:
        assert seen.status == 302
        where = seen.headers["Location"]
    return where, parse_qs(urlsplit(where).query)


async def test_the_login_asks_for_no_more_than_the_openid_and_in_the_order_old_clients_need(
    sqlite_stage: Stage,
) -> None:
    mei = Town(sqlite_stage).wechat("小美")
    _, link = await placed(sqlite_stage, mei)
    async with browser_of(sqlite_stage, **agent()) as browser:
        where, asked = await begun(browser, URL(link).path)
    names = [part.partition("=")[0] for part in urlsplit(where).query.split("&")]
    assert names == ["appid", "redirect_uri", "response_type", "scope", "state"]
    assert asked["scope"] == ["snsapi_base"]
    assert where.endswith("#wechat_redirect")
    assert asked["redirect_uri"] == [f"{sqlite_stage.url}/oauth/wechat"]
    assert re.fullmatch(r"[a-zA-Z0-9]{32}", asked["state"][0])


async def test_a_login_that_this_browser_did_not_begin_is_refused(sqlite_stage: Stage) -> None:
    mei = Town(sqlite_stage).wechat("小美")
    _, link = await placed(sqlite_stage, mei)
    path, code = URL(link).path, sqlite_stage.platform.login.code_for
    async with browser_of(sqlite_stage, **agent()) as browser, browser_of(sqlite_stage, **agent()) as thief:
        _, asked = await begun(browser, path)
        state = asked["state"][0]
        evil = code("oEvil")
        for other in (
            {"state": state, "code": evil},  # in another browser: somebody else would pay as the thief's guest
            {"state": "0" * 32, "code": evil},
            {"code": evil},
            {"state": state},
            {"state": state, "code": evil, "next": "https://evil.example/"},
        ):
            async with thief.get("/oauth/wechat", params=other, allow_redirects=False) as refused:
                assert refused.status == 403
                assert "Set-Cookie" not in refused.headers
        async with browser.get("/oauth/wechat", params={"state": state[::-1], "code": evil}) as refused:
            assert refused.status == 403
        mine = {"state": state, "code": code(mei.person.who), "next": "https://evil.example/"}
        async with browser.get("/oauth/wechat", params=mine, allow_redirects=False) as good:
            assert (good.status, good.headers["Location"]) == (302, path), "where to is never taken from outside"
            assert any("HttpOnly" in cookie and "payer=" in cookie for cookie in good.headers.getall("Set-Cookie"))
        async with browser.get("/oauth/wechat", params=mine | {"code": evil}, allow_redirects=False) as twice:
            assert (twice.status, twice.headers["Location"]) == (302, path)
            assert "Set-Cookie" not in twice.headers, "a state is good once: nobody else is taken for her"
        kept = [c for c in browser.cookie_jar if c.key == "payer"]
        assert mei.person.who in kept[0].value


async def test_a_state_is_good_once_even_where_nobody_is_known(sqlite_stage: Stage) -> None:
    mei = Town(sqlite_stage).wechat("小美")
    _, link = await placed(sqlite_stage, mei)
    async with browser_of(sqlite_stage, **agent()) as browser:
        _, asked = await begun(browser, URL(link).path)
        given = {"state": asked["state"][0], "code": "made-up"}
        async with browser.get("/oauth/wechat", params=given) as back:
            assert back.status == 200
            assert "没能打开付款" in await back.text(), "and it is not sent there again and again"
        late = given | {"code": sqlite_stage.platform.login.code_for("oEvil")}
        async with browser.get("/oauth/wechat", params=late) as again:
            assert again.status == 403
        sqlite_stage.house.clock.move(timedelta(seconds=61))
        where, _ = await begun(browser, URL(link).path)
        assert "authorize" in where, "a minute later it is tried anew"


async def test_a_login_that_took_too_long_is_refused(sqlite_stage: Stage) -> None:
    mei = Town(sqlite_stage).wechat("小美")
    _, link = await placed(sqlite_stage, mei)
    async with browser_of(sqlite_stage, **agent()) as browser:
        _, asked = await begun(browser, URL(link).path)
        sqlite_stage.house.clock.move(timedelta(minutes=10))
        given = {"state": asked["state"][0], "code": sqlite_stage.platform.login.code_for(mei.person.who)}
        async with browser.get("/oauth/wechat", params=given) as late:
            assert late.status == 403


async def test_a_forged_cookie_says_nothing_about_who_pays(sqlite_stage: Stage) -> None:
    mei = Town(sqlite_stage).wechat("小美")
    _, link = await placed(sqlite_stage, mei)
    await mei.opens(link, IN_WECHAT)
    good = next(c.value for c in mei.browsers[IN_WECHAT] if c.key == "payer")
    openid, until, mac = good.split(".")
    forged = [f"oEvil.{until}.{mac}", f"{openid}.{int(until) + 9}.{mac}", f"{openid}.{until}.", good[:-1], "x", ""]
    for value in forged:
        async with browser_of(sqlite_stage, **agent(Cookie=f"payer={value}")) as browser:
            where, _ = await begun(browser, URL(link).path)
            assert "authorize" in where, value
    sqlite_stage.house.clock.move(timedelta(hours=12))
    async with browser_of(sqlite_stage, **agent(Cookie=f"login={good}; payer={good}")) as browser:
        refused = await browser.get("/oauth/wechat", params={"state": openid, "code": "x"})
        assert refused.status == 403, "one cookie is not another"


async def test_the_preview_of_a_page_is_nobody(sqlite_stage: Stage) -> None:
    mei = Town(sqlite_stage).wechat("小美")
    _, link = await placed(sqlite_stage, mei)
    sqlite_stage.platform.login.snapshots.add(mei.person.who)
    page = await mei.opens(link, IN_WECHAT)
    assert "完整服务" in page.text
    assert not [c for c in mei.browsers[IN_WECHAT] if c.key == "payer"]


# -- whoever looks, looks only -----------------------------------------------------------------------------


async def test_looking_changes_nothing_whatever_the_browser_says_it_is(sqlite_stage: Stage) -> None:
    mei = Town(sqlite_stage).wechat("小美")
    no, link = await placed(sqlite_stage, mei)
    friend = next(one.url for one in (await mei.says("代付")).links if "/pay/" in one.url)
    await Town(sqlite_stage).settles()
    await sqlite_stage.house.desk.write_behind()
    before = content(sqlite_stage)
    agents = (IN_WECHAT, ON_A_DESK, ON_A_PHONE, "", "MicroMessenger", "WeChatBot/1.0 <script>", "x" * 4000)
    for one in agents:
        async with browser_of(sqlite_stage, **{"User-Agent": one}) as browser:
            for path in (URL(link).path, URL(friend).path, f"{URL(link).path}/state"):
                for method in ("GET", "HEAD"):
                    async with browser.request(method, path, allow_redirects=False) as seen:
                        assert seen.status in (200, 302)
                        told = await seen.text() + str(seen.headers)
                        assert not leaked(told, *PERSONAL, no, mei.person.who)
    assert content(sqlite_stage) == before
    assert not sqlite_stage.cashier.books.orders


def test_a_browser_is_taken_for_what_it_says() -> None:
    assert device_of(IN_WECHAT) == "wechat"
    assert device_of(ON_A_PHONE) == "phone"
    assert device_of("Mozilla/5.0 (Linux; Android 14; HarmonyOS) Mobile") == "phone"
    assert device_of(ON_A_DESK) == "desktop"
    assert device_of("") == "desktop"


@pytest.mark.parametrize(
    ("proxies", "told", "address"),
    [
        ((), "203.0.113.7", "127.0.0.1"),  # anybody can write a header
        (("127.0.0.1",), "203.0.113.7", "203.0.113.7"),
        (("127.0.0.1",), "198.51.100.1, 203.0.113.7", "203.0.113.7"),  # what came before our proxy's word is hearsay
        (("127.0.0.1", "10.0.0.0/8"), "203.0.113.7, 10.1.2.3", "203.0.113.7"),
        (("127.0.0.1",), "203.0.113.7, nonsense", "127.0.0.1"),
        (("127.0.0.1",), "", "127.0.0.1"),
        (("127.0.0.1",), "2001:db8::1", "2001:db8::1"),
    ],
)
async def test_the_payers_address_is_the_sockets_or_what_a_trusted_proxy_says(
    proxies: tuple[str, ...], told: str, address: str
) -> None:
    class Transport:
        def get_extra_info(self, name: str) -> object:
            return ("127.0.0.1", 4711) if name == "peername" else None

    request = make_mocked_request("GET", "/", {"X-Forwarded-For": told} if told else {}, transport=Transport())  # type: ignore[arg-type]
    assert address_of(request, tuple(ipaddress.ip_network(one) for one in proxies)) == address
