"""What an intent is: one thing one can ask, and how it is packed into menus, QR scenes, taps, numbers and pages."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Self, get_args, get_origin, get_type_hints

from models.staff import Role
from models.talk import Talking
from models.words import is_no, is_yes, numeral, quantity

CODE = re.compile(r"[A-Za-z0-9:_.-]{1,64}\Z")
VERBS: dict[str, type[Intent]] = {}


@dataclass(frozen=True)
class Slot:
    """How one field is said: a pattern over plain text, and what it becomes."""

    name: str
    pattern: str
    parse: Callable[[str], Any]
    rank: int  # 1 code, 2 number, 3 words: a literal beats a code, a code a number, a number words
    thing: str = ""  # what a code names; left out, it is the thing last shown


POINTING = (
    r"(?:刚才)?(?:这|那|此)(?:个|款|一?个|盒|罐|包|单|团)|它|上次那个|第[0-9一二三四五六七八九十]{1,3}(?:个|款|号)"
)


def _code(text: str) -> str:
    return text.upper()


def _product(text: str) -> str:
    # O and 0, I, L and 1 are told apart by position: after the letter come digits, or drawn characters without them.
    head, tail = text[:1], text[1:]
    digits = tail.replace("o", "0").replace("i", "1").replace("l", "1")
    return (head + (digits.lstrip("0") if digits.isascii() and digits.isdigit() else tail)).upper()


def _quantity(text: str) -> int:
    value = quantity(text)
    return value if value is not None else _number(text)


def _number(text: str) -> int:
    value = numeral(text)
    if value is None:
        raise ValueError(text)
    return value


def fen(text: str) -> int:
    """Yuan as people write them ("88", "29.9", "¥88") → fen. ValueError when it is no amount below ¥1,000,000."""
    found = re.fullmatch(r"[¥￥]?([0-9]{1,6})(?:\.([0-9]{1,2}))?(?:元|块钱?)?", text.strip())
    if not found:
        raise ValueError(text)
    return int(found[1]) * 100 + int((found[2] or "0").ljust(2, "0"))


def _yes(text: str) -> str:
    if is_yes(text) or is_no(text):
        return "yes" if is_yes(text) else "no"
    raise ValueError(text)


_DRAWN = "2-9a-hjkmnp-z"
_N = r"[0-9]{1,6}|[零一二两三四五六七八九十百]{1,5}"
ProductCode = Annotated[
    str, Slot("product", rf"(?:a[0-9oil]{{1,5}}|a[{_DRAWN}]{{3,4}}|{POINTING})", _product, 1, "product")
]
GroupCode = Annotated[str, Slot("group", rf"(?:g[{_DRAWN}]{{3,5}}|{POINTING})", _code, 1, "group")]
OrderNo = Annotated[str, Slot("order", rf"(?:[{_DRAWN}]{{8}}|{POINTING})", _code, 1, "order")]
Scene = Annotated[str, Slot("scene", r"[a-z0-9]{4,24}", _code, 1)]
Number = Annotated[int, Slot("number", _N, _number, 2)]
Quantity = Annotated[int, Slot("quantity", _N, _quantity, 2)]
Digits = Annotated[str, Slot("digits", r"[0-9]{4,8}", str, 2)]
Yuan = Annotated[int, Slot("yuan", r"[¥￥]?[0-9]{1,6}(?:\.[0-9]{1,2})?(?:元|块钱?)?", fen, 2)]
Words = Annotated[str, Slot("words", r".+", str, 3)]
Spec = Annotated[str, Slot("spec", r".+", str, 3)]
YesNo = Annotated[str, Slot("yes", r".{1,8}", _yes, 2)]
AddressLine = Annotated[str, Slot("address", r".+", str, 3)]


@dataclass(frozen=True)
class Intent:
    """One thing one can ask.

    Class keywords: `verb` (its name in codes and in the talk), `changes` (it alters something: a GET only shows a
    button), `proposes` (it shows what 确认 would do), `personal` (the answer holds personal data), `page` (it has a
    page), `role` (who may; deny by default).
    """

    verb: ClassVar[str] = ""
    changes: ClassVar[bool] = False
    proposes: ClassVar[bool] = False
    personal: ClassVar[bool] = False
    page: ClassVar[bool] = False
    role: ClassVar[Role] = Role.HOUSE
    proven: ClassVar[bool] = False  # exists only where nobody can have forged the words

    def __init_subclass__(
        cls,
        verb: str = "",
        changes: bool = False,
        proposes: bool = False,
        personal: bool = False,
        page: bool = False,
        role: Role = Role.ANYONE,
        proven: bool = False,
        **kw: Any,
    ) -> None:
        super().__init_subclass__(**kw)
        if taken := {"verb", "changes", "proposes", "personal", "page", "role", "proven"} & set(
            inspect.get_annotations(cls)
        ):
            raise TypeError(f"{cls.__name__}: {', '.join(taken)} cannot be a field")
        cls.verb, cls.changes, cls.proposes = verb, changes, proposes
        cls.personal, cls.page = personal, page
        cls.role, cls.proven = role, proven or role > Role.ANYONE
        if verb:
            if verb in VERBS:
                raise TypeError(f"two intents are called {verb}")
            VERBS[verb] = cls

    def to_json(self) -> dict[str, Any]:
        """The intent as it is remembered in the talk, words and all."""
        said: dict[str, Any] = {"verb": self.verb}
        for name, default in _fields(type(self)):
            if (value := getattr(self, name)) != default:
                said[name] = value
        return said

    def filled(self, **fields: Any) -> Self:
        """The same intent with these fields set."""
        return dataclasses.replace(self, **fields)


_FIELDS: dict[type, tuple[tuple[str, Any], ...]] = {}


def _fields(kind: type[Intent]) -> tuple[tuple[str, Any], ...]:
    """(name, default) of every field, found once: each line of each list asks."""
    found = _FIELDS.get(kind)
    if found is None:
        found = _FIELDS[kind] = tuple((f.name, f.default) for f in dataclasses.fields(kind))
    return found


@dataclass(frozen=True)
class Coded(Intent):
    """An intent made of codes, small numbers and choices only, so that it fits a menu key, a scene, a tap, a path."""

    def pack(self) -> str:
        """`JoinGroup("G7K2").pack() == "join:G7K2"`: `[A-Za-z0-9:_.-]`, at most 64 characters; ValueError otherwise."""
        fields = _fields(type(self))
        values = [str(getattr(self, name)) for name, _ in fields]
        while values and values[-1] == str(fields[len(values) - 1][1]):
            values.pop()
        code = ":".join([self.verb, *values])
        if not CODE.match(code) or any(":" in v for v in values[:-1]):
            raise ValueError(code)
        return code


def unpack(code: str) -> Coded | None:
    """The intent of a code, or None: codes come from outside, so nothing about them is taken for granted."""
    if not CODE.match(code):
        return None
    verb, *values = code.split(":")
    kind = VERBS.get(verb)
    if kind is None or not issubclass(kind, Coded) or kind.role is Role.HOUSE:
        return None
    fields = dataclasses.fields(kind)
    if len(values) > len(fields):  # the last field may hold colons of its own (play="group:new")
        values = [*values[: len(fields) - 1], ":".join(values[len(fields) - 1 :])] if fields else values
        if not fields:
            return None
    given: dict[str, Any] = {}
    for field, value in zip(fields, values, strict=False):
        if plain_type(kind, field.name) is int:
            if not (value.isascii() and value.isdigit() and len(value) <= 9):
                return None
            given[field.name] = int(value)
        else:
            given[field.name] = value
    try:
        return kind(**given)
    except TypeError:
        return None


def remembered(data: Mapping[str, Any]) -> Intent | None:
    """The intent that `to_json` wrote; None when the shop no longer knows it."""
    kind = VERBS.get(str(data.get("verb", "")))
    if kind is None:
        return None
    try:
        return kind(**{k: v for k, v in data.items() if k != "verb"})
    except TypeError:
        return None


_hints: dict[type, dict[str, Any]] = {}


def _hints_of(kind: type) -> dict[str, Any]:
    if kind not in _hints:
        _hints[kind] = get_type_hints(kind, include_extras=True)
    return _hints[kind]


def slot_of(kind: type[Intent], field: str) -> Slot:
    """How a field of an intent is said; TypeError when its annotation is no slot."""
    hint = _hints_of(kind).get(field)
    if get_origin(hint) is Annotated:
        for extra in get_args(hint)[1:]:
            if isinstance(extra, Slot):
                return extra
    raise TypeError(f"{kind.__name__}.{field} cannot be said: its annotation is no slot")


def is_address(kind: type[Intent], field: str) -> bool:
    """Whether a field says where somebody lives: no record of commands keeps it."""
    return get_origin(_hints_of(kind).get(field)) is Annotated and slot_of(kind, field).name == "address"


def address_begun(intent: Intent) -> bool:
    """Whether a part of the address that an intent is about was said."""
    return any(getattr(intent, name) for name in type(intent).__dataclass_fields__ if is_address(type(intent), name))


def address_asked(talk: Talking, now: datetime) -> tuple[Intent, str] | None:
    """What the open question asks an address for, and the field it is for."""
    asked = talk.asked(now)
    intent = remembered(asked["intent"]) if asked else None
    if asked is None or intent is None or asked["options"]:  # what is chosen from is no address
        return None
    field = str(asked["field"])
    return (intent, field) if slot_of(type(intent), field).name == "address" else None


def plain_type(kind: type[Intent], field: str) -> type:
    hint = _hints_of(kind)[field]
    found: type = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return found
