"""How words become an intent: the order of understanding, numbers, pointing words, answers to an open question."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from handlers.asking import Intent, address_begun, remembered, slot_of, unpack
from handlers.grammar import raw_plain
from handlers.routing import Hearing, Told, shop
from models.catalog import Catalog
from models.orderglance import LAST
from models.regions import may_begin_address
from models.staff import Role
from models.talk import Talking
from models.words import asks as asking
from models.words import bare, has_phone, is_no, is_yes, looks_like_address, numeral, plain, unfill

_LAST = "上次那个"
LONGEST_ASKED = 16  # characters of a phrase that is looked for among fillers: what is longer tells something
_ENDS = re.compile(r"(?:\[\w{1,6}\]|[^\w?)\]%])+$")
_ASKS_BACK = re.compile(r"[?吗呢]$|了没有?$|什么时候|啥时候|多少|多久|几[个天点]|到哪|在哪|怎么")
_PICKS = re.compile(r"(?:[那就我要来选拿换个份]|给我)*[最大小]*(.+?)(?:[的吧款]|那[个种款盒罐袋]|就[好行]|可以)*")
_VESSELS = frozenset("盒罐袋包饼瓶箱桶")
# 要大包的, 最便宜的: one of the options by its size or price; 便宜点 alone haggles. 换个口味 names none of them.
_RANKED = re.compile(
    r"(?P<lead>[那就我要来选拿换买成个]|给我)*(?P<most>最)?(?P<rank>[大小]|便宜|实惠|贵)(?:一?[点些])?"
    rf"(?P<vessel>[{''.join(sorted(_VESSELS))}份]?)装?(?P<the>的|那[个种款盒罐袋]|就[好行]|吧)*"
)
_ANOTHER = re.compile(r"[要想我]*[换改](?:一?[个种下])?(?:口味|规格|大小)")
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s?([^\W0-9]{0,2})")
_PRICE = re.compile(r"¥([0-9]+(?:\.[0-9]+)?)")
_IN_GRAMS = {"g": 1, "克": 1, "两": 50, "斤": 500, "kg": 1000, "公斤": 1000, "千克": 1000}
_GLUED = re.compile(r"([A-Z][0-9]{1,5})X([0-9]{1,3})")  # A2x3: the code and how many
_WISHES = re.compile(
    r"^(?:那就?|就)?(?:(?:请|麻烦)?(?:帮我|给我|我?要|我?想要?)(?:一下|下)?)?(?:看看|看一?下|查看|查查|查一?下|打开)?"
)

_ASSENT = re.compile(r"^(?:好[的吧呀啊嘞哒]?|嗯+|行|ok|可以|谢谢)[\s,.。!~]+")  # 好的，买 A11


class Lost(Exception):
    """A number whose list is lost or older than 30 minutes; the list is to be shown again."""

    def __init__(self, listing: Intent | None) -> None:
        super().__init__()
        self.listing = listing


def resolve(told: Told, talk: Talking, now: datetime, catalog: Catalog, *, role: Role, lost: bool = False) -> Intent:
    """What was asked, in the order of understanding of conversation.md.

    `role` decides which staff phrases exist; `lost` says that a newer list may have been shown than `talk` knows.
    Raises Lost for a number whose list is gone. Always finds something: the last resort is the kind "unknown".
    """
    if told.kind in shop.kinds:
        return shop.kinds[told.kind](told)
    if told.kind == "voice" and not told.text.strip():  # what was recognised is words like any others
        return shop.kinds["wordless"](told)
    if told.code:
        coded = unpack(told.code)
        # A tap confirms nothing and changes nothing of the shop's: staff commands are typed.
        if (
            coded is not None
            and coded.role <= role
            and not (told.tapped and coded.changes and coded.role > Role.ANYONE)
        ):
            return coded
    hearing = Hearing(plain(told.text), raw_plain(told.text), talk, now, catalog, role, lost, told.tapped)
    return (
        _phrase(hearing)
        or _unmarked(hearing)
        or _cued(hearing, 0, 100)
        or _answered(hearing)
        or _numbered(hearing)
        or _unfilled(hearing, asks=False)
        or _cued(hearing, 100, 101)
        or _unfilled(hearing, asks=True)
        or _cued(hearing, 101, 1000)
        or shop.kinds["unknown"](told)
    )


def _unmarked(hearing: Hearing) -> Intent | None:
    """退款！, 确认。, 商品[微笑]: a phrase and what keyboards put behind it. A question mark stays: 取消？ asks."""
    said, raw = (_ENDS.sub("", text) for text in (hearing.said, hearing.raw))
    return _phrase(replace(hearing, said=said, raw=raw)) if said and said != hearing.said else None


def _unfilled(hearing: Hearing, *, asks: bool) -> Intent | None:
    """麻烦取消订单, 我要开团, 购物车呢: a phrase among fillers. What `asks` (购物车呢？) changes nothing.

    A yes is none: 麻烦同意 begs the shop for one.
    """
    said = unfill(_ASSENT.sub("", hearing.said))
    if asking(hearing.said) is not asks or len(said) > LONGEST_ASKED:
        return None
    for words in dict.fromkeys((said, _WISHES.sub("", said))):
        found = _phrase(replace(hearing, said=words, raw=words)) if words and words != hearing.said else None
        if found is not None and not (asks and found.changes) and not is_yes(words):
            return found
    return None


def _phrase(hearing: Hearing) -> Intent | None:
    """The most particular phrase that fits; 看这个 is the phrase of what was last on screen."""
    pointed: list[tuple[float, Intent]] = []
    for one, fields in shop.phrases.matching(hearing.said, hearing.raw):
        if one.kind.role > hearing.role or (hearing.tapped and one.kind.changes and one.kind.role > Role.ANYONE):
            continue
        line = next((n for name, slot in one.slots if slot.thing and (n := _line_of(str(fields[name])))), None)
        if line is not None:
            if not one.literals:
                continue  # 第2个 alone is the line itself, whatever it is
            return _in_line(line, one.kind, fields, hearing)
        points = [(name, slot.thing) for name, slot in one.slots if slot.thing and not str(fields[name]).isascii()]
        for name, thing in points:
            fields[name] = LAST if str(fields[name]) == _LAST else hearing.talk.shown(thing, hearing.now)
        if any(fields[name] == LAST and thing != "order" for name, thing in points):
            continue
        for name, slot in one.slots:
            if slot.thing == "product" and "quantity" in one.kind.__dataclass_fields__:
                fields |= _unglued(name, str(fields[name]), hearing.catalog)
        meant = complete(one.kind(**fields), hearing.talk, hearing.now)
        if not points or any(fields[name] == LAST for name, _ in points):
            return pointed[0][1] if pointed else meant
        pointed.append((max(_seen_at(hearing, thing) for _, thing in points), meant))
    return max(pointed, key=lambda pair: pair[0])[1] if pointed else None


def _seen_at(hearing: Hearing, thing: str) -> float:
    return float(hearing.talk.seen[thing][1]) if hearing.talk.shown(thing, hearing.now) else 0.0


def _unglued(name: str, code: str, catalog: Catalog) -> dict[str, object]:
    """买A2x3: three of A2, unless there is a product of that code."""
    found = _GLUED.fullmatch(code) if code not in catalog.goods else None
    return {name: found[1], "quantity": int(found[2])} if found and found[1] in catalog.goods else {}


def _line_of(said: str) -> int | None:
    return None if said.isascii() else numeral(said)


def _in_line(n: int, kind: type[Intent], fields: dict[str, object], hearing: Hearing) -> Intent:
    """买第2个: the verb with what line `n` of the last list names; a line that is the verb itself is taken whole."""
    found = _numbered(hearing, n)
    if found is None:  # nothing was listed: the shop asks which
        return kind()
    if isinstance(found, kind) or found == _beyond(hearing, n):
        return found
    theirs = {name: getattr(found, name, "") for name in fields if _line_of(str(fields[name]))}
    if not (kind.changes or found.changes or any(theirs.values())):  # 看第2个: the line is something else to look at
        return found
    many = getattr(found, "quantity", 0) if "quantity" in kind.__dataclass_fields__ else 0
    wanted = {"quantity": many} if many else {}  # 来两盒龙井, 买第1个
    return kind(**{**wanted, **fields, **theirs})


def complete(intent: Intent, talk: Talking, now: datetime) -> Intent:
    """Fill a code that was left out with the thing last shown within ten minutes (conversation: C2)."""
    for name in type(intent).__dataclass_fields__:
        if getattr(intent, name) == "":
            try:
                slot = slot_of(type(intent), name)
            except TypeError:
                continue
            if slot.thing and (code := talk.shown(slot.thing, now)):
                intent = intent.filled(**{name: code})
    return intent


def _cued(hearing: Hearing, least: int, below: int) -> Intent | None:
    for order, cue in shop.cues:
        if least <= order < below and (found := cue(hearing)) is not None:
            return found
    return None


def _answered(hearing: Hearing) -> Intent | None:
    """The words as the answer to the open question, if they can be one."""
    asked = hearing.talk.asked(hearing.now)
    if asked is None:
        return None
    intent = remembered(asked["intent"])
    if intent is None:
        return None
    said, field_name, options = hearing.said, str(asked["field"]), [str(o) for o in asked["options"]]
    n = numeral(said)
    if is_no(said) and (options or slot_of(type(intent), field_name).name != "yes"):
        return shop.kinds["no"](Told("", "", "", ""))
    if options:
        meant = _option(said, [plain(str(label)) for label in asked.get("labels", [])])
        if meant is not None:
            return intent.filled(**{field_name: options[meant]})
        if n is not None and 1 <= n <= len(options) and not hearing.lost:
            return intent.filled(**{field_name: options[n - 1]})
        return intent if _ranked(said) or _ANOTHER.fullmatch(said) else None  # not told which: it is asked again
    slot = slot_of(type(intent), field_name)
    if slot.name == "address":
        if not _may_be_address(hearing, intent, n):
            return None
    elif slot.rank == 3 and _ASKS_BACK.search(said) and (_cued(hearing, 100, 101) or _unfilled(hearing, asks=True)):
        return None  # 快递到哪了 is no note: a question is still heard
    try:
        return intent.filled(**{field_name: slot.parse(hearing.raw if slot.rank == 3 else said)})
    except ValueError:
        return None


def _may_be_address(hearing: Hearing, asked: Intent, n: int | None) -> bool:
    """It is not guessed out of a number, goods, a question or a sentence: those are still heard. What has a phone and
    a street is one, whatever else is said along (电话, 发顺丰)."""
    if has_phone(hearing.raw) and looks_like_address(hearing.raw):
        return True
    if (
        hearing.said.endswith(("?", "吗"))
        or (n is not None and not (address_begun(asked) and hearing.said.endswith("号")))  # 1号, after 文三路
        or bare(hearing.said) in hearing.catalog.index.words
        or _cued(hearing, 100, 200) is not None
    ):
        return False
    return address_begun(asked) or may_begin_address(hearing.raw)


def _option(said: str, labels: list[str]) -> int | None:
    """The place of the option that is said in its own words, or in a part of them (要大罐的); None for several."""
    if said in labels:
        return labels.index(said)
    n = numeral(said)
    wish = _PICKS.fullmatch(said.replace("克", "g")) if n is None or (n > len(labels) and not said.isdigit()) else None
    for part in (said, wish[1] if wish else ""):
        part = part.replace(" ", "")
        fits = [i for i, label in enumerate(labels) if part in label.replace(" ", "")]
        if len(fits) == 1 and (len(part) > 1 or part in _VESSELS):
            return fits[0]
    ranked = _ranked(said)
    return _extreme(labels, ranked["rank"], ranked["vessel"]) if ranked else None


def _ranked(said: str) -> re.Match[str] | None:
    found = _RANKED.fullmatch(unfill(said))
    named = found is not None and (found["most"] or (found["the"] or "")[:1] in ("的", "那"))
    return found if found and (found["rank"] in "大小" or named) else None  # 给我便宜点 haggles


def _extreme(labels: list[str], rank: str, vessel: str) -> int | None:
    """The one option that is called so (小罐), or the largest, smallest, cheapest, dearest; None for several."""
    among = [i for i, label in enumerate(labels) if vessel in label] or list(range(len(labels)))
    called = [i for i in among if rank in labels[i]]
    if len(called) == 1:
        return called[0]
    sizes = {i: _size(labels[i]) if rank in "大小" else _price(labels[i]) for i in among}
    if len({unit for _, unit in sizes.values()}) != 1:  # pieces and grams are not compared
        return None
    best = (max if rank in "大贵" else min)(sizes.values())
    fits = [i for i, size in sizes.items() if size == best]
    return fits[0] if len(fits) == 1 else None


def _size(label: str) -> tuple[float, str]:
    found = _AMOUNT.search(label.partition("¥")[0])
    if not found:
        return 0, ""
    grams = _IN_GRAMS.get(found[2])
    return (float(found[1]) * grams, "g") if grams else (float(found[1]), found[2])


def _price(label: str) -> tuple[float, str]:
    found = _PRICE.search(label)
    return (float(found[1]), "¥") if found else (0, "")


def _numbered(hearing: Hearing, said: int | None = None) -> Intent | None:
    talk = hearing.talk
    n = numeral(hearing.said) if said is None else said
    if n is None and not hearing.lost:
        n = talk.step(bare(hearing.said), hearing.now)
    if n is None:
        return None
    if hearing.lost or (talk.offered and not talk.fresh(hearing.now)):
        raise Lost(remembered(talk.listing) if talk.listing else None)
    if not talk.offered:
        return None
    line = talk.line(n, hearing.now)
    return remembered(line) if line is not None else _beyond(hearing, n)


def _beyond(hearing: Hearing, n: int) -> Intent:
    return shop.kinds["beyond"](
        Told("", "", "", "", text=hearing.said, data={"n": str(n), "of": str(len(hearing.talk.offered))})
    )
