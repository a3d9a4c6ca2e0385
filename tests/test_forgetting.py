"""What is over is forgotten, in batches; what proves something, or is still owed, is kept."""

import pytest
from sqlalchemy import select
from town import Town

from bot import backdesk
from models.base import Work
from models.inbox import Inbox
from models.outbox import KEPT, Outbox, promise
from models.verify import offenders


async def heard(town: Town) -> int:
    """How many messages are written down."""
    return len(await town.stage.house.store.reader.all(select(Inbox.id)))


async def test_what_was_heard_is_forgotten_after_three_days_and_not_before(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backdesk, "FORGOTTEN", 3)
    mei = town.wechat("小美")
    await mei.follows()
    for code in ("加 A1", "加 A2", "加 A3", "加 A4", "清空", "加 A1", "清空"):
        await mei.says(code)
    before = await heard(town)
    assert before >= 7
    await town.later(hours=71)
    assert await heard(town) == before
    last = await mei.says("加 A1")
    await town.later(hours=2)
    assert await heard(town) == 1
    assert [again.text for again in await mei.gets_it_again(last)] == [last.text, last.text]


async def test_promises_that_were_kept_are_forgotten_after_a_month_the_others_never(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backdesk, "FORGOTTEN", 3)
    mei = town.wechat("小美")
    await mei.follows()
    house = town.stage.house
    async with house.store.session() as session, session.begin():
        work = Work(session, house.clock.now())
        await session.execute(Outbox.__table__.delete())  # type: ignore[attr-defined]
        row = {"name": "x", "done_at": work.now, "payload": {}}
        states = [("done", 7), ("dropped", 1), ("unknown", 1)]
        rows = [
            row | {"kind": "errand", "state": state, "key": f"{state}{n}"}
            for state, most in states
            for n in range(most)
        ]
        await promise(work, rows)
    await town.later(days=KEPT.days - 1)
    assert len(await kept(town)) == 9
    await town.later(days=2)
    assert [row.state for row in await kept(town)] == ["unknown"]
    assert await offenders(house.store, house.clock.now()) == []


async def test_what_was_pushed_stays_on_record(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    await mei.follows()
    await mei.says("订阅 龙井")
    await boss.says("推送 #龙井 今天14:00 明前龙井到了")
    await boss.says("确认")
    await town.later(hours=3)
    assert any("明前龙井到了" in sent.text for sent in mei.inbox)
    await town.later(days=KEPT.days + 5)
    assert [(row.kind, row.state) for row in await kept(town)] == [("push", "done")]


async def kept(town: Town) -> list:  # type: ignore[type-arg]
    """The promises that are on record."""
    return list(await town.stage.house.store.reader.all(select(Outbox.kind, Outbox.state).order_by(Outbox.id)))
