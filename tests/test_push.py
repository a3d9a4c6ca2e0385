"""A push one has asked for: counted, confirmed, released, delivered, and to nobody else."""

import secrets
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from conftest import LONG, NOON
from follower import Follower as Person
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, literal, select, update
from town import Blank, Town

from bot.channel import SendFailed
from bot.simulator.stage import Stage
from handlers.admin.pushes import understood, wording
from models import outbox, subscription
from models.base import Contended, Work
from models.budget import Heard, Speech, heard
from models.campaign import Campaign, CampaignOver, Campaigns, doubtful
from models.catalog import Catalogs
from models.figures import Figures, PushFigures
from models.follower import Follower
from models.outbox import Outbox
from models.reach import ReachGlance, release
from models.seal import Keys, Sealed
from models.store import Store
from models.subscription import Subscription, Subscriptions, may_go
from models.tables import invariants

CHINA = ZoneInfo("Asia/Shanghai")
FIGURES = Figures()
FREE = replace(FIGURES, push=PushFigures(weekly=7))
PAYLOADS = {"wechat": {"text": "龙井到了"}, "weibo": {"text": "龙井到了"}}


# -- the words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("全网最好的龙井,国家级品质,转发即可领", ("最好", "国家级", "转发即可")),
        ("销量第一,抽奖必中", ("第一", "必中")),
        ("第一批春茶到了", ()),
        ("喝了降三高能减肥", ("降三高", "减肥")),
        ("明前龙井到了,欢迎尝尝", ()),
    ],
)
def test_words_that_the_law_or_the_platform_objects_to_are_named(text: str, words: tuple[str, ...]) -> None:
    assert doubtful(text) == words


# -- a shop's books with many followers ----------------------------------------------------------------


@dataclass
class Books:
    """A shop's database and its clock."""

    store: Store
    now: datetime = NOON
    ids: Iterable[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        Sealed.keys = Keys("k" * 32)

    @asynccontextmanager
    async def step(self) -> AsyncIterator[Work]:
        """One transaction; the clock goes on by a second."""
        self.now += timedelta(seconds=1)
        async with self.store.session() as session, session.begin():
            yield Work(session, self.now)

    async def followers(
        self, n: int, *, channel: str = "wechat", following: bool = True, spoke: bool = True
    ) -> list[int]:
        rows = [
            {
                "channel": channel,
                "account": "a",
                "who": f"w{next(self.ids)}",  # type: ignore[call-overload]
                "since": NOON,
                "following": following,
                "left_at": None if following else NOON,
                "name": "",
            }
            for _ in range(n)
        ]
        async with self.step() as work:
            made = await work.session.execute(insert(Follower).returning(Follower.id), rows)
            ids = sorted(made.scalars())
            if spoke:
                await heard(work, [Heard(one, work.now, True) for one in ids])
        return ids

    async def subscribes(self, ids: Iterable[int], topic: str = "龙井", **more: Any) -> None:
        async with self.step() as work:
            for one in ids:
                await Subscriptions(work).join(one, [topic], f"订阅 {topic}", **more)

    async def campaign(self, topic: str = "龙井", *, from_fen: int | None = None, begun: bool = True) -> int:
        async with self.step() as work:
            made = await Campaigns(work).plan(topic, "到了", work.now, product="", from_fen=from_fen, made_by=None)
            if begun:
                made.start(from_fen)
            return made.id

    async def batch(self, campaign_id: int, size: int, figures: Figures = FIGURES) -> bool:
        async with self.step() as work:
            one = await Campaigns(work).hold(campaign_id)
            assert one is not None
            more = await release(work, one, PAYLOADS, figures, batch=size)
            if not more:
                one.finish(work.now)
            return more

    async def queued(self, campaign_id: int) -> list[int]:
        rows = await self.store.reader.all(
            select(Outbox.follower_id).where(Outbox.campaign_id == campaign_id).order_by(Outbox.follower_id)
        )
        return [row.follower_id for row in rows]

    async def deliver(self, figures: Figures = FIGURES) -> list[int]:
        """What the courier does, without a wire: take, ask whether it may go, settle; who got one."""
        got = []
        async with self.step() as work:
            taken = await outbox.claim(work, 1, 500, kinds=["push"], skip_locked=False)
        for one in taken:
            assert one.follower_id is not None
            async with self.step() as work:
                wish = await may_go(work, one.follower_id, one.campaign_id or 0, figures.push)
                if wish.why:
                    await outbox.settle(work, one, "dropped", error=wish.why)
                    continue
            async with self.step() as work:
                if await outbox.settle(work, one, "done"):
                    got.append(one.follower_id)
        return got

    async def offenders(self) -> dict[str, int]:
        found = {}
        for _, one in invariants():
            if one.grace_minutes is None:
                rows = await self.store.reader.all(one.statement)
                if rows:
                    found[one.name] = len(rows)
        return found


@pytest.fixture
async def books(database: str) -> AsyncIterator[Books]:
    store = Store(database)
    yield Books(store)
    await store.close()


async def test_the_reach_sums_to_the_audience_with_one_reason_each(books: Books) -> None:
    figures = replace(FIGURES, push=PushFigures(weekly=1))
    reached = await books.followers(3)
    weibo = await books.followers(2, channel="weibo")
    night = await books.followers(1)
    left = await books.followers(2)
    paused = await books.followers(3)
    full = await books.followers(1)
    dear = await books.followers(4)
    gone = await books.followers(2)
    silent = await books.followers(5, spoke=False)
    everyone = [*reached, *weibo, *night, *left, *paused, *full, *gone, *silent]
    await books.subscribes(everyone)
    await books.subscribes(dear, max_fen=5000)
    await books.followers(6)  # follow, and have not asked
    await books.followers(7, following=False)  # came and went, and never asked: nobody's audience
    async with books.step() as work:
        subs = Subscriptions(work)
        for one in left:
            await subs.leave(one, ["龙井"], "退订 龙井")
        for one in paused:
            await subs.pause(one, "暂停")
        for one in night:
            await subs.keep_quiet(one, "11-13", "免打扰 11-13")
        for one in gone:
            await subs.stop_all(one)
            await work.session.execute(
                update(Follower).where(Follower.id == one).values(following=False, left_at=work.now)
            )
    earlier = await books.campaign("上新")
    async with books.step() as work:
        row = {"kind": "push", "name": "c", "key": "earlier", "follower_id": full[0], "campaign_id": earlier}
        await outbox.promise(work, [row | {"payload": {}, "state": "done", "done_at": work.now}])
    counted = await ReachGlance(books.store.reader).count("龙井", 6000, books.now, figures)
    why = {"not_asked": 6, "left": 2, "paused": 3, "week_full": 1, "price": 4, "unfollowed": 2, "no_way": 5}
    before = await books.store.reader.one(select(func.count().label("n")).where(Follower.following.is_(True)))
    assert (counted.now, counted.quiet, dict(counted.why)) == (5, 1, why)
    assert before is not None
    assert counted.audience == before.n + len(gone) == 29


async def test_a_release_goes_on_where_it_stopped_and_reaches_everyone_once(books: Books) -> None:
    ids = await books.followers(23)
    await books.subscribes(ids)
    campaign_id = await books.campaign()
    looks = 0
    while await books.batch(campaign_id, 5):
        looks += 1
    assert looks == 4
    assert await books.queued(campaign_id) == ids
    row = await books.store.reader.one(select(Campaign.reached, Campaign.skipped, Campaign.state, Campaign.cursor))
    assert row is not None
    assert tuple(row) == (23, 0, "done", ids[-1])
    assert await books.offenders() == {}


async def test_a_release_leaves_out_whom_a_reason_stands_against(books: Books) -> None:
    ids = await books.followers(6)
    await books.subscribes(ids[:5])
    await books.subscribes(ids[5:], "上新")
    async with books.step() as work:
        await Subscriptions(work).leave_all(ids[0], "退订")
        await Subscriptions(work).pause(ids[1], "暂停")
        await work.session.execute(
            update(Follower).where(Follower.id == ids[2]).values(following=False, left_at=work.now)
        )
    campaign_id = await books.campaign()
    assert not await books.batch(campaign_id, 100)
    assert await books.queued(campaign_id) == ids[3:5]
    row = await books.store.reader.one(select(Campaign.reached, Campaign.skipped))
    assert row is not None
    assert tuple(row) == (2, 2)


async def test_two_releases_at_once_do_not_both_move_the_cursor(books: Books) -> None:
    await books.subscribes(await books.followers(3))
    campaign_id = await books.campaign()
    async with books.step() as work:
        stale = await Campaigns(work).hold(campaign_id)
        assert stale is not None
        await work.session.execute(
            update(Campaign)
            .where(Campaign.id == campaign_id)
            .values(cursor=1)
            .execution_options(synchronize_session=False)
        )
        with pytest.raises(Contended):
            await release(work, stale, PAYLOADS, FIGURES)


async def test_without_the_guard_a_stale_release_would_pass(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.reach.still_at", lambda campaign_id, cursor: (Campaign.id == campaign_id,))
    with pytest.raises(pytest.fail.Exception):
        await test_two_releases_at_once_do_not_both_move_the_cursor(books)


async def test_cancelling_takes_back_what_is_queued_and_stops_the_rest(books: Books) -> None:
    ids = await books.followers(10)
    await books.subscribes(ids)
    campaign_id = await books.campaign()
    await books.batch(campaign_id, 4)
    async with books.step() as work:
        held = await Campaigns(work).hold(campaign_id)
        assert held is not None
        code = held.code
        stopped, back = await Campaigns(work).cancel(code)
        assert (stopped.id, back) == (campaign_id, 4)
    assert await books.deliver() == []
    async with books.step() as work:
        with pytest.raises(CampaignOver):
            await Campaigns(work).cancel(code)
    assert await books.offenders() == {}


async def test_a_wish_is_asked_again_at_delivery_with_its_reason(books: Books) -> None:
    asked, dear, left, paused, stranger, full = await books.followers(6)
    await books.subscribes([asked, left, paused, full])
    await books.subscribes([dear], max_fen=5000)
    campaign_id = await books.campaign(from_fen=6000)
    other = await books.campaign("上新")
    async with books.step() as work:
        await Subscriptions(work).leave(left, ["龙井"], "退订 龙井")
        await Subscriptions(work).pause(paused, "暂停")
        rows = [
            {"kind": "push", "name": "c", "key": f"{n}", "follower_id": full, "campaign_id": other, "payload": {}}
            | {"state": "done", "done_at": work.now}
            for n in range(2)
        ]
        await outbox.promise(work, rows)
    people = {"": asked, "price": dear, "left": left, "paused": paused, "not_asked": stranger, "week_full": full}
    async with books.step() as work:
        for why, one in people.items():
            assert (await may_go(work, one, campaign_id, FIGURES.push)).why == why
        assert (await may_go(work, asked, other, FIGURES.push)).why == "not_asked"
        assert (await may_go(work, asked, 10**9, FIGURES.push)).why == "not_asked"
        await work.session.execute(
            update(Follower).where(Follower.id == asked).values(following=False, left_at=work.now)
        )
        assert (await may_go(work, asked, campaign_id, FIGURES.push)).why == "unfollowed"
    books.now += timedelta(days=7, minutes=1)
    async with books.step() as work:
        assert (await may_go(work, full, campaign_id, FIGURES.push)).why == ""
        await Subscriptions(work).keep_quiet(full, "21-9", "免打扰 21-9")
        assert (await may_go(work, full, campaign_id, FIGURES.push)).quiet == "21-9"


async def test_two_pushes_on_their_way_at_once_do_not_break_the_weeks_cap(books: Books) -> None:
    (one,) = await books.followers(1)
    figures = replace(FIGURES, push=PushFigures(weekly=1))
    for topic in ("龙井", "上新", "团购"):
        await books.subscribes([one], topic)
        await books.batch(await books.campaign(topic), 10, figures)
    assert await books.deliver(figures) == [one]


@pytest.mark.parametrize("how", ["leave", "leave_all", "stop_all", "pause"])
async def test_leaving_is_immediate_for_what_is_queued(books: Books, how: str) -> None:
    ids = await books.followers(2)
    await books.subscribes(ids)
    await books.batch(await books.campaign(), 10)
    async with books.step() as work:
        subs = Subscriptions(work)
        if how == "leave":
            assert await subs.leave(ids[0], ["龙井"], "退订 龙井") == 1
        else:
            await getattr(subs, how)(ids[0], "退订")
    rows = await books.store.reader.all(select(Outbox.state).order_by(Outbox.follower_id))
    assert [row.state for row in rows] == ["dropped", "due"]
    assert await books.deliver() == ids[1:]


# -- whatever the order --------------------------------------------------------------------------------

PEOPLE, TOPICS = 3, ("龙井", "上新")
person, topic = st.integers(0, PEOPLE - 1), st.sampled_from(TOPICS)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), person, topic),
        st.tuples(st.just("leave"), person, topic),
        st.tuples(st.sampled_from(["leave_all", "pause", "resume", "unfollow", "follow"]), person, st.none()),
        st.tuples(st.just("campaign"), st.none(), topic),
        st.tuples(st.sampled_from(["release", "deliver", "cancel"]), st.none(), st.none()),
    ),
    min_size=4,
    max_size=24,
)


async def _play(books: Books, steps: list[tuple[str, int | None, str | None]]) -> list[str]:
    """Play the steps; whoever got a push without a consent live at that moment, by an account kept beside the shop."""
    ids = await books.followers(PEOPLE)
    live: set[tuple[int, str]] = set()
    stopped: set[tuple[int, str]] = set()
    paused: set[int] = set()
    gone: set[int] = set()
    open_: list[int] = []
    topics: dict[int, str] = {}
    wrong: list[str] = []
    for act, n, topic in steps:
        who = ids[n] if n is not None else 0
        if act == "campaign":
            assert topic is not None
            made = await books.campaign(topic)
            open_.append(made)
            topics[made] = topic
        elif act == "release":
            for one in list(open_):
                if not await books.batch(one, 2, FREE):
                    open_.remove(one)
        elif act == "cancel" and open_:
            async with books.step() as work:
                held = await Campaigns(work).hold(open_.pop())
                assert held is not None
                await Campaigns(work).cancel(held.code)
        elif act == "deliver":
            before = await _sent(books)
            await books.deliver(FREE)
            for campaign_id, one in await _sent(books) - before:
                if (one, topics[campaign_id]) not in live or one in paused or one in gone:
                    wrong.append(f"{one} got {topics[campaign_id]}")
        elif who:
            async with books.step() as work:
                subs = Subscriptions(work)
                mine = {pair for pair in live if pair[0] == who}
                if act == "join" and who not in gone:
                    assert topic is not None
                    await subs.join(who, [topic], "订阅")
                    live.add((who, topic))
                    stopped.discard((who, topic))
                elif act == "leave":
                    assert topic is not None
                    await subs.leave(who, [topic], "退订")
                    live.discard((who, topic))
                    stopped.discard((who, topic))
                elif act == "leave_all":
                    await subs.leave_all(who, "退订")
                    live -= mine
                    stopped -= {pair for pair in stopped if pair[0] == who}
                elif act == "pause":
                    await subs.pause(who, "暂停")
                    paused.add(who)
                elif act == "resume":
                    await subs.resume(who, "恢复")
                    paused.discard(who)
                    back = {pair for pair in stopped if pair[0] == who}
                    live |= back
                    stopped -= back
                elif act in ("unfollow", "follow"):
                    there = act == "follow"
                    values = {"following": there, "left_at": None if there else work.now}
                    await work.session.execute(update(Follower).where(Follower.id == who).values(**values))
                    if not there:
                        await subs.stop_all(who)
                        live -= mine
                        stopped |= mine
                        gone.add(who)
                    gone -= {who} if there else set()
    return wrong


async def _sent(books: Books) -> set[tuple[int, int]]:
    rows = await books.store.reader.all(
        select(Outbox.campaign_id, Outbox.follower_id).where(Outbox.kind == "push", Outbox.state == "done")
    )
    return {(row.campaign_id, row.follower_id) for row in rows}


@asynccontextmanager
async def _own_books(blank: Blank, folder: Path) -> AsyncIterator[Books]:
    file = folder / f"push-{secrets.token_hex(4)}.db"
    with sqlite3.connect(blank.file) as source, sqlite3.connect(file) as copy:
        source.backup(copy)
    store = Store(f"sqlite:///{file}")
    try:
        yield Books(store)
    finally:
        await store.close()


@settings(
    max_examples=300 if LONG else 16,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
async def test_whatever_the_order_nobody_without_a_live_consent_gets_a_push(
    blank: Blank, tmp_path: Path, steps: list[tuple[str, int | None, str | None]]
) -> None:
    async with _own_books(blank, tmp_path) as books:
        assert await _play(books, [*steps, ("release", None, None), ("deliver", None, None)]) == []
        assert await books.offenders() == {}


UNWANTED: list[tuple[str, int | None, str | None]] = [
    ("join", 0, "龙井"),
    ("campaign", None, "龙井"),
    ("release", None, None),
    ("leave", 0, "龙井"),
    ("deliver", None, None),
]


async def test_without_its_guards_the_shop_would_push_to_who_has_left(
    blank: Blank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _own_books(blank, tmp_path) as books:
        assert await _play(books, UNWANTED) == []

    async def nothing(*_: Any) -> int:
        return 0

    monkeypatch.setattr(subscription, "drop_pushes", nothing)
    async with _own_books(blank, tmp_path) as books:
        assert await _play(books, UNWANTED) == []  # either guard alone is enough
    monkeypatch.setattr(subscription, "why_not", lambda *_, **__: literal(""))
    async with _own_books(blank, tmp_path) as books:
        assert len(await _play(books, UNWANTED)) == 1


async def test_the_invariants_catch_planted_faults(books: Books) -> None:
    left, never = await books.followers(2)
    await books.subscribes([left])
    campaign_id = await books.campaign()
    async with books.step() as work:
        await Subscriptions(work).leave_all(left, "退订")
    async with books.step() as work:
        row = {"kind": "push", "name": "c", "campaign_id": campaign_id, "payload": {}, "state": "done"}
        row["done_at"] = work.now
        await outbox.promise(work, [row | {"key": "a", "follower_id": left}, row | {"key": "b", "follower_id": never}])
        work.session.add(
            subscription.Subscription(follower_id=never, topic="上新", words="", state="live", since=work.now)
        )
    wanted = {"subscription_asked": 1, "push_asked": 1, "push_not_left": 1}
    assert wanted.items() <= (await books.offenders()).items()
    async with books.step() as work:
        await work.session.execute(update(Campaign).values(state="cancelled", topic="", text=""))
        await work.session.execute(update(Outbox).values(state="due"))
    found = await books.offenders()
    assert found["campaign_says_something"] == 1
    assert found["campaign_cancelled_is_silent"] == 2


# -- the talk ------------------------------------------------------------------------------------------


async def test_what_the_merchant_said_is_taken_apart(books: Books) -> None:
    catalogs = Catalogs()
    await catalogs.refresh(books.store.reader, NOON)

    def read(words: str) -> tuple[str, str, str]:
        draft = understood(words, NOON, CHINA, catalogs.current)
        return draft.topic, draft.text, draft.missing

    assert read("#龙井 明天10:00 明前龙井到了 A1 ¥26 起") == ("龙井", "明前龙井到了 A1 ¥26 起", "")
    assert read("#龙井 明天10:00:龙井到了") == ("龙井", "龙井到了", "")
    assert read("#上新 现在 新茶到了") == ("上新", "新茶到了", "")
    assert read("#龙井 明天10:00 <a href=x>点我</a>") == ("龙井", "＜a href=x>点我＜/a>", "")
    assert read("龙井 明天10:00 到了")[2] == "topic"
    assert read("#龙井 到了")[2] == "time"
    assert read("#龙井 明天10:00")[2] == "text"
    assert read("#龙井 今天9:00 到了")[2] == "past"
    assert read("#龙井 明天10:00 " + "长" * 161)[2] == "long"


def test_a_push_names_its_rule_and_the_way_out_and_carries_no_number() -> None:
    words = wording("龙井", "明前龙井到了", "A1", replace(FIGURES, public_url="https://shop.example"))
    assert words.splitlines() == [
        "明前龙井到了",
        "看看：回 A1 · https://shop.example/h/show:A1",
        "您订阅了“龙井” · 回 退订 龙井 就不再发",
    ]


async def test_a_push_reaches_whom_it_said_it_would_and_nobody_else(stage: Stage, town: Town) -> None:
    mei, qiang, ayi, lin = town.wechat("小美"), town.wechat("阿强"), town.wechat("王阿姨"), town.weibo("小林")
    owner = await town.owner()
    for one in (mei, qiang, ayi, lin):
        await one.follows()
    for one in (mei, qiang, lin):
        await one.says("订阅 龙井")
    await ayi.says("商品")
    await qiang.says("退订")
    plan = await owner.says("推送 #龙井 明天10:00 明前龙井到了，全网最好")
    assert "能收到 2 人" in plan.text
    assert "一共 5 人" in plan.text
    assert "没订阅 2" in plan.text  # the owner, and one who has not asked
    assert "退订了 1" in plan.text
    assert "您订阅了“龙井”" in plan.text
    assert "“最好”" in plan.text
    assert not plan.choices
    assert "P" in (await owner.says("确认")).text
    for one in (mei, qiang, ayi, lin):
        assert one.inbox == []
    await town.later(hours=21, minutes=59)
    assert mei.inbox == []
    await town.later(minutes=2)
    for one in (mei, lin):
        (got,) = one.inbox
        assert "明前龙井到了" in got.text
        assert "退订 龙井" in got.text
        assert "A1" in got.text
        assert not got.choices
    for one in (qiang, ayi, owner):
        assert [h.text for h in one.inbox if "龙井到了" in h.text] == []
    await owner.says("推送列表")
    shown = await owner.says("1")
    assert "送到 2 人" in shown.text
    assert "已发" in shown.text


async def test_who_leaves_between_the_plan_and_the_hour_gets_nothing(stage: Stage, town: Town) -> None:
    mei, qiang = town.wechat("小美"), town.wechat("阿强")
    owner = await town.owner()
    for one in (mei, qiang):
        await one.follows()
        await one.says("订阅 龙井")
    await owner.says("推送 #龙井 今天13:00 龙井到了")
    await owner.says("确认")
    await mei.says("TD")
    await qiang.unfollows()
    await town.later(hours=1, minutes=1)
    assert mei.inbox == qiang.inbox == []


async def on_its_way(stage: Stage, town: Town, moment: str) -> Person:
    """Somebody for whom a push is queued at this moment of today, and the courier is held up."""
    owner, mei = await town.owner(), town.wechat("小美")
    await mei.follows()
    await mei.says("订阅 龙井")
    await owner.says(f"推送 #龙井 今天{moment} 龙井到了")
    await owner.says("确认")
    stage.house.courier.paused = True
    hour, minute = map(int, moment.split(":"))
    await town.later(hours=hour - 12, minutes=minute, seconds=30)
    return mei


async def goes_on(stage: Stage) -> list[tuple[str, str]]:
    """The courier goes on; what has become of the push, and why."""
    stage.house.courier.paused = False
    await stage.house.courier.drain()
    rows = await stage.house.store.reader.all(select(Outbox.state, Outbox.error).where(Outbox.kind == "push"))
    return [tuple(row) for row in rows]


async def changes(stage: Stage, table: Any, **values: Any) -> None:
    """By SQL, past everything that takes back what is queued: as if both had happened at the same moment."""
    async with stage.house.store.session() as session, session.begin():
        await session.execute(update(table).values(**values))


@pytest.mark.parametrize(("changed", "why"), [({"state": "left"}, "left"), ({"max_fen": 100}, "price")])
async def test_what_is_on_its_way_is_asked_about_once_more_before_it_goes(
    stage: Stage, town: Town, changed: dict[str, Any], why: str
) -> None:
    mei = await on_its_way(stage, town, "13:00")
    await changes(stage, Subscription, **changed)
    assert await goes_on(stage) == [("dropped", why)]
    assert mei.inbox == []


async def test_a_push_that_slipped_into_the_night_waits_for_the_morning(stage: Stage, town: Town) -> None:
    mei = await on_its_way(stage, town, "21:59")
    await town.later(seconds=40)
    assert await goes_on(stage) == [("due", "quiet")]
    await town.later(hours=9, minutes=59)
    assert mei.inbox == []
    await town.later(minutes=1)
    assert "龙井到了" in mei.inbox[0].text


async def test_a_push_that_may_have_arrived_is_not_sent_again(
    stage: Stage, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marketing is never repeated on a doubt, nor shown on top of the next answer."""
    mei = await on_its_way(stage, town, "13:00")
    channel, sent = stage.house.channels["wechat"], list[str]()

    async def say(who: str, answer: Any, *, key: str) -> None:
        sent.append(key)
        raise SendFailed("unknown", "no answer")

    with monkeypatch.context() as away:
        away.setattr(channel, "say", say)
        assert await goes_on(stage) == [("unknown", "unknown: no answer")]
    await town.later(hours=1)
    assert len(sent) == 1
    assert mei.inbox == []
    assert "龙井到了" not in (await mei.says("商品")).text


@pytest.mark.parametrize(("used", "goes"), [(2, True), (3, False)])
async def test_of_the_five_messages_the_last_two_are_no_push_s(stage: Stage, town: Town, used: int, goes: bool) -> None:
    mei = await on_its_way(stage, town, "13:00")
    await changes(stage, Speech, typed_used=used)
    assert await goes_on(stage) == [("done", "") if goes else ("dropped", "no way open")]
    assert len(mei.inbox) == goes


async def test_the_night_is_proposed_away(stage: Stage, town: Town) -> None:
    owner = await town.owner()
    heard_ = await owner.says("推送 #上新 今天23:00 新茶到了")
    assert "免打扰" in heard_.text
    assert list(heard_.choices.values()) == ["3月3日08:00", "3月3日10:00"]
    assert "3月3日 10:00" in (await owner.says("2")).text


async def test_more_than_a_hundred_people_want_four_digits(
    stage: Stage, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.admin.pushes.BARE", 0)
    owner, mei = await town.owner(), town.wechat("小美")
    await mei.follows()
    await mei.says("订阅 上新")
    plan = await owner.says("推送 #上新 现在 新茶到了")
    (line,) = [line for line in plan.text.splitlines() if line.startswith("要发回 确认 ")]
    digits = line.removeprefix("要发回 确认 ")[:4]
    assert digits.isdigit()
    await owner.says("确认")
    await town.later(minutes=1)
    assert mei.inbox == []
    await owner.says("推送 #上新 现在 新茶到了")
    plan = await owner.says("推送 #上新 现在 新茶到了")
    (line,) = [line for line in plan.text.splitlines() if line.startswith("要发回 确认 ")]
    await owner.says(line.removeprefix("要发回 ").split("（")[0])
    await town.later(minutes=1)
    assert len(mei.inbox) == 1


async def test_a_push_is_cancelled_by_its_line_or_its_code(stage: Stage, town: Town) -> None:
    owner, mei = await town.owner(), town.wechat("小美")
    await mei.follows()
    await mei.says("订阅 上新")
    await owner.says("推送#上新 今天13:00 新茶到了")
    await owner.says("确认")
    await owner.says("推送列表")
    assert "取消了" in (await owner.says("取消推送 1")).text
    await town.later(hours=1, minutes=2)
    assert mei.inbox == []
    row = await stage.house.store.reader.one(select(Campaign.code))
    assert row is not None
    assert "早就取消" in (await owner.says(f"取消推送 {row.code}")).text
    other = "PZZZ" if row.code != "PZZZ" else "PYYY"
    assert "没有编号" in (await owner.says(f"取消推送 {other}")).text


async def test_who_is_no_manager_hears_nothing_of_pushes(stage: Stage, town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    assert "确认" not in (await mei.says("推送 #龙井 明天10:00 龙井到了")).text
    await mei.says("确认")
    assert await stage.house.store.reader.one(select(Campaign.id)) is None


async def test_the_price_limit_keeps_a_dear_push_away(stage: Stage, town: Town) -> None:
    owner, mei, qiang = await town.owner(), town.wechat("小美"), town.wechat("阿强")
    for one, words in ((mei, "订阅 龙井 <20"), (qiang, "订阅 龙井 <26")):
        await one.follows()
        await one.says(words)
    plan = await owner.says("推送 #龙井 现在 龙井 A1 到了")
    assert "超出限价 1" in plan.text
    await owner.says("确认")
    await town.later(minutes=1)
    assert mei.inbox == []
    assert len(qiang.inbox) == 1
