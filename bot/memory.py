"""What the talk keeps of an answer, and what it was when the next words come."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from bot.face import Rendered
from bot.shared import Recalled
from handlers.asking import Intent, remembered
from handlers.intents import ListGone
from handlers.replies import Question, Reply
from models.follower import Visit
from models.talk import PENDING_SECONDS, Talking


def overlaid(visit: Visit, recalled: Recalled) -> tuple[Talking, bool]:
    """The talk, with the overlay if it was built on this number; True when a newer list may have been lost."""
    if recalled.overlay is not None:
        overlay = json.loads(recalled.overlay)
        if overlay["number"] == visit.number:
            talking = Talking.load(overlay["state"])
            return talking, bool(talking.offered) and talking.offered_at < recalled.since
    talking = Talking.load(visit.state)
    return talking, bool(talking.offered) and talking.offered_at < recalled.since


def remember(talking: Talking, intent: Intent, reply: Reply, rendered: Rendered, now: datetime) -> None:
    """What the talk keeps of an answer."""
    at = now.timestamp()
    if rendered.offered:
        talking.offered = rendered.meanings
        talking.offered_at = at
        talking.steps = rendered.steps
        again = _asked_again(intent, reply)
        talking.listing = again.to_json() if again is not None else None
        talking.labels = [choice.label for choice in rendered.offered] if again is None else []
        if reply.lines and reply.question is None:
            talking.shelf = talking.listing
    talking.more = reply.more.to_json() if reply.more is not None else talking.more if reply.keeps else None
    talking.rest = rendered.rest
    if reply.question is not None:
        talking.question = _question(reply.question, [c.label for c in reply.lines], at)
    elif not reply.keeps or (reply.refused and not _answers(talking.question, intent)):
        talking.question = None
    if reply.pending is not None:
        talking.pending = {
            "intent": reply.pending.intent.to_json(),
            "code": reply.pending.code,
            "until": at + PENDING_SECONDS,
        }
    elif intent.proposes:  # a new command voids the one that waited, also while it still lacks something
        talking.pending = None
    for thing, code in reply.saw:
        talking.saw(thing, code, now, reply.many)
    talking.times = talking.times + 1 if named(reply) == talking.last else 1
    talking.last = named(reply)


def _asked_again(intent: Intent, reply: Reply) -> Intent | None:
    """What shows this list again once its numbers have gone stale: a question among options is put again, what only
    showed is asked again; what changed something is not done twice: then its words are kept."""
    if reply.question is not None and reply.question.options:
        return reply.question.intent
    if reply.anew is not None:
        return reply.anew
    return None if intent.changes or isinstance(intent, ListGone) else intent


def named(reply: Reply) -> str:
    """What makes two answers the same: the template, for a refusal also what it is about."""
    return f"{reply.template} {sorted(reply.facts.items())}"[:200] if reply.refused else reply.template


def _answers(question: dict[str, Any] | None, intent: Intent) -> bool:
    """Whether what was refused is an answer to what is asked: only that may be tried again."""
    asked = remembered(question["intent"]) if question is not None else None
    return type(asked) is type(intent)


def _question(question: Question, labels: list[str], at: float) -> dict[str, Any]:
    return {
        "intent": question.intent.to_json(),
        "field": question.field,
        "options": list(question.options),
        "labels": labels,
        "at": at,
    }
