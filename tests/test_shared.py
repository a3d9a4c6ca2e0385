"""What processes share and may lose, in the process and in a real Redis: the same sentences hold for both."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

from bot.clock import Clock
from bot.line import Line, Script
from bot.shared import InProcess, InRedis, Shared

AT = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.freeze(AT)
    return clock


@pytest.fixture(params=["process", "redis"])
async def shared(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Shared]:
    if request.param == "process":
        yield InProcess(clock.now)
        return
    # Of its own: an address (`id`) is given to the next test, and what the last one kept is still there.
    one = InRedis(request.getfixturevalue("redis_url"), clock.now, prefix=f"t{secrets.token_hex(8)}:")
    yield one
    await one.close()


async def test_an_answer_and_its_overlay_are_kept_together(shared: Shared) -> None:
    await shared.keep("m1", "answer", "mei", "overlay")
    found = await shared.recall("m1", "mei")
    assert (found.answer, found.overlay) == ("answer", "overlay")
    assert (await shared.recall("m2", "mei")).answer is None
    assert (await shared.recall("", "somebody else")).overlay is None


async def test_a_changing_answer_takes_the_overlay_away(shared: Shared) -> None:
    await shared.keep("m1", "a", "mei", "overlay")
    await shared.keep("m2", "b", "mei", None)
    assert (await shared.recall("m1", "mei")).overlay is None


async def test_so_many_a_minute_and_then_no_more_until_the_shops_clock_has_moved_on(
    shared: Shared, clock: Clock
) -> None:
    left = [await shared.allow("mei", 3, 60) for _ in range(5)]
    assert left == [2, 1, 0, -1, -2]
    assert await shared.allow("qiang", 3, 60) == 2
    clock.move(timedelta(seconds=61))
    assert await shared.allow("mei", 3, 60) == 2


async def test_limits_are_counted_with_what_is_recalled_and_the_tightest_counts(shared: Shared) -> None:
    limits = (("minute", 5, 60), ("day", 2, 86_400))
    left = [(await shared.recall("", "mei", limits)).left for _ in range(4)]
    assert left == [1, 0, -1, -2]


async def test_a_value_ends_with_its_time_on_the_shops_clock(shared: Shared, clock: Clock) -> None:
    await shared.put("token", "t1", 100)
    assert await shared.get("token") == "t1"
    clock.move(timedelta(seconds=101))
    assert await shared.get("token") is None


async def test_two_hundred_callers_at_once_all_get_their_turn(shared: Shared) -> None:
    """The usual pool of redis-py refuses caller 101 (measured)."""
    await asyncio.gather(*(shared.keep(f"m{i}", "a", f"t{i}", "o") for i in range(200)))
    found = await asyncio.gather(*(shared.recall(f"m{i}", f"t{i}") for i in range(200)))
    assert all(one.answer == "a" for one in found)


async def test_who_had_asked_when_redis_went_away_goes_on_alone_and_the_next_one_asks_again(
    redis_url: str, clock: Clock
) -> None:
    shared = InRedis(redis_url, clock.now, prefix="gone:")
    await shared.keep("m1", "a", "mei", "overlay")
    also = asyncio.ensure_future(shared.recall("m1", "mei"))
    await asyncio.sleep(0)
    assert shared._line._transport is not None
    shared._line._transport.abort()
    assert (await also).answer is None
    assert (await shared.recall("m1", "mei")).answer == "a"
    await shared.close()


async def test_a_redis_that_says_nothing_keeps_nobody_waiting_and_is_given_up(clock: Clock) -> None:
    met: list[asyncio.StreamWriter] = []

    def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.append(writer)

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = BlockingConnectionPool.from_url(
        f"redis://127.0.0.1:{port}", socket_timeout=0.05, socket_connect_timeout=0.05
    )
    line = Line(pool, 0.05)
    said = await asyncio.gather(
        *(line.call(Script("return 1"), keys=[], args=[]) for _ in range(20)), return_exceptions=True
    )
    assert all(isinstance(one, RedisError) for one in said)
    assert len(met) == 1, "one attempt for everybody who asks meanwhile"
    await line.close()
    met[0].close()
    server.close()


async def test_a_redis_that_has_forgotten_the_scripts_is_told_them_again(redis_url: str, clock: Clock) -> None:
    shared = InRedis(redis_url, clock.now, prefix="flushed:")
    await shared.keep("m1", "a", "mei", "overlay")
    await shared._redis.script_flush()
    assert (await shared.recall("m1", "mei")).answer == "a"
    await shared.close()


async def test_a_script_that_fails_fails_for_its_own_caller_only(redis_url: str, clock: Clock) -> None:
    shared = InRedis(redis_url, clock.now, prefix="fails:")
    bad, good = await asyncio.gather(
        shared._line.call(Script("return nothing()"), keys=[], args=[]),
        shared._line.call(Script("return ARGV[1]"), keys=[], args=["龙井"]),
        return_exceptions=True,
    )
    assert isinstance(bad, RedisError)
    assert good == "龙井"
    await shared.close()


async def test_one_at_a_time_under_one_name(shared: Shared) -> None:
    inside, most = 0, 0

    async def enter() -> None:
        nonlocal inside, most
        async with shared.alone("token"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(enter() for _ in range(5)))
    assert most == 1


async def test_who_listens_is_woken(shared: Shared) -> None:
    async def first() -> None:
        async for _ in shared.hear("outbox"):
            return

    listening = asyncio.ensure_future(first())
    for _ in range(100):
        await shared.say("outbox")
        done, _ = await asyncio.wait({listening}, timeout=0.05)
        if done:
            break
    assert listening.done()


async def test_without_redis_a_process_goes_on_by_itself_and_what_was_lost_is_known_to_be_lost(
    redis_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that could not be kept must not let a number be read against the one before it."""
    from redis.exceptions import ConnectionError as Gone

    shared = InRedis(redis_url, clock.now, prefix="lost:")
    await shared.keep("m1", "a", "mei", "the older list")
    clock.move(timedelta(seconds=5))

    async def dead(**what: object) -> None:
        raise Gone

    with monkeypatch.context() as broken:
        broken.setattr(shared, "_keep", dead)
        await shared.keep("m2", "b", "mei", "the newer list")
    found = await shared.recall("m3", "mei")
    assert found.overlay == "the older list"
    assert found.since == clock.now().timestamp(), "everything older counts as lost, for every process"
    other = InRedis(redis_url, clock.now, prefix="lost:")
    assert (await other.recall("", "mei")).since == clock.now().timestamp()
    await shared.close()
    await other.close()


async def test_a_limit_holds_although_redis_is_away(clock: Clock) -> None:
    shared = InRedis("redis://127.0.0.1:1/0", clock.now)
    assert [await shared.allow("mei", 2, 60) for _ in range(3)] == [1, 0, -1]
    assert (await shared.recall("m", "mei")).answer is None
    assert not await shared.ready()
    await shared.close()
