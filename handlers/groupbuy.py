"""Group-buys: what runs, one group, opening, joining, leaving, and what follows when one fills or fails."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from handlers.asking import Intent
from handlers.intents import (
    Browse,
    BuyLines,
    Groups,
    InviteCard,
    JoinGroup,
    JudgeGroup,
    MyGroups,
    OpenGroup,
    PayOrder,
    Search,
    ShowGroup,
    ShowProduct,
)
from handlers.replies import Choice, Post, Reply, listing, reply
from handlers.replies import ask as ask_for
from handlers.routing import Hearing, shop
from models.base import Refusal
from models.catalog import Catalog
from models.figures import Figures
from models.follower import Follower, Me
from models.groupbuy import (
    NEW,
    PLAY,
    AlreadyIn,
    Group,
    GroupBuys,
    GroupFailed,
    GroupFilled,
    GroupLeft,
    NoSuchGroup,
)
from models.groupglance import GroupGlance, GroupLine
from models.offer import NoOffer, Offers
from models.order import Order, OrderPaid, Orders
from models.prices import yuan
from models.product import Products
from models.refund import Refunds
from models.wayback import WayBackGlance

_AMONG = re.compile("(?<![0-9a-z])g(?=[a-z]*[2-9])[2-9a-hjkmnp-z]{3}(?![0-9a-z])")  # GATE is a word
OPEN_LINES = 4
LINES = 8


def _line(group: GroupLine, intent: Intent) -> Choice:
    return Choice(f"{group.code} {group.words} ¥{yuan(group.price_fen)} 差{group.needs}人", intent)


def _offers(catalog: Catalog) -> Iterator[tuple[str, str]]:
    """What a group can be opened for: codes, and how each is called in a list."""
    for code in catalog.order:
        goods = catalog.goods[code]
        if goods.deals and goods.word != "售罄":
            deal = min(goods.deals, key=lambda d: d.price_fen)
            yield code, f"{goods.name} {deal.size}人团 ¥{yuan(deal.price_fen)}"


@shop.on("团", "拼团", "团购", "有什么团", "有团吗?", "正在拼的团", "别的团", "groups")
async def groups(ask: Groups, glance: GroupGlance, catalog: Catalog, figures: Figures, now: datetime) -> Reply:
    """Groups one can join now, then what one can open."""
    forming = await glance.open(now, OPEN_LINES, least_minutes=figures.group.last_minutes)
    lines = [_line(g, ShowGroup(g.code)) for g in forming]
    offered = list(_offers(catalog))[: LINES - len(lines)]
    lines += [Choice(text, ShowProduct(code)) for code, text in offered]
    if not lines:
        return reply("groupbuy/none", Choice("看看全部商品", Browse()))
    return listing("groupbuy/groups", lines, forming=len(forming), offers=len(lines) - len(forming))


@shop.cue(240)
def among_words(hearing: Hearing) -> Intent | None:
    """G7K2还能进吗: words that hold a group's code are about that group."""
    found = _AMONG.search(hearing.said)
    return ShowGroup(found[0].upper()) if found and not hearing.said.isascii() else None


@shop.on("看 {group}", "{group}", "团 {group}", "show {group}", "这个团", "这团", "差几人", "还差几人", "还差几个人")
async def show(ask: ShowGroup, me: Me, glance: GroupGlance, figures: Figures, now: datetime) -> Reply | Intent:
    """One group as everybody may see it: who is in, how long it lasts, what happens if it fails."""
    if not ask.group:
        return MyGroups() if me.id else Groups()
    page = await glance.by_code(ask.group)
    if page is None:
        if ask.group.isalpha():  # a word that happens to look like a code
            return Search(ask.group.lower())
        raise NoSuchGroup(group=ask.group)
    group, mine = page.line, await glance.seat_state(ask.group, me.id)
    joinable = group.state == "forming" and now < group.deadline
    steps: list[Choice] = []
    if joinable and mine:
        steps = [Choice("邀请卡", InviteCard(group.code))] if mine == "taken" else [Choice("去付款", PayOrder())]
    elif joinable and group.left:
        steps = [Choice(f"参团 ¥{yuan(group.price_fen)}", JoinGroup(group.code))]
    elif not mine:
        steps = [Choice("自己开一团", OpenGroup(group.product)), Choice("别的团", Groups())]
    shown = reply(
        "groupbuy/show",
        *steps,
        Choice("看看商品", ShowProduct(group.product)),
        group=group,
        members=page.members,
        mine=mine,
        joinable=joinable,
        paying=group.state == "forming" and not group.left and group.needs > 0,
        time_left=max(group.deadline - now, now - now),
        minutes=figures.order.group_seat_minutes,
        picture=page.picture,
    )
    return shown.now_seen("group", group.code).now_seen("product", group.product)


@shop.on("参团 {group}", "参团", "我要参团", "加入 {group}", "参加 {group}", "join {group}", "join")
async def join(
    ask: JoinGroup,
    me: Follower,
    groups: GroupBuys,
    glance: GroupGlance,
    products: Products,
    figures: Figures,
    now: datetime,
) -> Reply | Intent:
    """Into a group: a seat is kept while one pays. Without a code it is the only one that can be joined, or asked."""
    if not ask.group:
        mine = {g.code for g in await glance.mine(me.id, LINES)}
        forming = await glance.open(now, LINES, least_minutes=figures.group.last_minutes)
        others = [g for g in forming if g.code not in mine]
        if len(others) > 1:
            return listing("groupbuy/join_which", [_line(g, JoinGroup(g.code)) for g in others])
        return JoinGroup(others[0].code) if others else Groups()
    group = await groups.hold(ask.group)
    product, _ = await products.sku(group.sku_id)
    try:
        group.join(me.id, now, figures.group, figures.order.group_seat_minutes)
    except AlreadyIn as no:
        step = Choice("邀请卡", InviteCard(group.code)) if no.facts["paid"] else Choice("去付款", PayOrder())
        return _refused(no, step).now_seen("group", group.code)
    except Refusal as no:  # no seat here: one's own group, or another
        return _refused(no, Choice("自己开一团", OpenGroup(product.code)), Choice("别的团", Groups()))
    return BuyLines(((group.sku_id, 1),), PLAY + group.code)


def _refused(no: Refusal, *steps: Choice) -> Reply:
    """The refusal in its own words, with a way on."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(no).__name__).lower()
    return replace(reply(f"groupbuy/{name}", *steps, **no.facts), refused=True, keeps=True)


@shop.on("开团 {product}", "开团", "我要开团", "发起拼团", "start {product}", "start")
async def start(ask: OpenGroup, products: Products, offers: Offers, catalog: Catalog) -> Reply | Intent:
    """A group of one's own: it exists when its opener has paid. Without a code it is asked for what."""
    if not ask.product:
        offered = list(_offers(catalog))[:LINES]
        if len(offered) > 1:
            return listing("groupbuy/start_which", [Choice(text, OpenGroup(code)) for code, text in offered])
        return OpenGroup(offered[0][0]) if offered else Groups()
    product = await products.get(ask.product)
    product.on_shelf()
    running = await offers.of_product(product.id)
    if not running:
        raise NoOffer(product=product.code)
    labels = {sku.id: sku.label for sku in await products.skus(product.id)}
    chosen = running[0]
    if len(running) > 1:
        if not (ask.spec.isascii() and ask.spec.isdigit() and 1 <= int(ask.spec) <= len(running)):
            options = [
                (f"{labels[o.sku_id]} {o.size}人 ¥{yuan(o.price_fen)}", str(n)) for n, o in enumerate(running, 1)
            ]
            return ask_for("groupbuy/which_spec", OpenGroup(product.code), "spec", options=options, name=product.name)
        chosen = running[int(ask.spec) - 1]
    return BuyLines(((chosen.sku_id, 1),), NEW)


@shop.on("我的团", "我参的团", "我开的团", "my groups")
async def my_groups(ask: MyGroups, me: Me, glance: GroupGlance) -> Reply:
    """Where one is in, forming ones first."""
    mine = await glance.mine(me.id, LINES)
    if not mine:
        return reply("groupbuy/in_none", Choice("看看有什么团", Groups()), Choice("商品", Browse()))
    words = {"filled": "已成团", "failed": "没成团，已退款"}
    lines = [Choice(f"{g.code} {g.words} {words.get(g.state, f'差{g.needs}人')}", ShowGroup(g.code)) for g in mine]
    shown = listing("groupbuy/mine", lines, count=len(mine))
    return shown.now_seen("group", mine[0].code) if len(mine) == 1 else shown


# -- what has happened -----------------------------------------------------------------------------------


async def _news(template: str, group: Group, products: Products, **facts: object) -> Reply:
    """What a member hears of a group."""
    product, sku = await products.sku(group.sku_id)
    what, needs = f"{product.name} {sku.label}".strip(), group.size - group.paid_seats
    common = {"group": group.code, "what": what, "size": group.size, "needs": needs, "deadline": group.deadline}
    steps: tuple[Choice, ...] = ()
    if group.state == "failed":
        steps = (Choice("再开一团", OpenGroup(product.code)), Choice("别的团", Groups()))
    elif group.state == "forming":
        steps = (Choice("邀请卡", InviteCard(group.code)), Choice("看进度", ShowGroup(group.code)))
    return reply(template, *steps, **common, **facts)


@shop.when(OrderPaid)
async def paid(
    event: OrderPaid,
    groups: GroupBuys,
    offers: Offers,
    orders: Orders,
    products: Products,
    post: Post,
    now: datetime,
) -> None:
    """An opener's money opens the group; a joiner's order waits with it until the group is full."""
    if not event.play.startswith(PLAY):
        return
    order = await orders.hold_id(event.order_id)
    if order.state != "paid":
        return
    if event.play == NEW:
        line = (await orders.lines(order.id))[0]
        group = await groups.open(await offers.at(line.sku_id, order.made), order.follower_id, order.id, now)
    else:
        group = await groups.by_id(order.group_id or 0, hold=True)
        if group.state != "forming":  # this very payment filled it: the news of that says it all
            order.form(group.id, now)
            order.fill(now)
            return
    order.form(group.id, now)
    template = "groupbuy/opened" if event.play == NEW else "groupbuy/joined"
    heads = group.head_id == order.follower_id  # a joiner does when the opener has left meanwhile
    post.tell(order.follower_id, await _news(template, group, products, heads=heads), key=f"group-seat:{order.no}")


async def _members(orders: Orders, group_id: int) -> Sequence[Order]:
    """The orders of a group that have been paid."""
    return [order for order in await orders.of_group(group_id) if order.state in ("paid", "forming")]


@shop.when(GroupFilled)
async def filled(
    event: GroupFilled, groups: GroupBuys, orders: Orders, products: Products, post: Post, now: datetime
) -> None:
    """Everybody is told, and the goods may leave; who has just paid is told at once, the others not at night."""
    group = await groups.by_id(event.group_id)
    for order in await _members(orders, event.group_id):
        if order.state == "forming":
            order.fill(now)
        told = await _news("groupbuy/filled", group, products, no=order.no, hours=order.promise_hours)
        patient = order.follower_id != event.follower_id
        post.tell(order.follower_id, told, key=f"group-filled:{order.no}", patient=patient)


@shop.when(GroupFailed)
async def failed(
    event: GroupFailed,
    groups: GroupBuys,
    orders: Orders,
    refunds: Refunds,
    ways: WayBackGlance,
    products: Products,
    post: Post,
    now: datetime,
) -> None:
    """Every paid seat gets its money back by itself, at any hour; the word of it waits for the morning."""
    group = await groups.by_id(event.group_id)
    for order in await _members(orders, event.group_id):
        await orders.undo(order, "group")
        await refunds.owe_all(order.id, "group_failed", now)
        told = await _news("groupbuy/failed", group, products, way=await ways.owed(order.id, "group_failed"))
        post.tell(order.follower_id, told, key=f"group-failed:{order.no}", patient=True)


@shop.when(GroupLeft)
async def left(event: GroupLeft, groups: GroupBuys, products: Products, post: Post) -> None:
    """When the opener leaves, the earliest member heads it and hears so; the deadline stays."""
    group = await groups.by_id(event.group_id)
    if event.was_head and event.head_id and group.state == "forming":
        told = await _news("groupbuy/heads", group, products)
        post.tell(event.head_id, told, key=f"group-heads:{group.code}:{event.order_id}", patient=True)


@shop.on()
async def judge(ask: JudgeGroup, groups: GroupBuys, orders: Orders, figures: Figures, now: datetime) -> Reply:
    """A group whose time is up is judged once, when nobody's payment can still be found."""
    await orders.of_group(ask.group_id)  # orders before their group: everybody locks in this order
    group = await groups.by_id(ask.group_id, hold=True)
    if group.due(now, figures.group):
        await groups.settle(group, now)
    return reply("desk/silent")


@shop.every(minutes=1)
async def judging(glance: GroupGlance, figures: Figures, now: datetime) -> list[Intent]:
    """The groups that are due."""
    return [JudgeGroup(group_id) for group_id in await glance.due(now, figures.group, 200)]
