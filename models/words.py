"""What typed words are once case, width, script, fillers and moods no longer matter: folding, numerals,
yes, no, leaving.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import opencc

LONGEST = 2000  # characters that are looked at; nobody types more into a chat box

# Taiwan's phrases first, because C19 wants 軟體 as 软件; text without traditional characters never gets here.
_TAIWAN = opencc.OpenCC("tw2sp")
_PLAIN_CHINESE = opencc.OpenCC("t2s")
# GB 2312 is the set of simplified characters, but for these, which stand for two words and need their
# neighbours.
_TWO_FACED = frozenset("乾矽著菸薹拚捱摺吒後徵夥榘於袷麴醣醯麽")
_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
# Controls, zero-width and bidirectional marks, private use, lone surrogates: never seen, sometimes used
# to hide words.
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs"})
_EMOJI_DRESS = re.compile("[\ufe00-\ufe0f\u20e3\U0001f3fb-\U0001f3ff]")
_MARKS = re.compile(r"[\W_]+")


def plain(text: str) -> str:
    """Folds text for comparison: NFKC, ASCII lower case, simplified characters, nothing invisible,
    single spaces.

    Punctuation stays. At most `LONGEST` characters are read. Never raises.
    """
    if len(text) <= 80:  # what people type; longer texts seldom come twice
        return _plain_cached(text)
    return _fold(text[:LONGEST])


def _fold(text: str) -> str:
    return fold(text).translate(_ASCII_LOWER)


def fold(text: str) -> str:
    """As `plain`, but letters keep their case (A座, Lily): for what will be read back and written on a
    parcel.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    text = unicodedata.normalize("NFKC", _EMOJI_DRESS.sub("", text))
    if not text.isprintable():  # a space is printable; tabs, line ends and everything unseen are not
        text = "".join(" " if c.isspace() else "" if unicodedata.category(c) in _UNSEEN else c for c in text)
    try:
        text.encode("gb2312")
        traditional = not _TWO_FACED.isdisjoint(text)
    except UnicodeEncodeError:
        traditional = True
    if traditional:
        # tw2sp alone would make a port of 蚌埠 and 幺 of a lonely 么.
        text = (_PLAIN_CHINESE if "埠" in text else _TAIWAN).convert(text.replace("么", "麼"))
        text = text.replace("麼", "么").replace("欵", "款")
    return " ".join(text.split())


_plain_cached = lru_cache(maxsize=8192)(_fold)


def bare(text: str) -> str:
    """`plain` without spaces, punctuation and emoji: what is compared with whole cues."""
    return _MARKS.sub("", plain(text))


# Fillers -----------------------------------------------------------------------


def word_lists(name: str) -> dict[str, tuple[str, ...]]:
    """The lists of one file in `models/data`, folded, each sorted with the longest words first."""
    source = (resources.files("models") / "data" / name).read_text(encoding="utf-8")
    return {
        key: tuple(sorted({plain(word) for word in words}, key=lambda word: (-len(word), word)))
        for key, words in tomllib.loads(source).items()
    }


def _any(words: tuple[str, ...]) -> str:
    return "|".join(map(re.escape, words))  # longest first, as `word_lists` sorted them


_FILLERS = word_lists("fillers.toml")
_LEAD = re.compile(
    rf"[\s,.!?;:、。~…—·-]*(?:(?:{_any(_FILLERS['lead'])})|(?:{_any(_FILLERS['lead_alone'])})(?=[\s,.!?;:、。~…]))"
)
_TRAIL = re.compile(rf"(?:{_any(_FILLERS['trail'])})?[\s,.!?;:、。~…—]*$")
_LEAD_MARKS = re.compile(r"^[\s,.!?;:、。~…—·]+")
_TRAIL_MARKS = re.compile(r"[\s,.!?;:、。~…—]+$")
_KEEP = _FILLERS["keep"]
_ENGLISH_LEAD = re.compile(r"[a-z]")


def unfill(text: str) -> str:
    """`plain` without fillers at the front and particles of mood and politeness at the end.

    What consists of nothing else (你好, 嗯, 谢谢) stays as it is, without its punctuation.
    """
    return _unfill_cached(plain(text))


@lru_cache(maxsize=8192)
def _unfill_cached(folded: str) -> str:
    whole = _TRAIL_MARKS.sub("", _LEAD_MARKS.sub("", folded))
    rest = whole
    while (found := _LEAD.match(rest)) and found.end() < len(rest):
        # "hi" is a greeting, "history" is not.
        if _ENGLISH_LEAD.match(rest[found.end() - 1]) and _ENGLISH_LEAD.match(rest[found.end()]):
            break
        shorter = _LEAD_MARKS.sub("", rest[found.end() :])
        if not shorter:
            break
        rest = shorter
    while not rest.endswith(_KEEP):
        found = _TRAIL.search(rest)
        if found is None or found.start() in (0, len(rest)):
            break
        rest = rest[: found.start()]
    return rest or whole


# Numerals ----------------------------------------------------------------------

DIGITS = "零〇一二三四五六七八九"
_DIGIT = {c: n for written in (DIGITS[0] + DIGITS[2:], "〇壹贰叁肆伍陆柒捌玖") for n, c in enumerate(written)}
_DIGIT["两"] = 2
_UNIT = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000, "万": 10000}
_TENS = str.maketrans({"廿": "二十", "卅": "三十"})
CHINESE_NUMBER = "[〇零一二两三四五六七八九十百千万壹贰叁肆伍陆柒捌玖拾佰仟廿卅]"
MEASURES = "盒罐袋包饼件份个提条瓶箱桶块支只套组串颗枚样款听筒板对本张"
_NUMERAL = rf"(?:[0-9]{{1,6}}|{CHINESE_NUMBER}{{1,9}})"
_ASK = r"(?:我?(?:要|选|看|点|买|就要|就|来|想要|想看|挑)\s?)?"
_LINE = re.compile(
    rf"{_ASK}(?:第\s?({_NUMERAL})\s?(?:个|号|款|行|条|项|种|样|件|盒|罐|袋|包|饼|份|瓶)?|({_NUMERAL})\s?号|[(\[【<]?({_NUMERAL})[)\]】>.、。,]?|no\.?\s?([0-9]{{1,6}}))"
    r"(?:的|吧|那个|这个|怎么样|咋样|好不好|好吗|呢)*"
)
_QUANTITY = re.compile(
    rf"(?:我?(?:再|先|就|一共|总共|共)?(?:来|要|买|给我|拿|加|下单|拍|下|订)?(?:个)?\s?)?"
    rf"(?:[x×*✕]\s?({_NUMERAL})|({_NUMERAL})\s?([{MEASURES}])|(俩|仨))(?:的|吧|就行|就好|就够了|够了)*"
)
_COUNTED = re.compile(r"(.+?)(\s[^\s]+|\s?[x×*✕]\s?[0-9]{1,3})", re.IGNORECASE)
_CIRCLED = {ord(c): str(n) for start in "❶➀➊" for n, c in enumerate((chr(ord(start) + i) for i in range(10)), 1)}


def number(text: str) -> int | None:
    """A number written with ASCII digits (at most 6) or in Chinese (三十二, 两百五, 一千零八, 一二);
    else None.
    """
    if not text:
        return None
    if text.isascii():
        return int(text) if text.isdigit() and len(text) <= 6 else None
    text = text.translate(_TENS)
    if len(text) > 12 or any(c not in _DIGIT and c not in _UNIT for c in text):
        return None
    if all(c in _DIGIT for c in text):
        return int("".join(str(_DIGIT[c]) for c in text)) if len(text) <= 6 else None
    total, section, digit, unit, zero = 0, 0, None, 1, False
    for c in text:
        if c in _DIGIT:
            if digit not in (None, 0):
                return None
            digit, zero = _DIGIT[c], zero or _DIGIT[c] == 0
            continue
        step = _UNIT[c]
        if step == 10000:
            total, section = (total + section + (digit or 0)) * step, 0
        else:
            section += (1 if digit is None else digit) * step
        digit, unit, zero = None, step, False
    if digit:
        section += digit * (unit // 10 if unit >= 100 and not zero else 1)  # 两百五 is 250, 两百零五 is 205
    return total + section


def numeral(text: str) -> int | None:
    """The line a person points at: 2, ２, ②, 二, 2号, 第2个, (2), 要第二个; None for anything else,
    also for 2盒.
    """
    found = _LINE.fullmatch(unfill(text.translate(_CIRCLED)) if len(text) <= 24 else "")
    return number(next((group for group in found.groups() if group), "")) if found else None


def quantity(text: str) -> int | None:
    """How many pieces: 3盒, 两份, 俩, x3, ×3, 来3份; None for a bare number (that is a line), for
    weights and for 0.
    """
    found = _QUANTITY.fullmatch(unfill(text) if len(text) <= 24 else "")
    if not found:
        return None
    if found[4]:
        return 2 if found[4] == "俩" else 3
    return number(found[1] or found[2]) or None


def counted(text: str) -> tuple[str, int | None]:
    """What is wanted and how many of it: 50g 罐装 x2 -> ("50g 罐装", 2), 两盒 -> ("", 2), 10 小泡 -> ("10 小泡", None).

    None where no number of pieces is said; then the words stay whole.
    """
    if (whole := quantity(text)) is not None:
        return "", whole
    found = _COUNTED.fullmatch(text.strip())
    many = quantity(found[2]) if found else None
    return (found[1].strip(), many) if found and many else (text, None)


# Dictionaries that are large: read by whoever first needs them, because most commands never do --------------------


@cache
def segmenter() -> Any:
    """rjieba, which cuts a sentence into words."""
    import rjieba

    return rjieba


@cache
def _pypinyin() -> Any:
    import pypinyin

    return pypinyin


# Sounds ------------------------------------------------------------------------


@lru_cache(maxsize=16384)
def pinyin(text: str) -> str:
    """Toneless pinyin in one piece (龙井 -> longjing, 绿茶 -> lvcha); ASCII letters and digits stay,
    all else goes.
    """
    return "".join(c for c in "".join(_pypinyin().lazy_pinyin(bare(text))) if c.isascii() and c.isalnum())


@lru_cache(maxsize=16384)
def initials(text: str) -> str:
    """First letters of the syllables (龙井 -> lj, 碧螺春 -> blc); ASCII letters and digits stay."""
    sounds = _pypinyin()
    letters = "".join(sounds.lazy_pinyin(bare(text), style=sounds.Style.FIRST_LETTER))
    return "".join(c for c in letters if c.isascii() and c.isalnum())


def one_edit(a: str, b: str) -> bool:
    """At most one letter was missed, added, changed, or two neighbours swapped."""
    if a == b:
        return True
    if len(a) > len(b):
        a, b = b, a
    if len(b) - len(a) > 1:
        return False
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    if len(a) < len(b):
        return a[at:] == b[at + 1 :]
    return a[at + 1 :] == b[at + 1 :] or (a[at : at + 2] == b[at : at + 2][::-1] and a[at + 2 :] == b[at + 2 :])


# Yes and no --------------------------------------------------------------------

_ANSWERS = word_lists("answers.toml")
_YES, _NO = frozenset(_ANSWERS["yes"]), frozenset(_ANSWERS["no"])
_ASKED_BACK = re.compile(r"(?:[吗么]\W*|\?\s*)$")
_NO_CHAIN = re.compile(f"(?:{_any(tuple(word for word in _ANSWERS['no'] if not word.isascii()))})+")
_NO_FIRST = re.compile("(?:那|还是)?算了(?!.*[要买就来换改退继留])[^?吗么]{0,8}")  # 算了我再看看
_EMOJI_ONLY = re.compile(r"[^\w\s]+")


def _said(text: str, words: frozenset[str]) -> bool:
    folded = plain(text) if len(text) <= 24 else ""
    if not folded or _ASKED_BACK.search(folded):  # 可以吗 is a question, not a yes
        return False
    tries = {folded, bare(text), bare(unfill(text)), folded[:1] if _EMOJI_ONLY.fullmatch(folded) else folded}
    tries |= {
        word[: len(word) // n]
        for word in tuple(tries)
        for n in (2, 3, 4)
        if word and word == word[: len(word) // n] * n
    }
    return not tries.isdisjoint(words)


def is_yes(text: str) -> bool:
    """好, 嗯, 行, 对, 要, OK, 👌 and what is close to them; meant for an open question only."""
    return _said(text, _YES) and not _said(text, _NO)


def is_no(text: str) -> bool:
    """不, 不用, 算了, 别 and what is close to them, also several (算了不换了); meant for an open question only, and
    never cancels an order.
    """
    words = "" if len(text) > 24 or _ASKED_BACK.search(plain(text)) else bare(unfill(text))
    return _said(text, _NO) or bool(_NO_CHAIN.fullmatch(words)) or bool(_NO_FIRST.fullmatch(words))


# Phones and addresses: never searched, never logged in clear, never counted as a question that failed
# -------------

_MOBILE = re.compile(r"(?<![\d.])(?:\+?(?:00)?86[-\s]?)?1[3-9]\d[-\s]?\d{4}[-\s]?\d{4}(?!\d)")
_LANDLINE = re.compile(r"(?<!\d)0\d{2,3}[-\s]\d{7,8}(?!\d)")
_HOUSE_NUMBER = rf"(?:\d{{1,5}}|{CHINESE_NUMBER}{{1,4}})\s?-?\d{{0,4}}\s?(?:号|栋|幢|弄|室|单元|楼|座|组|层|期)"
_STREET = r"(?:路|街|街道|大道|巷|弄|里|村|镇|乡|小区|社区|苑|园|大厦|广场|花园|公寓|新村|家属院|院)"
_REGION = r"(?:省|自治区|市|区|县|州|旗)"
_ADDRESS = re.compile(
    rf"{_STREET}[^。!?]{{0,16}}?{_HOUSE_NUMBER}"
    rf"|[\u4e00-\u9fff]{{2,}}(?:省|自治区)[\u4e00-\u9fff]{{2,}}(?:市|州|盟|地区)"
    rf"|[\u4e00-\u9fff]{{2,}}市[\u4e00-\u9fff]{{1,}}(?:区|县)[^。!?]{{0,16}}{_STREET}"
    rf"|{_REGION}[\u4e00-\u9fff]{{1,}}{_STREET}[^。!?]{{0,16}}\d"
)


_ASKS = re.compile(r"[?？吗么呢嘛]")


def asks(text: str) -> bool:
    """Whether a sentence asks (删掉了吗, 取消订单？): what asks changes nothing."""
    return _ASKS.search(text) is not None


def has_phone(text: str) -> bool:
    """A Chinese mobile number (also with +86, spaces, dashes) or a land line stands in the text."""
    folded = plain(text)
    return bool(_MOBILE.search(folded) or _LANDLINE.search(folded))


def looks_like_address(text: str) -> bool:
    """A street with a house number, or a chain of province, city, district and street stands in the text."""
    return bool(_ADDRESS.search(plain(text)))


# Leaving -----------------------------------------------------------------------

_LEAVING = word_lists("leaving.toml")
_NOT_EXIT = re.compile(rf"退[订定](?=单(?![丛枞株]))|{_any(tuple(bare(w) for w in _LEAVING['not_exit']))}")
_ALONE = frozenset(bare(word) for word in _LEAVING["alone"])
_VERB = re.compile(rf"(?:{_any(tuple(bare(w) for w in _LEAVING['verbs']))})(?!荐)")
# In a cue * stands for up to four characters: 别*发消息 is also 别再给我发消息.
_CUES = re.compile(
    "(?:"
    + "|".join(".{0,4}".join(re.escape(bare(part)) for part in w.split("*")) for w in _LEAVING["cues"])
    + ")(?!荐)"
)
_EMPTY = re.compile(rf"(?:{_any(tuple(bare(w) for w in _LEAVING['empty']))}|(?:{_any(_FILLERS['lead'])}))*")
_EMPTY_EDGE = tuple(word for word in (bare(w) for w in _LEAVING["empty"]) if len(word) > 1 or word in "的了吧呢吗啊呀")


def leaving(text: str) -> str | None:
    """The goods one wants no more news of (退订 龙井 -> "龙井"), "" for all of them, None when it is no
    exit at all.

    Any wording of "stop sending" is an exit, and doubt is decided for silence: what stands beside the
    verb and cannot
    be goods leaves all. 取消, 退款 and 退订单 are about an order and no exit.
    """
    said = bare(text)
    if said in _ALONE or bare(unfill(text)) in _ALONE:
        return ""
    said = _NOT_EXIT.sub("", said)
    if found := _VERB.search(said):
        sides = [_goods_beside(said[: found.start()]), _goods_beside(said[found.end() :])]
        named = [side for side in sides if side]
        return named[0] if len(named) == 1 and len(named[0]) <= 12 else ""
    return "" if _CUES.search(said) else None


def _goods_beside(said: str) -> str:
    if _EMPTY.fullmatch(said):
        return ""
    said = said.removeprefix("把")
    while edge := next((w for w in _EMPTY_EDGE if said.startswith(w) or said.endswith(w)), ""):
        said = said.removeprefix(edge) if said.startswith(edge) else said.removesuffix(edge)
    return said
