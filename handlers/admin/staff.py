"""Who works here: one-time codes, roles, the log, and the word that carries out what waits."""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import datetime
from typing import Any

from handlers.asking import Intent, remembered
from handlers.intents import (
    BindStaff,
    Confirm,
    Dismiss,
    DismissNow,
    GrantRole,
    Help,
    ListStaff,
    ShowTrail,
    Today,
    Undo,
)
from handlers.replies import Choice, Reply, confirm, listing, reply
from handlers.routing import shop
from models.audit import AuditGlance, record
from models.base import Work
from models.follower import FRIEND, Follower, Me
from models.prices import yuan
from models.roster import Member, NotStaff, Roster, RosterGlance
from models.seal import Keys
from models.staff import Role, StaffRoom, code_hash
from models.talk import Talking

TRIES = 5  # wrong four digits until the waiting command is given up
ROLES = {
    "客服": Role.SUPPORT,
    "店员": Role.CLERK,
    "店长": Role.MANAGER,
    "support": Role.SUPPORT,
    "clerk": Role.CLERK,
    "manager": Role.MANAGER,
}
LINES = 8


@shop.on("绑定 {code}", "bind {code}")
async def bind(what: BindStaff, me: Follower, room: StaffRoom, keys: Keys, work: Work, now: datetime) -> Reply:
    """A one-time code makes its sayer one of the staff. A wrong one is an answer, so that the try counts."""
    role = await room.redeem(code_hash(what.code, keys.derive("staff")), me.id, now)
    if role is None:
        return replace(reply("staff/code_wrong"), refused=True, keeps=True)
    await record(work, me.id, "bind", {"role": int(role)})
    steps = (Choice("今日", Today()),) if role >= Role.MANAGER else ()
    return reply("staff/bound", *steps, Choice("能做什么", Help()), role=role.word)


@shop.on("确认", "确认 {code}", "confirm", "confirm {code}")
async def carry_out(what: Confirm, talk: Talking, now: datetime) -> Reply | Intent:
    """Hand over the one command that waits; four digits where they are wanted, and always typed."""
    waiting = talk.waiting(now)
    intent = remembered(waiting["intent"]) if waiting else None
    if waiting is None or intent is None:
        return replace(reply("staff/nothing_waits"), refused=True, keeps=True)
    code = str(waiting["code"])
    if code and not what.code:
        return replace(reply("staff/digits_wanted"), refused=True, keeps=True)
    # Digits for a command that wants none belong to one that this command has replaced.
    if not hmac.compare_digest(code.encode(), what.code.encode()):
        left = TRIES - 1 - int(waiting.get("tries", 0))
        # A new mapping: the row of the talk still holds the old one, and would find nothing changed.
        talk.pending = waiting | {"tries": TRIES - left} if left > 0 else None
        return replace(reply("staff/digits_wrong", left=left, wanted=bool(code)), refused=True, keeps=True)
    talk.pending = None
    return intent


@shop.on("撤销", "undo")
async def undo(what: Undo, talk: Talking, now: datetime) -> Reply:
    """What only waits is dropped; what is done cannot be undone from here yet, and that is said."""
    waited = talk.waiting(now) is not None
    talk.pending = None
    return reply("staff/dropped" if waited else "staff/no_undo")


@shop.on("员工", "店员列表", "staff")
async def members(what: ListStaff, me: Me, roster: RosterGlance) -> Reply:
    """Everybody who works here, numbered for 撤权."""
    found = await roster.members()
    lines = [
        Choice(f"{m.role.word} {_called(m, me)}", Dismiss(n, m.follower_id)) for n, m in enumerate(found[:LINES], 1)
    ]
    return listing("staff/members", lines, count=len(found))


@shop.on("授权 {word}", "grant {word}")
async def grant(what: GrantRole, room: StaffRoom, keys: Keys, now: datetime) -> Reply:
    """A one-time code for a role below the owner's, shown this once."""
    role = ROLES.get(what.word.strip().lower())
    if role is None:
        return replace(reply("staff/which_role"), refused=True)
    code = await room.offer(role, keys.derive("staff"), now)
    return reply("staff/granted", code=code, role=role.word)


@shop.on("撤权 {n}", "dismiss {n}")
async def dismiss(what: Dismiss, roster: RosterGlance, talk: Talking, now: datetime) -> Reply | Intent:
    """Read back who would stop working here; the number is that of the list on screen."""
    who = what.who
    if not who:
        line = talk.line(what.n, now)
        shown = remembered(line) if line is not None else None
        if not isinstance(shown, Dismiss):
            return ListStaff()
        who = shown.who
    member = await roster.member(who)
    if member is None:
        raise NotStaff
    return confirm("staff/dismiss", DismissNow(who), role=member.role.word, name=member.name, tail=member.tail)


@shop.on()
async def dismiss_now(what: DismissNow, roster: Roster) -> Reply:
    """The role is gone with the next word that is said."""
    role = await roster.dismiss(what.who)
    return reply("staff/dismissed", Choice("员工", ListStaff()), role=role.word)


@shop.on("日志", "操作日志", "audit")
async def trail(what: ShowTrail, audit: AuditGlance, roster: RosterGlance) -> Reply:
    """What was done to the shop lately, newest first."""
    names = {m.follower_id: m.role.word if m.name == FRIEND else m.name for m in await roster.members()}
    rows = []
    for at, who, act, facts in await audit.latest(LINES):
        name = "小店" if who is None else names.get(who, "已离开")
        rows.append({"at": at, "who": name, "act": act, "facts": _said(act, facts)})
    return reply("staff/trail", rows=rows)


def _called(member: Member, me: Me) -> str:
    return "您自己" if member.follower_id == me.id else f"{member.name}（尾号 {member.tail}）"


def _said(act: str, facts: dict[str, Any]) -> str:
    if act == "pricenow":
        return f"{facts['product']}-{facts['spec']} ¥{yuan(facts['was'])} → ¥{yuan(facts['price'])}"
    if act == "stocknow":
        return f"{facts['product']}-{facts['spec']} {facts.get('was', 0)} {facts['move']}"
    if act == "bind":
        return Role(facts["role"]).word
    if act == "schedulepush":
        return f"#{facts['topic']} {facts['text'][:30]}"
    if act == "putoffer":
        return f"{facts['product']} {facts['size']}人 ¥{yuan(facts['price'])} {facts['hours']}小时"
    return " ".join(str(value) for key, value in facts.items() if key not in ("who", "at", "until"))[:40]
