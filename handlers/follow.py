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
    ShowGroup,
    ShowOrder,
    ShowProduct,
    SubscribeNews,
    Wanted,
    WelcomeNews,
)
from handlers.replies import Choice, Post, Question, Reply, listing, reply
from handlers.routing import Hearing, Told, shop
from models.catalog import Catalog
from models.follower import Follower, Followers
from models.invite import Scenes
from models.order import OrderPaid
from models.orderglance import OrderGlance
from models.subscription import Subscriptions
from models.talk import Talking
from models.words import bare

SHOWN = 3  # open orders that are named to somebody who comes back
NEWS_SECONDS = 48 * 3600
WANTED = frozenset({"要", "要的", "要呀", "要啊", "要要", "我要", "好的要", "好要"})

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
    return _about(found) if found is not None and found.changes and not isinstance(found, OpenCard) else found


def _about(wish: Intent) -> Intent | None:
    """A code on a wall does nothing for whoever scans it: what it is about is shown, and what can be done with it."""
    codes = {name: str(getattr(wish, name)) for name in type(wish).__dataclass_fields__}
    if group := codes.get("group"):
        return ShowGroup(group)
    if product := codes.get("product"):
        return ShowProduct(product)
    return ShowOrder(codes["order"]) if codes.get("order") else None


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
    if thing is not None:  # the card's thing comes first, also for those who come back
        return thing.filled(back=1) if again and isinstance(thing, OpenCard) else thing
    if again:
        stopped = await subs.stopped(me.id)
        waiting = await orders.unfinished(me.id)
        lines = [Choice(f"{o.words} {o.word}", ShowOrder(o.no)) for o in waiting[:SHOWN]]
        steps = (Choice("全部订单", ListOrders()),) if len(waiting) > SHOWN else ()
        said = listing(
            "follow/back", lines, *steps, Choice("逛逛有什么", Browse()), stopped=stopped, waiting=len(waiting)
        )
        return replace(said, personal=bool(waiting))
    me.asked_news_at = now
    hello = reply(
        "follow/welcome",
        Choice("逛逛有什么", Browse()),
        Choice("正在拼的团", Groups()),
        Choice("能做什么", Help()),
        categories=catalog.categories[:4],
    )
    return replace(hello, ending="follow/news_question", question=Question(WelcomeNews(), "answer"))


@shop.on()
async def scan(ask: Scan, me: Follower, scenes: Scenes) -> Reply | Intent:
    """Somebody who follows already scans a code: the thing of it, as for somebody new."""
    me.following, me.left_at = True, None
    return await _thing(ask.scene, scenes) or Browse()


@shop.on()
async def welcome_news(ask: WelcomeNews, talk: Talking, now: datetime) -> Reply | Intent:
    """要 or 不用 to 上新告诉您?; the yes is the consent, logged with the sentence it answered.

    A no closes the question: a 要 that comes later is no answer to it.
    """
    if ask.answer == "yes":
        return SubscribeNews()
    talk.hushed = now.timestamp()
    return reply("follow/no_news")


@shop.when(OrderPaid)
async def ask_news(
    news: OrderPaid, followers: Followers, subs: Subscriptions, orders: OrderGlance, post: Post, now: datetime
) -> None:
    """Who came by a card was not asked then: the question waited for the first paid order."""
    me = await followers.by_id(news.follower_id)
    if me is None or not me.following or me.asked_news_at is not None or await subs.of(me.id):
        return
    me.asked_news_at = now
    post.tell(me.id, reply("follow/news_question"), key=f"news:{me.id}", patient=True)


@shop.cue(120)
def wanted(hearing: Hearing) -> Intent | None:
    """要, with no question open: it may answer the one that a notice asked."""
    return Wanted() if bare(hearing.said) in WANTED else None


@shop.on()
async def want(ask: Wanted, me: Follower, talk: Talking, now: datetime) -> Reply | Intent:
    """A yes to 新品告诉您? if nothing that could be wanted was shown since, and nobody has said 不用 or 退订."""
    asked = me.asked_news_at.timestamp() if me.asked_news_at is not None else 0.0
    shown = max([talk.offered_at, *(float(at) for _, at in talk.seen.values())])
    if asked >= shown and asked > talk.hushed and now.timestamp() - asked <= NEWS_SECONDS:
        return SubscribeNews()
    if product := talk.shown("product", now):
        return ShowProduct(product)  # a yes to no question orders nothing: 买 is its first choice
    return reply("follow/wanted").aside()


@shop.on()
async def leave(ask: Leave, me: Follower, subs: Subscriptions, talk: Talking, now: datetime) -> Reply:
    """Unfollowing stops every push at once."""
    me.following, me.left_at = False, now
    await subs.stop_all(me.id, "unfollow")
    talk.question = talk.pending = None
    return reply("desk/silent")
