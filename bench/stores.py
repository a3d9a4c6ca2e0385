"""PostgreSQL and Redis for the shop, as the tests start them, on the core of the load."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.processes import cpu

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from servers import NoServer, Postgres, RedisServer, start_postgres, start_redis

__all__ = ["NoServer", "Stores"]


@dataclass
class Stores:
    """A PostgreSQL with an empty database of our own, and a Redis."""

    postgres: Postgres
    redis: RedisServer
    database: str  # its URL

    @classmethod
    async def start(cls) -> Stores:
        """Start both; they inherit this process's core. Raises NoServer."""
        postgres = await start_postgres()
        try:
            redis = start_redis()
        except NoServer:
            await postgres.close()
            raise
        if postgres.running is not None:
            await _lasting(postgres)
        return cls(postgres, redis, await postgres.fresh_database())

    @property
    def what(self) -> str:
        """Versions, and whether they could be put on the load's core."""
        given = [s.what for s in (self.postgres, self.redis) if s.running is None]
        return f"{self.postgres.what}, {self.redis.what}" + (
            " — given by address: on whatever core they run, their CPU not counted" if given else ""
        )

    async def another(self) -> str:
        """The URL of one more empty database."""
        return await self.postgres.fresh_database()

    def redis_url(self, number: int) -> str:
        """Redis's database of this number: two shops do not share what they remember of a person."""
        return re.sub(r"(db=|/)0$", rf"\g<1>{number}", self.redis.url)

    def sold(self, database: str, code: str) -> int:
        """How many pieces of a product have been ordered; ours and the peer's lines bear the same names."""
        return asyncio.run(_sold(database, code))

    def cpu(self) -> float:
        """Seconds of CPU of both, as far as they are ours."""
        return sum(cpu(s.running.process.pid) for s in (self.postgres, self.redis) if s.running is not None)

    async def close(self) -> None:
        """Stop what is ours; drop the database from what is not."""
        self.redis.close()
        await self.postgres.close()


async def _sold(database: str, code: str) -> int:
    import asyncpg

    connection = await asyncpg.connect(database)
    try:
        return int(await connection.fetchval("SELECT coalesce(sum(quantity), 0) FROM order_line WHERE code = $1", code))
    finally:
        await connection.close()


async def _lasting(postgres: Postgres) -> None:
    """The tests' PostgreSQL may lose its data; the bench's writes as a shop's would."""
    import asyncpg

    connection = await asyncpg.connect(postgres.url)
    try:
        for name in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):
            await connection.execute(f"ALTER SYSTEM RESET {name}")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()
