"""What could not be sent is not lost: it is shown with the next answer, and what has no room there is sent after it."""

import pytest
from sqlalchemy import select, update
from town import Town

from models.base import Work
from models.follower import Follower
from models.outbox import Outbox, promise
from models.talk import Talk
from models.verify import offenders

WORDS = [f"第{n}条通知" + "，说得很长" * 44 for n in range(3)]  # 280 characters of Weibo hold one of them


async def missed(town: Town, who: str, words: list[str]) -> None:
    """So many notices could not be sent to somebody."""
    house = town.stage.house
    async with house.store.session() as session, session.begin():
        work = Work(session, house.clock.now())
        one = (await session.execute(select(Follower.id).where(Follower.who == who))).scalar_one()
        row = {"kind": "notice", "name": "x", "follower_id": one, "state": "missed", "done_at": work.now}
        await promise(work, [row | {"key": text, "payload": {"text": text}} for text in words])
        await session.execute(update(Talk).where(Talk.follower_id == one).values(missed=len(words)))


@pytest.mark.parametrize("channel", ["wechat", "weibo"])
async def test_each_is_said_once_with_the_next_answer_or_right_after_it(town: Town, channel: str) -> None:
    one = town.weibo("小林") if channel == "weibo" else town.wechat("小美")
    await one.follows()
    await missed(town, one.person.who, WORDS)
    heard = await one.says("帮助")
    assert heard.text.startswith(WORDS[0]) is (channel == "wechat")  # 2,048 bytes there, 280 characters here
    await town.settles()
    said = "\n".join([heard.text, *(sent.text for sent in one.inbox)])
    assert [said.count(words) for words in WORDS] == [1, 1, 1]
    assert WORDS[0] not in (await one.says("商品")).text
    house = town.stage.house
    assert await offenders(house.store, house.clock.now()) == []


async def test_what_fits_beside_the_answer_stands_on_top_of_it(town: Town) -> None:
    lin = town.weibo("小林")
    await lin.follows()
    await missed(town, lin.person.who, ["您的订单发货了", WORDS[1]])
    heard = await lin.says("帮助")
    assert heard.text.startswith("您的订单发货了\n\n")
    await town.settles()
    assert [sent.text for sent in lin.inbox] == [WORDS[1]]


async def test_a_card_that_could_not_be_sent_comes_with_the_next_answer(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    town.stage.platform.fail_next("message/custom/send", errcode=45047)
    assert "正在画" in (await mei.says("邀请卡")).text
    await town.settles()  # the card is drawn beside the answer
    await town.later(minutes=1)
    assert not mei.inbox
    await mei.says("商品")
    await town.settles()
    assert [sent.picture is not None for sent in mei.inbox] == [True]
    assert await outbox_states(town, "invite/card") == ["done"]


async def test_a_picture_that_the_platform_has_forgotten_is_not_tried_for_ever(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    town.stage.platform.fail_next("message/custom/send", errcode=40007)
    await mei.says("邀请卡")
    await town.settles()
    await mei.says("商品")
    await town.settles()
    assert not mei.inbox
    assert await outbox_states(town, "invite/card") == ["dropped"]


async def outbox_states(town: Town, name: str) -> list[str]:
    """How the promises of this template stand."""
    rows = await town.stage.house.store.reader.all(select(Outbox.state).where(Outbox.name == name))
    return [row.state for row in rows]
