"""Leaving a group-buy: what comes back is shown, and the word is taken again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from handlers.intents import Groups, InviteCard, LeaveGroup, ListOrders, MyGroups
from handlers.replies import Choice, Question, Reply, listing, reply
from handlers.routing import shop
from models.follower import Follower
from models.groupbuy import GroupBuys, GroupFull, GroupOver
from models.groupglance import GroupGlance
from models.order import Orders
from models.refund import Refunds
from models.talk import Talking
from models.wayback import WayBackGlance

LINES = 8  # groups one may be in


@shop.on("退团 {group}", "退团", "不拼了", "leave {group}")
async def leave(
    ask: LeaveGroup,
    me: Follower,
    groups: GroupBuys,
    glance: GroupGlance,
    orders: Orders,
    refunds: Refunds,
    ways: WayBackGlance,
    talk: Talking,
    now: datetime,
) -> Reply:
    """Out of a forming group: what comes back is shown first, and the word 退团 is taken again."""
    code = ask.group
    if not code:
        forming = [g for g in await glance.mine(me.id, LINES) if g.state == "forming"]
        if not forming:
            return reply("groupbuy/leave_none", Choice("我的团", MyGroups()))
        if len(forming) > 1:  # a number only shows what leaving means: the word is taken after that
            lines = [Choice(f"{g.code} {g.words}", LeaveGroup(g.code, "look")) for g in forming]
            return listing("groupbuy/leave_which", lines, codes=[g.code for g in forming])
        code = forming[0].code
    if ask.word == "no":
        return reply("groupbuy/stays", Choice("邀请卡", InviteCard(code)), group=code)
    try:
        seat = (await groups.get(code)).leave(me.id, now)
    except (GroupFull, GroupOver) as no:  # too late to leave: the goods are coming, or the money is
        return reply("groupbuy/leave_late", Choice("订单", ListOrders()), group=code, full=isinstance(no, GroupFull))
    order = await orders.hold_id(seat.order_id)  # the order before its group: everybody locks in this order
    if ask.word or not _asked_before(talk, code, now):
        way = await ways.coming(order.id)
        shown = reply("groupbuy/leave", group=code, way=way, again=ask.word == "yes")
        shown = replace(shown, question=Question(LeaveGroup(code), "word"))
        return shown.now_seen("group", code)
    group = await groups.hold(code)
    await groups.let_go(group, group.leave(me.id, now), now)
    await orders.undo(order, "left", actor="buyer")
    await refunds.owe_all(order.id, "left_group", now)
    way = await ways.owed(order.id, "left_group")
    return reply("groupbuy/left", Choice("别的团", Groups()), group=code, way=way, no=order.no)


def _asked_before(talk: Talking, code: str, now: datetime) -> bool:
    open_question = talk.asked(now)
    asked = open_question["intent"] if open_question else {}
    return asked.get("verb") == LeaveGroup.verb and asked.get("group") == code
