"""Invite cards: a picture with one's own QR code for the shop, a product or a group, and what a scan of it opens."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from handlers.asking import Coded, Intent
from handlers.errands import DrawCard
from handlers.intents import (
    Browse,
    Buy,
    CardDrawn,
    Groups,
    InviteCard,
    JoinGroup,
    OpenCard,
    OpenGroup,
    ShowGroup,
    ShowProduct,
)
from handlers.replies import Choice, Picture, Post, Reply, reply
from handlers.routing import shop
from models.catalog import Catalog
from models.figures import Figures
from models.follower import Follower, Followers
from models.groupbuy import GroupFull, GroupOver, NoSuchGroup
from models.groupglance import GroupGlance
from models.invite import Card, Cards, NoSuchCard, Scenes, facts_hash
from models.orderglance import OrderGlance
from models.prices import yuan
from models.product import NotForSale
from models.subscription import Subscriptions
from models.talk import Talking

SHOP = ("店", "小店", "shop")


@dataclass(frozen=True)
class Face:
    """What stands on a card; another price or another seat line is another face."""

    kind: str
    shop_name: str
    title: str
    price_fen: int | None
    was_fen: int | None
    line: str
    deadline: str
    initials: str
    picture: str
    footer: str
    link: str


def thing_of(said: str, talk: Talking, now: datetime) -> str:
    """ "a12" → "A12", "小店" → "", and for 这个 or nothing at all what was last shown within ten minutes."""
    if said in SHOP:
        return ""
    if said and said.isascii():
        head, tail = said[:1], said[1:].lower()
        digits = tail.replace("o", "0").replace("i", "1").replace("l", "1")
        return (head + (digits if head.lower() == "a" and digits.isdigit() else tail)).upper()
    shown = [(talk.seen[kind][1], talk.shown(kind, now)) for kind in ("product", "group") if kind in talk.seen]
    return max((pair for pair in shown if pair[1]), default=(0.0, ""))[1]


@shop.on("邀请卡 {thing}", "邀请卡", "我的邀请卡", "一张邀请卡", "来张邀请卡", "邀请好友", "card {thing}", "card")
async def invite(
    ask: InviteCard,
    me: Follower,
    cards: Cards,
    scenes: Scenes,
    glance: GroupGlance,
    catalog: Catalog,
    talk: Talking,
    figures: Figures,
    now: datetime,
) -> Reply:
    """One's own card for a thing: at once if the platform still keeps it, otherwise it is drawn and follows."""
    thing = thing_of(ask.thing, talk, now)
    if not ask.thing and not thing.startswith("G"):  # a group of one's own that waits for friends comes first
        waiting = [g.code for g in await glance.mine(me.id, 2) if g.state == "forming" and now < g.deadline]
        thing = waiting[0] if len(waiting) == 1 else thing
    face = await _face(thing, me, glance, catalog, figures, now)
    card = await cards.of(me.id, thing, now)
    drawn = facts_hash(asdict(face))
    if card.shown_good(drawn, now):
        return _shown(card.media_id, card.picture, face.title, face.footer, face.link)
    errand = DrawCard(
        card=card.code,
        to=me.id,
        channel=me.channel,
        scene=await scenes.said(me.channel, card.scene),
        asked=int(now.timestamp()),
        drawn=drawn,
        scene_url=card.scene_url if card.scene_good(now) else "",
        scene_until=int(card.scene_until.timestamp()) if card.scene_until and card.scene_good(now) else 0,
        ready=card.picture if card.drawn_good(drawn, now) else "",
        **asdict(face),
    )
    return replace(reply("invite/drawing", title=face.title, kind=face.kind), errand=errand, keeps=True)


def _shown(media_id: str, sha256: str, title: str, text: str, link: str) -> Reply:
    """The card as the channel can show it: by the platform's own id, else by its address."""
    picture = Picture(media_id, f"/pic/{sha256}.jpg", title, text, link)
    return replace(reply("invite/card", title=title, text=text, sha256=sha256), picture=picture)


def _page(intent: Coded, figures: Figures) -> str:
    return f"{figures.public_url.rstrip('/')}/h/{intent.pack()}"


async def _face(
    thing: str, me: Follower, glance: GroupGlance, catalog: Catalog, figures: Figures, now: datetime
) -> Face:
    """What is drawn. Raises NotForSale, NoSuchGroup, GroupFull, GroupOver: nobody is invited to what is over."""
    name, initials = figures.shop_name, me.name.strip()[:1]
    if not thing:
        words = "想要什么，直接说就行"
        return Face("shop", name, name, None, None, words, "", initials, "", f"扫码进{name}", _page(Browse(), figures))
    if thing.startswith("G"):
        page = await glance.by_code(thing)
        if page is None:
            raise NoSuchGroup(group=thing)
        group = page.line
        if group.state == "filled":
            raise GroupFull(group=thing, size=group.size)
        if group.state != "forming" or now >= group.deadline:
            raise GroupOver(group=thing)
        ends = group.deadline.astimezone(ZoneInfo(figures.zone))
        return Face(
            "group",
            name,
            f"{group.name} {group.spec}".strip(),
            group.price_fen,
            group.usual_fen,
            f"{group.size}人团 · 还差 {group.needs} 人",
            f"{ends.month}月{ends.day}日 {ends:%H:%M} 截止",
            initials,
            page.picture,
            f"扫不了码，就对{name}说 参团 {thing}",
            _page(ShowGroup(thing), figures),
        )
    goods = catalog.get(thing)
    if goods is None:
        raise NotForSale(product=thing)
    deal = min(goods.deals, key=lambda d: d.price_fen, default=None)
    spec = goods.offered(deal) if deal else goods.specs[0]
    return Face(
        "product",
        name,
        f"{goods.name} {spec.label}".strip() if deal else goods.name,
        deal.price_fen if deal else goods.from_fen,
        spec.price_fen if deal else spec.was_fen,
        f"{deal.size}人团" if deal else goods.line[:20],
        "",
        initials,
        goods.picture,
        f"扫不了码，就对{name}说 看 {thing}",
        _page(ShowProduct(thing), figures),
    )


@shop.on()
async def drawn(ask: CardDrawn, cards: Cards, post: Post, now: datetime) -> Reply:
    """The card is drawn: kept, and sent to whoever asked for it, once a request."""
    if ask.jpeg and (ask.card or not ask.media_id):  # who asks a friend to pay asks once: the platform's copy is enough
        await cards.keep_picture(ask.sha256, ask.jpeg, ask.thumb, now)
    if ask.card:
        card = await cards.hold(ask.card)
        card.keep(
            drawn=ask.drawn,
            picture=ask.sha256,
            media_id=ask.media_id,
            media_until=_moment(ask.good_until),
            scene_url=ask.scene_url,
            scene_until=_moment(ask.scene_until),
        )
    title = ask.title if ask.card else f"请帮忙付：{ask.title}"
    told = _shown(ask.media_id, ask.sha256, title, ask.text, ask.link)
    post.tell(ask.to, told, key=f"card:{ask.card or ask.drawn}:{ask.asked}")
    return reply("desk/silent")


def _moment(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


# -- somebody comes by a card ----------------------------------------------------------------------------


@shop.on()
async def open_card(
    ask: OpenCard,
    me: Follower,
    cards: Cards,
    followers: Followers,
    glance: GroupGlance,
    catalog: Catalog,
    orders: OrderGlance,
    subs: Subscriptions,
    now: datetime,
) -> Reply | Intent:
    """The thing of the card, and for somebody new nothing else (conversation: C9); who comes back hears below it what
    had stopped. Never a refusal: it would undo the following."""
    try:
        card = await cards.get(ask.card.upper())
    except NoSuchCard:
        return Browse()
    await cards.scanned(card, me.id, me.since >= now, now)
    inviter = await followers.by_id(card.follower_id)
    by = inviter.called if inviter is not None and inviter.id != me.id else ""
    said = await _thing(card, me, by, glance, catalog, now)
    if not ask.back:
        return said
    waiting, stopped = len(await orders.unfinished(me.id)), await subs.stopped(me.id)
    return replace(said, ending="invite/back", facts=said.facts | {"waiting": waiting, "stopped": stopped})


async def _thing(card: Card, me: Follower, by: str, glance: GroupGlance, catalog: Catalog, now: datetime) -> Reply:
    if not card.thing:
        steps = (Choice("逛逛有什么", Browse()), Choice("正在拼的团", Groups()))
        return reply("invite/shop", *steps, by=by, categories=catalog.categories[:4])
    if card.thing.startswith("G"):
        return await _group(card, me, by, glance, now)
    goods = catalog.get(card.thing)
    if goods is None:
        return reply("invite/gone", Choice("商品", Browse()), by=by)
    deal = min(goods.deals, key=lambda d: d.price_fen, default=None)
    first = Choice(f"{deal.size}人团 ¥{yuan(deal.price_fen)}", OpenGroup(goods.code)) if deal else None
    second = Choice(f"买 ¥{yuan(goods.from_fen)}", Buy(goods.code))
    steps = (first, second) if first else (second, Choice("细看", ShowProduct(goods.code)))
    return reply("invite/product", *steps, by=by, goods=goods, deal=deal).now_seen("product", goods.code)


async def _group(card: Card, me: Follower, by: str, glance: GroupGlance, now: datetime) -> Reply:
    page = await glance.by_code(card.thing)
    if page is None:
        return reply("invite/gone", Choice("商品", Browse()), by=by)
    group = page.line
    mine = await glance.seat_state(group.code, me.id)
    joinable = group.state == "forming" and now < group.deadline and group.left > 0
    if mine:
        steps = (Choice("看进度", ShowGroup(group.code)), Choice("邀请卡", InviteCard(group.code)))
    elif joinable:
        join = Choice(f"参团 ¥{yuan(group.price_fen)}", JoinGroup(group.code))
        steps = (join, Choice("看看商品", ShowProduct(group.product)))
    else:
        steps = (Choice("自己开一团", OpenGroup(group.product)), Choice("别的团", Groups()))
    shown = reply(
        "invite/group",
        *steps,
        by=by,
        group=group,
        members=page.members,
        mine=mine,
        joinable=joinable,
        over=group.state != "forming" or now >= group.deadline,
        time_left=max(group.deadline - now, now - now),
    )
    return shown.now_seen("group", group.code).now_seen("product", group.product)
