"""Finding goods by people's own words: what a sentence asks for, as a query to the index."""

from __future__ import annotations

import re
from collections.abc import Iterator

from models.index import SOLD_OUT, Doc, Hit, Index, Query
from models.prices import take_price
from models.words import bare, number, plain, segmenter, unfill, word_lists

__all__ = ["SOLD_OUT", "Doc", "Hit", "Index", "Query", "understand", "vocabulary_at", "words_of"]

_NOT = re.compile(r"(?:不要|不想要|别要|不爱喝|不爱吃|不喜欢|不喝|不吃|不能有|不含|不带|不买|除了|去掉|排除|不是)\s?")
_WHICH_IS_GOOD = re.compile(r"((?:什么|啥|哪[种款个些]).{1,6}?)(?:比较|更|最)?(?:好|合适|受欢迎)(?:一?点|一?些)?$")
_CHEAP = re.compile(r"(?:便宜|实惠|平价|划算|经济|不(?:要)?太?贵|别太贵)(?:一?点|一?些)?(?:儿|的)*")
_SMALL = r"(?:[0-9]{1,3}|[一二两三四五六七八九]?十[一二三四五六七八九]?|[一二两三四五六七八九])"
_COUNT = re.compile(
    rf"(?<![第0-9a-z一二三四五六七八九十百])(?:来|要|买|给我|拿)?({_SMALL})\s?"
    r"[盒罐袋包饼件份个提条瓶箱](?![套装人月小]|朋友|大人|同事|孩子|老人|女生|男生|口味|味|一[盒罐袋包提箱组套])|(?<!\w)[x×*]\s?([0-9]{1,3})(?![0-9a-z])|俩"
)
_WEIGHT = re.compile(rf"(?:({_SMALL})|(半))\s?(?:个)?(公斤|千克|kg|斤|两)(半)?")
_GRAMS = {"公斤": 1000, "千克": 1000, "kg": 1000, "斤": 500, "两": 50}
_SMALL_WORDS = frozenset(word_lists("small_words.toml")["words"])
_RUNS = re.compile(r"[a-z][a-z ]*[a-z]|[a-z]|[0-9.]+(?:g|kg|ml|克|毫升)?|[\u3400-\u9fff]+")


def understand(text: str, index: Index) -> Query:
    """Reads a wish: goods words, bounds, occasions, exclusions, quantity. Never raises; nothing
    understood gives `empty`.
    """
    rest = _WHICH_IS_GOOD.sub(r"\1", index.synonyms.rewrite(unfill(text)))
    (low, high), rest = take_price(rest)
    weight, rest = _take_weight(rest, index)
    rest, cheap = _CHEAP.subn(" ", rest)
    without, rest = _take_unwanted(rest, index)
    quantity, rest = _take_count(rest, index)
    wish = rest
    occasions, rest = index.synonyms.occasions_in(wish, lambda start, end: _in_word(wish, start, end, index))
    terms: list[str] = []
    guesses: list[tuple[str, str]] = []
    for run in _RUNS.findall(rest):
        for said, taken in _words_in(run, index):
            terms.append(taken)
            if taken not in said:
                guesses.append((said, taken))
    firm = [term for term in dict.fromkeys(terms) if len(term) > 1]
    return Query(
        text=plain(text),
        terms=tuple(firm or dict.fromkeys(terms)),
        min_fen=low,
        max_fen=high,
        without=without,
        occasions=occasions,
        quantity=quantity,
        weight_g=weight,
        cheap=bool(cheap),
        guesses=tuple(dict.fromkeys(guesses)),
    )


def vocabulary_at(text: str, start: int, words: frozenset[str], longest: int) -> str:
    """The longest word of the vocabulary that begins at `start`, "" for none."""
    for length in range(min(longest, len(text) - start), 1, -1):
        if (word := text[start : start + length]) in words:
            return word
    return ""


def words_of(text: str, index: Index) -> tuple[str, ...]:
    """The words of the shop's vocabulary that stand in a sentence, in its order; () when it names no goods."""
    rest, at, found = bare(index.synonyms.rewrite(unfill(text))), 0, []
    while at < len(rest):
        word = vocabulary_at(rest, at, index.words, index.longest)
        found += [word] if word else []
        at += max(1, len(word))
    return tuple(dict.fromkeys(found))


def _in_word(text: str, start: int, end: int, index: Index) -> bool:
    first = max(0, start - index.longest)
    words = ((at, vocabulary_at(text, at, index.words, index.longest)) for at in range(first, start + 1))
    return any(at + len(word) >= end and len(word) > end - start for at, word in words)


def _words_in(run: str, index: Index) -> Iterator[tuple[str, str]]:
    """(said, taken) for each goods word of one run of letters, digits or Chinese characters."""
    if run.isascii():
        yield from _ascii_words(run, index)
        return
    at = loose = 0
    while at <= len(run):
        word = vocabulary_at(run, at, index.words, index.longest) if at < len(run) else ""
        if word or at == len(run):
            yield from _loose_words(run[loose:at], index)
            if word:
                yield word, index.shop_word(word)
            at = loose = at + max(len(word), 1)
        else:
            at += 1


def _ascii_words(run: str, index: Index) -> Iterator[tuple[str, str]]:
    pieces = [piece for piece in run.split() if piece not in _SMALL_WORDS]
    whole = "".join(pieces)
    for said in [whole] if len(pieces) == 1 or index.sounds_like(whole) else pieces:
        if taken := index.sounds_like(said):
            yield said, taken
        elif said:
            yield said, said


def _loose_words(run: str, index: Index) -> Iterator[tuple[str, str]]:
    """Words that are not the shop's: small words fall away, what sounds like goods is taken for them."""
    pending = ""
    for token in [*(token for token in segmenter().cut(run) if run), ""]:
        if token and token not in _SMALL_WORDS:
            pending += token
            continue
        if pending:
            yield from _by_sound(pending, index)
        pending = ""


def _by_sound(said: str, index: Index) -> Iterator[tuple[str, str]]:
    if len(said) > 1 and said not in index:
        for length in range(min(len(said), 6), 1, -1):
            for at in range(len(said) - length + 1):
                part = said[at : at + length]
                if taken := index.sounds_like(part):
                    yield part, taken
                    return
    tokens = list(segmenter().cut(said))
    if len(tokens) > 1 and len(tokens[-1]) == 1 and tokens[-1] in index and tokens[-2] not in index:
        tokens[-2:] = [tokens[-2] + tokens[-1]]  # 马蹄糕 is a 糕 that the shop has not
    for token in tokens:
        if len(token) > 1 or token in index:
            yield token, token


def _take_weight(text: str, index: Index) -> tuple[int | None, str]:
    found = _WEIGHT.search(text)
    if not found or vocabulary_at(text, found.start(), index.words, index.longest):
        return None, text
    unit = _GRAMS[found[3]]
    grams = unit // 2 if found[2] else (number(found[1]) or 0) * unit
    return grams + (unit // 2 if found[4] else 0), f"{text[: found.start()]} {text[found.end() :]}"


def _take_count(text: str, index: Index) -> tuple[int | None, str]:
    found = _COUNT.search(text)
    if not found or any(
        vocabulary_at(text, at, index.words, index.longest) for at in range(found.start(), found.end())
    ):
        return None, text
    count = 2 if found[0] == "俩" else number(found[1] or found[2])
    return count or None, f"{text[: found.start()]} {text[found.end() :]}"


def _take_unwanted(text: str, index: Index) -> tuple[tuple[str, ...], str]:
    unwanted: list[str] = []
    rest, at = "", 0
    for found in _NOT.finditer(text):
        if found.start() < at:
            continue
        end = found.end()
        while word := vocabulary_at(text, end, index.words, index.longest):  # 不要花茶和红茶
            unwanted.append(word)
            end += len(word)
            joint = re.match(r"\s?[和跟或与、,]\s?(?!不|只|就)", text[end:])
            if not joint or not vocabulary_at(text, end + joint.end(), index.words, index.longest):
                break
            end += joint.end()
        if end > found.end():
            rest, at = f"{rest}{text[at : found.start()]} ", end
    return tuple(dict.fromkeys(unwanted)), rest + text[at:]
