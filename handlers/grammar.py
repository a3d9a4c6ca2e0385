"""How phrases are written and matched: typed slots, the space after the verb, and which phrase beats which."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from handlers.asking import Intent, Slot, slot_of
from models.words import plain

_MARKS = frozenset("，。！？：；（）、～")  # what Chinese is written with stays as it was written
_BLANK = re.compile(r"\s+")
_PART = re.compile(r"\{(\w+)\}|([^{}\s]+)|(\s+)")


def raw_plain(text: str) -> str:
    """Words as they were said: width and white space folded, case and characters kept (names, addresses, reviews)."""
    folded = "".join(c if c in _MARKS else unicodedata.normalize("NFKC", c) for c in text)
    kept = "".join(c for c in folded if c.isprintable() or c.isspace()).strip()
    return _BLANK.sub(lambda blank: "\n" if "\n" in blank[0] else " ", kept)


class Tie(Exception):
    """Two phrases fit the same words equally well; the shop refuses to start."""


@dataclass(frozen=True)
class Phrase:
    """One way to say one intent."""

    text: str
    kind: type[Intent]
    fixed: tuple[tuple[str, object], ...]  # fields that the phrase itself decides
    pattern: re.Pattern[str]
    slots: tuple[tuple[str, Slot], ...]
    rank: tuple[int, ...]
    literals: int

    @property
    def first(self) -> str:
        """The first character of the phrase, "" when it begins with a slot."""
        return "" if self.text.startswith("{") else plain(self.text)[:1]

    def match(self, said: str, raw: str) -> dict[str, object] | None:
        """The fields that `said` (plain) fills; `raw` is the same text with its case and characters kept."""
        found = self.pattern.fullmatch(said)
        if not found:
            return None
        fields: dict[str, object] = dict(self.fixed)
        for name, slot in self.slots:
            value = found[name]
            if slot.rank == 3 and len(raw) == len(said):
                value = raw[found.start(name) : found.end(name)]
            try:
                fields[name] = slot.parse(value.strip())
            except ValueError:
                return None
        return fields


def phrase(text: str, kind: type[Intent], fixed: dict[str, object]) -> Phrase:
    """Compile "参团 {group}": the space may be missing before a code or number, and between a code and words that are
    not; before other words only if not written. A colon is as good as a space: 备注:放门口."""
    source, slots, rank, literals = "", [], [], 0
    space = coded = False
    for found in _PART.finditer(text):
        name, literal, blank = found.groups()
        if blank is not None:
            space = True
            continue
        if name is not None:
            slot = slot_of(kind, name)
            if source:
                apart = r"\s+|\s*:\s*" + (r"|(?<=[0-9a-z])(?=[^\x00-\x7f])" if coded else "")
                source += f"(?:{apart})" if space and slot.rank == 3 else r"[\s:]*"
            source += f"(?P<{name}>{slot.pattern})"
            slots.append((name, slot))
            rank.append(slot.rank)
            coded = bool(slot.thing)
        else:
            word = plain(literal)
            source += r"\s*" if source else ""
            source += "[x×*]" if word == "x" and source else re.escape(word)
            literals += len(word)
            rank.append(0)
            coded = False
        space = False
    return Phrase(text, kind, tuple(fixed.items()), re.compile(source), tuple(slots), tuple(rank), literals)


@dataclass
class Phrases:
    """All phrases, found by their first character, most particular first."""

    by_first: dict[str, list[Phrase]] = field(default_factory=dict)
    ordered: bool = False

    def add(self, new: Phrase) -> None:
        for old in self.by_first.get(new.first, []):
            if old.pattern.pattern == new.pattern.pattern or (old.rank == new.rank and _shape(old) == _shape(new)):
                raise Tie(f"“{old.text}” and “{new.text}” fit the same words")
        self.by_first.setdefault(new.first, []).append(new)
        self.ordered = False

    def matching(self, said: str, raw: str) -> list[tuple[Phrase, dict[str, object]]]:
        """Every phrase that fits, best first."""
        if not self.ordered:
            for group in self.by_first.values():
                group.sort(key=lambda p: (-p.literals, p.rank, p.text))
            self.ordered = True
        found = []
        for candidate in (*self.by_first.get(said[:1], ()), *self.by_first.get("", ())):
            fields = candidate.match(said, raw)
            if fields is not None:
                found.append((candidate, fields))
        if len(found) > 1:
            found.sort(key=lambda pair: (pair[0].rank, -pair[0].literals))
        return found


def _shape(one: Phrase) -> str:
    return re.sub(r"\(\?P<\w+>", "(", one.pattern.pattern)
