"""Everyday questions (my parcel, freight, the shop, anger …) told by their cues, and whether words can
be a search at all.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from models.prices import take_price
from models.synonyms import Synonyms
from models.words import bare, pinyin, plain, segmenter, unfill

_ASKS = re.compile(
    r"[?吗么呢]|什么|怎|多少|多久|多大|几|哪|谁|为何|为什么|何时|如何|能不|能否|可不可|可以|可否|是不是|有没有|还有没|行不行|要不要|会不会|好不好|"
    r"对不对|真不真|到没|了没|没有$|了不$|[^不]不$|是否|查一?下|问"
)
_NOUNS = re.compile(r"^(?:n|nr|ns|nt|nz|ng|nrt|nrfg|eng|b|a|ag|an|i|l|j|f|s|t|tg|m|mq|q|vn|x|z|g|h|k|zg|uj|c|d)$")
_MADE = frozenset("干炒烤煎炸拌腌卤卷蒸煮炖熏酿冻泡")
# Who asks for a recommendation, or wants to drink something, is looking for goods although no word names them.
_WISHES = re.compile("推荐|想[喝吃买]|[买来][点些]|有[什么啥]*好[喝吃]的")
_WORDY = re.compile(r"[a-z\u3400-\u9fff]")
_EMOJI = re.compile(r"[\u2600-\u27bf\U0001f300-\U0001faff]")


@dataclass(frozen=True, slots=True)
class Topic:
    """An everyday question that was recognised: its name, the cue that told it, and how sure that makes
    us.
    """

    name: str
    cue: str
    score: int


@dataclass(frozen=True, slots=True)
class _Cues:
    name: str
    inside: tuple[str, ...]  # anywhere in the sentence
    woven: tuple[tuple[str, int, re.Pattern[str]], ...]  # with * for up to eight characters between
    alone: frozenset[str]  # the whole sentence
    but: re.Pattern[str] | None  # then it is not this topic
    despite_goods: bool  # goods words beside it do not make a search of it
    of_goods: bool  # what its whole sentences ask may be asked of goods: 龙井保质期
    emoji: str


_WORN = 6  # topics
_KEYS = {"cues", "alone", "not", "despite_goods", "of_goods", "emoji"}


class Topics:
    """All topics of one data file, tried in a fixed way: anger first, then the longest cue, ties in the
    file's order.
    """

    FIRST = "anger"

    def __init__(self, tables: Mapping[str, Mapping[str, Any]], synonyms: Synonyms | None = None) -> None:
        self.synonyms = synonyms or Synonyms()
        literal = {self._folded(cue) for table in tables.values() for cue in table.get("alone", ())}
        self._topics = tuple(self._read(name, table, literal) for name, table in tables.items())

    @cached_property
    def _sounds(self) -> dict[str, tuple[str, str]]:
        """Short whole sentences by their sound, for 发活了没 and the like."""
        sounds: dict[str, tuple[str, str]] = {}
        for topic in self._topics:
            for cue in (*topic.inside, *sorted(topic.alone)):
                if 3 <= len(cue) <= 8 and not cue.isascii():
                    sounds.setdefault(pinyin(cue), (topic.name, cue))
        return sounds

    @cached_property
    def _worn(self) -> set[str]:
        """Pairs of characters that many topics' cues share (怎么, 什么, 今天): they tell nothing apart."""
        seen = Counter(pair for topic in self._topics for pair in set().union(*map(_pairs, topic.inside)))
        return {pair for pair, count in seen.items() if count >= _WORN}

    @classmethod
    def load(cls, path: Path, synonyms: Synonyms | None = None) -> Topics:
        """Reads the TOML file; raises OSError, tomllib.TOMLDecodeError or ValueError, which name the
        fault.
        """
        return cls(tomllib.loads(path.read_text(encoding="utf-8")), synonyms)

    @property
    def names(self) -> tuple[str, ...]:
        """Every topic, in the order of the file."""
        return tuple(topic.name for topic in self._topics)

    def _read(self, name: str, table: Mapping[str, Any], literal: set[str]) -> _Cues:
        if unknown := set(table) - _KEYS:
            raise ValueError(f"topics: {name}: unknown keys {sorted(unknown)}")
        cues = [self._folded(cue) for cue in table.get("cues", ())]
        but = [re.escape(self._folded(cue)).replace(r"\*", ".{0,8}?") for cue in table.get("not", ())]
        return _Cues(
            name=name,
            inside=tuple(sorted({c for c in cues if "*" not in c}, key=lambda c: (-len(c), c))),
            woven=tuple(
                (c, len(c) - c.count("*"), re.compile(re.escape(c).replace(r"\*", ".{0,8}?"))) for c in cues if "*" in c
            ),
            alone=frozenset(self._alone(table.get("alone", ()), literal)),
            but=re.compile("|".join(but)) if but else None,
            despite_goods=bool(table.get("despite_goods", False)),
            of_goods=bool(table.get("of_goods", False)),
            emoji="".join(table.get("emoji", ())),
        )

    def _alone(self, cues: Iterable[str], literal: set[str]) -> Iterator[str]:
        for cue in cues:
            yield self._folded(cue)
            # 在吗 is also heard as 在; but 好的谢谢, thanks, must not take 好的 from OK.
            if (unfilled := bare(self.synonyms.rewrite(unfill(cue)))) not in literal:
                yield unfilled

    def _folded(self, cue: str) -> str:
        parts = [re.sub(r"[\W_]+", "", self.synonyms.rewrite(plain(part))) for part in cue.split("*")]
        if not any(parts):
            raise ValueError(f"topics: a cue without a word: {cue!r}")
        return "*".join(parts)

    def match(self, text: str, vocabulary: frozenset[str] = frozenset()) -> Topic | None:
        """The topic of a sentence, None when it is none. Deterministic, never raises.

        With the shop's `vocabulary`, a sentence that holds goods words and asks nothing is goods
        (便宜的龙井), unless
        the topic speaks of what one already has (龙井压扁了).
        """
        folded = plain(text)
        whole = bare(self.synonyms.rewrite(folded))
        if not whole:
            return self._emoji(folded)
        rest = bare(self.synonyms.rewrite(unfill(folded)))
        goods = has_goods(rest, vocabulary)
        asks = bool(_ASKS.search(self.synonyms.rewrite(folded)))
        best: Topic | None = None
        for topic in self._topics:
            found = self._score(topic, whole, rest)
            if goods and not asks and not topic.despite_goods:
                found = self._of_goods(topic, rest, vocabulary)
            if found is None:
                continue
            if topic.name == self.FIRST:
                return found
            if best is None or found.score > best.score:
                best = found
        if best is None and not goods and (heard := self._sounds.get(pinyin(rest)) if 3 <= len(rest) <= 8 else None):
            by_name = next(topic for topic in self._topics if topic.name == heard[0])
            if not (by_name.but and by_name.but.search(whole)):
                return Topic(heard[0], heard[1], 1)
        return best

    def _of_goods(self, topic: _Cues, rest: str, vocabulary: frozenset[str]) -> Topic | None:
        """龙井保质期, 核桃的配料: goods, and behind them what is asked of them; 散装瓜子 is goods alone."""
        ends = [cue for cue in topic.alone if topic.of_goods and rest.endswith(cue)]
        found = [cue for cue in ends if has_goods(rest.removesuffix(cue), vocabulary)]
        return Topic(topic.name, max(found, key=len), len(max(found, key=len))) if found else None

    def _emoji(self, folded: str) -> Topic | None:
        sign = next((c for c in folded if _EMOJI.match(c)), "")
        return next((Topic(t.name, sign, 1) for t in self._topics if sign and sign in t.emoji), None)

    def _score(self, topic: _Cues, whole: str, rest: str) -> Topic | None:
        if topic.but and topic.but.search(whole):
            return None
        # A whole sentence beats any cue inside it: 电话 alone is the shop's, 电话 in an address is not.
        if whole in topic.alone:
            return Topic(topic.name, whole, 100 + len(whole))
        if rest in topic.alone:
            return Topic(topic.name, rest, 100 + len(rest))
        inside = next((cue for cue in topic.inside if cue in whole), "")
        woven = max(((length, cue) for cue, length, pattern in topic.woven if pattern.search(whole)), default=(0, ""))
        if not inside and not woven[0]:
            return None
        return (
            Topic(topic.name, inside, len(inside)) if len(inside) >= woven[0] else Topic(topic.name, woven[1], woven[0])
        )

    def guess(self, text: str, count: int = 2) -> list[Topic]:
        """The topics nearest to a sentence that was not understood, for 「您是想问…」; may be empty."""
        said = bare(self.synonyms.rewrite(unfill(text)))
        pairs = _pairs(said) - self._worn
        near: list[tuple[int, int, str, str]] = []
        for place, topic in enumerate(self._topics):
            shared, cue = max(
                ((len(pairs & _pairs(c)), c) for c in topic.inside),
                default=(0, ""),
            )
            if shared and topic.name != self.FIRST:
                near.append((-shared, place, topic.name, cue))
        return [Topic(name, cue, -shared) for shared, _, name, cue in sorted(near)[:count]]


def _pairs(said: str) -> set[str]:
    return {said[at : at + 2] for at in range(len(said) - 1)}


def has_goods(said: str, vocabulary: frozenset[str]) -> bool:
    """A word of the shop's vocabulary stands in text folded by `bare`."""
    return bool(vocabulary) and any(
        said[at : at + length] in vocabulary for length in range(2, 9) for at in range(len(said) - length + 1)
    )


def goods_like(text: str, vocabulary: frozenset[str], synonyms: Synonyms | None = None) -> bool:
    """What may be searched (C1): it holds a word of the shop's vocabulary, a price, an occasion, or no
    verb at all.
    """
    folded = unfill(text)
    if synonyms:
        folded = synonyms.rewrite(folded)
    said = bare(folded)
    if not said or not _WORDY.search(said) or len(said) > 60:
        return False
    if has_goods(said, vocabulary) or take_price(folded)[0] != (None, None):
        return True
    if _WISHES.search(said) or (synonyms and synonyms.occasions_in(folded)[0]):
        return True
    if said.isascii():
        return 2 <= len(said) <= 24 and said.isalpha() and len(folded.split()) <= 3
    if _ASKS.search(folded):
        return False
    # 小鱼干, 凉拌: how food is made is tagged as a verb and is none here.
    tags = ["n" if word in _MADE else tag for word, tag in segmenter().tag(said)]
    return len(said) <= 16 and all(_NOUNS.match(tag) for tag in tags) and any(tag[0] in "nijlbe" for tag in tags)
