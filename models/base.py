"""What every model stands on: entities with news, shelves, glances and the unit of work."""

from __future__ import annotations

import secrets
from collections.abc import Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from sqlalchemy import BigInteger, Boolean, Connection, LargeBinary, MetaData, Row, Select, String, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, reconstructor

from models import adopting
from models.columns import EPOCH as EPOCH
from models.columns import Json as Json
from models.columns import Moment as Moment
from models.columns import earlier as earlier
from models.ready import Ask, Driver, Ready

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # nothing that can be read as something else
# An order's number among folded words: letters and digits, so that no word and no amount is one.
ORDER_NO = r"(?<![0-9a-z])(?=[a-z]*[2-9])(?=[2-9]*[a-z])[2-9a-hjkmnp-z]{8}(?![0-9a-z-])"
_WHOLE = 256 // len(ALPHABET) * len(ALPHABET)
Statement = Select[*tuple[Any, ...]]
RowOf = Row[*tuple[Any, ...]]


class Base(DeclarativeBase):
    """All tables: 64-bit ids, one naming convention, STRICT on SQLite."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        int: BigInteger,
        str: String,
        bool: Boolean,
        bytes: LargeBinary,
        datetime: Moment,
        dict[str, Any]: Json,
        list[Any]: Json,
    }


def strict(metadata: MetaData) -> None:
    """Mark every table STRICT for SQLite (STRICT refuses text, REAL and overflow in an INTEGER column)."""
    for table in metadata.tables.values():
        table.dialect_options["sqlite"]["strict"] = True


@dataclass(frozen=True)
class Invariant:
    """Something that must hold at every instant: a statement that returns the offending ids.

    `grace_minutes`: for what is only due soon (a timer that must have fired); None: never allowed to be false.
    `bind` names the parameters the statement takes: `now`, or `late` = now − grace.
    """

    name: str
    sentence: str
    statement: Statement
    grace_minutes: int | None = None


@dataclass(frozen=True)
class Event:
    """Something that has happened in a model; handlers react to it."""


class Refusal(Exception):
    """The shop says no, in its own words; carries plain values for the template, never entities.

    Its template is found by convention: `models.groupbuy.GroupFull` → `groupbuy/group_full.txt`.
    """

    def __init__(self, **facts: Any) -> None:
        super().__init__(type(self).__name__)
        self.facts = facts


class Contended(Exception):
    """A guard said no although the rule had said yes: somebody was faster. The desk tries the step again."""


class Root(Base):
    """An entity with rules: carries its version and the news of what happened to it."""

    __abstract__ = True

    version: Mapped[int] = mapped_column(default=1)

    def __init_subclass__(cls, **kw: Any) -> None:
        super().__init_subclass__(**kw)

    @reconstructor
    def _awake(self) -> None:
        self._news: list[Event] = []

    def tell(self, event: Event) -> None:
        """Record that something has happened; reactions run after the handler."""
        self.__dict__.setdefault("_news", []).append(event)

    def take_news(self) -> list[Event]:
        news: list[Event] = self.__dict__.get("_news", [])
        self.__dict__["_news"] = []
        return news


class Guarded(Root):
    """A root that two may change at once: a change to an older copy is none (StaleDataError), a net under the lock."""

    __abstract__ = True

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.version}


class Reader(Protocol):
    """Reads rows without an entity and without a transaction."""

    async def all(self, statement: Statement) -> Sequence[RowOf]: ...

    async def one(self, statement: Statement) -> RowOf | None: ...

    async def first(self, ready: Ready, values: Mapping[str, Any]) -> Mapping[str, Any] | None: ...

    async def every(self, ready: Ready, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]: ...


@dataclass
class _Asked:
    """What a read waits for while others are asked with it."""

    ready: Ready
    values: Mapping[str, Any]

    def __await__(self) -> Generator[_Asked, Any, Any]:
        return (yield self)


class Work:
    """One step's unit of work: a session inside the desk's transaction, the time, and what the step made happen."""

    def __init__(self, session: AsyncSession, now: datetime) -> None:
        self.session = session
        self.now = now
        self._roots: list[Root] = []
        self._news: list[Event] = []
        self._driver: Driver | None = None
        self._together = False
        self._last: dict[Ready, dict[int, Mapping[str, Any]]] = {}

    async def savepoint(self) -> AsyncSessionTransaction:
        """From here on all can be undone, or kept (`commit`)."""
        point = await self.session.begin_nested()
        await self.session.connection()  # or it would be said before the session's own next statement, if there is one
        return point

    async def mark(self) -> Mark:
        """A savepoint for a fifth of the price (measured): what is undone to it forgets every entity, whoever holds it.

        A flush that fails under it takes the whole transaction with it, and not only what came after the mark.
        """
        await self._flushed()
        await (await self._driven()).say("SAVEPOINT mark")
        return Mark(self)

    def watch(self, root: Root) -> None:
        if not any(r is root for r in self._roots):
            self._roots.append(root)

    def tell(self, event: Event) -> None:
        """News of something that no entity stands for."""
        self._news.append(event)

    def take_news(self) -> list[Event]:
        """Everything told since the last call, oldest first per root."""
        news, self._news = self._news, []
        for root in self._roots:
            news.extend(root.take_news())
        return news

    async def forget(self, *kept: Base) -> None:
        """After a rollback to a savepoint: nothing has happened; who is `kept` is what the database says."""
        self._roots, self._news = [], []
        self._last.clear()
        self.session.expire_all()
        for entity in kept:
            if entity not in self.session:
                self.session.add(entity)
                self.session.expire(entity)
            await self.session.refresh(entity)

    def insert(self, entity: Any) -> Any:
        """The database's own INSERT into an entity's table: the one that knows ON CONFLICT."""
        own = sqlite.insert if self.session.get_bind().dialect.name == "sqlite" else postgresql.insert
        return own(table_of(entity))

    # Work is a Reader too, so that what only asks can be answered inside a changing step.
    async def all(self, statement: Statement) -> Sequence[RowOf]:
        return (await self.session.execute(statement)).all()

    async def first(self, ready: Ready, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        found = await self.every(ready, values)
        return found[0] if found else None

    async def every(self, ready: Ready, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """All rows of it; like every query it sees what entities have changed."""
        if self._together:
            rows: Sequence[Mapping[str, Any]] = await _Asked(ready, values)
            return rows
        await self._flushed()
        return await (await self._driven()).every(ready, values)

    async def together(self, *reads: Coroutine[Any, Any, Any]) -> list[Any]:
        """What these bring that only read: all that one of them waits for is asked of PostgreSQL with the others'.

        They are carried from question to question by hand, so that they may wait for nothing but `every` and `first`.
        """
        answers: list[Any] = [None] * len(reads)
        waiting: list[tuple[int, _Asked]] = []

        def carry(n: int, rows: Any) -> None:
            try:
                asked = reads[n].send(rows)
            except StopIteration as end:
                answers[n] = end.value
            else:
                if not isinstance(asked, _Asked):
                    raise TypeError("a read among others waits for more than rows")
                waiting.append((n, asked))

        await self._flushed()
        driver = await self._driven()
        try:
            self._together = True
            for n in range(len(reads)):
                carry(n, None)
            while waiting:
                now, waiting = waiting, []
                found = await driver.several([(asked.ready, asked.values) for _, asked in now])
                for (n, _), rows in zip(now, found, strict=True):
                    carry(n, rows)
        finally:
            self._together = False
            for read in reads:
                read.close()
        return answers

    async def write(self, ready: Ready, rows: Sequence[Mapping[str, Any]]) -> None:
        """Carry it out for each of these rows, in order; it returns nothing."""
        if len(rows) == 1:
            await self.write_all([(ready, rows[0])])
        elif rows:
            await self._flushed()
            await self.session.execute(ready.statement, [dict(row) for row in rows])

    async def write_all(self, rows: Sequence[Ask]) -> None:
        """Carry out several that do not need each other; they return nothing.

        Those of one kind keep their order: PostgreSQL carries out what it is told at once in an order of its own.
        """
        await self._flushed()
        kinds: dict[Ready, list[Ask]] = {}
        for row in rows:
            kinds.setdefault(row[0], []).append(row)
        for layer in zip_longest(*kinds.values()):
            await (await self._driven()).write([row for row in layer if row is not None])

    def last(self, ready: Ready, key: int, values: Mapping[str, Any]) -> None:
        """To be carried out as the transaction ends, once for each key.

        For rows beside the matter that many steps write to: whoever holds one of them asks for nothing more, so that
        two never wait for each other there.
        """
        self._last.setdefault(ready, {})[key] = values

    async def finish(self) -> None:
        """What was to come last, in the order of its keys."""
        for ready, rows in self._last.items():
            await self.write(ready, [rows[key] for key in sorted(rows)])
        self._last.clear()

    async def _flushed(self) -> None:
        if self.session.new or self.session.dirty or self.session.deleted:
            await self.session.flush()

    async def _driven(self) -> Driver:
        """The driver under the session's own connection, in its transaction."""
        if self._driver is None:
            self._driver = Driver(await self.session.connection())
        return self._driver

    async def one(self, statement: Statement) -> RowOf | None:
        return (await self.session.execute(statement)).first()


E = TypeVar("E", bound=Base)


@dataclass
class Mark:
    """See `Work.mark`."""

    _work: Work

    async def commit(self) -> None:
        await self._say("RELEASE SAVEPOINT mark")

    async def rollback(self) -> None:
        self._work.session.expunge_all()
        await self._say("ROLLBACK TO SAVEPOINT mark")
        await self._say("RELEASE SAVEPOINT mark")

    async def _say(self, words: str) -> None:
        await (await self._work._driven()).say(words)


class Shelf(Generic[E]):
    """Where entities of one kind are found: `get` to look, `hold` to change, `add` to keep."""

    entity: ClassVar[type[Base]]

    def __init__(self, work: Work) -> None:
        self.work = work
        self.session = work.session

    async def _one(
        self, statement: Select[E], values: Mapping[str, Any] | None = None, *, hold: bool = False
    ) -> E | None:
        """One entity; `hold` locks its row (a courtesy: SQLite has none, guards decide) and reads it afresh."""
        if hold:
            statement = statement.with_for_update().execution_options(populate_existing=True)
        found = (await self.session.execute(statement, values)).scalar_one_or_none()
        if isinstance(found, Root):
            self.work.watch(found)
        return found

    async def add(self, entity: E) -> E:
        """Keep a new entity; it has its id afterwards."""
        if adopting.writable(entity):
            await adopting.write(self.work, entity)
        else:
            self.session.add(entity)
            await self.session.flush()
        if isinstance(entity, Root):
            self.work.watch(entity)
        return entity

    async def put(self, entity: type[Base], rows: list[dict[str, Any]]) -> None:
        """Insert rows that nobody reasons about in the same step (lines, moves, entries)."""
        if rows:
            await self.session.execute(insert(table_of(entity)), rows)


def table_of(entity: Any) -> Any:
    """The table itself, for rows that nobody reasons about: through the mapper each costs more than it is worth."""
    return getattr(entity, "__table__", entity)


class Glance:
    """Where the asking path looks: immutable rows by Core, no entity, no transaction."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader


def draw(length: int) -> str:
    """Random characters that can be typed and not mistaken for others."""
    drawn = ""
    while len(drawn) < length:  # a byte beyond the last whole alphabet is none, or the first characters came too often
        drawn += "".join(ALPHABET[byte % len(ALPHABET)] for byte in secrets.token_bytes(2 * length) if byte < _WHOLE)
    return drawn[:length]


async def fresh_code(work: Work, column: Any, kind: str, length: int) -> str:
    """A code of `kind` and `length` drawn characters that `column` does not hold yet, a digit among them: no word.

    One character more after ten collisions; the unique key of the column decides in the end.
    """
    for attempt in range(40):
        while (code := kind + draw(length + attempt // 10)).isalpha():
            pass
        if await work.one(select(column).where(column == code)) is None:
            return code
    raise Contended


def append_only(connection: Connection, table: str) -> None:
    """Triggers that refuse to change or delete what was written; for migrations. `table` is one of our own names."""
    if connection.dialect.name == "sqlite":
        for act in ("UPDATE", "DELETE"):
            connection.exec_driver_sql(
                f'CREATE TRIGGER "{table}_no_{act.lower()}" BEFORE {act} ON "{table}" '
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    connection.exec_driver_sql(
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    connection.exec_driver_sql(
        f'CREATE TRIGGER "{table}_append_only" BEFORE UPDATE OR DELETE ON "{table}" '
        "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    connection.exec_driver_sql(
        f'CREATE TRIGGER "{table}_no_truncate" BEFORE TRUNCATE ON "{table}" '
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
