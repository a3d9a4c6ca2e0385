"""What one can do now, and what the shop says when it did not understand."""

from __future__ import annotations

from dataclasses import replace

from handlers.asking import Intent
from handlers.intents import (
    BeyondList,
    Browse,
    CancelQuestion,
    Groups,
    Help,
    ListGone,
    ListOrders,
    Search,
    Silent,
    StrangeThing,
)
from handlers.replies import Choice, Reply, reply
from handlers.routing import shop
from models.follower import Me
from models.staff import Role, StaffGlance
from models.talk import Talking

shop.hears("beyond", make=lambda told: BeyondList(int(told.data["n"]), int(told.data["of"])))
shop.hears("stale", make=lambda told: ListGone())
shop.hears("job", "view", make=lambda told: Silent())
shop.hears("image", "video", "location", "link", "other", make=lambda told: StrangeThing(told.kind))


@shop.on("帮助", "怎么用", "能做什么", "菜单", "help", "?")
async def help(ask: Help, me: Me, staff: StaffGlance, talk: Talking) -> Reply:
    """The commands that make sense for this person now."""
    role = await staff.role_of(me.id)
    steps = (Choice("商品", Browse()), Choice("订单", ListOrders()), Choice("正在拼的团", Groups()))
    if role > Role.ANYONE:
        return reply("help/staff", role=role.word)
    return reply("help/help", *steps)


@shop.on()
async def silent(ask: Silent) -> Reply:
    """Nothing is to be said to this."""
    return replace(reply("desk/silent"), keeps=True)


@shop.on()
async def beyond(ask: BeyondList) -> Reply:
    """A number beyond the list is asked back."""
    steps = [Choice(f"找 ¥{ask.n} 左右的", Search(f"{ask.n}元左右"))] if ask.n >= 10 else []
    return replace(reply("help/beyond", *steps, n=ask.n, of=ask.of), keeps=not steps)


@shop.on()
async def list_gone(ask: ListGone) -> Reply:
    """A number whose list is lost, and which cannot be shown again."""
    return reply("help/list_gone", Choice("商品", Browse()), Choice("订单", ListOrders()))


@shop.on()
async def strange(ask: StrangeThing) -> Reply:
    """A picture, a link, a place: one friendly line."""
    return replace(reply("help/strange", kind=ask.kind), keeps=True)


@shop.on("算了", "不要了", "不用", "不用了")
async def cancel_question(ask: CancelQuestion, talk: Talking) -> Reply | Intent:
    """No, to an open question only; it never cancels an order."""
    return reply("help/never_mind" if talk.question else "help/fine")
