"""Coming, coming back, leaving: the card comes first, and nothing is pushed until the person has said yes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from handlers.asking import Intent, unpack
from handlers.intents import (
    Arrive,
    Browse,
    Groups,
    Help,
    Leave,
    ListOrders,
    OpenCard,
    Scan,
    SubscribeNews,
    WelcomeNews,
)
from handlers.replies import Choice, Question, Reply, reply
from handlers.routing import Told, shop
from models.catalog import Catalog
from models.follower import Follower
from models.invite import Scenes
from models.orderglance import OrderGlance, Which
from models.subscription import Subscriptions
from models.talk import Talking

shop.hears("follow", make=lambda told: Arrive(_scene(told)))
shop.hears("scan", make=lambda told: Scan(_scene(told)))
shop.hears("unfollow", make=lambda told: Leave())


def _scene(told: Told) -> str:
    return told.code or (f"#{told.data['scene_id']}" if told.data.get("scene_id") else "")


async def _thing(scene: str, scenes: Scenes) -> Intent | None:
    """What a scene stands for; on a channel that knows only integers, a row maps the integer to the code."""
    if scene.startswith("#"):
        number = scene[1:]
        scene = await scenes.code_of(int(number)) if number.isascii() and number.isdigit() else ""
    found = unpack(scene) if scene else None
    return found if found is not None and not (found.changes and not isinstance(found, OpenCard)) else None


@shop.on()
async def arrive(
    ask: Arrive,
    me: Follower,
    scenes: Scenes,
    catalog: Catalog,
    orders: OrderGlance,
    subs: Subscriptions,
    now: datetime,
) -> Reply | Intent:
    """Somebody follows: by a card, anew, or again."""
    again = me.left_at is not None or me.following
    me.following, me.left_at = True, None
    thing = await _thing(ask.scene, scenes)
    if thing is not None:
        return thing
    if again:
        stopped = await subs.stopped(me.id)
        waiting = len((await orders.page(me.id, Which.UNDER_WAY))[0])
        return reply(
            "follow/back",
            Choice("订单", ListOrders()),
            Choice("商品", Browse()),
            stopped=stopped,
            waiting=waiting,
        )
    me.asked_news_at = now
    hello = reply(
        "follow/welcome",
        Choice("逛逛有什么", Browse()),
        Choice("正在拼的团", Groups()),
        Choice("能做什么", Help()),
        categories=catalog.categories[:4],
    )
    return replace(hello, question=Question(WelcomeNews(), "answer"))


@shop.on()
async def scan(ask: Scan, me: Follower, scenes: Scenes) -> Reply | Intent:
    """Somebody who follows already scans a code: the thing of it, as for somebody new."""
    me.following, me.left_at = True, None
    return await _thing(ask.scene, scenes) or Browse()


@shop.on()
async def welcome_news(ask: WelcomeNews) -> Reply | Intent:
    """要 or 不用 to 上新告诉您?; the yes is the consent, logged with the sentence it answered."""
    return SubscribeNews() if ask.answer == "yes" else reply("follow/no_news")


@shop.on()
async def leave(ask: Leave, me: Follower, subs: Subscriptions, talk: Talking, now: datetime) -> Reply:
    """Unfollowing stops every push at once."""
    me.following, me.left_at = False, now
    await subs.stop_all(me.id, "unfollow")
    talk.question = talk.pending = None
    return reply("desk/silent")
