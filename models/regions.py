"""Where a parcel goes: China's provinces, cities and districts, and an address read from one pasted
line or block.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import Literal

from models.words import fold

_LONGEST = 15  # characters of the longest name worth trying at one place
_WORDS = tomllib.loads((resources.files("models") / "data" / "names.toml").read_text(encoding="utf-8"))
_PEOPLES = "|".join(_WORDS["peoples"])
_SUFFIX = re.compile(rf"(?:(?:{_PEOPLES})*自治[州县区旗]|特别行政区|地区|省|市|盟|区|县|旗)$")
# A short name followed by one of these is the name of a street (西湖大道, 南京路) or the head of
# another name (朝阳区).
_STREET = re.compile(
    r"(?:东|南|西|北|中|一|二|三)?(?:路|街|大道|巷|弄|里|村|桥|公园|广场|大厦|花园|小区|站)|[省市区县州旗]"
)
_SEPARATOR = " -/,，、·.\t　"
_STRAIGHT = ("省直辖县级行政区划", "自治区直辖县级行政区划", "省直辖县", "省直辖", "市辖区")


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of text read as a place; an unknown level is "", `rest` is what follows it."""

    province: str = ""
    city: str = ""
    district: str = ""
    rest: str = ""
    code: str = ""  # the deepest code read: 2, 4 or 6 digits
    levels: int = 0  # how many names were really in the text


class Regions:
    """The table of `data/regions.txt`, looked up by full and by short names."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.names: dict[str, str] = {}  # code -> full name; "" for the city level that is none
        self._codes: dict[int, dict[str, list[str]]] = {2: {}, 4: {}, 6: {}}
        for line in lines:
            if line.startswith("#") or not line.strip():
                continue
            code, _, tail = line.strip().partition(" ")
            name, _, districts = tail.partition(": ")
            self._add(code, "" if name.startswith("-") else name.rstrip(":"))
            for district in districts.split():
                self._add(code + district[:2], district[2:])

    def _add(self, code: str, name: str) -> None:
        self.names[code] = name
        table = self._codes[len(code)]
        for known in {name, short_name(name)} - {""}:
            table.setdefault(known, []).append(code)

    def split(self, text: str) -> Place:
        """Reads the place at the head of `text` (simplified characters); nothing known gives a Place of
        0 levels.
        """
        best = Place(rest=text)
        for place in self._readings(text):
            if (place.levels, -len(place.rest)) > (best.levels, -len(best.rest)):
                best = place
        return best

    def find(self, text: str, within: int = 16) -> tuple[str, Place]:
        """The first place that begins among the first `within` characters: (what stands before it, the
        place).

        Away from the head a single short name counts as nothing: people are called 安吉 and 海宁 too.
        """
        for at in range(min(len(text), within)):
            place = self.split(text[at:])
            if place.levels > 1 or (place.levels == 1 and (at == 0 or self._said_in_full(text[at:], place))):
                return text[:at], place
        return "", Place(rest=text)

    def _said_in_full(self, text: str, place: Place) -> bool:
        name = place.district or place.city or place.province
        return text.startswith(name)

    def _heads(self, text: str, digits: int, under: str, short: bool) -> Iterator[tuple[str, str]]:
        """(code, rest) for every name of this level at the head of text, inside the codes that begin
        with `under`.
        """
        table = self._codes[digits]
        for length in range(min(_LONGEST, len(text)), 1, -1):
            name, rest = text[:length], text[length:]
            for code in table.get(name, ()):
                full = self.names[code] == name
                if code.startswith(under) and (full or (short and not _STREET.match(rest))):
                    yield code, _trim(rest)

    def _readings(self, text: str) -> Iterator[Place]:
        text = _trim(text)
        tops = [*self._heads(text, 2, "", short=True), ("", text)]
        for province, after_province in tops:
            cities = [*self._heads(after_province, 4, province, short=True), ("", after_province)]
            for city, after_city in cities:
                said = bool(province) + bool(city)
                if said:
                    yield self._place(city or province, after_city, said)
                under = city or province
                found = list(self._heads(after_city, 6, under, short=bool(said)))
                if not said and len({code for code, _ in found}) != 1:
                    continue  # 朝阳区 alone is in Beijing and in Changchun: asked, not guessed
                for district, rest in found:
                    yield self._place(district, rest, said + 1)

    def _place(self, code: str, rest: str, levels: int) -> Place:
        province = self.names[code[:2]]
        city = self.names[code[:4]] if len(code) >= 4 else ""
        if len(code) == 2 and province in self._codes[4]:
            city = province  # a municipality counts as both
        return Place(province, city, self.names[code] if len(code) == 6 else "", rest, code, levels)


def short_name(name: str) -> str:
    """杭州市 -> 杭州, 延边朝鲜族自治州 -> 延边; a name that would keep fewer than two characters stays
    whole.
    """
    short = _SUFFIX.sub("", name)
    return short if len(short) >= 2 else name


def _trim(text: str) -> str:
    text = text.lstrip(_SEPARATOR)
    for word in _STRAIGHT:
        text = text.removeprefix(word).lstrip(_SEPARATOR)
    return text


@lru_cache(maxsize=1)
def regions() -> Regions:
    """The table that ships with the shop, read once."""
    source = (resources.files("models") / "data" / "regions.txt").read_text(encoding="utf-8")
    return Regions(iter(source.splitlines()))


# One line, or the block of a shopping app --------------------------------------

Field = Literal["name", "phone", "region", "district", "detail"]


@dataclass(frozen=True, slots=True)
class Address:
    """Who gets a parcel and where; `phone` is 11 ASCII digits, a municipality stands in province and city."""

    name: str = ""
    phone: str = ""
    province: str = ""
    city: str = ""
    district: str = ""
    detail: str = ""

    @property
    def line(self) -> str:
        """The address in one line as it is read back: 张三 13800138000 浙江省杭州市西湖区文三路1号."""
        city = "" if self.city == self.province else self.city
        return " ".join(
            part for part in (self.name, self.phone, self.province + city + self.district + self.detail) if part
        )


@dataclass(frozen=True, slots=True)
class Missing:
    """The first thing that an address lacks, and what was understood so far."""

    field: Field
    known: Address


_PHONE = re.compile(r"(?<![\d.])(?:\+?(?:00)?86[-\s]?)?(1[3-9]\d[-\s]?\d{4}[-\s]?\d{4})(?:[-转]\d{1,5})?(?![\d])")
_POSTCODE = re.compile(r"(?:邮政编码|邮编)\s*:?\s*\d{6}(?!\d)|(?:(?<=[\s,;、。])|^)\d{6}(?=[\s,;、。]|$)")
_LABELS: dict[str, str] = {label: field for field, labels in _WORDS["labels"].items() for label in labels}
_LABEL = re.compile(
    rf"(?:^|(?<=[\s,;、。]))({'|'.join(sorted(_LABELS, key=len, reverse=True))})\s*(?:[::]|是|为|\s|$)\s*",
    re.I,
)
_PHONE_LABEL = re.compile(
    rf"(?:{'|'.join(sorted(_WORDS['labels']['phone'], key=len, reverse=True))})\s*[::是为]?\s*$", re.I
)
_SENT_TO = re.compile(r"^(?:(?:我的|收货|新)?地址|改地址|寄到|寄去|寄给|寄|送到|发到|收)(?:是|为|改成|改为)?[\s::]*")
_OWN_LABEL = re.compile(
    r"^(?:(?:收货|收件|详细)?地址(?:是|为)?|(?:我叫|我是|姓名是?|收货人是?|收件人是?)(?=[^\d]{2,4}$))"
)
_MY_PLACE = re.compile(
    r"我们?的?(?:家里?|公司|单位|办公室|店里|学校|宿舍|爸妈家?|老家)(?:那里|那儿|那边|那)?(?:去|吧)?"
)
_NO_NAME = re.compile(r"[寄送]|能不能|可不可|可以|发票|请问")
_ASKED_ALONG = re.compile(r"[?吗呢]$|(?:什么时候|啥时候|多久|几天).{0,4}$")  # 什么时候能到: said to the shop
_PIECES = re.compile(r"[\s,;、。|/]+")
_HOUSE = re.compile(
    r"\d|[一二三四五六七八九十百]+(?:号|栋|幢|座|楼|室|单元|组|弄|队|层)|自提|驿站|丰巢|菜鸟|村|大厦|学校|大学|中学|小学|医院|宿舍|公司|酒店|宾馆|派出所|政府"
)
_PLACE_WORD = re.compile(
    r"[省市区县镇乡村路街巷弄号栋幢室楼组苑园厦店站]|\d|小区|大道|单元|街道|广场|花园|公寓|驿站|学校|大学|公司"
)
_SURNAMES = "".join(_WORDS["surnames"])
_TAIL_NAME = re.compile(
    r"^(.*(?:号|室|栋|幢|楼|单元|层|座|村|组|\d))"
    rf"((?:[{_SURNAMES}]|{'|'.join(_WORDS['double_surnames'])})[\u4e00-\u9fff]{{1,2}}"
    rf"|[{_SURNAMES}](?:{'|'.join(_WORDS['titles'])}))$"
)
_RECEIVES = re.compile(r"[(（\[]?(?:收|亲启|签收|收件)[)）\]]?$")


def parse_address(text: str, known: Address | None = None) -> Address | Missing:
    """Reads name, phone, province, city, district and house from one line in any order, or from a block
    with labels.

    `known` is what an earlier try understood (`Missing.known`); what is said now fills its gaps. A
    district that occurs
    once in China brings its city and province along. Never raises.
    """
    found: dict[str, str] = {"name": "", "phone": "", "region": "", "detail": ""}
    text = fold(text[:500])
    if phone := _PHONE.search(text):
        found["phone"] = re.sub(r"\D", "", phone[1])
        text = f"{_PHONE_LABEL.sub('', text[: phone.start()])} {text[phone.end() :]}"
    text = _POSTCODE.sub(" ", text)
    loose = _labelled(text, found)
    place = _read_place(found, loose)
    known = known or Address()
    if place.levels == 0 and known.province:  # the rest of an address that was begun before
        place = regions().split(known.province + known.city.removeprefix(known.province) + known.district + place.rest)
    detail = re.sub(r"\s+", "", place.rest)
    if not (place.levels or known.province or _HOUSE.search(detail)):
        detail = ""
    if known.detail and not _HOUSE.search(known.detail) and _HOUSE.match(detail):
        detail = known.detail + detail  # the house, after its street
    if known.detail and (not detail or not _HOUSE.search(detail)):
        detail = known.detail
    address = Address(
        name=found["name"] or known.name,
        phone=found["phone"] or known.phone,
        province=place.province or known.province,
        city=place.city or known.city,
        district=place.district or known.district,
        detail=detail.removeprefix(place.district) if place.district else detail,
    )
    return _whole(address)


def may_begin_address(text: str) -> bool:
    """Whether an address may begin like this: with a place, a phone, a house, somebody's name. A sentence is none."""
    read = parse_address(text)
    known = read.known if isinstance(read, Missing) else read
    if replace(known, name="") != Address():
        return True
    return 0 < len(known.name) <= 2 or known.name.isascii() or (known.name[0] in _SURNAMES and len(known.name) <= 4)


def _whole(address: Address) -> Address | Missing:
    if not address.province:
        return Missing("region", address)
    if not address.district:
        return Missing("district" if address.city else "region", address)
    if not _HOUSE.search(address.detail):
        return Missing("detail", address)
    if not address.phone:
        return Missing("phone", address)
    if not address.name:
        return Missing("name", address)
    return address


def _labelled(text: str, found: dict[str, str]) -> str:
    """Moves what stands behind labels into `found` and gives back what stands before the first one."""
    labels = list(_LABEL.finditer(text))
    if not labels:
        return text
    for label, after in zip(labels, [*labels[1:], None], strict=True):
        field = _LABELS[label[1].lower()]
        value = text[label.end() : after.start() if after else len(text)].strip(" ,;、。:\n")
        if field in found:
            found[field] = f"{found[field]} {value}".strip()
    return text[: labels[0].start()].strip()


def _read_place(found: dict[str, str], loose: str) -> Place:
    """The place of the address; a name that stands loose beside it goes into `found`."""
    table = regions()
    found["name"] = _RECEIVES.sub("", found["name"]).strip()
    line = " ".join(part for part in (found["region"], found["detail"]) if part) or loose
    if found["region"] or found["detail"]:
        if not found["name"] and 0 < len(loose) <= 12 and not _PLACE_WORD.search(loose):
            found["name"] = _RECEIVES.sub("", loose)
        line = line if table.find(line)[1].levels else f"{loose} {line}"
    pieces = [piece for piece in _PIECES.split(_SENT_TO.sub("", line.strip(), count=1)) if piece]
    pieces = [_OWN_LABEL.sub("", piece) for piece in pieces if not _ASKED_ALONG.search(piece)]
    pieces = [piece for piece in pieces if piece and not _MY_PLACE.fullmatch(piece)]
    if not found["name"]:
        pieces = _take_name(pieces, found, table)
    before, place = table.find("".join(pieces))
    if (
        place.levels
        and before
        and not found["name"]
        and len(before) <= 6
        and not (_PLACE_WORD.search(before) or _NO_NAME.search(before))
    ):
        found["name"] = _RECEIVES.sub("", before)
    return place


def _take_name(pieces: list[str], found: dict[str, str], table: Regions) -> list[str]:
    def may_be(piece: str) -> bool:
        return (
            1 <= len(piece) <= 12
            and not piece.isdigit()
            and not _NO_NAME.search(piece)
            and not _PLACE_WORD.search(piece.removesuffix("小店"))
            and (table.split(piece).levels == 0 or (piece[0] in _SURNAMES and len(pieces) > 1 and piece is pieces[0]))
        )

    names = [_RECEIVES.sub("", piece) for piece in pieces]
    order = sorted(
        range(len(pieces)),
        key=lambda i: (names[i][:1] not in _SURNAMES, len(names[i]) > 4, i not in (0, len(pieces) - 1), i),
    )
    for i in order:
        if names[i] and may_be(names[i]):
            found["name"] = names[i]
            return pieces[:i] + pieces[i + 1 :]
    if pieces and (tail := _TAIL_NAME.match(_RECEIVES.sub("", pieces[-1]))):
        found["name"] = tail[2]
        return [*pieces[:-1], tail[1]]
    return pieces
