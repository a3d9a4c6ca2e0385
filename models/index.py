"""The terms of one snapshot of the catalogue, kept in the process, and the goods that a query finds in
them.
"""

from __future__ import annotations

import heapq
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from models.prices import yuan
from models.synonyms import Synonyms
from models.words import bare, initials, one_edit, pinyin, plain, segmenter

SOLD_OUT = "售罄"
_NAME, _KEYWORD, _PART, _LINE, _CHARACTER = 9, 8, 6, 2, 1  # weights, 4 bits each
_FIRM = _PART  # a term of at least this weight says what a thing is; the selling line only talks about it
_CJK = re.compile(r"[\u3400-\u9fff]")
_WORDS = re.compile(r"[\u3400-\u9fff]+")


@dataclass(frozen=True, slots=True)
class Doc:
    """One product as it stands in the snapshot; prices in fen, `stock_word` 有货, 仅剩 n or 售罄, more
    `rank` comes first.
    """

    code: str
    name: str
    line: str = ""
    keywords: tuple[str, ...] = ()
    category: str = ""
    price_from_fen: int = 0
    stock_word: str = ""
    rank: int = 0
    specs: tuple[str, ...] = ()  # labels
    prices_fen: tuple[int, ...] = ()  # of all its specs; without them the lowest price alone counts

    def off(self, low: int | None, high: int | None) -> int:
        """How far the nearest of its prices lies above (+) or below (-) the bounds, in fen; 0 = one fits."""
        return min((_off(price, low, high) for price in self.prices_fen or (self.price_from_fen,)), key=abs)


@dataclass(frozen=True, slots=True)
class Hit:
    """A product that was found; `off_fen` is how far its price lies above (+) or below (-) the bounds
    asked for.
    """

    doc: Doc
    score: int
    off_fen: int = 0


@dataclass(frozen=True, slots=True)
class Query:
    """What was understood. `guesses` are (said, taken) pairs of words that were only alike; bounds in
    fen, weight in grams.
    """

    text: str = ""
    terms: tuple[str, ...] = ()
    min_fen: int | None = None
    max_fen: int | None = None
    without: tuple[str, ...] = ()
    occasions: tuple[str, ...] = ()
    quantity: int | None = None
    weight_g: int | None = None
    cheap: bool = False
    guesses: tuple[tuple[str, str], ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing in it could be searched for."""
        return not (self.terms or self.occasions or self.without or self.cheap) and self.min_fen is self.max_fen is None

    @property
    def goods(self) -> str:
        """The goods words alone: what one may subscribe to, never a sentence."""
        return " ".join(self.terms)

    def said(self) -> str:
        """What was understood, in one line: 绿茶 · ¥80 以内 · 不要花茶."""
        parts = [*([self.goods] if self.terms else []), *self.occasions]
        if self.min_fen is not None and self.max_fen is not None:
            parts.append(f"¥{yuan(self.min_fen)}–{yuan(self.max_fen)}")
        elif self.max_fen is not None:
            parts.append(f"¥{yuan(self.max_fen)} 以内")
        elif self.min_fen is not None:
            parts.append(f"¥{yuan(self.min_fen)} 以上")
        if self.cheap:
            parts.append("实惠的先看")
        parts += [f"不要{word}" for word in self.without]
        if self.quantity:
            parts.append(f"{self.quantity} 份")
        return " · ".join(parts)


class Index:
    """Terms of one snapshot; never changed after it was built, so any number of readers may share it."""

    def __init__(self, synonyms: Synonyms | None = None) -> None:
        self.synonyms = synonyms or Synonyms()
        self.docs: list[Doc] = []
        self.words: frozenset[str] = frozenset()  # the shop's vocabulary: names, keywords, categories, other names
        self.longest = 0  # characters of its longest word
        self._postings: dict[str, array[int]] = {}  # term -> place << 4 | weight, places ascending
        self._order = array("Q")  # by place: sold out << 32 | what comes first among equals
        self._sounds: dict[str, str] = {}  # pinyin -> the word of the shop most often meant
        self._initials: dict[str, set[str]] = {}
        self._uses: dict[str, int] = {}

    @classmethod
    def build(cls, products: Iterable[Doc], synonyms: Synonyms | None = None) -> Index:
        """The whole index at once; a large catalogue is built in slices by `building`."""
        index = cls(synonyms)
        for _ in index.building(products):
            pass
        return index

    def building(self, products: Iterable[Doc], slice_size: int = 200) -> Iterator[int]:
        """Adds the products and yields how many are in after each slice, so that the caller may let
        others run.
        """
        for count, doc in enumerate(products, 1):
            self._add(doc)
            if count % slice_size == 0:
                yield count
        self._finish()
        yield len(self.docs)

    def _add(self, doc: Doc) -> None:
        place = len(self.docs)
        self.docs.append(doc)
        weights: dict[str, int] = {}

        def put(term: str, weight: int) -> None:
            if term and weights.get(term, 0) < weight:
                weights[term] = weight

        firm = {bare(text) for text in (doc.name, doc.category, *doc.keywords)} | set(segmenter().cut(plain(doc.name)))
        for text, whole, part in (
            (doc.name, _NAME, _NAME),
            (doc.category, _KEYWORD, _PART),
            *((k, _KEYWORD, _PART) for k in doc.keywords),
        ):
            put(bare(text), whole)
            tokens = [bare(token) for token in segmenter().cut_for_search(plain(text))]
            for token in tokens:
                put(token, part if len(token) > 1 else _CHARACTER)
            for character in _CJK.findall(plain(text)):
                put(character, _CHARACTER)
        for label in doc.specs:
            for word in _WORDS.findall(plain(label)):  # 礼盒 is one word, and cut in two by the dictionary
                put(word, _PART if len(word) > 1 else _CHARACTER)
            for token in segmenter().cut_for_search(plain(label)):
                put(bare(token), _PART if len(bare(token)) > 1 else _CHARACTER)
        for token in segmenter().cut_for_search(plain(doc.line)):
            if len(bare(token)) > 1:  # 午后配茶 makes a cake no tea
                put(bare(token), _LINE)
        for word in firm:
            if not 2 <= len(word) <= 12 or word not in weights:
                continue
            self._uses[word] = self._uses.get(word, 0) + 1
            if _CJK.search(word):
                put(pinyin(word), weights[word] - 1)
                if len(word) <= 6:
                    put(initials(word), _PART - 1)
        for term, weight in weights.items():
            if (posting := self._postings.get(term)) is None:
                posting = self._postings[term] = array("I")
            posting.append(place << 4 | weight)

    def _finish(self) -> None:
        ranked = sorted(range(len(self.docs)), key=lambda at: _standing(self.docs[at]))
        self._order = array("Q", bytes(8 * len(ranked)))
        for rank, at in enumerate(ranked):
            self._order[at] = (self.docs[at].stock_word == SOLD_OUT) << 32 | rank
        occasions = self.synonyms.occasions  # 孩子, 早餐: why one buys is no name of goods
        known = {other for word in self._uses if word not in occasions for other in self.synonyms.same(word)}
        self.words = frozenset(known)
        self.longest = max(map(len, known), default=0)
        for word in sorted(known, key=lambda one: (self._uses.get(one, 0), -len(one), one)):
            if _CJK.search(word):
                self._sounds[pinyin(word)] = word
                self._initials.setdefault(initials(word), set()).add(word)

    def shop_word(self, word: str) -> str:
        """The shop's own word for another name of the same goods: 单枞 -> 单丛; its own words stay."""
        return (
            word
            if word in self._postings
            else next((one for one in self.synonyms.same(word) if one in self._uses), word)
        )

    def __contains__(self, term: str) -> bool:
        return term in self._postings or any(other in self._postings for other in self.synonyms.same(term))

    def sounds_like(self, said: str) -> str:
        """The word of the shop that `said` (Chinese or pinyin) is spoken like, if only by one letter;
        "" for none.
        """
        sound = pinyin(said)
        if word := self._sounds.get(sound, ""):
            return word
        meant = self._initials.get(sound, set()) & self._uses.keys() if said.isascii() else set()
        if len(meant) == 1:
            return next(iter(meant))
        if len(sound) < 5:
            return ""
        near = (
            one
            for one in self._sounds
            if one[0] == sound[0] and abs(len(one) - len(sound)) < 2 and one_edit(one, sound)
        )
        return (
            self._sounds[best]
            if (best := min(near, key=lambda one: (abs(len(one) - len(sound)), one), default=""))
            else ""
        )

    def _weights(self, term: str, names: tuple[str, ...] = ()) -> dict[int, int]:
        """The best weight per place over all names of one term."""
        best: dict[int, int] = {}
        for distance, name in enumerate(names or self.synonyms.same(term)):
            for packed in self._postings.get(name, ()):
                weight = (packed & 15) * 2 - (distance > 0)
                if best.get(packed >> 4, 0) < weight:
                    best[packed >> 4] = weight
        return best

    def _banned(self, query: Query) -> set[int]:
        return {
            place for word in query.without for place, weight in self._weights(word).items() if weight >= 2 * _FIRM - 1
        }

    def find(self, query: Query, limit: int = 60) -> list[Hit]:
        """At most `limit` products, the best first, ties by code; bounds and exclusions are kept strictly.

        An empty query finds everything: look at `query.empty` before you ask.
        """
        groups = [group for term in query.terms if (group := self._weights(term))]
        if query.terms and not groups:
            return []
        wishes = [group for word in query.occasions if (group := self._weights(word, self.synonyms.occasion(word)))]
        if query.occasions and not (groups or wishes):
            return []
        if groups or wishes:
            needed = groups or wishes
            counts: dict[int, int] = {}
            for group in needed:
                for place in group:
                    counts[place] = counts.get(place, 0) + 1
            most = max(counts.values())
            places: Iterable[int] = [place for place, count in counts.items() if count == most]
        else:
            places = range(len(self.docs))
        if banned := self._banned(query):
            places = [place for place in places if place not in banned]
        if query.min_fen is not None or query.max_fen is not None:
            places = [place for place in places if not self.docs[place].off(query.min_fen, query.max_fen)]
        # Scores first, objects last: of a thousand that fit, only `limit` are ever looked at.
        scores = {place: sum(group.get(place, 0) for group in (*groups, *wishes)) for place in places}
        order, docs = self._order, self.docs
        if query.cheap:
            # Cheap is no reason to show what hardly fits: of 便宜点的茶 a cake to go with it is none.
            best = max(scores.values(), default=0)
            scores = {at: score for at, score in scores.items() if 2 * score >= best}
            keys = [(order[at] >> 32, docs[at].price_from_fen, -score, order[at], at) for at, score in scores.items()]
        else:
            keys = [(order[at] >> 32, 0, -score, order[at], at) for at, score in scores.items()]
        return [Hit(docs[key[-1]], scores[key[-1]]) for key in heapq.nsmallest(limit, keys)]

    def nearest(self, query: Query, limit: int = 6) -> list[Hit]:
        """When `find` gave nothing: the same goods nearest in price, else without the occasion, else
        alike in a character.
        """
        unbound = self.find(replace(query, min_fen=None, max_fen=None), limit=1000)
        if not unbound and query.terms:
            unbound = self.find(replace(query, min_fen=None, max_fen=None, occasions=()), limit=1000)
        if not unbound:
            # What a Chinese word names stands at its end: 绿豆糕 is a 糕.
            for character in dict.fromkeys(
                word[-1] for word in (query.text, *query.terms) if _CJK.fullmatch(word[-1:])
            ):
                unbound += self.find(Query(terms=(character,), without=query.without), limit=limit)
        hits = {hit.doc.code: replace(hit, off_fen=hit.doc.off(query.min_fen, query.max_fen)) for hit in unbound}
        return heapq.nsmallest(limit, hits.values(), key=_nearest_first)


def _nearest_first(hit: Hit) -> tuple[int, bool, int, int, int, str]:
    return abs(hit.off_fen), hit.doc.stock_word == SOLD_OUT, -hit.score, *_standing(hit.doc)


def _standing(doc: Doc) -> tuple[int, int, str]:
    """What comes first among products that fit equally well: the higher rank, then the code (A2 before A10)."""
    return -doc.rank, len(doc.code), doc.code


def _off(price: int, low: int | None, high: int | None) -> int:
    if high is not None and price > high:
        return price - high
    return price - low if low is not None and price < low else 0
