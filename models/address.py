"""Where a follower's parcels go: name, phone and place, sealed, one address a person for now."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint, select
from sqlalchemy.orm import Mapped, mapped_column

from models import regions
from models.base import Base, Glance, Invariant, Refusal, Shelf
from models.regions import Missing, parse_address
from models.seal import Sealed
from models.words import is_no, is_yes

FIRST = 1  # the address that an order takes when nothing else was said
MOST = 5
PIECES = "\n"  # between what was said first and what was said when asked for the rest
_CALLED = re.compile(r"^(?:我叫|我是|叫|姓名是?|名字是?|收货人是?)[\s:,]*")


class AddressUnclear(Refusal):
    """Something is missing. Facts: field (name, phone, region, district, detail), known (what is understood)."""


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
    n: Mapped[int] = mapped_column(default=FIRST)  # its place in the book
    name: Mapped[str] = mapped_column(Sealed)
    phone: Mapped[str] = mapped_column(Sealed)
    region: Mapped[str] = mapped_column(Sealed)
    detail: Mapped[str] = mapped_column(Sealed)
    changed: Mapped[datetime]

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


def read_label(said: str) -> Label:
    """The label in the words; pieces said one after another are joined by `PIECES`, the later fill the gaps.

    Raises AddressUnclear with the first thing that is missing.
    """
    first, *later = said.split(PIECES)
    read = parse_address(first)
    for piece in later:
        if isinstance(read, Missing):
            read = _with_piece(read, piece)
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
        if replace(known, name="") == replace(before.known, name=""):
            return before  # 等一下 is nobody's name
    if isinstance(after, Missing) and after.field == "district" and known.detail:
        # 浙江杭州 after 西湖区文三路1号: now it is known whose 西湖区 that is
        return parse_address(f"{known.province}{known.city.removeprefix(known.province)}{known.detail}", known)
    return replace(after, known=known) if isinstance(after, Missing) else known


class Addresses(Shelf[Address]):
    """The address books, for the changing path; every look names its owner."""

    entity = Address

    async def of(self, follower_id: int) -> Address | None:
        """Where this follower's parcels go, None when nobody has said."""
        return await self._one(select(Address).where(Address.follower_id == follower_id, Address.n == FIRST))

    async def remember(self, follower_id: int, line: str, now: datetime) -> Address:
        """Read the address in `line` (see `read_label`) and keep it in place of the old one.

        Raises AddressUnclear.
        """
        label = read_label(line)
        found = await self._one(
            select(Address).where(Address.follower_id == follower_id, Address.n == FIRST), hold=True
        )
        if found is None:
            found = Address(follower_id=follower_id, n=FIRST)
            self.session.add(found)
        found.name, found.phone = label.name, label.phone
        found.region, found.detail = label.region, label.detail
        found.changed = now
        await self.session.flush()
        return found


def _of(follower_id: int) -> Any:
    return select(Address.name, Address.phone, Address.region, Address.detail).where(
        Address.follower_id == follower_id, Address.n == FIRST
    )


class AddressGlance(Glance):
    """Where one's own parcels go, read only."""

    async def of(self, follower_id: int) -> Label | None:
        row = await self.reader.one(_of(follower_id))
        return Label(row.name, row.phone, row.region, row.detail) if row is not None else None


INVARIANTS = (
    Invariant(
        "address_in_book",
        "an address has one of five places in its owner's book",
        select(Address.id).where((Address.n < 1) | (Address.n > MOST)),
    ),
)
