"""Puts the demo shop's goods, pictures and offers into an empty database; a second time nothing changes."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import func, insert, select

from bot.clock import Clock
from bot.demo import catalogue
from bot.web.picture import clean_jpeg, sketch
from models import answer
from models.base import Work
from models.groupbuy import Offer
from models.product import Picture, Product, Sku
from models.store import Store


async def seed(store: Store, clock: Clock, size: str = "small", *, pictures: bool = True) -> int:
    """Load the demo catalogue ("small" or "full"); how many products were new. A shop that has goods is left alone."""
    shop = catalogue.load()
    wanted = shop if size == "full" else shop.small()
    async with store.session() as session, session.begin():
        if (await session.execute(select(func.count()).select_from(Product))).scalar_one():
            return 0
    drawn: dict[str, Any] = {}
    if pictures:
        for place, item in enumerate(wanted.products):
            raw = await asyncio.to_thread(sketch, item.name, item.category, place)
            drawn[item.code] = await asyncio.to_thread(clean_jpeg, raw)
    async with store.session() as session, session.begin():
        work = Work(session, clock.now())
        await answer.remember(work, {t: w for t, w in shop.answers.items() if t in answer.TOPICS})
        for item in wanted.products:
            picture = drawn.get(item.code)
            if picture is not None:
                known = await work.one(select(Picture.sha256).where(Picture.sha256 == picture.sha256))
                if known is None:
                    session.add(Picture(sha256=picture.sha256, jpeg=picture.jpeg, thumb=picture.thumb, made=work.now))
            product = Product(
                code=item.code,
                name=item.name,
                line=item.line,
                category=item.category,
                keywords=list(item.keywords),
                unit=item.unit,
                axis=item.axis,
                facts=dict(item.facts),
                promise_hours=item.hours,
                returns=item.returns or None,
                ships=True,
                picture=picture.sha256 if picture is not None else "",
                state="on",
                changed=work.now,
            )
            session.add(product)
            await session.flush()
            await session.execute(
                insert(Sku),
                [
                    {
                        "product_id": product.id,
                        "label": spec.label,
                        "price_fen": spec.price_fen,
                        "was_fen": None,
                        "on_hand": spec.stock,
                        "held": 0,
                        "weight_g": spec.weight_g,
                        "place": place,
                        "version": 1,
                    }
                    for place, spec in enumerate(item.specs)
                ],
            )
            for offer in (o for o in wanted.offers if o.product == item.code):
                sku = await work.one(select(Sku.id).where(Sku.product_id == product.id, Sku.label == offer.spec))
                if sku is not None:
                    session.add(
                        Offer(
                            product_id=product.id,
                            sku_id=sku.id,
                            size=offer.size,
                            price_fen=offer.price_fen,
                            hours=offer.hours,
                            made=work.now,
                        )
                    )
    return len(wanted.products)
