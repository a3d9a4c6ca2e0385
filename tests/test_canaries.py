"""No secret in a log: every secret is a canary, everything that can fail does, and then nobody has sung.

At DEBUG, with the real log handler; on error pages, in the metrics, in the columns that keep what went wrong, and in
clear in the database itself.
"""

import io
import json
import logging
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from conftest import NOON
from lived import AWAY, HOME, KINDS, lived_in, order, told
from pydantic import BaseModel, SecretStr
from servers import Postgres
from sqlalchemy import func, select, text
from town import Blank, Town

import bot.simulator.platform as fake_platform
import bot.simulator.stage as staging
from bot import logs
from bot.clock import Clock
from bot.settings import Settings
from bot.simulator.backstage import Fault, reply_json
from bot.simulator.driver import Heard
from bot.simulator.stage import Stage, make_owner, open_stage
from models.inbox import Inbox

PERSONAL = ("欧阳小美", "13812345678", "听泉巷77号", "赵阿强", "13987654321", "映月里8号")
METRICS = "canary-of-the-metrics-token-7f3a"
OLD_KEY = "canary-of-an-older-key-0123456789abcdefghij"


def secrets_of(section: BaseModel) -> Iterator[str]:
    """Every secret value in the settings, whatever it is called and however deep it stands."""
    for _, value in section:
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, SecretStr):
                yield one.get_secret_value()
            elif isinstance(one, BaseModel):
                yield from secrets_of(one)


def test_the_table_of_secrets_is_whole(haunted: "Haunted") -> None:
    """What is a secret by its type is known to the log's net by its value."""
    found = set(secrets_of(haunted.settings))
    assert METRICS in found
    assert OLD_KEY in found
    assert len(found) >= 9
    assert all(len(value) >= 12 for value in found)
    assert found == set(haunted.settings.secrets())


@dataclass
class Haunted:
    """A shop full of canaries, and what was written while it ran."""

    stage: Stage
    town: Town
    log: io.StringIO

    @property
    def settings(self) -> Settings:
        return self.stage.house.settings

    async def run(self, *statements: str) -> None:
        async with self.stage.house.store.engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))

    async def column(self, sql: str) -> list[str]:
        async with self.stage.house.store.engine.connect() as connection:
            return [str(row[0]) for row in await connection.execute(text(sql)) if row[0]]

    async def canaries(self) -> dict[str, str]:
        """value → what it is."""
        found = dict.fromkeys(secrets_of(self.settings), "a setting")
        pay = self.settings.wechat_pay
        assert pay is not None
        pem = pay.private_key_file.read_text().splitlines()
        found |= dict.fromkeys(pem[1:-1], "the merchant's private key")
        found |= dict.fromkeys(self.stage.platform.wechat.tokens._good, "an access token")
        found |= dict.fromkeys(PERSONAL, "personal")
        found |= dict.fromkeys(await self.column('SELECT pay_code FROM "order"'), "a pay code")
        return found | dict.fromkeys(await self.column("SELECT code_url FROM attempt"), "a way to pay")


@pytest.fixture
async def haunted(
    database: str, blank: Blank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Haunted]:
    """The log handler is attached as `tuanpu serve` does it, and lower."""
    real = staging.settings_of

    def settings_of(*given: Any, **more: Any) -> Settings:
        made = real(*given, **more)
        server = made.server.model_copy(update={"metrics_token": SecretStr(METRICS)})
        secret = made.secret.model_copy(update={"old_keys": (SecretStr(OLD_KEY),)})
        return made.model_copy(update={"server": server, "secret": secret})

    monkeypatch.setattr(staging, "settings_of", settings_of)
    shutil.copytree(blank.folder / "cashier", tmp_path / "cashier")
    clock = Clock()
    clock.freeze(NOON)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    log = io.StringIO()
    stage = await open_stage(tmp_path, database=database, clock=clock, migrate=False, goods="", alive=False)
    logs.configure(stage.house.settings.secrets(), level="DEBUG", stream=log)
    blind = logging.StreamHandler(log)  # the other net alone: what looks like a secret, without knowing any
    blind.setFormatter(logs.JsonLines(logs.Redactor()))
    root.addHandler(blind)
    yield Haunted(stage, Town(stage), log)
    await stage.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


async def test_nothing_secret_is_said_whatever_fails(haunted: Haunted, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, town = haunted.stage, haunted.town
    said: list[str] = []
    await _a_day(haunted)

    # The platform says our own token and secret back to us, answers with 5xx, and hangs up.
    wechat = haunted.settings.wechat
    assert wechat is not None
    token = next(iter(stage.platform.wechat.tokens._good))
    words = f"hint: access_token={token} secret {wechat.app_secret.get_secret_value()} token {token}"
    real = fake_platform._wrong

    def echo(fault: Fault) -> web.Response:
        return real(fault) if fault.status else reply_json({"errcode": fault.errcode, "errmsg": words})

    monkeypatch.setattr(fake_platform, "_wrong", echo)
    mei = town.wechat("小美")
    faults: tuple[dict[str, Any], ...] = ({"errcode": 47001}, {"errcode": 40001}, {"status": 502}, {"drop": True})
    for fault in faults:
        stage.platform.fail_next("/message/custom/send", **fault)
        stage.platform.fail_next("/qrcode/create", **fault)
        await mei.says("邀请卡 A2")
        await town.later(minutes=2)
    await mei.pays(await order(mei, "买 A11"))  # a notice that nobody can send
    stage.platform.fail_next("/stable_token", status=500, times=9)
    stage.platform.wechat.tokens.revoke()
    await town.later(minutes=2)
    stage.platform.faults.clear()

    # The cashier as well, in the middle of a payment and of a refund.
    refusals: tuple[dict[str, Any], ...] = ({"status": 500, "code": "SYSTEM_ERROR"}, {"drop": True}, {"unsigned": True})
    assert "再回一次" in (await mei.says("退团")).text
    await mei.says("退团")
    for fault in refusals:
        stage.cashier.fail_next("/v3/pay/transactions/native", **fault)
        stage.cashier.fail_next("/v3/refund/domestic/refunds", **fault)
        await (await mei.opens(_link(await order(mei, "买 A11")))).presses_the_button()
        await town.later(minutes=6)
    stage.cashier.faults.clear()
    await town.later(minutes=31)

    # The database: a table is away, a row is refused, and then everything is.
    said += await _broken_database(haunted)
    log = haunted.log.getvalue()
    for expected in ("the database did not answer", "reaction failed", "promise not kept yet"):
        assert expected in log, "the failure did not happen: this test has lost its teeth"
    said.append(log)
    errors = await haunted.column("SELECT error FROM outbox")
    assert any("message/custom/send" in error for error in errors), errors
    assert any("hint: " in error for error in errors), errors
    said += [
        *errors,
        *await haunted.column("SELECT error FROM refund"),
        *await haunted.column("SELECT key FROM outbox"),
    ]
    async with aiohttp.ClientSession() as http, http.get(f"{stage.url}/metrics") as response:
        assert response.status == 200
        said.append(await response.text())
    canaries = await haunted.canaries()
    assert {"a setting", "an access token", "personal", "a pay code", "a way to pay"} <= set(canaries.values())
    for words in said:
        for canary, what in canaries.items():
            if canary in words:
                at = words.index(canary)
                pytest.fail(f"{what} was said: {words[max(0, at - 400) : at + 100]}")


async def _a_day(haunted: Haunted) -> None:
    """Somebody orders and pays, is in a group, and a code for staff was made."""
    town = haunted.town
    boss, mei = await town.owner(), town.wechat("小美")
    await make_owner(haunted.stage.house)
    await boss.says("授权 店员")
    await mei.follows()
    await mei.pays(await order(mei, "买 A11"))
    await mei.pays(await order(mei, "开团 A6"))
    await town.settles()
    told(mei, "G[2-9A-Z]{3}")
    await mei.says("邀请卡 A1")
    await town.settles()
    await order(mei, "买 A11")


async def _broken_database(haunted: Haunted) -> list[str]:
    """What doors and pages answer while the database refuses."""
    stage, town = haunted.stage, haunted.town
    said = []
    mei, qiang = town.wechat("小美"), town.wechat("阿强")
    placed = await order(mei, "买 A11")
    pay = _link(placed)
    refuse = "ALTER TABLE consent ADD CONSTRAINT ck_canary CHECK (id < 0) NOT VALID"
    allow = "ALTER TABLE consent DROP CONSTRAINT ck_canary"
    if stage.house.store.sqlite:
        refuse = "CREATE TRIGGER canary BEFORE INSERT ON consent BEGIN SELECT RAISE(ABORT, 'refused'); END"
        allow = "DROP TRIGGER canary"

    async def ask(path: str, method: str = "GET") -> None:
        async with aiohttp.ClientSession() as http, http.request(method, stage.url + path) as response:
            said.append(f"{response.status} {dict(response.headers)} {await response.text()}")

    for breaks, mends in (
        (refuse, allow),
        ("ALTER TABLE order_line RENAME TO gone", "ALTER TABLE gone RENAME TO order_line"),
        ("ALTER TABLE staff RENAME TO gone", "ALTER TABLE gone RENAME TO staff"),
        ("ALTER TABLE inbox RENAME TO gone", "ALTER TABLE gone RENAME TO inbox"),
    ):
        await haunted.run(breaks)
        for one, words in ((mei, f"订阅 {PERSONAL[0]}"), (mei, "买 A11"), (qiang, f"地址 {AWAY}"), (mei, "订单")):
            heard = await stage.driver.says(one.person, words)
            said.append(heard.raw_response.partition("\n\n")[0] if heard.status == 200 else heard.raw_response)
        if "staff" in breaks:
            await mei.pays(pay)
            await town.settles()
        for path in (pay, f"{pay}/state", "/h/show:A11", "/readyz"):
            await ask(path)
        await ask(pay, "POST")
        await haunted.run(mends)
    return [words.replace(pay.rpartition("/")[2], "its own pay code") for words in said]


def _link(heard: Heard) -> str:
    """The path of the pay page that an answer names."""
    return urlsplit(next(link.url for link in heard.links if "/pay/" in link.url)).path


# -- in clear in the database ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_personal_stands_in_clear_in_the_database(
    kind: str, blank: Blank, postgres: Postgres, tmp_path: Path
) -> None:
    """Not in the file, not in a page that was freed, not in any column; what is public does."""
    lived = await lived_in(kind, blank, postgres)
    assert all(any(word in home for home in (HOME, AWAY)) for word in PERSONAL)
    if kind == "sqlite":
        file = Path(lived.url.removeprefix("sqlite:///"))
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        held = b"".join(path.read_bytes() for path in file.parent.glob("shop.db*"))
    else:
        held = (await dumped(lived.url)).encode()
    assert "明前龙井".encode() in held
    for word in PERSONAL:
        for form in (word.encode(), word.encode().hex().encode(), json.dumps(word)[1:-1].encode()):
            assert form not in held, word


async def test_what_was_heard_is_forgotten_after_three_days(town: Town) -> None:
    """The answers with it: a letter that came twice is told from a new one for 72 hours, and then nobody needs it."""
    mei = town.wechat("小美")
    await mei.says(f"地址 {HOME}")
    house = town.stage.house
    heard = select(func.count()).select_from(Inbox)
    row = await house.store.reader.one(heard)
    assert row is not None
    assert row[0] > 0
    await town.later(hours=71)
    assert await house.store.reader.one(heard) == row
    await town.later(hours=2)
    assert tuple(await house.store.reader.one(heard) or ()) == (0,)


async def dumped(url: str) -> str:
    """Every row of every table as text."""
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [await connection.fetch(f'SELECT t::text FROM "{name[0]}" t') for name in names]
    finally:
        await connection.close()
    return "\n".join(row[0] for table in rows for row in table)
