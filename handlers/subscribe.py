"""Asking to be told, leaving in any words and in every state, and one's own rules for what is pushed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from handlers.asking import Intent
from handlers.intents import (
    Browse,
    MySubscriptions,
    PausePushes,
    QuietHours,
    ResumePushes,
    Subscribe,
    SubscribeNews,
    Unsubscribe,
    WeeklyCap,
)
from handlers.replies import Choice, Reply, reply
from handlers.routing import Hearing, shop
from models.catalog import Catalog
from models.figures import Figures
from models.follower import Follower, Me
from models.subscription import MOST_WEEKLY, Subscriptions
from models.subscriptionglance import Rules, SubscriptionGlance
from models.talk import Talking
from models.wishes import NEWS, asked, quiet_hours
from models.words import bare, leaving

MINE = Choice("我的订阅", MySubscriptions())
FOLLOW_QUESTION = "welcomenews"


@shop.on("订阅 {words}", "订阅{words}", "我要订阅{words}", "subscribe {words}", "订阅", "subscribe")
async def subscribe(
    ask: Subscribe, me: Follower, subs: Subscriptions, glance: SubscriptionGlance, catalog: Catalog, figures: Figures
) -> Reply:
    """Only goods words are subscribed to, never a sentence; with nothing of the kind in it, the shop says which."""
    wish = asked(ask.words, catalog.index)
    if not wish.topics:
        words = _examples(catalog)
        steps = [Choice(f"订阅 {word}", Subscribe(word)) for word in words[:2]]
        return reply("subscribe/which", *steps, Choice("订阅 上新", SubscribeNews()), said=ask.words[:20], words=words)
    going = await subs.join(me.id, wish.topics, f"订阅 {ask.words}", max_fen=wish.max_fen)
    rules = await glance.of(me.id, figures.push)
    return _joined(wish.topics, wish.max_fen, rules, going)


@shop.on()
async def subscribe_news(
    ask: SubscribeNews, me: Follower, subs: Subscriptions, glance: SubscriptionGlance, figures: Figures
) -> Reply:
    """The yes to 上新告诉您?: `words` as they were said; without them it was a tap or the yes to the open question."""
    going = await subs.join(me.id, (NEWS,), ask.words or "yes", key="" if ask.words else FOLLOW_QUESTION)
    return _joined((NEWS,), None, await glance.of(me.id, figures.push), going)


def _joined(topics: tuple[str, ...], max_fen: int | None, rules: Rules, going: bool) -> Reply:
    steps = (MINE,) if going else (Choice("恢复", ResumePushes()), MINE)
    return reply("subscribe/joined", *steps, topics=topics, max_fen=max_fen, rules=rules, going=going)


def _examples(catalog: Catalog) -> list[str]:
    """Three words of this shop that could be subscribed to."""
    goods = [catalog.goods[code] for code in catalog.order[:40]]
    words = [word for one in goods for word in (*one.keywords[:1], one.category)]
    return [w for w in dict.fromkeys(words) if w and asked(w, catalog.index).topics == (w,)][:3]


# -- leaving -------------------------------------------------------------------------------------------


@shop.cue(10)
def leaves(hearing: Hearing) -> Intent | None:
    """Every wording of "stop sending", before an open question and everything else."""
    words = leaving(hearing.said)
    return None if words is None else Unsubscribe(words, hearing.raw[:200])


@shop.on()
async def unsubscribe(
    ask: Unsubscribe, me: Follower, subs: Subscriptions, catalog: Catalog, talk: Talking, now: datetime
) -> Reply:
    """Leaves one topic, or all of them when none is named or the name is not among them; one line, nothing asked."""
    words = ask.said or f"退订 {ask.words}".strip()
    mine = [one.topic for one in await subs.of(me.id) if one.state != "left"]
    named = _named(ask.words, mine, asked(ask.words, catalog.index).topics)
    if named:
        await subs.leave(me.id, named, words)
    else:
        await subs.leave_all(me.id, words)
        # Whoever wants silence must not be counted as a yes by the next 好.
        if talk.question and talk.question["intent"].get("verb") == FOLLOW_QUESTION:
            talk.question = None
        talk.hushed = now.timestamp()
    unknown = ask.words[:12] if ask.words and not named and mine else ""
    order = bool(talk.shown("order", now))
    return reply("subscribe/left", topics=named, unknown=unknown, order=order).aside()


def _named(words: str, mine: Iterable[str], topics: tuple[str, ...]) -> list[str]:
    said = bare(words)
    if not said:
        return []
    mine = list(mine)
    exact = [topic for topic in mine if bare(topic) == said or topic in topics]
    return exact or [topic for topic in mine if bare(topic) in said or said in bare(topic)]


# -- one's own rules -----------------------------------------------------------------------------------


@shop.on("我的订阅", "订阅列表", "我订了什么", "我订阅了什么", "my subscriptions", "subscriptions")
async def my_subscriptions(ask: MySubscriptions, me: Me, subs: SubscriptionGlance, figures: Figures) -> Reply:
    """What one has asked for, what is stopped, and the rules."""
    rules = await subs.of(me.id, figures.push)
    live, stopped = rules.of("live"), rules.of("paused")
    steps = [Choice("恢复", ResumePushes())] if rules.paused or stopped else []
    if live and not rules.paused:
        steps.append(Choice("暂停", PausePushes()))
    if not live:
        steps += [Choice("订阅 上新", SubscribeNews()), Choice("商品", Browse())]
    return reply("subscribe/mine", *steps[:3], rules=rules, live=live, stopped=stopped)


@shop.on("暂停", "先暂停", "暂停订阅", "暂停接收", "pause")
async def pause(ask: PausePushes, me: Follower, subs: Subscriptions) -> Reply:
    """Nothing until 恢复."""
    await subs.pause(me.id, "暂停")
    return reply("subscribe/paused", Choice("恢复", ResumePushes()))


@shop.on("恢复", "恢复订阅", "恢复接收", "resume")
async def resume(
    ask: ResumePushes, me: Follower, subs: Subscriptions, glance: SubscriptionGlance, figures: Figures
) -> Reply:
    """Go on, also with what had stopped by unfollowing."""
    anything = await subs.resume(me.id, "恢复")
    rules = await glance.of(me.id, figures.push)
    return reply("subscribe/resumed", MINE, anything=anything, topics=[w.topic for w in rules.of("live")])


@shop.on("免打扰 {words}", "免打扰{words}", "免打扰时间{words}", "免打扰", "quiet {words}", "quiet")
async def quiet(
    ask: QuietHours, me: Follower, subs: Subscriptions, glance: SubscriptionGlance, figures: Figures
) -> Reply:
    """One's own quiet hours."""
    if not ask.words:
        return reply("subscribe/quiet_how", MINE, rules=await glance.of(me.id, figures.push))
    hours = quiet_hours(ask.words)
    await subs.keep_quiet(me.id, hours, f"免打扰 {ask.words}")
    start, end = hours.split("-")
    return reply("subscribe/quiet", MINE, start=start, end=end)


@shop.on("每周{number}条", "一周{number}条", "每周最多{number}条", "weekly {number}")
async def weekly(ask: WeeklyCap, me: Follower, subs: Subscriptions) -> Reply | Intent:
    """At most so many a week, as one likes it; none is a pause."""
    if ask.number == 0:
        return PausePushes()
    number = await subs.cap(me.id, ask.number, f"每周{ask.number}条")
    return reply("subscribe/weekly", MINE, number=number, most=MOST_WEEKLY, cut=number < ask.number)
