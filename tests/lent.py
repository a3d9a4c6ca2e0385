"""One PostgreSQL database that is lent from test to test: emptied and stocked again in milliseconds.

Making a database from a template takes tens to hundreds of milliseconds, some hundred times a run. A test that
changes the schema (a control twin that drops a constraint) gets its database thrown away afterwards.
"""

from dataclasses import dataclass, field

import asyncpg
from servers import Postgres

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1"
SEQUENCES = "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1"
SHAPE = """
SELECT md5(string_agg(what, ';' ORDER BY what)) FROM (
    SELECT conrelid::regclass::text || ' ' || conname || ' ' || pg_get_constraintdef(oid) AS what
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT tgrelid::regclass::text || ' ' || tgname || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT table_name || ' ' || column_name || ' ' || data_type || is_nullable
      FROM information_schema.columns WHERE table_schema = 'public'
) AS shapes
"""


@dataclass
class Lent:
    """The database at hand, and how it was when it was new."""

    postgres: Postgres
    blank: str
    url: str = ""
    shape: str = ""
    refill: list[str] = field(default_factory=list)

    async def borrow(self) -> str:
        """The URL of a stocked shop's database that nobody else uses."""
        if not self.url:
            await self._make()
            return self.url
        connection = await asyncpg.connect(self.url)
        try:
            if await connection.fetchval(SHAPE) == self.shape:
                # As a replica's, so that neither foreign keys nor append-only triggers stand in the way.
                await connection.execute("SET session_replication_role = replica;" + ";".join(self.refill))
                return self.url
        finally:
            await connection.close()
        await self.postgres.drop_database(self.url)
        await self._make()
        return self.url

    async def _make(self) -> None:
        self.url = await self.postgres.fresh_database(self.blank)
        connection = await asyncpg.connect(self.url)
        try:
            self.shape = await connection.fetchval(SHAPE)
            tables = [r[0] for r in await connection.fetch(TABLES)]
            self.refill = [f'DELETE FROM "{t}"' for t in tables]
            await connection.execute("CREATE SCHEMA stock")
            for table in tables:
                if await connection.fetchval(f'SELECT EXISTS (SELECT 1 FROM "{table}")'):
                    await connection.execute(f'CREATE TABLE stock."{table}" AS TABLE public."{table}"')
                    self.refill.append(f'INSERT INTO "{table}" SELECT * FROM stock."{table}"')
            for sequence in [r[0] for r in await connection.fetch(SEQUENCES)]:
                last = await connection.fetchval(f'SELECT last_value FROM "{sequence}"')
                called = await connection.fetchval(f'SELECT is_called FROM "{sequence}"')
                self.refill.append(f"SELECT setval('\"{sequence}\"', {last}, {str(called).lower()})")
        finally:
            await connection.close()
