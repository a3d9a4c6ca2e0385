"""Entities without the mapper's statements: new ones are written, known ones are read, by statements compiled once.

What the unit of work costs for one row, finding out what is to be written and in what order, is more than the database
does for it (measured). An entity that was adopted is one of the session's like any other: what changes of it is
flushed, guarded by its version.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import insert, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from models.ready import Ready

E = TypeVar("E")


@cache
def columns_of(kind: Any) -> tuple[str, ...]:
    """The names of an entity's columns."""
    mapper: Any = inspect(kind)
    return tuple(attribute.key for attribute in mapper.column_attrs)


def both(*kinds: Any) -> list[Any]:
    """The columns of several kinds in one row; `part` takes them apart."""
    return [
        inspect(kind).local_table.c[name].label(f"{kind.__name__}_{name}")
        for kind in kinds
        for name in columns_of(kind)
    ]


def part(kind: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row of `both` says of one of its kinds."""
    return {name: row[f"{kind.__name__}_{name}"] for name in columns_of(kind)}


def writable(entity: Any) -> bool:
    """Whether one row is all there is to write: a new entity, numbered by the database, that nothing hangs on yet."""
    state = inspect(entity)
    begun = state.committed_state.keys() | state.dict.keys()
    kind: Any = type(entity)
    return _insert(kind) is not None and begun.isdisjoint(state.mapper.relationships.keys())


async def write(work: Any, entity: Any) -> None:
    """Insert a `writable` entity; it has its id afterwards, and is one of the session's."""
    kind: Any = type(entity)
    ready = _insert(kind)
    assert ready is not None
    values = {name: made() for name, made in _defaults(kind)} | entity.__dict__
    row = await work.first(ready, {name: values.get(name) for name in columns_of(kind) if name != "id"})
    for name in columns_of(kind):
        entity.__dict__[name] = values.get(name)
    entity.id = row["id"]
    make_transient_to_detached(entity)
    _attach(work.session, entity)


def adopt(session: AsyncSession, kind: type[E], row: Mapping[str, Any]) -> E:
    """The entity of a row that was read afresh: the one the session knows already, or a new one."""
    mapper: Any = inspect(kind)
    names = columns_of(mapper.class_)
    known: E | None = session.identity_map.get(mapper.identity_key_from_primary_key((row["id"],)))
    if known is not None:
        for name in names:
            set_committed_value(known, name, row[name])
        return known
    made: E = mapper.class_manager.new_instance()
    made.__dict__.update({name: row[name] for name in names})
    make_transient_to_detached(made)
    session.add(made)
    return made


def _attach(session: AsyncSession, entity: Any) -> None:
    # A number is given again after a savepoint was undone: who had it then was never there.
    ghost = session.identity_map.get(inspect(entity).key)
    if ghost is not None:
        session.expunge(ghost)
    session.add(entity)


@cache
def _insert(kind: Any) -> Ready | None:
    mapper: Any = inspect(kind)
    table = mapper.local_table
    if [column.name for column in table.primary_key] != ["id"] or table.autoincrement_column is None:
        return None
    names = tuple(name for name in columns_of(kind) if name != "id")
    return Ready(insert(table).returning(table.c.id), sets=names)


@cache
def _defaults(kind: Any) -> tuple[tuple[str, Any], ...]:
    """What each column that was given nothing begins with."""
    found = []
    mapper: Any = inspect(kind)
    for column in mapper.local_table.columns:
        if column.default is not None:
            start = column.default.arg
            made = (lambda start=start: start(None)) if column.default.is_callable else (lambda start=start: start)
            found.append((column.name, made))
    return tuple(found)
