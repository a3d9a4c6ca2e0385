"""Telling those who asked: a push is counted, read back, confirmed, released when its moment has come."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from handlers.asking import Intent
from handlers.intents import Browse, CancelPush, ListPushes, PlanPush, ReleasePush, SchedulePush, ShowProduct, ShowPush
from handlers.replies import Choice, Reply, confirm, digits, listing, reply
from handlers.routing import shop
from models.base import EPOCH, Work
from models.campaign import TEXT_ROOM, Campaign, CampaignGlance, Campaigns, NoCampaign, doubtful
from models.catalog import Catalog, Goods
from models.figures import Figures
from models.follower import Follower
from models.moments import quiet_until, take_moment
from models.reach import BATCH, ROOMS, ReachGlance, release
from models.search import understand
from models.talk import Talking
from models.wishes import STANDING, asked
from models.words import numeral, plain

BARE = 100  # people to whom a bare 确认 may speak
FARTHEST = timedelta(days=60)
STEPS = 60  # batches of one campaign in one minute's look

_TOPIC = re.compile(r"#\s?([^\s#@]{1,20})\s*")
_CODE = re.compile(r"(?<![A-Za-z0-9])[Aa][0-9A-Za-z]{1,5}(?![A-Za-z0-9])")


@dataclass(frozen=True)
class Draft:
    """A push as it was understood; `missing` names what was not."""

    topic: str = ""
    due: datetime = EPOCH
    text: str = ""
    missing: str = ""


def understood(words: str, now: datetime, zone: ZoneInfo, catalog: Catalog) -> Draft:
    """ "#龙井 明天10:00 文案" → topic, moment (UTC) and text; `missing` is topic, time, past, text, or long."""
    words = words.strip()
    found = _TOPIC.match(words)
    topics = asked(found[1], catalog.index).topics if found else ()
    if found is None or len(topics) != 1:
        return Draft(missing="topic")
    words = words[found.end() :]
    said = plain(words)
    moment = take_moment(said, now, zone)
    if moment is None:
        return Draft(topics[0], missing="time")
    due, text = moment
    if len(said) == len(words):  # the merchant's own letters, not the folded ones
        text = words[len(words) - len(text) :]
    text = text.strip().replace("<", "＜")
    if due < now or due > now + FARTHEST:
        return Draft(topics[0], due, text, "past")
    missing = "" if text else "text"
    return Draft(topics[0], due, text, "long" if len(text) > TEXT_ROOM else missing)


def about(topic: str, text: str, catalog: Catalog) -> Goods | None:
    """The product a push is about: the one whose code is in its text, else the topic's best, if there is any."""
    for code in _CODE.findall(text):
        if (named := catalog.get(code.upper())) is not None:
            return named
    if topic in STANDING:
        return None
    hits = catalog.index.find(understand(topic, catalog.index), 1)
    return catalog.get(hits[0].doc.code) if hits else None


def wording(topic: str, text: str, product: str, figures: Figures) -> str:
    """The push as it arrives: the merchant's words, a code and a link, the rule that matched and how to leave."""
    where = (ShowProduct(product) if product else Browse()).pack()
    lines = [text, f"看看：回 {product or '商品'}"]
    if figures.public_url:
        lines[1] += f" · {figures.public_url}/h/{where}"
    return "\n".join([*lines, f"您订阅了“{topic}” · 回 退订 {topic} 就不再发"])


@shop.on("推送 {words}", "群发 {words}", "push {words}", "推送", "群发", "push")
@shop.on("推送#{words}", "push#{words}", mark="#")
async def plan(ask: PlanPush, reach: ReachGlance, catalog: Catalog, figures: Figures, now: datetime) -> Reply:
    """Shows whom it reaches, why not the others, and how it will look; 确认 sends it."""
    zone = ZoneInfo(figures.zone)
    draft = understood(ask.mark + ask.words, now, zone, catalog)
    if draft.missing:
        return reply("admin/push_how", missing=draft.missing, topic=draft.topic, room=TEXT_ROOM)
    morning = quiet_until(draft.due, figures.push.quiet, zone)
    if morning is not None:
        ten = morning.astimezone(zone).replace(hour=10)
        later = [morning, ten] if morning < ten else [morning]
        steps = [Choice(_when(at, zone), PlanPush(f"#{draft.topic} {_when(at, zone)} {draft.text}")) for at in later]
        return reply("admin/push_quiet", *steps, due=draft.due, quiet=figures.push.quiet)
    goods = about(draft.topic, draft.text, catalog)
    counted = await reach.count(draft.topic, goods.from_fen if goods else None, draft.due, figures)
    at = 0 if draft.due <= now else int(draft.due.timestamp())
    return confirm(
        "admin/push_plan",
        SchedulePush(draft.topic, draft.text, at),
        code=digits() if counted.people > BARE else "",
        topic=draft.topic,
        due=draft.due if at else None,
        reach=counted,
        said=wording(draft.topic, draft.text, goods.code if goods else "", figures),
        doubtful=doubtful(draft.text),
    )


def _when(at: datetime, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    return f"{local.month}月{local.day}日{local:%H:%M}"


@shop.on()
async def schedule(ask: SchedulePush, me: Follower, campaigns: Campaigns, catalog: Catalog, now: datetime) -> Reply:
    """Confirmed: written down, to be released when its moment has come."""
    due = max(now, EPOCH + timedelta(seconds=ask.at))
    goods = about(ask.topic, ask.text, catalog)
    made = await campaigns.plan(
        ask.topic,
        ask.text,
        due,
        product=goods.code if goods else "",
        from_fen=goods.from_fen if goods else None,
        made_by=me.id,
    )
    return reply(
        "admin/push_planned",
        Choice("推送列表", ListPushes()),
        code=made.code,
        topic=made.topic,
        due=due if ask.at else None,
    )


@shop.on("推送列表", "推送记录", "pushes")
async def pushes(ask: ListPushes, campaigns: CampaignGlance, figures: Figures) -> Reply:
    """Those to come, then the latest."""
    zone = ZoneInfo(figures.zone)
    found = await campaigns.latest()
    lines = [Choice(f"{p.code} #{p.topic} {_when(p.due, zone)} {p.word}", ShowPush(p.code)) for p in found]
    return listing("admin/push_list", lines, count=len(found))


@shop.on()
async def show(ask: ShowPush, campaigns: CampaignGlance, figures: Figures) -> Reply:
    """One push: its text, its state, and how many it has reached."""
    found = await campaigns.by_code(ask.push)
    if found is None:
        raise NoCampaign(code=ask.push)
    said = wording(found.topic, found.text, found.product, figures)
    return reply("admin/push_one", Choice("推送列表", ListPushes()), push=found, said=said)


@shop.on("取消推送 {words}", "停止推送 {words}", "cancel push {words}")
async def cancel(ask: CancelPush, campaigns: Campaigns, talk: Talking, now: datetime) -> Reply | Intent:
    """Stops a push by its code or its line in the list, also what is still queued; it makes the shop safer: no 确认."""
    code = ask.words.strip().upper()
    n = numeral(ask.words)
    if n is not None:
        line = talk.line(n, now)
        if line is None or line.get("verb") != ShowPush.verb:
            return ListPushes()
        code = str(line["push"])
    stopped, back = await campaigns.cancel(code)
    return reply(
        "admin/push_cancelled", Choice("推送列表", ListPushes()), code=stopped.code, topic=stopped.topic, back=back
    )


# -- released when the moment has come -----------------------------------------------------------------


@shop.every(minutes=1)
async def look(campaigns: CampaignGlance, reach: ReachGlance, now: datetime) -> list[Intent]:
    """What is due, one fact a batch, so that each is a transaction of its own and may be the last before a crash."""
    steps: list[Intent] = []
    for due in await campaigns.due(now):
        steps += [ReleasePush(due.id)] * min(await reach.steps(due.topic, due.cursor), STEPS)
    return steps


@shop.on()
async def let_go(
    ask: ReleasePush, campaigns: Campaigns, catalog: Catalog, figures: Figures, work: Work, now: datetime
) -> Reply:
    """Queues the next batch of pushes; a campaign that is over stays over."""
    campaign = await campaigns.hold(ask.campaign_id)
    if campaign is not None and campaign.open and campaign.due <= now:
        if campaign.state == "planned":
            goods = catalog.get(campaign.product)
            campaign.start(goods.from_fen if goods else campaign.from_fen)
        if not await release(work, campaign, _payloads(campaign, figures), figures, batch=BATCH):
            campaign.finish(now)
    return reply("desk/silent")


def _payloads(campaign: Campaign, figures: Figures) -> dict[str, dict[str, str]]:
    words = wording(campaign.topic, campaign.text, campaign.product, figures)
    short = wording(campaign.topic, campaign.text, campaign.product, replace(figures, public_url=""))
    # Where there is no room for the link, the code says the same.
    return {channel: {"text": words if len(words) <= room else short} for channel, room in ROOMS.items()}
