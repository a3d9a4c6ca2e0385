"""Looks at the pictures that followers have sent as evidence: fetched from the channel, made safe and small."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from bot.channel import Channel, SendFailed
from bot.web.picture import BadPicture, clean_jpeg
from handlers.errands import FetchPicture
from handlers.intents import PictureFetched

AGAIN = ("later", "unknown", "tokens")  # what another try may change


@dataclass(frozen=True)
class Viewer:
    """Performs FetchPicture."""

    channels: Mapping[str, Channel]

    async def perform(self, errand: FetchPicture) -> PictureFetched:
        """The picture, or without one the reason why there is none; raises SendFailed when it is worth another try."""
        try:
            raw = await self.channels[errand.channel].fetch(errand.media_id)
            picture = await asyncio.to_thread(clean_jpeg, raw)
        except SendFailed as failed:
            if failed.reason in AGAIN:
                raise
            return PictureFetched(errand.case, errand.media_id, lost=failed.reason)
        except BadPicture as bad:
            return PictureFetched(errand.case, errand.media_id, lost=bad.reason)
        return PictureFetched(errand.case, errand.media_id, picture.sha256, picture.jpeg, picture.thumb)
