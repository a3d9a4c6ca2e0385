"""One PostgreSQL database that is lent from test to test: emptied and stocked again in milliseconds.

Making a database from a template takes tens to hundreds of milliseconds, some hundred times a run. A test that
changes the schema (a control twin that drops a constraint) gets its database thrown away afterwards.
"""

from dataclasses import dataclass

import asyncpg
from servers import Postgres
from thrift import keep_open, part

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1"
SEQUENCES = "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1"
NOTES = """
CREATE SCHEMA stock;
CREATE TABLE stock.changed (what text);
CREATE FUNCTION stock.note() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO stock.changed VALUES (tg_tag); END $$;
"""
WATCH = "CREATE EVENT TRIGGER stock_note ON ddl_command_end EXECUTE FUNCTION stock.note()"
SWEPT = 25  # borrowings after which room is made: what was deleted would have to be read by every test to come


@dataclass
class Lent:
    """The database at hand, and how it was when it was new."""

    postgres: Postgres
    blank: str
    url: str = ""
    empty: str = ""
    refill: str = ""
    sweep: str = ""
    borrowed: int = 0
    connection: asyncpg.Connection | None = None

    async def borrow(self) -> str:
        """The URL of a stocked shop's database that nobody else uses."""
        if self.connection is not None:
            if not await self.connection.fetchval("SELECT EXISTS (SELECT 1 FROM stock.changed)"):
                await self._stock(self.connection)
                return self.url
            await self.close()
        await self._make()
        return self.url

    async def close(self) -> None:
        """The database is given back, and whatever was open to it is closed."""
        if self.connection is not None:
            await self.connection.close()
            self.connection = None
            await part(self.url)
            await self.postgres.drop_database(self.url)

    async def _stock(self, connection: asyncpg.Connection) -> None:
        self.borrowed += 1
        if self.borrowed % SWEPT == 0:
            await connection.execute(self.empty)
            await connection.execute(self.sweep)
        await connection.execute(f"{self.empty};{self.refill}")

    async def _make(self) -> None:
        self.url = await self.postgres.fresh_database(self.blank)
        self.connection = connection = await asyncpg.connect(self.url)
        tables = [r[0] for r in await connection.fetch(TABLES)]
        self.empty = ";".join(f'DELETE FROM "{t}"' for t in tables)
        self.sweep = "VACUUM " + ", ".join(f'"{t}"' for t in tables)
        refill = []
        await connection.execute(NOTES)
        for table in tables:
            if await connection.fetchval(f'SELECT EXISTS (SELECT 1 FROM "{table}")'):
                await connection.execute(f'CREATE TABLE stock."{table}" AS TABLE public."{table}"')
                refill.append(f'INSERT INTO "{table}" SELECT * FROM stock."{table}"')
        for sequence in [r[0] for r in await connection.fetch(SEQUENCES)]:
            last = await connection.fetchval(f'SELECT last_value FROM "{sequence}"')
            called = await connection.fetchval(f'SELECT is_called FROM "{sequence}"')
            refill.append(f"SELECT setval('\"{sequence}\"', {last}, {str(called).lower()})")
        self.refill = ";".join(refill)
        await connection.execute(WATCH)
        # As a replica's, so that neither foreign keys nor append-only triggers stand in the way.
        await connection.execute("SET session_replication_role = replica")
        keep_open(self.url)
