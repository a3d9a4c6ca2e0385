"""Group-buys: the rules without a database, then whole groups in chat."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest
from follower import Follower
from servers import Postgres
from sqlalchemy import select, text
from town import Blank, Town

from models import base, groupbuy
from models import offer as offer_model
from models.base import Contended, Work
from models.figures import Figures, GroupFigures
from models.follower import Followers
from models.groupbuy import (
    AlreadyIn,
    Group,
    GroupBuys,
    GroupFailed,
    GroupFilled,
    GroupFull,
    GroupOver,
    LastMinutes,
    NoSeat,
    NotIn,
    Seat,
    SeatBeingPaid,
    free_number,
    free_seat,
    minutes_left,
    reserve_seat,
    take_seat,
)
from models.offer import Offer, OfferOdd, offer_sane
from models.refund import Refund
from models.store import Store
from models.verify import offenders

NOW = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
ENDS = NOW + timedelta(hours=24)
RULES = GroupFigures()
MEI, HAO, LIN, TAO = 1, 2, 3, 4


def group_of(*people: int, size: int = 3, paying: tuple[int, ...] = (), state: str = "forming") -> Group:
    """A group with these people in it, of whom some are still paying."""
    seats = [
        Seat(id=n, n=n, follower_id=who, order_id=n, made=NOW, state="held" if who in paying else "taken")
        for n, who in enumerate(people, 1)
    ]
    paid = len(people) - len(paying)
    group = Group(code="G7K2", size=size, state=state, deadline=ENDS, paid_seats=paid, head_id=people[0])
    group.id, group.seats = 1, seats
    return group


# -- the rules, without a database -----------------------------------------------------------------------


def test_a_joiner_gets_the_lowest_free_seat() -> None:
    assert group_of(MEI).join(HAO, NOW, RULES, 10) == 2
    assert free_number([1, 3], 3) == 2


def test_a_group_of_three_takes_no_fourth() -> None:
    with pytest.raises(GroupFull):
        group_of(MEI, HAO, LIN).join(TAO, NOW, RULES, 10)


def test_a_filled_group_takes_nobody_even_if_a_seat_row_is_missing() -> None:
    with pytest.raises(GroupFull):
        group_of(MEI, HAO, state="filled").join(TAO, NOW, RULES, 10)


def test_a_seat_that_is_being_paid_is_neither_free_nor_full() -> None:
    with pytest.raises(SeatBeingPaid) as no:
        group_of(MEI, HAO, LIN, paying=(LIN,)).join(TAO, NOW + timedelta(minutes=1), RULES, 10)
    assert no.value.facts["minutes"] == 9


def test_nobody_joins_twice() -> None:
    with pytest.raises(AlreadyIn) as no:
        group_of(MEI, HAO, paying=(HAO,)).join(HAO, NOW, RULES, 10)
    assert no.value.facts["paid"] is False
    with pytest.raises(AlreadyIn):
        group_of(MEI).join(MEI, NOW, RULES, 10)


def test_no_seat_is_given_in_the_last_two_minutes() -> None:
    assert group_of(MEI).join(HAO, ENDS - timedelta(minutes=2, seconds=1), RULES, 10) == 2
    with pytest.raises(LastMinutes):
        group_of(MEI).join(HAO, ENDS - timedelta(minutes=2), RULES, 10)


def test_nobody_joins_after_the_deadline_or_a_group_that_failed() -> None:
    with pytest.raises(GroupOver):
        group_of(MEI).join(HAO, ENDS, RULES, 10)
    with pytest.raises(GroupOver):
        group_of(MEI, state="failed").join(HAO, NOW, RULES, 10)


def test_the_last_seat_fills_the_group_and_only_the_last() -> None:
    group = group_of(MEI, HAO)
    group.seat_taken(HAO, NOW)
    assert (group.state, group.take_news()) == ("forming", [])
    group = group_of(MEI, HAO, LIN)
    group.seat_taken(LIN, NOW)
    assert (group.state, group.take_news()) == ("filled", [GroupFilled(1, "G7K2", LIN)])


def test_a_group_fails_at_its_deadline_and_is_judged_once() -> None:
    group = group_of(MEI, HAO)
    assert not group.due(ENDS - timedelta(seconds=1), RULES)
    with pytest.raises(ValueError, match="time left"):
        group.fail(ENDS - timedelta(seconds=1))
    assert group.due(ENDS, RULES)
    group.fail(ENDS)
    group.fail(ENDS + timedelta(minutes=1))
    assert (group.state, group.take_news()) == ("failed", [GroupFailed(1, "G7K2", 2)])
    assert not group.due(ENDS + timedelta(minutes=1), RULES)


def test_a_due_group_waits_six_minutes_for_a_payment_that_may_still_be_found() -> None:
    group = group_of(MEI, HAO, paying=(HAO,))
    assert not group.due(ENDS + timedelta(minutes=5, seconds=59), RULES)
    assert group.due(ENDS + timedelta(minutes=6), RULES)


def test_the_earliest_member_heads_it_when_the_opener_leaves() -> None:
    group = group_of(MEI, HAO, LIN, size=5, paying=(LIN,))
    assert group.head_without(group.leave(MEI, NOW)) == HAO
    assert group.head_without(group.leave(HAO, NOW)) == MEI
    assert group_of(MEI).head_without(group_of(MEI).leave(MEI, NOW)) == 0


def test_who_pays_for_a_seat_when_everybody_has_left_heads_the_group() -> None:
    group = group_of(HAO)
    group.head_id = MEI  # who has left while 小浩 was paying
    group.seat_taken(HAO, NOW)
    assert group.head_id == HAO
    group = group_of(MEI, HAO)
    group.seat_taken(HAO, NOW)
    assert group.head_id == MEI


def test_one_leaves_a_forming_group_only() -> None:
    with pytest.raises(NotIn):
        group_of(MEI, HAO, paying=(HAO,)).leave(HAO, NOW)  # the order is closed, not the group left
    with pytest.raises(GroupFull):
        group_of(MEI, HAO, LIN, state="filled").leave(MEI, NOW)
    with pytest.raises(GroupOver):
        group_of(MEI).leave(MEI, ENDS)


def test_minutes_are_said_whole_and_never_none() -> None:
    assert minutes_left(NOW, 10, NOW + timedelta(seconds=1)) == 10
    assert minutes_left(NOW, 10, NOW + timedelta(minutes=30)) == 1


@pytest.mark.parametrize(("size", "price", "hours"), [(1, 2990, 24), (11, 2990, 24), (3, 0, 24), (3, 8800, 24)])
def test_an_offer_outside_what_can_be_kept_is_refused(size: int, price: int, hours: int) -> None:
    with pytest.raises(OfferOdd):
        offer_sane(size, price, hours, 8800, Figures().group)
    offer_sane(3, 8799, 24, 8800, Figures().group)


# -- in chat ---------------------------------------------------------------------------------------------

WHERE = "张三 13800138000 浙江省杭州市西湖区文三路1号"


async def offered(town: Town, command: str = "设团 A1 3人 19.9 24小时") -> Follower:
    """A merchant who has set a group-buy on A1."""
    boss = await town.owner()
    await boss.says("停团 A1")  # the demo shop has one of its own
    shown = await boss.says(command)
    while "哪种" in shown.text:
        shown = await boss.says("1")
    digits = re.search(r"确认 (\d{4})", shown.text)
    assert digits, shown.text
    done = await boss.says(f"确认 {digits[1]}")
    assert "设好了" in done.text, done.text
    return boss


async def ordered(person: Follower, words: str):  # type: ignore[no-untyped-def]
    """Says it, and answers where it goes."""
    heard = await person.says(words)
    if "寄到" in heard.text or "地址" in heard.text:
        heard = await person.says(WHERE)
    return heard


async def in_group(town: Town, person: Follower, words: str) -> str:
    """Opens or joins, pays, and hears of it; the group's code."""
    await person.follows()
    placed = await ordered(person, words)
    await person.pays(placed)
    await town.settles()
    told = "\n".join(h.text for h in person.inbox)
    code = re.search(r"G[2-9A-HJ-NP-Z]{3}", told)
    assert code, (placed.text, told)
    return code[0]


async def test_a_group_is_opened_joined_and_filled_and_everybody_is_told(town: Town) -> None:
    boss = await offered(town)
    mei, hao, lin, tao = (town.wechat(n) for n in ("小美", "小浩", "小林", "小陶"))
    code = await in_group(town, mei, "开团 A1")
    assert await in_group(town, hao, f"参团{code}") == code
    shown = await tao.says(code)
    assert "还差 1 人" in shown.text
    assert await in_group(town, lin, f"参团 {code}") == code
    await town.later(minutes=1)
    for person in (mei, hao):
        assert any("成团了" in h.text for h in person.inbox), person
    assert "满了" in (await tao.says(f"参团 {code}")).text
    assert "已成团" in (await mei.says("我的团")).text
    assert (await boss.says("待发货")).text.count("明前龙井") == 3
    house = town.stage.house
    assert not await offenders(house.store, house.clock.now())


async def test_a_group_is_known_among_other_words_as_its_code_is_none_of_them(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GATE还能进吗 asked about a gate."""
    await offered(town)
    drawn = iter(["ATE", "7K2"])
    monkeypatch.setattr(base, "draw", lambda _length: next(drawn))
    code = await in_group(town, town.wechat("小美"), "开团 A1")
    assert "还差 2 人" in (await town.wechat("小浩").says(f"{code}还能进吗")).text


async def test_a_group_that_does_not_fill_fails_and_every_paid_seat_is_refunded(town: Town) -> None:
    await offered(town)
    mei, hao = town.wechat("小美"), town.wechat("小浩")
    code = await in_group(town, mei, "开团 A1")
    await in_group(town, hao, f"参团 {code}")
    await town.later(hours=24, minutes=1)
    await town.later(minutes=2)
    await town.later(minutes=2)
    for person in (mei, hao):
        heard = "\n".join(h.text for h in person.inbox)
        assert "没拼成" in heard, heard
        assert "¥27.9" in heard, heard
    async with town.stage.house.store.session() as session:
        found = (await session.execute(select(Refund.state, Refund.amount_fen, Refund.reason))).all()
    assert found == [("done", 2790, "group_failed")] * 2
    house = town.stage.house
    assert not await offenders(house.store, house.clock.now())
    assert "没成团" in (await mei.says("我的团")).text
    assert "结束" in (await hao.says(f"参团 {code}")).text


async def test_a_seat_that_is_not_paid_in_time_is_free_again(town: Town) -> None:
    await offered(town, "设团 A1 2人 19.9 24小时")
    mei, hao, lin = (town.wechat(n) for n in ("小美", "小浩", "小林"))
    code = await in_group(town, mei, "开团 A1")
    await hao.follows()
    await ordered(hao, f"参团 {code}")
    await lin.follows()
    assert "正有人付款" in (await lin.says(f"参团 {code}")).text
    assert "留着" in (await hao.says(f"参团 {code}")).text
    await town.later(minutes=11)
    await town.later(minutes=1)
    assert await in_group(town, lin, f"参团 {code}") == code


async def test_a_code_on_a_wall_shows_what_it_is_about_and_does_nothing(town: Town) -> None:
    """Whoever scans join:G… or buy:A1 has ordered nothing: what it is about stands there, with what can be done."""
    mei, hao, lin = (town.wechat(n) for n in ("小美", "小浩", "小林"))
    code = await in_group(town, mei, "开团 A1")
    for seen in (await hao.follows(f"join:{code}"), await hao.scans(f"join:{code}")):
        assert code in seen.text
        assert "参团 ¥69" in seen.text
    for seen in (await lin.follows("start:A1"), await lin.scans("buy:A1")):
        assert "明前龙井（A1）" in seen.text
    for one in (hao, lin):
        assert "还没有订单" in (await one.says("订单")).text
    assert "寄到哪里" in (await hao.presses(f"join:{code}")).text, "a menu's button is one's own press"


async def test_leaving_before_it_fills_takes_the_word_again_and_gives_the_money_back(town: Town) -> None:
    await offered(town)
    mei, hao = town.wechat("小美"), town.wechat("小浩")
    code = await in_group(town, mei, "开团 A1")
    await in_group(town, hao, f"参团 {code}")
    first = await mei.says("退团")
    assert "再回一次" in first.text
    assert "已经在团里" in (await mei.says(f"看 {code}")).text  # looking leaves the question
    assert "再回一次" in (await mei.says(f"退团 {code}")).text
    assert "请回 退团" in (await mei.says("好")).text
    assert "已退出" in (await mei.says("退团")).text
    await town.later(minutes=2)
    assert any("团长" in h.text for h in hao.inbox)
    assert "还差 2 人" in (await hao.says(code)).text
    house = town.stage.house
    assert not await offenders(house.store, house.clock.now())


async def test_the_opener_leaves_while_another_pays_who_heads_it_then_and_hears_so(town: Town) -> None:
    await offered(town)
    mei, hao = town.wechat("小美"), town.wechat("小浩")
    code = await in_group(town, mei, "开团 A1")
    await hao.follows()
    placed = await ordered(hao, f"参团 {code}")
    await mei.says("退团")
    assert "已退出" in (await mei.says("退团")).text
    await hao.pays(placed)
    await town.settles()
    assert any("参团成功" in h.text and "由您当团长" in h.text for h in hao.inbox), [h.text for h in hao.inbox]
    assert "还差 2 人" in (await mei.says(code)).text
    house = town.stage.house
    assert not await offenders(house.store, house.clock.now())


async def test_one_cannot_be_in_two_live_groups_of_the_same(town: Town) -> None:
    await offered(town)
    mei = town.wechat("小美")
    code = await in_group(town, mei, "开团 A1")
    again = await ordered(mei, "开团 A1")
    assert code in again.text
    assert "合计" not in again.text


@pytest.mark.parametrize("first", ["开团 A1", "参团"])
async def test_a_second_group_of_the_same_waits_for_the_payment_of_the_first(town: Town, first: str) -> None:
    await offered(town)
    other = await in_group(town, town.wechat("阿豪"), "开团 A1")
    mei = town.wechat("小美")
    await mei.follows()
    placed = await ordered(mei, first if first == "开团 A1" else f"参团 {other}")
    assert "合计" in placed.text
    again = await ordered(mei, "开团 A1")  # tapped again, or thought about: paying both would be two live groups
    no = re.search(r"在等付款：([0-9A-Z]{8})", again.text)
    assert no, again.text
    assert no[1] in placed.text
    assert (await mei.says("订单")).text.count("¥") == 1
    await mei.says(f"取消 {no[1]}")
    assert "合计" in (await mei.says("开团 A1")).text
    house = town.stage.house
    assert not await offenders(house.store, house.clock.now())


async def test_setting_an_offer_shows_before_and_after_and_takes_four_digits(town: Town) -> None:
    boss = await town.owner()
    assert "还缺" in (await boss.says("设团 A1")).text
    assert "确认" not in (await town.wechat("小美").says("设团 A1 3人 19.9 24小时")).text
    await offered(town)
    mei = town.wechat("小美")
    assert "人团" in (await mei.says("团")).text
    assert "不再开新团" in (await boss.says("停团 A1")).text
    assert "没有拼团" in (await mei.says("开团 A1")).text


async def test_an_offer_may_name_its_spec_as_prices_and_stock_do(town: Town) -> None:
    boss = await town.owner()
    shown = (await boss.says("设团 A1-2 3人 19.9 24小时")).text
    assert "\n250g 罐装：3人" in shown
    assert "尝鲜袋" not in shown
    assert "编号不对" in (await boss.says("设团 A1-9 3人 19.9 24小时")).text


async def test_an_address_pasted_while_the_shop_asks_which_spec_is_an_address(town: Town) -> None:
    boss = await town.owner()
    assert "哪种" in (await boss.says("设团 A1 3人 19.9 24小时")).text
    assert "记下了，请您核对" in (await boss.says("张三 13800138000 浙江省杭州市西湖区文三路1号")).text


async def test_leaving_a_full_group_is_too_late_and_says_what_is_possible(town: Town) -> None:
    await offered(town, "设团 A1 2人 19.9 24小时")
    mei, hao = town.wechat("小美"), town.wechat("小浩")
    code = await in_group(town, mei, "开团 A1")
    await in_group(town, hao, f"参团 {code}")
    late = await mei.says(f"退团 {code}")
    assert "退不了团" in late.text
    assert "退款" in late.text
    assert "不在" in (await town.wechat("小陶").says(f"退团 {code}")).text


async def test_the_page_of_a_group_says_what_happens_if_it_fails_and_names_nobody(town: Town) -> None:
    await offered(town)
    mei = town.wechat("小美")
    code = await in_group(town, mei, "开团 A1")
    page = await mei.opens(f"/h/group:{code}")
    assert page.status == 200
    assert "原路退回" in page.text
    assert mei.person.who not in page.html
    assert "张三" not in page.html
    other = "G2ZZ" if code != "G2ZZ" else "G3ZZ"
    assert (await mei.opens(f"/h/group:{other}")).status == 404


# -- races, on the database ------------------------------------------------------------------------------


async def _seated(store: Store, people: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many of `people` get the one seat left, when all of them look before anybody sits down."""
    async with store.session() as session, session.begin():
        work = Work(session, NOW)
        offer = (await session.execute(select(Offer).order_by(Offer.id))).scalars().first()
        assert offer is not None
        offer.size = 2
        ids = [(await Followers(work).meet("wechat", "gh", f"o{n}", NOW)).id for n in range(people + 1)]
        group = await GroupBuys(work).open(offer, ids[0], 1000, NOW)
        group_id = group.id
    looked = asyncio.Barrier(people)
    real = GroupBuys.by_id

    async def by_id(self: GroupBuys, group_id: int, *, hold: bool = False) -> Group:
        found = await real(self, group_id, hold=hold)
        await looked.wait()
        return found

    monkeypatch.setattr(GroupBuys, "by_id", by_id)

    async def sit(n: int) -> bool:
        try:
            async with store.session() as session, session.begin():
                await reserve_seat(Work(session, NOW), group_id, n, ids[n])
        except Contended:
            return False
        return True

    seated = await asyncio.gather(*(sit(n) for n in range(1, people + 1)))
    return sum(seated)


@pytest.mark.parametrize("guarded", [True, False])
async def test_of_six_who_want_the_last_seat_one_gets_it(
    guarded: bool, blank: Blank, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the unique keys gone, its control twin seats all six: the race is real."""
    url = await postgres.fresh_database(blank.url)
    store = Store(url)
    if not guarded:
        async with store.session() as session, session.begin():
            await session.execute(text("DROP INDEX uq_seat_number"))
    got = await _seated(store, 6, monkeypatch)
    await store.close()
    await postgres.drop_database(url)
    assert got == (1 if guarded else 6)


async def test_money_for_a_seat_that_is_gone_finds_no_seat_and_changes_nothing(database: str) -> None:
    store = Store(database)
    async with store.session() as session, session.begin():
        work = Work(session, NOW)
        offer = (await session.execute(select(Offer).order_by(Offer.id))).scalars().first()
        assert offer is not None
        mei, hao = [await Followers(work).meet("wechat", "gh", name, NOW) for name in ("mei", "hao")]
        groups = GroupBuys(work)
        group = await groups.open(offer, mei.id, 1, NOW)
        await reserve_seat(work, group.id, 2, hao.id)
        group = await groups.by_id(group.id)
        late = group.deadline + timedelta(minutes=6)
        assert group.due(late, RULES)
        await groups.settle(group, late)
        with pytest.raises(NoSeat):
            await take_seat(work, group.id, 2)
        with pytest.raises(NoSeat):
            await take_seat(work, group.id, 3)
        await free_seat(work, group.id, 2)  # freed already: nothing more happens
        assert (await groups.by_id(group.id)).paid_seats == 1
        assert work.take_news() == [GroupFailed(group.id, group.code, 1)]
        for invariant in (*groupbuy.INVARIANTS, *offer_model.INVARIANTS):
            found = await session.execute(invariant.statement, {"late": late - timedelta(days=30)})
            assert not found.all(), invariant.name
    await store.close()
