"""What group-buys are offered: on which spec, for how many, at which price, for how long."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, or_, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Invariant, Refusal, Root, Shelf
from models.figures import GroupFigures
from models.product import touch

PER_FOLLOWER = 2
LONGEST_HOURS = 7 * 24
ON = text("state = 'on'")


class NoOffer(Refusal):
    """No group-buy runs on this product. Facts: product."""


class OfferOdd(Refusal):
    """Figures the shop cannot keep. Facts: field (size, price, hours), low, high (of a price: above it)."""


class Offer(Root):
    """A group-buy offer on one spec. Its figures never change: another offer takes its place."""

    __tablename__ = "group_offer"
    __table_args__ = (
        Index("uq_group_offer_live", "sku_id", unique=True, sqlite_where=ON, postgresql_where=ON),
        CheckConstraint("size BETWEEN 2 AND 10", name="size_sane"),
        CheckConstraint("price_fen > 0 AND price_fen <= 100000000", name="price_sane"),
        CheckConstraint("hours BETWEEN 1 AND 168", name="hours_sane"),
        CheckConstraint("per_follower BETWEEN 1 AND 99", name="limit_sane"),
        CheckConstraint("state IN ('on','off')", name="state_known"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))
    sku_id: Mapped[int] = mapped_column(ForeignKey("sku.id"))
    size: Mapped[int]
    price_fen: Mapped[int]
    hours: Mapped[int] = mapped_column(default=24)
    per_follower: Mapped[int] = mapped_column(default=PER_FOLLOWER)
    state: Mapped[str] = mapped_column(default="on")
    made: Mapped[datetime]
    ended: Mapped[datetime | None]


def offer_sane(size: int, price_fen: int, hours: int, usual_fen: int, figures: GroupFigures) -> None:
    """OfferOdd for figures the shop cannot keep; a group's price is below the spec's own, `usual_fen`."""
    if not figures.min_size <= size <= figures.max_size:
        raise OfferOdd(field="size", low=figures.min_size, high=figures.max_size)
    if not 1 <= hours <= LONGEST_HOURS:
        raise OfferOdd(field="hours", low=1, high=LONGEST_HOURS)
    if not 1 <= price_fen < usual_fen:
        raise OfferOdd(field="price", low=1, high=usual_fen)


class Offers(Shelf[Offer]):
    """What runs, for the changing path."""

    entity = Offer

    async def live(self, sku_id: int) -> Offer | None:
        return await self._one(select(Offer).where(Offer.sku_id == sku_id, Offer.state == "on"))

    async def at(self, sku_id: int, moment: datetime) -> Offer:
        """The offer that ran when an order was made, though it may be over by now; NoOffer when none ran."""
        then = (Offer.made <= moment, or_(Offer.ended.is_(None), Offer.ended > moment))
        newest = select(Offer).where(Offer.sku_id == sku_id, *then).order_by(Offer.id.desc()).limit(1)
        found = await self._one(newest)
        if found is None:
            raise NoOffer(product="")
        return found

    async def of_product(self, product_id: int) -> list[Offer]:
        """The live offers of a product, in the order in which they were made."""
        live = select(Offer).where(Offer.product_id == product_id, Offer.state == "on").order_by(Offer.id)
        return list((await self.session.execute(live)).scalars())

    async def stop(self, sku_id: int, now: datetime) -> bool:
        """End what runs on a spec; groups that exist go on. False when nothing ran."""
        ended = await self.session.execute(
            update(Offer)
            .where(Offer.sku_id == sku_id, Offer.state == "on")
            .values(state="off", ended=now)
            .returning(Offer.product_id)
            .execution_options(synchronize_session=False)
        )
        row = ended.first()
        if row is not None:
            touch(self.work, row.product_id)
        return row is not None

    async def start(self, new: Offer) -> Offer:
        """Put an offer on its spec, in the place of the one that ran."""
        await self.stop(new.sku_id, new.made)
        touch(self.work, new.product_id)
        return await self.add(new)


INVARIANTS: tuple[Invariant, ...] = (
    Invariant(
        "offer_ended_dated",
        "an offer that has ended says when",
        select(Offer.id).where((Offer.state == "off") != Offer.ended.is_not(None)),
    ),
)
