"""What an answer is made of: facts for a template, choices as intents, pictures, questions and promises."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from handlers.asking import Intent


@dataclass(frozen=True)
class Choice:
    """Something one can do next: what it is called, and what it means. Each channel shows it in its own way."""

    label: str
    intent: Intent


@dataclass(frozen=True)
class Picture:
    """A picture as an answer: by the channel's own media id where it has one, else by its public address."""

    media_id: str = ""
    url: str = ""
    title: str = ""
    text: str = ""
    link: str = ""


@dataclass(frozen=True)
class Question:
    """An unfinished intent and the one field that is missing."""

    intent: Intent
    field: str
    options: tuple[str, ...] = ()  # values for the field, in the order of the choices shown


@dataclass(frozen=True)
class Pending:
    """A staff command that waits for 确认, three minutes long; `code` asks for four digits too."""

    intent: Intent
    code: str = ""


@dataclass(frozen=True)
class Errand:
    """Something that needs the network; becomes a row, never a call inside a transaction."""


@dataclass(frozen=True)
class Reply:
    """An answer as facts; `bot/face.py` gives it the face that the channel can show."""

    template: str
    facts: dict[str, Any] = field(default_factory=dict)
    lines: tuple[Choice, ...] = ()  # a numbered list: the goods, the orders
    choices: tuple[Choice, ...] = ()  # at most three next steps
    lead: str = ""  # a template whose words come before it
    ending: str = ""  # the template of what is said below them: a question that no number answers
    more: Intent | None = None  # the next page of `lines`
    anew: Intent | None = None  # what shows `lines` as they are by then, once their numbers have gone stale
    question: Question | None = None
    pending: Pending | None = None
    picture: Picture | None = None
    errand: Errand | None = None  # done at once, by this process if it lives
    awaits: bool = False  # a page waits for the errand's outcome, a chat does not
    saw: tuple[tuple[str, str], ...] = ()  # what was shown: ("product", "A12")
    many: int = 0  # so many of the product that was shown are wanted
    personal: bool | None = None  # None: as the intent says
    refused: bool = False
    keeps: bool = False  # an aside: the open question and the list on screen stay
    lasting: bool = False  # this very object is handed out again, to anybody: what it looks like may be kept

    def aside(self) -> Reply:
        """The same reply in passing: the open question and the list on screen stay."""
        return replace(self, keeps=True)

    def now_seen(self, thing: str, code: str, many: int = 0) -> Reply:
        """The same reply; this thing is on screen now: 这个, 买, 收货 mean it, and 买 so many, for ten minutes."""
        return replace(self, saw=(*self.saw, (thing, code)), many=many or self.many)


def reply(template: str, *choices: Choice, **facts: Any) -> Reply:
    """An answer with its next steps and the facts that its template speaks of."""
    return Reply(template, facts, choices=choices)


def listing(
    template: str, lines: Iterable[Choice], *choices: Choice, more: Intent | None = None, **facts: Any
) -> Reply:
    """An answer that offers a numbered list, at most six goods or eight lines."""
    return Reply(template, facts, lines=tuple(lines), choices=choices, more=more)


def ask(template: str, intent: Intent, field: str, *, options: Iterable[tuple[str, str]] = (), **facts: Any) -> Reply:
    """Ask for the one field that is missing; `options` are (label, value) shown as a numbered list."""
    pairs = list(options)
    lines = tuple(Choice(label, intent.filled(**{field: value})) for label, value in pairs)
    question = Question(intent, field, tuple(value for _, value in pairs))
    return Reply(template, facts, lines=lines, question=question)


def digits() -> str:
    """Four digits that a slip of the thumb does not type: `confirm` shows them, 确认 brings them back."""
    return str(secrets.randbelow(9000) + 1000)


def confirm(template: str, intent: Intent, code: str = "", **facts: Any) -> Reply:
    """Show what a staff command would do; it is done by 确认 (with the four digits, where `code` is given)."""
    return Reply(template, facts | {"code": code}, pending=Pending(intent, code))


@dataclass(frozen=True)
class Notice:
    """Something to tell somebody who has not just spoken; written to the outbox in the same transaction."""

    to: int  # follower id
    reply: Reply
    key: str  # names the fact: the same notice is written once
    due: datetime | None = None
    patient: bool = False  # needs nobody tonight: waits for the morning
    urgent: bool = False


class Post:
    """What a step wants said to others. The desk renders it and writes it to the outbox before it commits."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.errands: list[tuple[Errand, str, datetime | None]] = []

    def tell(self, to: int, what: Reply, *, key: str, due: datetime | None = None, patient: bool = False) -> None:
        """Tell a follower; `patient` notices wait for the morning at night (conversation: C18)."""
        self.notices.append(Notice(to, what, key, due, patient))

    def send(self, errand: Errand, *, key: str, due: datetime | None = None) -> None:
        """Have something done that needs the network; the courier does it, and again until its outcome is known."""
        self.errands.append((errand, key, due))
