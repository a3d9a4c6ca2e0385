"""What staff must hear although nobody has asked: the account may not do something that the shop relies on."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from handlers.intents import RightLost
from handlers.replies import Post, Reply, reply
from handlers.routing import shop
from models.figures import Figures
from models.staff import Role, StaffRoom

# What the shop does without, by the call that the platform has refused.
WITHOUT = {
    "message/custom/send": "messages",
    "messages/reply.json": "messages",
    "media/upload": "pictures",
    "qrcode/create": "codes",
    "eps/qrcode/create.json": "codes",
}


@shop.on()
async def right_lost(fact: RightLost, staff: StaffRoom, figures: Figures, post: Post, now: datetime) -> Reply:
    """Owners hear of it once a day; where it is messages that may not be sent, with their next answer."""
    told = reply("alarms/right_lost", channel=fact.channel, without=WITHOUT.get(fact.call, ""), call=fact.call)
    today = now.astimezone(ZoneInfo(figures.zone)).date().isoformat()
    for who in await staff.on_duty(Role.OWNER):
        post.tell(who, told, key=f"right:{fact.channel}:{fact.call}:{today}:{who}")
    return reply("desk/silent")
