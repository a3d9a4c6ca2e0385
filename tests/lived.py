"""A shop that has lived for a day and a half: every table has rows, orders stand in every state, nothing is broken."""

import asyncio
import io
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from conftest import NOON
from follower import Follower
from PIL import Image
from servers import Postgres
from town import Blank, Town

from bot.clock import Clock
from bot.simulator.driver import Heard
from bot.simulator.stage import open_stage
from models.seal import Keys, Sealed
from models.store import Store

KINDS = ("sqlite", "postgresql")
GROUP = r"(?<![0-9A-Z])G[2-9A-HJ-NP-Z]{3}(?![0-9A-Z])"
HOME = "欧阳小美 13812345678 浙江省杭州市西湖区听泉巷77号"
AWAY = "赵阿强 13987654321 浙江省杭州市余杭区映月里8号"


@dataclass(frozen=True)
class Lived:
    """A lived-in shop's database, the moment at which its clock stands, and the keys that open it."""

    url: str
    now: datetime
    keys: Keys


async def order(person: Follower, words: str, home: str = HOME) -> Heard:
    """Says what is wanted, and answers what is asked on the way; the words with the pay link."""
    heard = await person.says(words)
    if "哪种" in heard.text:
        heard = await person.says("1")
    if "寄到哪里" in heard.text:
        heard = await person.says(home)
    return heard


def number(heard: Heard) -> str:
    found = re.search(r"订单 ([2-9A-HJ-NP-Z]{8})", heard.text)
    assert found, heard.text
    return found[1]


def told(person: Follower, pattern: str) -> str:
    """The newest thing that looks so among what the shop has sent unasked."""
    found = re.findall(pattern, "\n".join(heard.text for heard in person.inbox))
    assert found, pattern
    return str(found[-1])


async def play(town: Town) -> None:
    """A day and a half: goods ordered, paid, shipped and cancelled, groups that fill and fail, a card, a push."""
    boss = await town.owner()
    mei, qiang, wang, clerk, lin = (*map(town.wechat, ("小美", "阿强", "王阿姨", "店员小陈")), town.weibo("小林"))
    for one in (mei, qiang, wang, clerk, lin):
        await one.follows()
    await clerk.says("绑定 " + _found(r"绑定码：(\d{6})", await boss.says("授权 店员")))
    await boss.says("授权 客服")  # a code that nobody has used
    await _pushed(town, boss, (mei, qiang, lin))
    done, shipped = [await order(mei, f"买 A11 x{n}") for n in (1, 2)]
    for one in (done, shipped):
        await mei.pays(one)
        await boss.says(f"发货 {number(one)} SF{1000000 + len(one.text)}")
    await mei.says(f"收货 {number(done)}")
    await _complaints(boss, mei, number(done), number(shipped))
    await _groups(town, mei, qiang, wang, lin)
    await _late(town, qiang)
    await _changed(town, mei)
    packed = await order(mei, "买 A11 x3")
    await mei.pays(packed)  # waits for the merchant, who has its label
    await boss.says(f"面单 {number(packed)}")
    await mei.says(f"改地址 {number(packed)} {AWAY}")
    unpaid = await order(mei, "买 A11")  # never tried to pay
    await mei.says(f"微信付 {number(unpaid)}")  # a token that nobody has said
    await (await mei.opens(_pay_link(await order(mei, "买 A11 x4")))).presses_the_button()  # is being paid
    await mei.says("每周1条")
    await mei.says("加 A11")
    await mei.says("1")
    await town.settles()
    for words in ("限时 A2 9折 3天", "设运费 首1件6元 续1件1元", "打烊 到3月10日 春茶上山"):
        digits = re.search(r"确认 (\d{4})", (await boss.says(words)).text)
        await boss.says(f"确认 {digits[1]}" if digits else "确认")
    await wang.says("邀请卡 A1")  # still to be drawn


async def _pushed(town: Town, boss: Follower, fans: tuple[Follower, ...]) -> None:
    for one in fans:
        await one.says("订阅 龙井")
    await fans[1].says("退订")
    await boss.says("推送 #龙井 今天13:00 明前龙井到了")
    await boss.says("确认")
    await town.later(hours=1, minutes=1)
    assert any("龙井到了" in heard.text for heard in fans[0].inbox)
    await boss.says("推送 #龙井 后天11:00 龙井又到了")
    await boss.says("确认")


async def _complaints(boss: Follower, mei: Follower, done: str, shipped: str) -> None:
    """A part is given back, and something that was missing waits for an answer."""
    digits = re.search(r"确认 (\d{4})", (await boss.says(f"退 {done} 1 久等了")).text)
    assert digits
    await boss.says(f"确认 {digits[1]}")
    for words in (f"退款 {shipped} 少了一罐", "1", "补发"):
        await mei.says(words)
    drawn = io.BytesIO()
    Image.new("RGB", (64, 64), "brown").save(drawn, "JPEG")
    await mei.sends_picture(drawn.getvalue())


async def _groups(town: Town, mei: Follower, qiang: Follower, wang: Follower, lin: Follower) -> None:
    await wang.pays(await order(wang, "开团 A6", AWAY))  # nobody joins this one
    await town.settles()
    await town.later(hours=24, minutes=2)
    for _ in range(3):
        await town.later(minutes=2)
    await mei.pays(await order(mei, "开团 A6"))
    await town.settles()
    code = told(mei, GROUP)
    await mei.says(f"邀请卡 {code}")
    await town.settles()
    card = next(heard.picture for heard in reversed([*map(_heard, mei.transcript)]) if heard.picture)
    await qiang.scans(card)
    await lin.says(f"邀请卡 {code}")
    await qiang.pays(await order(qiang, f"参团 {code}", AWAY))
    await town.settles()
    await wang.pays(await order(wang, "开团 A6", AWAY))
    await town.settles()
    await order(qiang, f"参团 {told(wang, GROUP)}", AWAY)  # a seat that is being paid


async def _late(town: Town, qiang: Follower) -> None:
    """Money for an order that was cancelled meanwhile: it goes back."""
    placed = await order(qiang, "买 A11", AWAY)
    page = await (await qiang.opens(_pay_link(placed))).presses_the_button()
    await qiang.says(f"取消 {number(placed)}")
    await town.settles()
    for one in town.stage.cashier.books.orders.values():
        if one.state == "CLOSED":
            one.state = "NOTPAY"  # who was typing the password may still pay
    await town.stage.cashier.pay(page.code_url, qiang.person.who)
    await town.settles()


async def _changed(town: Town, mei: Follower) -> None:
    """A dearer spec that was paid for, and one that is waited for while somebody is paying."""
    for pays in (True, False):
        await mei.pays(await order(mei, "买 A11"))
        await town.settles()
        asked = await mei.says("换规格 100g 罐装")
        if pays:
            await mei.pays(asked)
            await town.settles()
        else:
            await (await mei.opens(_pay_link(asked))).presses_the_button()


def _heard(line: object) -> Heard:
    return line.heard  # type: ignore[attr-defined, no-any-return]


def _found(pattern: str, heard: Heard) -> str:
    found = re.search(pattern, heard.text)
    assert found, heard.text
    return found[1]


def _pay_link(heard: Heard) -> str:
    return next(link.url for link in heard.links if "/pay/" in link.url)


_lived: dict[str, asyncio.Task[Lived]] = {}


async def lived_in(kind: str, blank: Blank, postgres: Postgres) -> Lived:
    """The lived-in shop on "sqlite" or "postgresql"; it is played once, and nobody may write into it."""
    if kind not in _lived:
        _lived[kind] = asyncio.ensure_future(_live(kind, blank, postgres))
    return await _lived[kind]


async def _live(kind: str, blank: Blank, postgres: Postgres) -> Lived:
    folder = blank.folder / f"lived-{kind}"
    folder.mkdir()
    shutil.copytree(blank.folder / "cashier", folder / "cashier")
    url = await copied(blank.url if kind == "postgresql" else f"sqlite:///{blank.file}", folder, postgres)
    clock = Clock()
    clock.freeze(NOON)
    stage = await open_stage(folder, database=url, clock=clock, migrate=False, goods="", alive=False)
    try:
        await play(Town(stage))
        await stage.house.desk.write_behind()
        now, keys = clock.now(), stage.house.keys
    finally:
        await stage.close()
    return Lived(url, now, keys)


async def copied(url: str, folder: Path, postgres: Postgres) -> str:
    """The URL of a copy of a database that nobody is writing into."""
    if url.startswith("postgresql"):
        return await postgres.fresh_database(url)
    file = folder / "shop.db"
    with sqlite3.connect(url.removeprefix("sqlite:///")) as source, sqlite3.connect(file) as copy:
        source.backup(copy)
    return f"sqlite:///{file}"


@asynccontextmanager
async def copy_of(lived: Lived, folder: Path, postgres: Postgres) -> AsyncIterator[Store]:
    """A copy of a lived-in shop's database, with the keys that open it; gone afterwards."""
    url = await copied(lived.url, folder, postgres)
    Sealed.keys = lived.keys
    store = Store(url)
    try:
        yield store
    finally:
        await store.close()
        if not store.sqlite:
            await postgres.drop_database(url)
