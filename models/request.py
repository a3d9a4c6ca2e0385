"""What a buyer wishes of an order that is packed (改地址, 备注): in the way of the parcel until staff have seen it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, select, text
from sqlalchemy.orm import Mapped, mapped_column

from models import amend
from models.address import Label
from models.amend import Changed, Dearer
from models.base import Base, Glance, Invariant, Refusal, Shelf
from models.figures import Figures
from models.freight import province_of
from models.order import Order
from models.seal import SealedJson

ADDRESS, NOTE = "address", "note"
_OPEN: Any = dict.fromkeys(("sqlite_where", "postgresql_where"), text("seen_at IS NULL"))


class AddressChanged(Refusal):
    """It does not leave before staff have seen where its buyer wants it now. Facts: order, where."""


class NothingAsked(Refusal):
    """Its buyer asks for nothing. Facts: order."""


class ChangeRequest(Base):
    """One wish, readable only with the shop's key; a newer one of its kind takes its place until it is seen."""

    __tablename__ = "change_request"
    __table_args__ = (
        CheckConstraint("kind IN ('address','note')", name="kind_known"),
        CheckConstraint("outcome IN ('','granted','refused')", name="outcome_known"),
        Index("uq_change_request_open", "order_id", "kind", unique=True, **_OPEN),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    kind: Mapped[str]
    said: Mapped[dict[str, Any]] = mapped_column(SealedJson)  # a label's four parts, or {"words": …}
    made: Mapped[datetime]
    seen_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(default="")

    @property
    def words(self) -> str:
        """What is wished, in full: for the packing list."""
        return _words(self.kind, self.said)


def _words(kind: str, said: dict[str, Any]) -> str:
    return Label(**said).one_line() if kind == ADDRESS else str(said["words"])


class Requests(Shelf[ChangeRequest]):
    """The wishes, for the changing path. The order is locked by the caller: it is how wish and parcel take turns."""

    entity = ChangeRequest

    async def unseen(self, order: Order) -> Sequence[ChangeRequest]:
        """What staff have not seen of an order, the address first."""
        found = await self.session.execute(
            select(ChangeRequest)
            .where(ChangeRequest.order_id == order.id, ChangeRequest.seen_at.is_(None))
            .order_by(ChangeRequest.kind, ChangeRequest.id)
            .execution_options(populate_existing=True)
        )
        return found.scalars().all()

    async def to(self, order: Order, label: Label, figures: Figures) -> None:
        """Its buyer wants it elsewhere. Raises NoFreightThere, Dearer: the place itself is not in doubt."""
        more_fen = await amend.freight_to(self.work, order, province_of(label.region), figures) - order.freight_fen
        if more_fen > 0:
            raise Dearer(order=order.no, what="freight", more_fen=more_fen)
        await self._keep(order, ADDRESS, asdict(label))

    async def noted(self, order: Order, words: str) -> None:
        """Its buyer wants this said on the parcel."""
        await self._keep(order, NOTE, {"words": words.strip()[: amend.LONGEST_NOTE]})

    async def _keep(self, order: Order, kind: str, said: dict[str, Any]) -> None:
        before = next((one for one in await self.unseen(order) if one.kind == kind), None)
        if before is None:
            await self.add(ChangeRequest(order_id=order.id, kind=kind, said=said, made=self.work.now, outcome=""))
        else:
            before.said, before.made = said, self.work.now
            await self.session.flush()

    async def in_the_way(self, order: Order) -> None:
        """Raises AddressChanged when the parcel would go where its buyer no longer wants it."""
        where = next((one.words for one in await self.unseen(order) if one.kind == ADDRESS), "")
        if where:
            raise AddressChanged(order=order.no, where=where)

    async def grant(self, order: Order, figures: Figures) -> tuple[Sequence[ChangeRequest], Changed | None]:
        """Its label is opened anew: what was wished stands on it. What was granted, and what that did to the money."""
        wishes, changed = await self.unseen(order), None
        if wishes:
            order.unpack(self.work.now)
        for one in wishes:
            if one.kind == ADDRESS:
                changed = await amend.readdress(
                    self.work, order, Label(**one.said), figures, actor="staff", no_dearer=True
                )
            else:
                await amend.note(self.work, order, str(one.said["words"]), actor="staff")
            one.seen_at, one.outcome = self.work.now, "granted"
        return wishes, changed

    async def refuse(self, order: Order) -> Sequence[ChangeRequest]:
        """It stays as it was. Raises NothingAsked."""
        wishes = await self.over(order)
        if not wishes:
            raise NothingAsked(order=order.no)
        return wishes

    async def over(self, order: Order) -> Sequence[ChangeRequest]:
        """Nothing of it will leave otherwise, or at all: what was wished of its parcel, if anything was."""
        wishes = await self.unseen(order)
        for one in wishes:
            one.seen_at, one.outcome = self.work.now, "refused"
        return wishes


@dataclass(frozen=True)
class Wished:
    """A wish that nobody has seen, for the head of the packing list."""

    no: str
    kind: str
    words: str


class RequestGlance(Glance):
    """The wishes, read only."""

    async def waiting(self, limit: int) -> tuple[list[Wished], int]:
        """Wishes about orders that have not left, oldest first, and how many there are in all."""
        open_ = (ChangeRequest.seen_at.is_(None), Order.state == "paid")
        rows = await self.reader.all(
            select(Order.no, ChangeRequest.kind, ChangeRequest.said)
            .join(Order, Order.id == ChangeRequest.order_id)
            .where(*open_)
            .order_by(ChangeRequest.kind, ChangeRequest.id)
            .limit(limit)
        )
        if len(rows) < limit:
            return [Wished(no, kind, _words(kind, said)) for no, kind, said in rows], len(rows)
        count = await self.reader.one(
            select(func.count())
            .select_from(ChangeRequest)
            .join(Order, Order.id == ChangeRequest.order_id)
            .where(*open_)
        )
        return [Wished(no, kind, _words(kind, said)) for no, kind, said in rows], int(count[0]) if count else 0


INVARIANTS = (
    Invariant(
        "request_seen_before_it_leaves",
        "no parcel leaves while its buyer's other address waits to be seen",
        select(ChangeRequest.id)
        .join(Order, Order.id == ChangeRequest.order_id)
        .where(
            ChangeRequest.kind == ADDRESS, ChangeRequest.seen_at.is_(None), Order.state.in_(["shipped", "completed"])
        ),
    ),
    Invariant(
        "request_seen_with_an_end",
        "a wish that was seen was granted or refused, and no other was",
        select(ChangeRequest.id).where(ChangeRequest.seen_at.is_(None) != (ChangeRequest.outcome == "")),
    ),
)
