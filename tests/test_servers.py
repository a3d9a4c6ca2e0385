"""The servers that the tests rely on are real, apart from each other, and gone when their owner is."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import redis
from servers import Postgres, _alive, _redis_database, find_browser

TESTS = Path(__file__).parent


async def test_a_copy_of_a_database_holds_what_its_template_held(postgres: Postgres) -> None:
    first = await postgres.fresh_database()
    connection = await asyncpg.connect(first)
    await connection.execute("CREATE TABLE tea (name text)")
    await connection.execute("INSERT INTO tea VALUES ('龙井')")
    await connection.close()
    second = await postgres.fresh_database(first)
    connection = await asyncpg.connect(second)
    assert await connection.fetchval("SELECT name FROM tea") == "龙井"
    await connection.execute("DELETE FROM tea")
    await connection.close()
    connection = await asyncpg.connect(first)
    assert await connection.fetchval("SELECT count(*) FROM tea") == 1
    assert await connection.fetchval("SELECT upper('é')") == "É"  # the locale knows more than ASCII
    await postgres.drop_database(second)
    await postgres.drop_database(first)  # although we are still connected
    connection.terminate()


def test_the_redis_of_the_tests_is_a_real_one(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        assert client.eval("return redis.call('incrby', KEYS[1], 3)", 1, "n") == 3
        assert "redis_version" in client.info("server")
        client.flushdb()


def test_workers_that_share_a_given_redis_take_a_database_each() -> None:
    assert _redis_database("redis://127.0.0.1:6379/0", 0) == "redis://127.0.0.1:6379/0"
    assert _redis_database("redis://127.0.0.1:6379", 2) == "redis://127.0.0.1:6379/2"
    assert _redis_database("unix:///tmp/r.sock?db=0", 2) == "unix:///tmp/r.sock?db=2"


def test_a_killed_test_run_leaves_no_server_behind() -> None:
    script = (
        "import asyncio, servers, time\n"
        "pg = asyncio.run(servers.start_postgres({}))\n"
        "rd = servers.start_redis({})\n"
        "both = pg.running, rd.running\n"
        "print(*(b.process.pid for b in both), *(b.folder for b in both), flush=True)\n"
        "time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], cwd=TESTS, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout:
        line = owner.stdout.readline().split()
    servers = [int(pid) for pid in line[:2]]
    watched = [os.pidfd_open(pid) for pid in servers] if hasattr(os, "pidfd_open") else []
    assert all(map(_alive, servers))
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    if sys.platform == "linux":
        import select

        for watch in watched:  # becomes readable when the process ends
            assert select.select([watch], [], [], 20)[0], "a server outlived the run that started it"
            os.close(watch)
    else:
        for pid in servers:
            os.kill(pid, signal.SIGKILL)
    subprocess.run(["rm", "-rf", *line[2:]], check=True)


def test_a_browser_that_was_named_but_is_not_there_counts_as_none() -> None:
    assert find_browser({"TUANPU_CHROME": "/nowhere/chromium"}) is None
