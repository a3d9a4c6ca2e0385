"""Carriers: what people call them, and by which numbers their parcels are known."""

from __future__ import annotations

import re

from models.base import ORDER_NO, Invariant
from models.words import has_phone

# (name, other names, pattern of its parcel numbers); digits alone fit several carriers, and then the clerk is asked.
CARRIERS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("顺丰", ("顺丰速运", "顺丰快递", "sf"), r"SF[0-9]{3,15}|[0-9]{12}"),
    ("京东", ("京东快递", "京东物流", "jd"), r"JD[0-9A-Z]{5,20}"),
    ("圆通", ("圆通速递", "圆通快递", "yto"), r"YT[0-9]{5,15}|[0-9]{12}"),
    ("中通", ("中通快递", "zto"), r"(?:ZTO?|7[0-9])[0-9]{10,13}"),
    ("申通", ("申通快递", "sto"), r"(?:STO?)[0-9]{6,15}|(?:77|88)[0-9]{11,13}"),
    ("韵达", ("韵达快递", "yunda"), r"(?:YD)[0-9]{6,15}|(?:31|43|46)[0-9]{11,13}"),
    ("极兔", ("极兔速递", "jt"), r"JT[0-9]{5,15}"),
    ("德邦", ("德邦快递", "德邦物流"), r"DP[A-Z]?[0-9]{6,15}"),
    ("邮政", ("中国邮政", "邮政快递", "ems"), r"[A-Z]{2}[0-9]{9}CN|(?:98|99|10|11)[0-9]{11}"),
)
NAMES = tuple(name for name, _, _ in CARRIERS)
_CALLED = {word: name for name, others, _ in CARRIERS for word in (name, *others)}
WORDS = tuple(sorted(_CALLED, key=len, reverse=True))
# An order's number may hold six digits in a row, too.
_AMONG = re.compile(
    rf"(?<![0-9a-z])(?!{ORDER_NO})(?=[0-9a-z-]*[0-9]{{6}})[a-z]{{0,4}}[0-9][0-9a-z-]{{7,24}}(?![0-9a-z])"
)


def named(word: str) -> str:
    """The carrier that is called so, or ""."""
    return _CALLED.get(word.strip().lower(), "")


def of_number(tracking: str) -> list[str]:
    """The carriers whose numbers look like this one."""
    return [name for name, _, pattern in CARRIERS if re.fullmatch(pattern, tracking)]


def spotted(said: str) -> tuple[str, str, str] | None:
    """Carrier ("" where none is named), parcel number and the other words of plain words that hold one."""
    found = None if has_phone(said) else _AMONG.search(said)
    if found is None:
        return None
    rest = f"{said[: found.start()]} {said[found.end() :]}"
    word = next((word for word in WORDS if _says(rest, word)), "")
    return named(word), found[0].upper(), rest.replace(word, "")


def _says(words: str, word: str) -> bool:
    """Whether a carrier is named there: K7SF2345 names none."""
    return re.search(rf"(?<![0-9a-z]){word}(?![0-9a-z])" if word.isascii() else word, words) is not None


INVARIANTS: tuple[Invariant, ...] = ()
