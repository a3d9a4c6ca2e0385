"""Whether the shop lives and can serve: what it says of itself, to whom, and how it stops."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from pydantic import SecretStr
from town import Town

from bot.clock import Ticks
from bot.simulator import stage as stages
from bot.simulator.stage import Stage
from bot.web import health

TOKEN = "k9-metrics-token-4711"


async def look(stage: Stage, path: str, **headers: str) -> tuple[int, Any]:
    """Status and what is said, as JSON where it is some."""
    async with aiohttp.ClientSession() as http, http.get(stage.url + path, headers=headers) as answer:
        said = await answer.text()
        return answer.status, json.loads(said) if answer.content_type == "application/json" else said


@pytest.fixture
async def ready(sqlite_stage: Stage) -> Stage:
    """A shop whose worker has just been heard of."""
    house = sqlite_stage.house
    await house.shared.put("worker", str(house.clock.timestamp()), 120)
    return sqlite_stage


def spoil(stage: Stage, statement: str) -> None:
    with sqlite3.connect(stage.house.store.path) as database:
        database.execute(statement)
    database.close()


# -- what it says ----------------------------------------------------------------------------------------


async def test_a_shop_that_can_serve_says_so(ready: Stage) -> None:
    assert await look(ready, "/healthz") == (200, {"alive": True})
    status, said = await look(ready, "/readyz")
    assert (status, said["ready"], said["faults"], said["degraded"]) == (200, True, [], [])


async def test_without_a_worker_nothing_would_be_delivered_so_it_is_not_ready(sqlite_stage: Stage) -> None:
    status, said = await look(sqlite_stage, "/readyz")
    assert (status, said["faults"]) == (503, ["no worker has been heard of: tuanpu work"])
    house = sqlite_stage.house
    await house.shared.put("worker", str(house.clock.timestamp() - 91), 120)
    assert (await look(sqlite_stage, "/readyz"))[0] == 503, "a heartbeat of long ago is none"


async def test_another_schema_or_none_is_not_ready_but_alive(ready: Stage) -> None:
    spoil(ready, "UPDATE alembic_version SET version_num = '0000'")
    status, said = await look(ready, "/readyz")
    assert (status, said["faults"]) == (503, ["the database is at another revision: tuanpu migrate"])
    spoil(ready, "ALTER TABLE alembic_version RENAME TO gone")
    status, said = await look(ready, "/readyz")
    assert (status, said["faults"]) == (503, ["database: OperationalError"])
    assert (await look(ready, "/healthz"))[0] == 200


async def test_a_shop_that_is_stopping_wants_no_more_work(ready: Stage) -> None:
    ready.house.stopping = True
    status, said = await look(ready, "/readyz")
    assert (status, said["faults"]) == (503, ["stopping"])


@pytest.fixture
async def without_redis(sqlite_stage: Stage, tmp_path: Path) -> AsyncIterator[Stage]:
    """The same shop, told of a Redis that is not there."""
    opened = await stages.open_stage(tmp_path, redis="redis://127.0.0.1:9/0", migrate=False, goods="", alive=False)
    yield opened
    await opened.close()


async def test_without_its_redis_the_shop_is_degraded_and_sells(without_redis: Stage) -> None:
    status, said = await look(without_redis, "/readyz")
    assert (status, said["ready"], said["degraded"]) == (200, True, ["redis"])
    town = Town(without_redis)
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("买 A1")
    await mei.says("250g 罐装")  # in words: what a number meant is among what may be lost
    await mei.pays(await mei.says("张三 13800138000 浙江省杭州市西湖区文三路1号"))
    await town.settles()
    assert any("收到您的付款" in heard.text for heard in mei.inbox)


async def test_what_is_counted_can_be_read(ready: Stage) -> None:
    async with aiohttp.ClientSession() as http:
        for _ in range(3):
            assert (await http.post(ready.url + "/wechat?signature=0&timestamp=0&nonce=0")).status == 403
    await Town(ready).owner()
    status, said = await look(ready, "/metrics")
    assert status == 200
    assert 'tuanpu_events_total{event="' in said
    (refused,) = [line for line in said.splitlines() if line.endswith(" 3.0") and "tuanpu_events_total" in line]
    assert "signature" in refused or "stale" in refused or "timestamp" in refused
    assert "tuanpu_catalogue_goods 14.0" in said
    assert "# TYPE tuanpu_outbox gauge" in said


# -- to whom ---------------------------------------------------------------------------------------------


@pytest.fixture
async def proxied(sqlite_stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """A shop behind a proxy on its own machine, with a token for those who measure it, trusting plain messages."""
    usual = stages.settings_of

    def changed(*args: Any, **more: Any) -> Any:
        settings = usual(*args, **more)
        server = {"trusted_proxies": ("127.0.0.0/8",), "metrics_token": SecretStr(TOKEN)}
        new = {"server": settings.server.model_copy(update=server)}
        return settings.model_copy(update=new | {"wechat": settings.wechat.model_copy(update={"trust_plain": True})})

    monkeypatch.setattr(stages, "settings_of", changed)
    opened = await stages.open_stage(tmp_path, migrate=False, goods="", alive=False)
    await opened.house.shared.put("worker", str(opened.house.clock.timestamp()), 120)
    yield opened
    await opened.close()


async def test_behind_a_proxy_on_this_machine_only_the_token_opens(proxied: Stage) -> None:
    assert (await look(proxied, "/healthz"))[0] == 200
    for path in ("/readyz", "/metrics"):
        nothing = await look(proxied, "/nothing-here")
        for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Bearer "}):
            assert await look(proxied, path, **wrong) == nothing, "as if it were not there"
        assert (await look(proxied, path, **{"X-Forwarded-For": "127.0.0.1"}))[0] == 404
        assert (await look(proxied, path, Authorization="Bearer \udcff\udcfe"))[0] in (400, 404)
        assert (await look(proxied, path, Authorization=f"Bearer {TOKEN}"))[0] == 200
    _, said = await look(proxied, "/readyz", Authorization=f"Bearer {TOKEN}")
    assert said["degraded"] == ["wechat.trust_plain"]


@pytest.mark.parametrize(
    ("peer", "seen"),
    [
        (("127.0.0.1", 1), True),
        (("::1", 1, 0, 0), True),
        (("::ffff:127.0.0.1", 1, 0, 0), True),
        (("10.0.0.5", 1), False),
        (("::ffff:10.0.0.5", 1, 0, 0), False),
        ("", False),  # a unix socket: that is a proxy
        (None, False),
    ],
)
async def test_only_this_machine_may_look_without_a_token(ready: Stage, peer: object, seen: bool) -> None:
    (readyz,) = [route.handler for route in health.doors(ready.house) if route.path == "/readyz"]
    transport: Any = SimpleNamespace(get_extra_info=lambda name, _=None: peer if name == "peername" else None)
    request = make_mocked_request("GET", "/readyz", transport=transport)
    if seen:
        assert (await readyz(request)).status == 200  # type: ignore[misc, arg-type]
        return
    with pytest.raises(aiohttp.web.HTTPNotFound):
        await readyz(request)  # type: ignore[misc, arg-type]


# -- what it does by itself ------------------------------------------------------------------------------


async def test_a_serial_that_nobody_knows_is_asked_for_beside_the_request(ready: Stage) -> None:
    """The callback itself is refused at once: whoever shows a serial does not make us wait, or call out."""
    house, cashier = ready.house, ready.cashier
    assert house.pay is not None
    mei = Town(ready).wechat("小美")
    await mei.says("买 A4")
    await mei.says("1")
    placed = await mei.says("张三 13800138000 浙江省杭州市西湖区文三路1号")
    page = await (await mei.opens(next(x for x in placed.links if "/pay/" in x.url))).presses_the_button()
    stamp = cashier.rotate()
    await cashier.pay(page.code_url, mei.person.who)
    assert cashier.notices[-1].answers[-1][0] == 401
    assert house.pay.keys.wanted
    assert not [call for call in cashier.calls if "certificates" in call.path]
    await house._refresh_keys()
    assert house.pay.keys.get(stamp.serial, house.clock.now()) is not None
    assert (await cashier.deliver())[0][0] == 200
    house.pay.keys.wanted, cashier.certificates = True, False
    house.clock.move(timedelta(minutes=2))
    await house._refresh_keys()  # refused: noted, and nothing else


# -- what it does by itself ------------------------------------------------------------------------------


async def test_a_look_that_a_busy_loop_comes_to_late_is_taken_all_the_same() -> None:
    """One second late, and it was dropped: on a busy machine overdue groups waited for the next tick, and the next."""
    looked, ticks = asyncio.Event(), Ticks()

    async def look() -> None:
        looked.set()

    ticks.every(3600, "look", look)
    (tick,) = ticks._scheduler.get_jobs()
    tick.modify(next_run_time=datetime.now(UTC) - timedelta(seconds=5))
    ticks.start()
    try:
        async with asyncio.timeout(30):
            await looked.wait()
    finally:
        ticks.stop()


async def test_what_fails_again_and_again_is_told_of_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """With the database away each look and the courier wrote a traceback a second."""
    failed, ticks = asyncio.Event(), Ticks()

    async def look() -> None:
        looks.append(1)
        if len(looks) == 3:
            failed.set()
        raise OSError("away")

    looks: list[int] = []
    ticks.every(0.01, "look", look)
    ticks.start()
    try:
        async with asyncio.timeout(30):
            await failed.wait()
    finally:
        ticks.stop()
    (line,) = [record for record in caplog.records if record.name == "bot.clock"]
    assert line.exc_info is not None
    assert line.levelname == "ERROR"


# -- how it stops ----------------------------------------------------------------------------------------


async def test_what_is_in_hand_is_finished_before_the_shop_closes(ready: Stage) -> None:
    """A message that was on its way was sent and never written down as sent: the next start sent it again."""
    town = Town(ready)
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("买 A4")
    await mei.says("1")
    placed = await mei.says("张三 13800138000 浙江省杭州市西湖区文三路1号")
    began, goes_on, usual = asyncio.Event(), asyncio.Event(), ready.platform.wechat.answer

    async def slow(*given: Any) -> Any:
        began.set()
        await goes_on.wait()
        return await usual(*given)

    ready.platform.wechat.answer = slow  # type: ignore[method-assign]
    await mei.pays(placed)
    ready.house.tasks.spawn(ready.house.courier.run(), endless=True)
    await began.wait()
    stopping = asyncio.create_task(ready.house.stop())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not stopping.done(), "it waits for what is on its way"
    goes_on.set()
    await stopping
    with sqlite3.connect(ready.house.store.path) as database:
        states = [state for (state,) in database.execute("SELECT state FROM outbox WHERE name = 'payment/paid'")]
    database.close()
    assert states == ["done"]
    assert [heard.text[:7] for heard in mei.inbox] == ["收到您的付款 "]


async def test_what_never_ends_does_not_keep_the_shop_open(ready: Stage) -> None:
    ready.house.tasks.spawn(asyncio.Event().wait())
    async with asyncio.timeout(5):
        await ready.house.stop(0.3)
