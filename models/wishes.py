"""Reading what somebody wants to be told of: topics, a price not to exceed, hours not to be disturbed in."""

from __future__ import annotations

import re
from dataclasses import dataclass

from models.base import Refusal
from models.index import Index
from models.search import understand
from models.topics import goods_like
from models.words import bare, plain

NEWS = "上新"
DEALS = "团购"
# What one may ask for that is no goods word; every name one might call it by.
_NAMES = {
    NEWS: "上新 新品 新货 新款 到新 有新的 新东西 上新提醒 新品上市 new news newarrivals newgoods",
    DEALS: "团购 拼团 开团 团 groups groupbuy groupbuys",
}
STANDING = {topic: frozenset(names.split()) for topic, names in _NAMES.items()}
AT_ONCE = 3  # topics in one message
LONGEST = 12  # characters of a topic

_BELOW = re.compile(r"(?:<=?|≤|低于|不到|小于)\s*[¥]?\s*([0-9]{1,6})(?:\.([0-9]{1,2}))?\s*(?:元|块钱?)?")


class QuietUnclear(Refusal):
    """The hours were not understood; facts: said."""


@dataclass(frozen=True)
class Asked:
    """The topics found in somebody's words, and the price they may not exceed."""

    topics: tuple[str, ...] = ()
    max_fen: int | None = None


def asked(words: str, index: Index) -> Asked:
    """What may be subscribed to in these words: the shop's goods words, a standing topic, or one short new goods word.

    A sentence gives its goods words, or nothing. "<80" and 80以内 both mean: at most ¥80.
    """
    said = plain(words)
    max_fen = None
    if found := _BELOW.search(said):
        max_fen = int(found[1]) * 100 + int((found[2] or "").ljust(2, "0") or 0)
        said = f"{said[: found.start()]} {said[found.end() :]}".strip()
    query = understand(said, index)
    limit = max_fen if max_fen is not None else query.max_fen
    whole = bare(said)
    for topic, names in STANDING.items():
        if whole in names:
            return Asked((topic,), limit)
    terms = [t for t in query.terms if not t.isdigit() and len(t) <= LONGEST]
    known = [t for t in terms if t in index.words]
    if known:
        return Asked(tuple(known[:AT_ONCE]), limit)
    # A word the shop does not know yet is what one subscribes to, when it is a word and no sentence.
    if terms and len(terms) <= 2 and len(whole) <= LONGEST and goods_like(said, index.words):
        return Asked(("".join(terms) if not said.isascii() else " ".join(terms),), limit)
    return Asked((), limit)


def quiet_hours(said: str) -> str:
    """ "22-8", "22:00到8:00", "晚上10点到早上8点" → "22-8"; raises QuietUnclear."""
    found = re.fullmatch(
        r"(晚上|夜里|晚|下午)?\s*([0-9]{1,2})\s*(?:[:点时](?:00)?)?\s*(?:-|~|—|–|到|至)\s*(早上|上午|早|凌晨|第二天|次日)?\s*([0-9]{1,2})\s*(?:[:点时](?:00)?)?",
        plain(said),
    )
    if not found:
        raise QuietUnclear(said=said[:20])
    start, end = int(found[2]), int(found[4])
    if found[1] and start < 12:
        start += 12
    if start > 24 or end > 24:
        raise QuietUnclear(said=said[:20])
    return f"{start % 24}-{end % 24}"
