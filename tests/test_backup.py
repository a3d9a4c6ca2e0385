"""Backed up under load, restored elsewhere: nothing is said twice, no payment is lost, nothing is closed unasked."""

import asyncio
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from follower import Follower
from servers import Postgres
from sqlalchemy import func, select, text, update
from town import Town

from bot import cli, courier, processes
from bot.app import House
from bot.backup import backup, release, restore
from bot.dumping import address, tool
from bot.reconcile import reconcile
from bot.settings import Settings
from bot.simulator.driver import Heard
from bot.simulator.stage import Stage
from bot.terminal import Unfit
from models import migrations, quarantine, verify
from models.audit import Audit
from models.base import Work
from models.campaign import Campaign
from models.order import Order
from models.outbox import Outbox
from models.payment import Payment
from models.refund import Refund, Refunds
from models.seal import Sealed
from models.store import Store
from models.talk import Talk

WHERE = "张三 13800138000 浙江省杭州市西湖区文三路1号"
SPEAKING = ("/message/custom/send", "/messages/reply.json", "/mass/send", "/media/upload")

Capture = pytest.CaptureFixture[str]


@pytest.fixture
async def tools(stage: Stage, tmp_path: Path, capsys: Capture) -> None:
    """PostgreSQL's own tools; where they are missing the test says so loudly, and checks what the shop says to it."""
    if stage.house.store.sqlite:
        return
    connection = await asyncpg.connect(stage.house.settings.database.url)
    major = int(await connection.fetchval("SHOW server_version_num")) // 10000
    await connection.close()
    missing = ""
    for name in ("pg_dump", "pg_restore"):
        try:
            tool(name, major)
        except Unfit as why:
            missing = str(why)
    if missing:
        with capsys.disabled():
            sys.stderr.write(f"\n!!! {missing}\n!!! backup and restore of PostgreSQL DID NOT RUN\n")
        with pytest.raises(Unfit, match=f"install postgresql-client-{major}"):
            await backup(stage.house.settings, tmp_path / "b", stage.house.clock)
        assert not [name for name in os.listdir(tmp_path) if name.endswith(("b", ".partial"))]
        pytest.skip(missing)


@pytest.fixture
async def elsewhere(stage: Stage, postgres: Postgres, tmp_path: Path) -> AsyncIterator[Settings]:
    """The same shop's settings, with a database that is not there yet."""
    settings = stage.house.settings
    if stage.house.store.sqlite:
        yield _at(settings, f"sqlite:///{tmp_path / 'elsewhere' / 'shop.db'}")
        return
    url = await postgres.fresh_database()
    yield _at(settings, url)
    await postgres.drop_database(url)


def _at(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"database": settings.database.model_copy(update={"url": url})})


@asynccontextmanager
async def opened(settings: Settings, stage: Stage) -> AsyncIterator[House]:
    """Another house behind the same doors of the world: the same platform, the same cashier, the same time."""
    house = House(settings, stage.house.clock, movable=True)
    await house.open()
    try:
        yield house
    finally:
        await house.stop()


async def looks(house: House, times: int = 5) -> None:
    for _ in range(times):
        await house.look_all()


async def buys(one: Follower, what: str = "买 A11") -> Heard:
    heard = await one.says(what)
    heard = await one.says("1") if "要哪种" in heard.text else heard
    return await one.says(WHERE) if "寄到哪里" in heard.text else heard


async def scans_the_code(one: Follower, placed: Heard) -> str:
    """Opens the pay page and presses its button; the code stands on the screen, nobody has paid yet."""
    page = await one.opens(next(link for link in placed.links if "/pay/" in link.url))
    page = await page.presses_the_button()
    assert page.code_url
    return page.code_url


class Ears:
    """What the platform heard of the shop since the ears were opened, and what the cashier was asked."""

    def __init__(self, stage: Stage) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        stage.platform.on_call.append(lambda call: self.said.append(f"{call.path} {call.asked}"))
        stage.cashier.on_call.append(lambda call: self.asked.append(f"{call.method} {call.path}"))

    @property
    def messages(self) -> list[str]:
        return [one for one in self.said if any(path in one for path in SPEAKING)]


async def one(store: Store, statement: Any) -> Any:
    row = await store.reader.one(statement)
    return row[0] if row is not None else None


async def test_a_shop_restored_elsewhere_is_whole_asks_the_cashier_and_says_nothing_twice(
    town: Town, tools: None, elsewhere: Settings, tmp_path: Path, capsys: Capture
) -> None:
    stage, file = town.stage, tmp_path / "backups.of" / "shop 1.backup"
    file.parent.mkdir()
    house, cashier = stage.house, stage.cashier
    await town.owner()
    mei, qiang, ayi, lin = map(town.wechat, ("小美", "阿强", "王阿姨", "小林"))
    for person in (mei, qiang, ayi, lin):
        await person.follows()
    await mei.pays(await buys(mei))  # her order is paid, and her money is on its way back
    await town.settles()
    async with house.store.session() as session, session.begin():
        work = Work(session, house.clock.now())
        paid = await work.one(select(Payment.id, Payment.amount_fen))
        assert paid is not None
        await Refunds(work).owe(paid.id, 500, "after-sale", work.now)
    cashier.refund_seconds = 3600
    await town.later(minutes=1)
    await town.settles()
    his, hers = await scans_the_code(qiang, await buys(qiang)), await scans_the_code(ayi, await buys(ayi))
    waiting = await buys(lin)  # nobody has pressed a button here
    async with house.store.session() as session, session.begin():
        work = Work(session, house.clock.now())
        follower = (await work.one(select(Talk.follower_id).order_by(Talk.follower_id)))[0]  # type: ignore[index]
        campaign = await _campaign(work, "POLD", "releasing")
        for n, (kind, due) in enumerate([("notice", 0), ("push", 0), ("notice", 600), ("answer", 0)]):
            at = work.now + timedelta(minutes=due)
            await _promise(work, kind, f"old:{n}", follower, at, campaign if kind == "push" else None)
        await _promise(work, "notice", "old:missed", follower, work.now, None, state="missed")
        await work.session.execute(update(Talk).where(Talk.follower_id == follower).values(missed=1))

    talkers = [town.wechat(f"客人{n}") for n in range(3)]

    async def talks(person: Follower) -> None:
        await person.follows()
        await buys(person)
        await person.says("取消")

    status, *_ = await asyncio.gather(backup(house.settings, file, house.clock), *map(talks, talkers))
    assert status == 0, capsys.readouterr()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(file.parent) == [file.name], "nothing else is left behind"

    # What the shop does after the backup: he pays, her refund ends, somebody new buys, and all is told.
    await cashier.pay(his, qiang.person.who)
    await cashier.refund_settle()
    new = town.wechat("新客")
    await new.follows()
    await new.pays(await buys(new))
    await town.settles()
    assert "收到您的付款" in "".join(heard.text for heard in qiang.inbox)
    lost = next(o for o in cashier.books.orders.values() if o.payer == new.person.who)
    house.clock.move(timedelta(hours=3))  # and the old shop does nothing any more

    ears = Ears(stage)
    assert await restore(elsewhere, file, house.clock) == 0
    said = capsys.readouterr().out
    assert "in quarantine" in said
    assert "1 refunds" in said
    assert "1 campaigns" in said

    async with opened(elsewhere, stage) as again:
        assert await verify.offenders(again.store, house.clock.now() - timedelta(hours=3)) == []
        rows = await again.store.reader.all(
            select(Outbox.key, Outbox.state, Outbox.error).where(Outbox.key.like("old:%"))
        )
        states = {row.key: (row.state, row.error) for row in rows}
        assert states["old:2"] == ("due", ""), "what was to be said later has not been said"
        skipped = [states[f"old:{n}"] for n in (0, 1, 3, "missed")]
        assert skipped == [("dropped", quarantine.SKIPPED)] * 4, "skipped, and to be seen"
        assert await one(again.store, select(func.sum(Talk.missed))) == 0

        cashier.fail_next("", drop=True, times=60)  # nobody answers yet: it is asked again and nothing is closed
        await looks(again)
        held = await quarantine.standing(again.store.reader)
        assert held is not None
        assert held.step == quarantine.ASKING
        assert await one(again.store, select(Order.state).where(Order.no == number(waiting))) == "pending"
        async with again.store.session() as session, session.begin():
            work = Work(session, again.clock.now())
            later = await _campaign(work, "PNEW", "done")
            await _promise(work, "push", "new:push", follower, work.now, later)
            await _promise(work, "notice", "new:notice", follower, work.now, None)
        await again.courier.drain()
        assert len(ears.messages) == 1, "what is new is said, quarantine or not"
        assert await one(again.store, select(Outbox.state).where(Outbox.key == "new:push")) == "due", "but no push"

        cashier.faults.clear()
        ears.asked.clear()
        again.clock.move(timedelta(minutes=1))
        for _ in range(5):
            again.clock.move(timedelta(seconds=5))
            await looks(again, 1)
        assert await quarantine.standing(again.store.reader) is None, "every question was answered: it is over"
        for path in {path for path in ears.asked if path.endswith("/close")}:
            asked = path.replace("POST", "GET").removesuffix("/close")
            first = next(n for n, call in enumerate(ears.asked) if call.startswith(asked))
            assert first < ears.asked.index(path), "asked before it was closed"
        paid_now = await again.store.reader.all(select(Payment.out_trade_no, Payment.state))
        assert {row.state for row in paid_now} == {"credited"}
        assert len(paid_now) == 2, "what was paid after the backup is found again"
        assert await one(again.store, select(Refund.state)) == "done"
        closed = await again.store.reader.all(select(Order.state).where(Order.state.in_(["pending", "closing"])))
        assert not closed, "what had run out meanwhile is closed"
        assert [o.state for o in cashier.books.orders.values() if hers in o.codes] == ["CLOSED"]
        assert await verify.offenders(again.store, again.clock.now()) == []
        assert len(ears.messages) == 1, ears.messages
        assert await one(again.store, select(Outbox.state).where(Outbox.key == "new:push")) != "due", "pushes go again"

        # From here on the shop is a shop again.
        acts = await again.store.reader.all(select(Audit.act, Audit.facts).order_by(Audit.id.desc()).limit(2))
        assert [row.act for row in acts] == ["release", "restore"]
        again.clock.move(timedelta(days=1))
        await looks(again, 3)
        assert sum("old:2" in one or "说过的话" in one for one in ears.messages) == 1, (
            "and what was to be said later is"
        )
        capsys.readouterr()
        assert await reconcile(elsewhere, "2026-03-02", again.clock) == 1
        report = capsys.readouterr().out
        assert f"({lost.out_trade_no}): ¥" in report
        assert "its number is not ours" in report
        assert "1 differences" in report, report
        await looks(again, 3)
        assert len(cashier.books.refunds) == 1, "and nothing is paid back by itself"


def number(heard: Heard) -> str:
    found = heard.text.split("订单 ", 1)[1]
    return found[:8]


async def _campaign(work: Work, code: str, state: str) -> int:
    ended = work.now if state == "done" else None
    made = Campaign(
        code=code, topic="龙井", text="来了", due=work.now, made=work.now, state=state, done_at=ended, reached=1
    )
    work.session.add(made)
    await work.session.flush()
    return made.id


async def _promise(
    work: Work, kind: str, key: str, follower: int, due: Any, campaign: int | None, state: str = "due"
) -> None:
    work.session.add(
        Outbox(
            kind=kind,
            name="test",
            key=key,
            follower_id=follower,
            campaign_id=campaign,
            payload={"text": f"说过的话 {key}"},
            state=state,
            made=work.now,
            due=due,
            done_at=work.now if state == "missed" else None,
        )
    )
    await work.session.flush()


async def test_a_restore_waits_for_nobody_who_is_running(town: Town, tools: None, tmp_path: Path) -> None:
    stage, file = town.stage, tmp_path / "shop.backup"
    settings = stage.house.settings
    assert await backup(settings, file, stage.house.clock) == 0
    async with processes._alone(settings, serving=False):
        with pytest.raises(Unfit, match="stop every"):
            await restore(settings, file, stage.house.clock)
    if not stage.house.store.sqlite:
        connection = await asyncpg.connect(settings.database.url)
        await connection.execute("SELECT pg_advisory_lock($1)", processes.RUN_LOCK)
        with pytest.raises(Unfit, match="being restored"):
            async with processes._alone(settings, serving=True):
                raise AssertionError
        await connection.close()
    assert await one(stage.house.store, select(func.count(Talk.follower_id))) == 0
    assert await quarantine.standing(stage.house.store.reader) is None


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_backup_file_is_never_written_over(town: Town, tmp_path: Path) -> None:
    file = tmp_path / "shop.backup"
    file.write_text("last month's")
    with pytest.raises(Unfit, match="left as it is"):
        await backup(town.stage.house.settings, file)
    assert file.read_text() == "last month's"
    with pytest.raises(Unfit, match="cannot be written"):
        await backup(town.stage.house.settings, tmp_path / "nowhere" / "shop.backup")
    nothing = _at(town.stage.house.settings, f"sqlite:///{tmp_path / 'no.db'}")
    with pytest.raises(Unfit, match="no database yet"):
        await backup(nothing, tmp_path / "b")
    assert not {"no.db", "b"} & set(os.listdir(tmp_path))


async def test_what_breaks_an_invariant_is_kept_and_named(
    town: Town, tools: None, tmp_path: Path, capsys: Capture
) -> None:
    house, file = town.stage.house, tmp_path / "shop.backup"
    await town.wechat("小美").follows()
    async with house.store.session() as session, session.begin():
        work = Work(session, house.clock.now())
        follower = await work.one(select(Talk.follower_id))
        assert follower is not None
        await _promise(work, "push", "planted", follower[0], work.now, None)
    assert await backup(house.settings, file, house.clock) == 1
    assert "every push belongs to a campaign" in capsys.readouterr().err
    assert file.exists()


async def test_what_was_there_is_kept_and_a_restore_that_fails_changes_nothing(
    town: Town, tools: None, elsewhere: Settings, tmp_path: Path, capsys: Capture
) -> None:
    house, file = town.stage.house, tmp_path / "shop.backup"
    await town.wechat("小美").follows()
    assert await backup(house.settings, file, house.clock) == 0
    assert await restore(elsewhere, file, house.clock) == 0
    whole = file.read_bytes()
    broken = tmp_path / "broken.backup"
    broken.write_bytes(whole[: len(whole) * 2 // 3])
    alien = tmp_path / "alien.backup"
    alien.write_text("not at all a backup, but long enough to be read as one")
    other = tmp_path / "other.backup"
    other.write_bytes(b"PGDMP" if house.store.sqlite else b"SQLite format 3\0")
    store = Store(elsewhere.database.url)
    secret = elsewhere.secret.model_copy(
        update={"key": type(elsewhere.secret.key)("another secret of 32 bytes or more!!")}
    )
    keys = Sealed.keys
    try:
        since = await quarantine.standing(store.reader)
        for bad in (broken, alien, other, tmp_path / "missing.backup"):
            with pytest.raises(Unfit):
                await restore(elsewhere, bad, house.clock)
        with pytest.raises(Unfit, match="opens nothing"):
            await restore(elsewhere.model_copy(update={"secret": secret}), file, house.clock)
        Sealed.keys = keys
        assert await quarantine.standing(store.reader) == since
        assert await one(store, select(func.count(Talk.follower_id))) == 1
        assert await migrations.at(store) == migrations.head()
    finally:
        Sealed.keys = keys
        await store.close()
    house.clock.move(timedelta(minutes=1))
    capsys.readouterr()
    assert await restore(elsewhere, file, house.clock) == 0
    kept = capsys.readouterr().out.split("the database before is kept: ")[1].split("\n")[0]
    if house.store.sqlite:
        with closing(sqlite3.connect(kept)) as old:
            assert old.execute("SELECT count(*) FROM talk").fetchone() == (1,)
        place = elsewhere.database.url.removeprefix("sqlite:///")
        assert stat.S_IMODE(os.stat(place).st_mode) == 0o600
        assert not [name for name in os.listdir(os.path.dirname(place)) if "restored" in name]
        return
    connection = await asyncpg.connect(elsewhere.database.url)
    schema = kept.removeprefix("schema ")
    assert await connection.fetchval(f"SELECT count(*) FROM {schema}.talk") == 1
    await connection.close()
    again = tmp_path / "again.backup"
    assert await backup(elsewhere, again, house.clock) == 0
    assert again.stat().st_size < file.stat().st_size * 1.5, "what was put aside is in no backup"
    house.clock.move(timedelta(minutes=1))
    assert await restore(elsewhere, again, house.clock) == 0


async def test_a_newer_backup_is_refused_and_an_older_one_is_migrated_before_anything_else(
    town: Town, tools: None, elsewhere: Settings, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, stage = town.stage.house, town.stage
    older, newer = tmp_path / "older.backup", tmp_path / "newer.backup"
    await town.wechat("小美").follows()
    async with house.store.session() as session, session.begin():
        work = Work(session, house.clock.now())
        follower = await work.one(select(Talk.follower_id))
        assert follower is not None
        await _promise(work, "notice", "old", follower[0], work.now, None)
    assert await backup(house.settings, older, house.clock) == 0
    async with _revision(house.store, "9999"):
        assert await backup(house.settings, newer, house.clock) == 0, "whatever it is, it can be backed up"
    assert "not checked" in capsys.readouterr().out
    with pytest.raises(Unfit, match="newer version"):
        await restore(elsewhere, newer, house.clock)
    with monkeypatch.context() as tomorrow:
        tomorrow.setattr(migrations, "head", lambda: "9998")
        assert await restore(elsewhere, older, house.clock) == 0
        assert "tuanpu migrate" in capsys.readouterr().out
    async with opened(elsewhere, stage) as again:
        held = await quarantine.standing(again.store.reader)
        assert held is not None
        assert held.step == quarantine.RESTORED
        assert await again.courier.round() == 0, "before it is sorted out nobody says anything"
        await looks(again, 1)
        held = await quarantine.standing(again.store.reader)
        assert held is not None
        assert held.step == quarantine.ASKING
        await looks(again, 2)
        assert await quarantine.standing(again.store.reader) is None
        assert await one(again.store, select(Outbox.error).where(Outbox.key == "old")) == quarantine.SKIPPED


@asynccontextmanager
async def _revision(store: Store, number: str) -> AsyncIterator[None]:
    """For a while the database is of another version; it goes on to the next test as it was."""
    change = text("UPDATE alembic_version SET version_num = :number")
    async with store.engine.begin() as connection:
        await connection.execute(change, {"number": number})
    try:
        yield
    finally:
        async with store.engine.begin() as connection:
            await connection.execute(change, {"number": migrations.head()})


async def unanswered(town: Town, elsewhere: Settings, folder: Path) -> None:
    """Somebody may be paying; the shop is backed up and restored elsewhere, where no cashier answers any more."""
    house, mei = town.stage.house, town.wechat("小美")
    await mei.follows()
    await scans_the_code(mei, await buys(mei))
    assert await backup(house.settings, folder / "b", house.clock) == 0
    assert await restore(elsewhere, folder / "b", house.clock) == 0
    town.stage.cashier.fail_next("", drop=True, times=10_000)


async def given_up(again: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question has been asked as often as it ever is."""
    with monkeypatch.context() as fewer:
        fewer.setitem(courier.TRIES, "errand", 4)
        for _ in range(6):
            again.clock.move(timedelta(minutes=11))
            await again.courier.drain()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_quarantine_that_gets_no_answer_stands_until_somebody_ends_it(
    town: Town, elsewhere: Settings, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = town.stage
    await unanswered(town, elsewhere, tmp_path)
    async with opened(elsewhere, stage) as again:
        await given_up(again, monkeypatch)
        assert await quarantine.unanswered(again.store.reader) == (0, 1)
        await looks(again, 3)
        assert await quarantine.standing(again.store.reader) is not None
        assert await one(again.store, select(Order.state)) == "pending"
        capsys.readouterr()
        assert await release(elsewhere, again.clock) == 0
        assert "1 questions have no answer" in capsys.readouterr().out
        assert await quarantine.standing(again.store.reader) is None
        assert await release(elsewhere, again.clock) == 0
        assert "no quarantine" in capsys.readouterr().out
    stage.cashier.faults.clear()


# -- without a shop --------------------------------------------------------------------------------------


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_without_the_silence_what_is_found_out_again_is_told_again(
    town: Town, elsewhere: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control twin: with the hush switched off the buyer hears a second time that the money has come."""

    async def aloud(*_: Any) -> None:
        return None

    monkeypatch.setattr(quarantine, "hush", aloud)
    house, stage = town.stage.house, town.stage
    mei = town.wechat("小美")
    await mei.follows()
    code = await scans_the_code(mei, await buys(mei))
    assert await backup(house.settings, tmp_path / "b", house.clock) == 0
    await stage.cashier.pay(code, mei.person.who)
    await town.settles()
    assert len(mei.inbox) == 1
    assert await restore(elsewhere, tmp_path / "b", house.clock) == 0
    async with opened(elsewhere, stage) as again:
        await looks(again)
    assert [heard.text[:12] for heard in mei.inbox] != []


def test_a_damaged_database_makes_no_backup(tmp_path: Path, blank: Any, stage_settings: Settings) -> None:
    place = Path(stage_settings.database.url.removeprefix("sqlite:///"))
    with place.open("r+b") as live:
        live.seek(place.stat().st_size // 2 // 4096 * 4096)
        live.write(b"\xde\xad\xbe\xef" * 1024 * 8)
    with pytest.raises(Unfit, match=r"damaged|copied|malformed"):
        asyncio.run(backup(stage_settings, tmp_path / "shop.backup"))
    assert not list(tmp_path.glob("*shop.backup*"))


@pytest.fixture
def stage_settings(blank: Any, tmp_path: Path) -> Settings:
    """Settings of a shop on SQLite that nobody has opened."""
    from bot.simulator.stage import settings_of

    folder = tmp_path / "quiet"
    shutil.copytree(blank.folder / "cashier", folder / "cashier")
    with closing(sqlite3.connect(blank.file)) as source, closing(sqlite3.connect(folder / "shop.db")) as copy:
        source.backup(copy)
    return settings_of(folder, 1, 1, 1)


def test_a_tool_of_another_version_is_named_with_what_to_install(tmp_path: Path) -> None:
    fake = tmp_path / "14" / "bin" / "pg_dump"
    fake.parent.mkdir(parents=True)
    fake.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 14.11'\n")
    fake.chmod(0o755)
    places = (str(tmp_path / "*" / "bin"),)
    assert tool("pg_dump", 14, places, path="") == fake
    with pytest.raises(Unfit) as why:
        tool("pg_dump", 17, places, path="")
    assert str(why.value) == (
        "the server is PostgreSQL 17, and pg_dump 17 was not found (there is only 14): install postgresql-client-17."
    )
    with pytest.raises(Unfit, match="none at all"):
        tool("pg_dump", 17, (), path="")


def test_the_password_stands_in_no_list_of_processes() -> None:
    where, environ = address("postgresql://tuanpu:s3cret%2F@db.example.com:5433/shop?ssl=require")
    assert where == "postgresql://tuanpu@db.example.com:5433/shop?sslmode=require"
    assert environ["PGPASSWORD"] == "s3cret/"
    assert address("postgresql://postgres@/shop?host=/run/pg")[0] == "postgresql://postgres@/shop?host=%2Frun%2Fpg"


def test_the_commands_go_from_a_first_shop_to_a_restored_one(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, config = Sealed.keys, ["--config", str(tmp_path / "config.toml")]
    for name in [n for n in os.environ if n.startswith("TUANPU_")]:
        monkeypatch.delenv(name)
    file = str(tmp_path / "shop.backup")
    try:
        assert cli.main(["init", *config]) == 0
        assert cli.main(["backup", file, *config]) == 0
        assert "every invariant holds" in capsys.readouterr().out
        assert cli.main(["backup", file, *config]) == 78
        assert cli.main(["restore", file, *config]) == 0
        assert cli.main(["verify", *config]) == 0
        assert cli.main(["restore", "--release", *config]) == 0
        assert cli.main(["restore", str(tmp_path / "nothing"), *config]) == 78
        capsys.readouterr()
        assert cli.main(["reconcile", "yesterday", *config]) == 78
        assert "[wechat_pay]" in capsys.readouterr().err
        with pytest.raises(SystemExit):
            cli.main(["restore", *config])
    finally:
        Sealed.keys = keys
