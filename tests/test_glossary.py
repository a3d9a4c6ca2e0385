"""The glossary is complete, and true."""

from importlib import import_module

import pytest

from bot.step import providable
from handlers.routing import load
from models import GLOSSARY, tables
from models.base import Base, Event
from models.staff import Role

load(providable)


def every(kind: type) -> set[str]:
    """The dotted names of all that stand below a class."""
    found = set()
    for one in kind.__subclasses__():
        found |= {f"{one.__module__}.{one.__qualname__}"} | every(one)
    return found


def named(name: str) -> object:
    """What a dotted name of the glossary stands for."""
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            found: object = import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise AttributeError(name)


@pytest.mark.parametrize("word", list(GLOSSARY))
def test_every_word_has_its_name_in_the_code(word: str) -> None:
    assert named(GLOSSARY[word]) is not None


def test_every_table_has_its_word() -> None:
    tables.modules()
    kept = {f"{mapper.class_.__module__}.{mapper.class_.__name__}" for mapper in Base.registry.mappers}
    assert kept - set(GLOSSARY.values()) == set()


def test_every_event_has_its_word() -> None:
    told = {name for name in every(Event) if name.startswith("models.")}
    assert told - set(GLOSSARY.values()) == set()


def test_every_role_has_its_word_and_it_is_the_one_that_is_said() -> None:
    words = {name.rpartition(".")[2]: word for word, name in GLOSSARY.items() if name.startswith("models.staff.Role.")}
    assert words == {role.name: role.word for role in Role}


def test_a_thing_has_one_word() -> None:
    names = list(GLOSSARY.values())
    assert len(names) == len(set(names))


def test_no_word_holds_what_nobody_would_type() -> None:
    assert all(word == word.strip() and not word.isascii() for word in GLOSSARY)
