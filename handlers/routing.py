"""How words find their handler, and a handler its things."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import Any, get_type_hints

from handlers import FEATURES
from handlers.asking import Coded, Intent
from handlers.grammar import Phrases, phrase
from handlers.replies import Reply
from models.base import Event, Refusal
from models.catalog import Catalog
from models.staff import Role
from models.talk import Talking

Handler = Callable[..., Awaitable[Reply | Intent]]
Reaction = Callable[..., Awaitable[None]]
Look = Callable[..., Awaitable[Reply | None]]
Handover = Callable[..., Awaitable[Intent | None]]
Cue = Callable[["Hearing"], Intent | None]


@dataclass(frozen=True, slots=True)
class Told:
    """What was heard through a door.

    `key` names the message inside (channel, account, who), "" where a repetition does no harm. `code` is a packed
    intent that came with it (menu key, QR scene, msgmenu id, page). `signed` is False where anybody who saw one query
    string could have written the body. `at` is the platform's time, aware UTC.
    """

    channel: str
    account: str
    who: str
    key: str
    kind: str = "text"
    text: str = ""
    code: str = ""
    signed: bool = True
    tapped: bool = False
    at: datetime | None = None
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hearing:
    """Words on their way to an intent: plain, raw (case and characters kept), and all that they are read against."""

    said: str
    raw: str
    talk: Talking
    now: datetime
    catalog: Catalog
    role: Role = Role.ANYONE  # which staff phrases exist
    lost: bool = False  # a newer list may have been shown than `talk` knows
    tapped: bool = False  # by a tap: whatever text came along, nothing of the shop's is changed by it


@dataclass(frozen=True)
class Tick:
    """Something to look at every so many minutes; `look` returns the facts that are due."""

    name: str
    minutes: int
    look: Callable[..., Awaitable[Iterable[Intent]]]


@dataclass
class Shop:
    """The registry: what can be said, asked, and has to be looked at."""

    handlers: dict[type[Intent], Handler] = field(default_factory=dict)
    looks: dict[type[Intent], Look] = field(default_factory=dict)
    instead: dict[type[Refusal], Handover] = field(default_factory=dict)
    phrases: Phrases = field(default_factory=Phrases)
    said: dict[type[Intent], str] = field(default_factory=dict)  # the first phrase of each intent
    kinds: dict[str, Callable[[Told], Intent]] = field(default_factory=dict)  # also: unknown, beyond, stale, no
    cues: list[tuple[int, Cue]] = field(default_factory=list)
    reactions: dict[type[Event], list[tuple[str, Reaction]]] = field(default_factory=dict)
    ticks: list[Tick] = field(default_factory=list)
    needs: dict[Any, dict[str, Any]] = field(default_factory=dict)

    def on(self, *phrases: str, **fixed: object) -> Callable[[Handler], Handler]:
        """The handler of its first annotation's intent, said by these phrases; `fixed` are fields they decide."""

        def keep(handler: Handler) -> Handler:
            subject = self._subject(handler)
            if subject not in self.handlers:
                self.handlers[subject] = handler
            elif self.handlers[subject] is not handler:
                raise TypeError(f"{subject.__name__} has two handlers")
            for text in phrases:
                self.phrases.add(phrase(text, subject, fixed))
            for text in phrases[:1]:  # decorators run from below: the topmost one's first phrase is the one to type
                self.said[subject] = text
            return handler

        return keep

    def beforehand(self, look: Look) -> Look:
        """A look before its first annotation's intent changes anything: the answer to a wish that cannot come true.

        It reads only. None when it may come true: then the handler decides.
        """
        self.looks[self._subject(look)] = look
        return look

    def refused(self, refusal: type[Refusal]) -> Callable[[Handover], Handover]:
        """What staff want who are refused so with a word that anybody may say: its subject is the intent; or None."""

        def keep(handover: Handover) -> Handover:
            self._needs(handover)
            self.instead[refusal] = handover
            return handover

        return keep

    def hears(self, *kinds: str, make: Callable[[Told], Intent]) -> None:
        """What a kind of message other than words means."""
        for kind in kinds:
            self.kinds[kind] = make

    def cue(self, order: int) -> Callable[[Cue], Cue]:
        """A way to understand words that are no phrase: below 100 before an open question, above after numbers."""

        def keep(cue: Cue) -> Cue:
            self.cues.append((order, cue))
            self.cues.sort(key=lambda pair: pair[0])
            return cue

        return keep

    def when(self, event: type[Event]) -> Callable[[Reaction], Reaction]:
        """A reaction to something that has happened."""

        def keep(handler: Reaction) -> Reaction:
            self._needs(handler)
            name = f"{handler.__module__}.{handler.__qualname__}"
            self.reactions.setdefault(event, []).append((name, handler))
            return handler

        return keep

    def every(self, *, minutes: int) -> Callable[[Callable[..., Awaitable[Iterable[Intent]]]], Any]:
        """A tick: looks (reads only) and returns the facts that are due; each is then carried out by itself."""

        def keep(look: Callable[..., Awaitable[Iterable[Intent]]]) -> Any:
            self._needs(look)
            self.ticks.append(Tick(f"{look.__module__}.{look.__qualname__}", minutes, look))
            return look

        return keep

    def _subject(self, handler: Callable[..., Any]) -> type[Intent]:
        needs = self._needs(handler)
        first = next(iter(needs.values()), None)
        if not (isinstance(first, type) and issubclass(first, Intent)):
            raise TypeError(f"{handler.__qualname__}: the first annotation is the intent")
        return first

    def _needs(self, handler: Callable[..., Any]) -> dict[str, Any]:
        if handler not in self.needs:
            hints = get_type_hints(handler)
            names = list(inspect.signature(handler).parameters)
            missing = [n for n in names if n not in hints]
            if missing:
                raise TypeError(f"{handler.__qualname__}: {', '.join(missing)} without a type")
            self.needs[handler] = {n: hints[n] for n in names}
        return self.needs[handler]


shop = Shop()


def load(providable: Callable[[Any], bool]) -> Shop:
    """Load every feature in order; TypeError when a handler needs a type that nobody provides."""
    for name in FEATURES:
        import_module(f"handlers.{name}")
    for handler, needs in shop.needs.items():
        for name, kind in needs.items():
            if not (isinstance(kind, type) and (issubclass(kind, Intent | Event) or providable(kind))):
                raise TypeError(f"{handler.__module__}.{handler.__qualname__}: nobody provides {name}: {kind}")
    return shop


async def call(handler: Callable[..., Awaitable[Any]], subject: Any, provide: Callable[[type], Any]) -> Any:
    """Call a handler, reaction or tick with its subject (if it has one) and whatever else it needs, by type."""
    given = {}
    for name, kind in shop.needs[handler].items():
        given[name] = subject if isinstance(subject, kind) else provide(kind)
    return await handler(**given)


def phrase_of(intent: Intent) -> str:
    """How an intent can be typed ("搜 龙井"), or "" when it has no phrase: what a tap on a link sends."""
    text = shop.said.get(type(intent), "")
    for name in type(intent).__dataclass_fields__:
        text = text.replace("{" + name + "}", str(getattr(intent, name)))
    return text.strip()


def code_of(intent: Intent) -> str:
    """The packed code of an intent, or "" when it holds words."""
    return intent.pack() if isinstance(intent, Coded) else ""
