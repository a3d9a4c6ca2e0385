"""Other names for the same thing: Cantonese and Taiwan's words, goods by another name, and the
occasions of a present.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from models.words import plain


def _pattern(words: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted({word for word in words if word}, key=lambda word: (-len(word), word))
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


@dataclass(frozen=True)
class Synonyms:
    """`says` rewrites a way of speaking; `goods` and `occasions` map what is said to the word of the shop."""

    says: Mapping[str, str] = field(default_factory=dict)  # 几钱 -> 多少钱
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # 绿茶 -> (绿茶, 青茶 …)
    occasions: Mapping[str, str] = field(default_factory=dict)  # 送长辈 -> 送人

    @classmethod
    def load(cls, path: Path) -> Synonyms:
        """Reads the TOML file; raises OSError, tomllib.TOMLDecodeError or ValueError, which name the
        fault.
        """
        return cls.of(tomllib.loads(path.read_text(encoding="utf-8")))

    @classmethod
    def of(cls, tables: Mapping[str, Mapping[str, str | Sequence[str]]]) -> Synonyms:
        """`says` = {said: standard}; `goods` and `occasions` = {word: [other words]}."""
        unknown = set(tables) - {"says", "goods", "occasions"}
        if unknown:
            raise ValueError(f"synonyms: unknown tables {sorted(unknown)}")
        groups: dict[str, tuple[str, ...]] = {}
        for word, others in tables.get("goods", {}).items():
            group = tuple(dict.fromkeys(plain(one) for one in (word, *others)))
            for one in group:
                groups[one] = tuple(dict.fromkeys((*groups.get(one, ()), *group)))
        occasions = {
            plain(said): plain(word) for word, others in tables.get("occasions", {}).items() for said in (word, *others)
        }
        says = {plain(said): plain(str(standard)) for said, standard in tables.get("says", {}).items()}
        return cls(says, groups, occasions)

    @cached_property
    def _said(self) -> re.Pattern[str] | None:
        return _pattern(self.says)

    @cached_property
    def _named(self) -> re.Pattern[str] | None:
        return _pattern(self.occasions)

    def rewrite(self, text: str) -> str:
        """`plain` text in the shop's way of speaking: 呢款龙井几钱 -> 这款龙井多少钱."""
        pattern = self._said
        return pattern.sub(lambda found: self.says[found[0]], text) if pattern else text

    def same(self, word: str) -> tuple[str, ...]:
        """The word itself first, then the others that mean it (all plain)."""
        return tuple(dict.fromkeys((word, *self.groups.get(word, ()))))

    def occasion(self, word: str) -> tuple[str, ...]:
        """The occasion and all the ways to say it (all plain): a product marked 送礼 is one for 送人."""
        return (
            word,
            *(said for said, occasion in self.occasions.items() if occasion == word and said != word),
        )

    def occasions_in(
        self, text: str, inside_word: Callable[[int, int], bool] | None = None
    ) -> tuple[tuple[str, ...], str]:
        """(the occasions that `plain` text names, the text without them).

        `inside_word(start, end)` says that a stretch belongs to a longer word of the shop: 团圆 in
        团圆饼 is no occasion.
        """
        if self._named is None:
            return (), text
        found: list[str] = []

        def take(match: re.Match[str]) -> str:
            if inside_word and inside_word(*match.span()):
                return match[0]
            found.append(self.occasions[match[0]])
            return " "

        rest = self._named.sub(take, text)
        return tuple(dict.fromkeys(found)), rest
