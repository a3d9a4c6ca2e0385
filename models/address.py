"""Where a follower's parcels go: name, phone and place, sealed, in a book of up to five with names (家, 公司, 爸妈)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint, bindparam, select
from sqlalchemy.orm import Mapped, mapped_column

from models import regions
from models.base import Base, Glance, Invariant, Refusal, Shelf
from models.ready import Ready
from models.regions import Missing, parse_address
from models.seal import Sealed
from models.words import is_no, is_yes

MOST = 5
# What people call their places, and under which name a place is kept.
TITLES = {
    "家": "家",
    "家里": "家",
    "公司": "公司",
    "单位": "公司",
    "办公室": "公司",
    "店里": "店里",
    "学校": "学校",
    "宿舍": "宿舍",
    "爸妈": "爸妈",
    "爸妈家": "爸妈",
    "父母": "爸妈",
    "老家": "老家",
    "朋友": "朋友",
}
BOOK = "book:"  # what stands for an address of the book, by its number: book:2
PIECES = "\x1f"  # between what was said first and what was said when asked for the rest; nobody can type it
_TITLED = re.compile(
    rf"\s*(?:[寄送发][到去给往]?我?)?({'|'.join(sorted(TITLES, key=len, reverse=True))})(?:的?地址)?(?:是|为)?[\s::,]+"
)
_CALLED = re.compile(r"^(?:我叫|我是|叫|姓名是?|名字是?|收货人是?)[\s:,]*")


class AddressUnclear(Refusal):
    """Something is missing. Facts: field (name, phone, region, district, detail), known (what is understood)."""


class BookFull(Refusal):
    """Five addresses are kept already. Facts: most."""


class NoSuchAddress(Refusal):
    """The book has no address of this number or name. Facts: which, count."""


@dataclass(frozen=True)
class Label:
    """What stands on a parcel; `phone` is 11 ASCII digits, `region` province, city and district in one."""

    name: str
    phone: str
    region: str
    detail: str

    def one_line(self) -> str:
        """In full: only in the answer that answers its typing, on the packing list and on the parcel."""
        return f"{self.name} {self.phone} {self.region}{self.detail}"

    def masked(self) -> str:
        """张* 138****8000 浙江省杭州市西湖区***: everywhere else."""
        stars = "*" * max(1, len(self.name) - 1)
        return f"{self.name[:1]}{stars} {self.phone[:3]}****{self.phone[-4:]} {self.region}***"


class Address(Base):
    """One address of one follower; personal data, readable only with the shop's key."""

    __tablename__ = "address"
    __table_args__ = (
        UniqueConstraint("follower_id", "n"),
        CheckConstraint("n >= 1 AND n <= 5", name="place_in_book"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    follower_id: Mapped[int] = mapped_column(ForeignKey("follower.id"))
    n: Mapped[int]  # its place in the book, without gaps
    title: Mapped[str] = mapped_column(default="")  # 家, 公司 …; one of TITLES
    name: Mapped[str] = mapped_column(Sealed)
    phone: Mapped[str] = mapped_column(Sealed)
    region: Mapped[str] = mapped_column(Sealed)
    detail: Mapped[str] = mapped_column(Sealed)
    changed: Mapped[datetime]
    used: Mapped[datetime]  # when it was last meant: the newest is where orders go unless another is named

    @property
    def label(self) -> Label:
        return Label(self.name, self.phone, self.region, self.detail)

    @property
    def receiver(self) -> str:
        """The name, as an order calls it."""
        return self.name

    def one_line(self) -> str:
        """The address in full: 张三 13800138000 浙江省杭州市西湖区文三路1号."""
        return self.label.one_line()

    def masked(self) -> str:
        """The address as it may be shown later."""
        return self.label.masked()


def titled(said: str) -> tuple[str, str]:
    """公司 张三 138… → (公司, 张三 138…); ("", the same words) when no place is named."""
    found = _TITLED.match(said)
    return (TITLES[found[1]], said[found.end() :]) if found else ("", said)


def read_label(said: str, who: Label | None = None) -> Label:
    """The label in the words; pieces said one after another are joined by `PIECES`, the later fill the gaps.

    `who` gets it where nothing but a place is said. Raises AddressUnclear with the first thing that is missing.
    """
    first, *later = said.split(PIECES)
    read = parse_address(first)
    for piece in later:
        if isinstance(read, Missing):
            read = _with_piece(read, piece)
    if isinstance(read, Missing) and read.field == "phone" and not read.known.name and who is not None:
        read = replace(read.known, name=who.name, phone=who.phone)
    if isinstance(read, Missing):
        raise AddressUnclear(field=read.field, known=read.known.line)
    city = "" if read.city == read.province else read.city
    return Label(read.name, read.phone, f"{read.province}{city}{read.district}", read.detail)


def _with_piece(before: Missing, piece: str) -> Missing | regions.Address:
    """What is known once this was said, too; words that do not tell what was asked for change nothing."""
    alone = parse_address(piece)
    if not isinstance(alone, Missing):
        return alone  # the whole address was said again
    if before.field == "name":
        piece = _CALLED.sub("", piece.strip())
        if is_yes(piece) or is_no(piece):
            return before
    after = parse_address(piece, before.known)
    known = after.known if isinstance(after, Missing) else after
    if before.field != "name":
        known = replace(known, name=before.known.name or known.name)
        if replace(known, name="") == replace(before.known, name="") and not _CALLED.match(piece.strip()):
            return before  # 等一下 is nobody's name
    if isinstance(after, Missing) and after.field == "district" and known.detail:
        # 浙江杭州 after 西湖区文三路1号: now it is known whose 西湖区 that is
        return parse_address(f"{known.province}{known.city.removeprefix(known.province)}{known.detail}", known)
    return replace(after, known=known) if isinstance(after, Missing) else known


class Addresses(Shelf[Address]):
    """The address books, for the changing path; every look names its owner."""

    entity = Address

    async def book(self, follower_id: int) -> list[Address]:
        """All that this person keeps, by place."""
        found = await self.session.execute(
            select(Address)
            .where(Address.follower_id == follower_id)
            .order_by(Address.n)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        return list(found.scalars())

    async def count(self, follower_id: int) -> int:
        """How many places this person keeps."""
        return len(await self.book(follower_id))

    async def of(self, follower_id: int) -> Address | None:
        """Where this follower's parcels go, None when nobody has said."""
        return max(await self.book(follower_id), key=_meant, default=None)

    async def remember(self, follower_id: int, line: str, now: datetime, *, squeeze: bool = False) -> Address:
        """Read the address in `line` (see `titled`, `read_label`) and keep it; orders go there from now on.

        A place of the same name, or the very same place, is written over; a full book raises BookFull, or with
        `squeeze` gives up the unnamed address that was meant longest ago (else the one meant longest ago).
        Raises AddressUnclear.
        """
        title, rest = titled(line)
        label = read_label(rest)
        book = await self.book(follower_id)
        found = next((a for a in book if title and a.title == title), None)
        found = found or next((a for a in book if a.label == label and (not title or not a.title)), None)
        if found is None and len(book) >= MOST:
            if not squeeze:
                raise BookFull(most=MOST)
            found = min(book, key=lambda a: (a.title != "", _meant(a)))
            found.title = ""
        if found is None:
            found = Address(follower_id=follower_id, n=len(book) + 1, title="")
            self.session.add(found)
        found.title = title or found.title
        found.name, found.phone = label.name, label.phone
        found.region, found.detail = label.region, label.detail
        found.changed, found.used = now, _newest(book, now)
        await self.session.flush()
        return found

    async def one(self, follower_id: int, which: int | str) -> Address:
        """A place of the book (number or name), for one order: the others go where they went. Raises NoSuchAddress."""
        return self._named(await self.book(follower_id), which)

    async def mean(self, follower_id: int, which: int | str, now: datetime) -> Address:
        """Orders go to this place (number or name) from now on. Raises NoSuchAddress."""
        book = await self.book(follower_id)
        found = self._named(book, which)
        found.used = _newest(book, now)
        await self.session.flush()
        return found

    async def forget(self, follower_id: int, which: int) -> Address:
        """Strike one out; those behind it move up. Raises NoSuchAddress."""
        book = await self.book(follower_id)
        found = self._named(book, which)
        await self.session.delete(found)
        await self.session.flush()
        for address in book:
            if address.n > found.n:
                address.n -= 1
                await self.session.flush()  # one after the other: no two ever share a place
        return found

    def _named(self, book: list[Address], which: int | str) -> Address:
        for address in book:
            if which in (address.n, address.title) and which:
                return address
        raise NoSuchAddress(which=which, count=len(book))


def _newest(book: list[Address], now: datetime) -> datetime:
    """A moment after every other, however fast somebody changes their mind."""
    return max([now, *(a.used + timedelta(microseconds=1) for a in book)])


def _meant(address: Address) -> tuple[datetime, int]:
    return address.used, address.n


@dataclass(frozen=True)
class Kept:
    """One address of the book as its owner sees it; `first`: orders go there."""

    n: int
    title: str
    label: Label
    first: bool


_MEANT = Ready(
    select(Address.name, Address.phone, Address.region, Address.detail)
    .where(Address.follower_id == bindparam("follower"))
    .order_by(Address.used.desc(), Address.n.desc())
    .limit(1)
)


class AddressGlance(Glance):
    """Where one's own parcels go, read only."""

    async def book(self, follower_id: int) -> list[Kept]:
        """All that this person keeps, by place."""
        rows = await self.reader.all(
            select(Address.n, Address.title, Address.used, Address.name, Address.phone, Address.region, Address.detail)
            .where(Address.follower_id == follower_id)
            .order_by(Address.n)
        )
        first = max(rows, key=lambda row: (row.used, row.n), default=None)
        return [Kept(row.n, row.title, Label(*row[3:]), row is first) for row in rows]

    async def of(self, follower_id: int) -> Label | None:
        """Where this follower's parcels go, None when nobody has said."""
        row = await self.reader.first(_MEANT, {"follower": follower_id})
        return Label(**row) if row is not None else None


INVARIANTS = (
    Invariant(
        "address_in_book",
        "an address has one of five places in its owner's book",
        select(Address.id).where((Address.n < 1) | (Address.n > MOST)),
    ),
)
