"""Amounts as people say them: 80块以下, 一百左右, 百来块, 两三百, taken out of a sentence as bounds in
fen.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from models.words import CHINESE_NUMBER, number

Bounds = tuple[int | None, int | None]  # fen, both ends included; None = open

_N = rf"(?:\d{{1,6}}(?:\.\d{{1,2}})?|{CHINESE_NUMBER}{{1,9}})"
_C = r"(?:块钱|元钱|块|元|圆|rmb|蚊)"
_Y = r"¥?\s?"
_END = r"(?:的|钱)?"
_ONE = "[一二两三四五六七八九]"


def fen(said: str) -> int | None:
    """A price of at most 999,999 yuan (80, 9.9, 八十) in fen; None when it is no number."""
    whole, dot, part = said.strip().partition(".")
    yuan = number(whole)
    if yuan is None or (dot and not (part.isascii() and part.isdigit())):
        return None
    return yuan * 100 + (int((part + "0")[:2]) if dot else 0)


def _about(price: int | None) -> Bounds:
    return (None, None) if price is None else (price * 80 // 100, price * 120 // 100)


def _and_more(price: int | None) -> Bounds:
    """一百多 is 100–199, 八十多 80–89, 150多 150–159: up to the next round number."""
    if price is None or price % 100:
        return price, None
    yuan, step = price // 100, 1
    while yuan and yuan % (step * 10) == 0:
        step *= 10
    return price, price + (step - 1) * 100


def _round_up(found: re.Match[str]) -> Bounds:
    return _and_more(fen(found["n"] or found["m"]))


def _pair(found: re.Match[str]) -> Bounds:
    unit = 100 if found["unit"] == "百" else 10
    low, high = number(found["low"]), number(found["high"])
    if low is None or high is None or high <= low:
        return None, None
    return low * unit * 100, ((high + 1) * unit - 1) * 100


def _between(found: re.Match[str]) -> Bounds:
    low, high = fen(found["low"]), fen(found["high"])
    return (low, high) if low is not None and high is not None and low < high else (None, None)


def _bare_between(found: re.Match[str]) -> Bounds:
    """50到100 without a word for money: prices when they are such that anything costs that."""
    low, high = _between(found)
    return (low, high) if low is not None and low >= 10_00 else (None, None)


def _at_most(found: re.Match[str]) -> Bounds:
    return None, fen(found["n"])


def _at_least(found: re.Match[str]) -> Bounds:
    groups = found.groupdict()
    return fen(groups["n"] or groups.get("m") or ""), None


def _near(found: re.Match[str]) -> Bounds:
    groups = found.groupdict()
    return _about(fen(groups["n"] or groups.get("m") or ""))


def _some(low: int, high: int) -> Callable[[re.Match[str]], Bounds]:
    return lambda _: (low, high)


_AT_MOST = "不要?超过|别超过|最多|至多|低于|少于|小于|不高于|控制在|不到|预算(?:在|是|就)?"
_WITHIN = "以内|以下|之内|之下|封顶|不到|内(?!蒙)|(?:的)?预算"
_AT_LEAST = "超过|高于|大于|不低于|不少于|至少|起码"
_ROUGHLY = "大概|大约|约|差不多"
_TO = "(?:到|至|-|~|—|–)"
_NO_PRICE = "[0-9a-z克毫斤天个盒袋罐枚包号点岁月日年度次人]"
_N_TO_N = rf"(?P<low>{_N})\s?{_C}?\s?(?:{_TO}|和)\s?{_Y}(?P<high>{_N})"
_Rule = Callable[[re.Match[str]], Bounds]
_RULES: tuple[tuple[re.Pattern[str], _Rule], ...] = tuple(
    (re.compile(pattern), rule)
    for pattern, rule in (
        (rf"{_Y}{_N_TO_N}\s?(?:{_C}(?:之间|左右)?|之间|左右)", _between),
        (rf"¥\s?(?P<low>\d{{1,6}})\s?{_TO}\s?¥?\s?(?P<high>\d{{1,6}})", _between),
        (rf"(?<![0-9a-z])(?P<low>{_N})\s?{_TO}\s?(?P<high>{_N})(?!{_NO_PRICE})", _bare_between),
        (rf"(?P<low>{_ONE})(?P<high>{_ONE})(?P<unit>[百十])多?{_C}?(?:左右|上下)?", _pair),
        (rf"几十{_C}", _some(20_00, 99_00)),
        (rf"十几{_C}", _some(11_00, 19_00)),
        (rf"几百{_C}", _some(200_00, 999_00)),
        (rf"(?P<n>{_N})来{_C}{_END}", _near),
        (rf"(?P<n>{_N})多{_C}{_END}|(?P<m>{_ONE}?[百十])多(?!少|种|款|个)", _round_up),
        (rf"预算(?:在|是|就)?\s?{_Y}(?P<n>{_N})\s?{_C}?(?:左右|上下)", _near),
        (rf"(?:{_AT_MOST})\s?{_Y}(?P<n>{_N})\s?{_C}?(?:以内|以下|之内|左右)?", _at_most),
        (rf"{_Y}(?P<n>{_N})\s?{_C}?(?:钱)?\s?(?:{_WITHIN})", _at_most),
        (rf"(?:{_AT_LEAST})\s?{_Y}(?P<n>{_N})\s?{_C}", _at_least),
        (rf"{_Y}(?P<n>{_N})\s?{_C}?(?:钱)?(?:以上|之上|起步|往上)|上(?P<m>[百千]){_C}", _at_least),
        (rf"(?:{_ROUGHLY})?{_Y}(?P<n>{_N})\s?{_C}?(?:钱)?(?:左右|上下|的样子|差不多)", _near),
        (rf"(?:{_ROUGHLY})\s?{_Y}(?P<n>{_N})\s?{_C}(?:钱)?", _near),
        (rf"¥\s?(?P<n>{_N})|(?P<m>{_N})\s?(?:块钱|元|圆|rmb|蚊|块(?=的|$|\s|左右|能|可以|买|有))", _near),
    )
)


def take_price(text: str) -> tuple[Bounds, str]:
    """(lowest and highest price in fen, `plain` text without the words that said it); the first rule
    that fits wins.
    """
    for pattern, rule in _RULES:
        if found := pattern.search(text):
            low, high = rule(found)
            if (low, high) != (None, None):
                return (low, high), f"{text[: found.start()]} {text[found.end() :]}"
    return (None, None), text


def yuan(price_fen: int) -> str:
    """8800 -> 88, 990 -> 9.9: as a price is said in a line of text, without the sign."""
    whole, part = divmod(price_fen, 100)
    return f"{whole}.{part:02d}".rstrip("0") if part else str(whole)
