"""Asking to be told and leaving again: rules, words, and the talk through the real doors."""

from datetime import timedelta

import pytest
from conftest import NOON
from sqlalchemy import select
from town import Town

from bot.simulator.stage import Stage
from models.index import Doc, Index
from models.subscription import Consent, PushRule, Subscription
from models.wishes import Asked, QuietUnclear, asked, quiet_hours

INDEX = Index.build(
    [
        Doc("A1", "明前龙井", "豆香清甜", ("龙井", "绿茶", "春茶"), "茶叶", 2600),
        Doc("A2", "安溪铁观音", "", ("铁观音", "乌龙"), "茶叶", 6800),
    ]
)


# -- what is asked for ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "wish"),
    [
        ("龙井", Asked(("龙井",))),
        ("龍井", Asked(("龙井",))),
        ("longjing", Asked(("龙井",))),
        ("龙井 <80", Asked(("龙井",), 8000)),
        ("龙井＜79.9", Asked(("龙井",), 7990)),
        ("80块以内的龙井", Asked(("龙井",), 8000)),
        ("龙井 绿茶", Asked(("龙井", "绿茶"))),
        ("上新", Asked(("上新",))),
        ("新品", Asked(("上新",))),
        ("拼团", Asked(("团购",))),
        ("普洱", Asked(("普洱",))),
        ("你们家什么时候有便宜的龙井啊我想买给我妈", Asked(("龙井",))),
        ("今天天气怎么样", Asked()),
        ("我想要一个温暖的家", Asked()),
        ("1", Asked()),
        ("", Asked()),
    ],
)
def test_only_goods_words_are_taken_out_of_what_was_said(said: str, wish: Asked) -> None:
    assert asked(said, INDEX) == wish


@pytest.mark.parametrize(
    ("said", "hours"),
    [("22-8", "22-8"), ("22:00到8:00", "22-8"), ("晚上10点到早上8点", "22-8"), ("24-7", "0-7"), ("９－１２", "9-12")],
)
def test_quiet_hours_are_read_as_people_write_them(said: str, hours: str) -> None:
    assert quiet_hours(said) == hours


@pytest.mark.parametrize("said", ["", "22", "25-8", "晚上", "22-8-9", "-1-5", "22:30-8"])
def test_hours_that_are_none_are_asked_back(said: str) -> None:
    with pytest.raises(QuietUnclear):
        quiet_hours(said)


def test_leaving_and_unfollowing_differ_in_what_brings_back() -> None:
    one = Subscription(follower_id=1, topic="龙井", words="", state="live", since=NOON)
    one.stop(NOON)
    assert one.state == "paused"
    one.go_on(NOON + timedelta(hours=1))
    assert one.state == "live"
    one.leave(NOON + timedelta(hours=2))
    one.go_on(NOON + timedelta(hours=3))
    one.stop(NOON + timedelta(hours=3))
    assert (one.state, one.left_at) == ("left", NOON + timedelta(hours=2))
    one.join("订阅 龙井", 8000, NOON + timedelta(hours=4))
    assert (one.state, one.left_at, one.max_fen) == ("live", None, 8000)


# -- the talk ------------------------------------------------------------------------------------------


async def _states(stage: Stage) -> dict[str, str]:
    rows = await stage.house.store.reader.all(select(Subscription.topic, Subscription.state))
    return {row.topic: row.state for row in rows}


async def _log(stage: Stage) -> list[tuple[str, str, str]]:
    rows = await stage.house.store.reader.all(select(Consent.act, Consent.topic, Consent.words).order_by(Consent.id))
    return [(row.act, row.topic, row.words) for row in rows]


async def test_a_subscription_is_read_back_with_its_rules_and_the_way_out(stage: Stage, town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    heard = await mei.says("订阅 龙井 <80")
    assert "龙井" in heard.text
    assert "¥80 以内" in heard.text
    assert "每周最多 2 条" in heard.text
    assert "退订 龙井" in heard.text
    assert await _states(stage) == {"龙井": "live"}
    assert await _log(stage) == [("join", "龙井", "订阅 龙井 <80")]


async def test_a_sentence_is_not_subscribed_to_and_the_shop_says_what_could_be(stage: Stage, town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    heard = await mei.says("订阅 今天天气怎么样呀")
    assert "上新" in heard.text
    assert await _states(stage) == {}
    await mei.says("1")
    assert list((await _states(stage)).values()) == ["live"]


EXITS = ("退订", "TD", "T", "t", "unsubscribe", "别发了", "太吵了", "怎么取关", "取消订阅", "退訂")


@pytest.mark.parametrize("said", EXITS)
async def test_any_wording_of_stop_leaves_everything_in_one_line(stage: Stage, town: Town, said: str) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("订阅 龙井")
    await mei.says("订阅 上新")
    heard = await mei.says(said)
    assert len(heard.text.splitlines()) == 1, heard.text
    assert not heard.choices
    assert not heard.links
    assert set((await _states(stage)).values()) == {"left"}
    act, topic, words = (await _log(stage))[-1]
    assert (act, topic) == ("leave_all", "")
    assert words


async def test_one_topic_is_left_and_the_other_stays(stage: Stage, town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("订阅 龙井")
    await mei.says("订阅上新")
    await mei.says("退订 龙井")
    assert await _states(stage) == {"龙井": "left", "上新": "live"}
    assert (await _log(stage))[-1] == ("leave", "龙井", "退订 龙井")
    await mei.says("unsubscribe 上新")
    assert await _states(stage) == {"龙井": "left", "上新": "left"}


async def test_leaving_what_was_never_asked_for_is_taken_for_silence(stage: Stage, town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("订阅 龙井")
    heard = await mei.says("退订 瓜子")
    assert "都停了" in heard.text
    assert len(heard.text.splitlines()) == 1
    assert await _states(stage) == {"龙井": "left"}


async def test_leaving_works_under_an_open_question_and_leaves_it_open(stage: Stage, town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("订阅 龙井")
    asked_back = await mei.says("买 A1")
    heard = await mei.says("退订")
    assert len(heard.text.splitlines()) == 1
    assert await _states(stage) == {"龙井": "left"}
    goes_on = await mei.says("1")
    assert goes_on.text != asked_back.text
    assert "没听懂" not in goes_on.text


async def test_a_no_to_the_news_question_is_not_turned_into_a_yes_by_the_next_good(stage: Stage, town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("别给我发消息")
    await mei.says("要")
    assert "live" not in (await _states(stage)).values()


async def test_the_yes_after_following_is_a_consent_and_is_logged(stage: Stage, town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    heard = await mei.says("要")
    assert await _states(stage) == {"上新": "live"}
    assert "退订 上新" in heard.text
    assert [(act, topic) for act, topic, _ in await _log(stage)] == [("join", "上新")]


async def test_an_order_on_screen_adds_the_line_about_refunds(stage: Stage, town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("买 A1")
    await mei.says("1")
    await mei.says("张三 13800138000 浙江省杭州市西湖区文三路1号")
    heard = await mei.says("退订")
    assert "退款" in heard.text
    assert len(heard.text.splitlines()) == 2
    await town.later(minutes=11)
    heard = await mei.says("退订")
    assert "退款" not in heard.text


async def test_pause_and_resume_keep_the_subscriptions(stage: Stage, town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("订阅 龙井")
    await mei.says("暂停")
    assert "暂停中" in (await mei.says("我的订阅")).text
    assert "暂停中" in (await mei.says("订阅 上新")).text
    heard = await mei.says("恢复")
    assert "龙井" in heard.text
    assert "暂停" not in (await mei.says("我的订阅")).text.splitlines()[2]
    assert set((await _states(stage)).values()) == {"live"}


async def test_unfollowing_stops_everything_and_resume_brings_it_back(stage: Stage, town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("订阅 龙井")
    await mei.says("订阅 上新")
    await mei.says("退订 上新")
    await mei.unfollows()
    assert await _states(stage) == {"龙井": "paused", "上新": "left"}
    heard = await mei.follows()
    assert "龙井" in heard.text
    assert "恢复" in heard.text
    assert await _states(stage) == {"龙井": "paused", "上新": "left"}
    await mei.says("恢复")
    assert await _states(stage) == {"龙井": "live", "上新": "left"}


async def test_own_quiet_hours_and_own_cap_are_kept(stage: Stage, town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("免打扰21-9")
    await mei.says("每周一条")
    rule = await stage.house.store.reader.one(select(PushRule.quiet, PushRule.weekly))
    assert rule is not None
    assert (rule.quiet, rule.weekly) == ("21-9", 1)
    await mei.says("weekly 30")
    rule = await stage.house.store.reader.one(select(PushRule.weekly))
    assert rule is not None
    assert rule.weekly == 7
    assert "免打扰 22-8" in (await mei.says("免打扰 25-99")).text
    assert "21 点到 9 点" in (await mei.says("免打扰")).text


async def test_the_same_words_work_on_weibo(stage: Stage, town: Town) -> None:
    lin = town.weibo("小林")
    await lin.follows()
    assert "退订 龙井" in (await lin.says("订阅 龙井")).text
    assert "龙井" in (await lin.says("我的订阅")).text
    assert len((await lin.says("别推了")).text.splitlines()) == 1
    assert await _states(stage) == {"龙井": "left"}


async def test_nobody_collects_subscriptions_without_end(
    stage: Stage, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.subscription.MOST", 2)
    mei = town.wechat("小美")
    await mei.follows()
    for word in ("龙井", "上新"):
        await mei.says(f"订阅 {word}")
    assert "最多订 2 样" in (await mei.says("订阅 普洱")).text
    assert await _states(stage) == {"龙井": "live", "上新": "live"}
    await mei.says("退订 上新")
    await mei.says("订阅 普洱")
    assert (await _states(stage))["普洱"] == "live"
