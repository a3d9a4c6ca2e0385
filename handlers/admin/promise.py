"""When goods leave, by the merchant: the shop's hours, the same-day hour, rest, and whether it sells at all."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from handlers.intents import OpenAgain, SellAgain, SellAgainNow, SetPromise, StopSelling, TakeRest, TakeRestNow
from handlers.replies import Reply, confirm, digits, reply
from handlers.routing import shop
from models import promise
from models.base import Work
from models.figures import Figures
from models.moments import take_moment
from models.promise import LONGEST_HOURS, PromiseGlance

LONGEST_NOTICE = 40  # characters
_UNTIL = re.compile(r"^(?:到|至|until)\s*", re.I)
_REST_TAIL = re.compile(r"^(?:号|日)?[\s,，:：;；、。]*")


def read_until(words: str, now: datetime, zone: str) -> tuple[datetime, str] | None:
    """到2月17日 公告 → (the end of that day, 公告); None when no day is named."""
    said = _UNTIL.sub("", words.strip())
    found = take_moment(said, now, ZoneInfo(zone))
    if found is None:
        return None
    moment, rest = found
    local = moment.astimezone(ZoneInfo(zone))
    night = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return night.astimezone(UTC), _REST_TAIL.sub("", rest)


@shop.on("打烊 {words}", "打烊到{words}", "打烊至{words}", "打烊", "rest until {words}")
async def take_rest(wish: TakeRest, figures: Figures, now: datetime) -> Reply:
    """Goes on selling, and says when it ships: what orders will be told is read back first."""
    found = read_until(wish.words, now, figures.zone)
    if found is None or found[0] > now + timedelta(days=90):
        return reply("promise/until_when")
    until, notice = found
    notice = notice[:LONGEST_NOTICE]
    return confirm("promise/rest", TakeRestNow(int(until.timestamp()), notice), until=_last(until), notice=notice)


def _last(until: datetime) -> datetime:
    return until - timedelta(minutes=1)


@shop.on()
async def take_rest_now(wish: TakeRestNow, work: Work, figures: Figures) -> Reply:
    """From now on new orders are promised from the end of the rest; those that were made keep their promise."""
    until = datetime.fromtimestamp(wish.until, UTC)
    await promise.rest(work, until, wish.notice, figures)
    return reply("promise/resting", until=_last(until), notice=wish.notice)


@shop.on("营业", "开门", "恢复营业", "open again")
async def open_again(wish: OpenAgain, work: Work, promises: PromiseGlance, figures: Figures, now: datetime) -> Reply:
    """The rest is over: new orders leave as usual."""
    before = await promises.now(figures)
    if before.resting(now):
        await promise.rest(work, None, "", figures)
    facts = {"hours": before.hours, "cutoff": before.cutoff, "stopped": before.stopped}
    return reply("promise/open", rested=before.resting(now), **facts)


@shop.on("停售 全店", "全店停售", "停止接单", "stop selling")
async def stop_selling(wish: StopSelling, work: Work, promises: PromiseGlance, figures: Figures) -> Reply:
    """No new orders from now on, in any way; it only makes the shop safer, so nothing is asked for."""
    if (await promises.now(figures)).stopped is None:
        await promise.stop_selling(work, work.now, figures)
    return reply("promise/stopped")


@shop.on("开售 全店", "全店开售", "开售", "恢复接单", "sell again")
async def sell_again(wish: SellAgain, promises: PromiseGlance, figures: Figures) -> Reply:
    """Orders are taken again, once four digits confirm it."""
    stopped = (await promises.now(figures)).stopped
    if stopped is None:
        return reply("promise/sells", again=False)
    return confirm("promise/sell_again", SellAgainNow(), digits(), stopped=stopped)


@shop.on()
async def sell_again_now(wish: SellAgainNow, work: Work, figures: Figures) -> Reply:
    """The shop sells again."""
    await promise.stop_selling(work, None, figures)
    return reply("promise/sells", again=True)


@shop.on(
    "发货承诺 {hours}小时 {cutoff}前当天发",
    "发货承诺 {hours}小时",
    "发货承诺 {hours}",
    "发货承诺",
    "promise {hours}h",
)
async def set_promise(wish: SetPromise, work: Work, promises: PromiseGlance, figures: Figures, now: datetime) -> Reply:
    """So many hours from payment to the carrier, for orders from now on; without a number, what holds now."""
    rule = await promises.now(figures)
    if not wish.hours:
        return reply("promise/now", rule=rule, resting=rule.resting(now))
    cutoff = _cutoff(wish.cutoff)
    if wish.hours > LONGEST_HOURS or cutoff is None:
        return reply("promise/odd", most=LONGEST_HOURS)
    await promise.usual(work, wish.hours, cutoff, figures)
    return reply("promise/set", hours=wish.hours, cutoff=cutoff, was=rule.hours)


def _cutoff(said: str) -> str | None:
    """16:00 or 16点 → 16:00, "" → "", None for no time of day."""
    if not said:
        return ""
    hour, _, minute = said.rstrip("点时").partition(":")
    if int(hour) > 23 or int(minute or 0) > 59:
        return None
    return f"{int(hour):02d}:{int(minute or 0):02d}"
