"""Draws the cards that were promised: a QR code from the channel, the picture, and where it is kept."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import cast

from bot.channel import Channel, SendFailed
from bot.clock import Clock
from bot.web.picture import clean_jpeg
from bot.web.poster import CardFacts, Kind, draw_card
from handlers.errands import DrawCard
from handlers.intents import CardDrawn
from models.invite import INTEGER_SCENES, SCENE_SECONDS

LASTING = 10 * 365 * 24 * 3600  # a code that never ends is asked for again after ten years


@dataclass(frozen=True)
class Easel:
    """Performs DrawCard. `picture_of` gives a kept JPEG by its sha256 (hex), or None."""

    channels: Mapping[str, Channel]
    picture_of: Callable[[str], Awaitable[bytes | None]]
    clock: Clock

    async def perform(self, errand: DrawCard) -> CardDrawn:
        """A code, a picture, an upload. Raises SendFailed when the platform does not take it now: it is tried again.

        Where the account may make no QR codes the card's code is the address of the thing's public page; where it
        may keep no pictures, or the platform shows them by address only, `media_id` is "".
        """
        channel = self.channels[errand.channel]
        scene_url, scene_until = await self._scene(channel, errand)
        jpeg = await self.picture_of(errand.ready) if errand.ready else None
        new = jpeg is None
        if jpeg is None:
            photo = await self.picture_of(errand.picture) if errand.picture else None
            jpeg = await asyncio.to_thread(draw_card, self._facts(errand, scene_url, photo))
        thumb = (await asyncio.to_thread(clean_jpeg, jpeg)).thumb if new else b""
        sha256 = hashlib.sha256(jpeg).hexdigest()
        media_id, good_until = await self._upload(channel, jpeg, errand.card or "card")
        return CardDrawn(
            card=errand.card,
            to=errand.to,
            asked=errand.asked,
            drawn=errand.drawn,
            media_id=media_id,
            good_until=good_until,
            scene_url=scene_url,
            scene_until=scene_until,
            sha256=sha256,
            jpeg=jpeg if new else b"",
            thumb=thumb,
            title=errand.title,
            text=errand.footer,
            link=errand.link,
        )

    async def _scene(self, channel: Channel, errand: DrawCard) -> tuple[str, int]:
        """What the QR code says, and until when (Unix seconds): as it is, or asked for anew."""
        now = self.clock.timestamp()
        if errand.scene_url and (errand.scene_until > now or not errand.scene):
            return errand.scene_url, errand.scene_until
        seconds = LASTING if errand.channel in INTEGER_SCENES else SCENE_SECONDS
        try:
            return await channel.scene_url(errand.scene, seconds), now + seconds
        except SendFailed as failed:
            if failed.reason != "no_right":
                raise
            return errand.link, now + SCENE_SECONDS

    async def _upload(self, channel: Channel, jpeg: bytes, name: str) -> tuple[str, int]:
        try:
            media = await channel.upload(jpeg, f"{name}.jpg")
        except SendFailed as failed:
            if failed.reason != "no_right":
                raise
            return "", 0
        return media.media_id, int(media.good_until.timestamp())

    def _facts(self, errand: DrawCard, scene_url: str, photo: bytes | None) -> CardFacts:
        return CardFacts(
            kind=cast(Kind, errand.kind),
            shop_name=errand.shop_name,
            title=errand.title,
            price_fen=errand.price_fen,
            was_fen=errand.was_fen,
            line=errand.line,
            deadline=errand.deadline,
            initials=errand.initials,
            qr_url=scene_url,
            picture=photo,
            footer=errand.footer,
        )
