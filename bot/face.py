"""What a reply looks like on each channel: the template, the choices, the room there is."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateNotFound

from handlers.asking import Coded
from handlers.replies import Choice, Reply
from handlers.routing import code_of, phrase_of
from models import prices
from models.words import bare

TAPPABLE_LINKS = 12
LASTING = 500  # replies whose look is kept


@dataclass(frozen=True, slots=True)
class Article:
    """A card with a picture and a link: title, text, the picture's URL, the URL it opens."""

    title: str
    text: str
    picture: str
    url: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What one channel is to show; nothing at all means to say nothing."""

    text: str = ""
    media_id: str = ""
    article: Article | None = None

    @property
    def silent(self) -> bool:
        return not (self.text or self.media_id or self.article)

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {}
        if self.text:
            data["text"] = self.text
        if self.media_id:
            data["media_id"] = self.media_id
        if self.article:
            a = self.article
            data["article"] = [a.title, a.text, a.picture, a.url]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Answer:
        article = data.get("article")
        return cls(str(data.get("text", "")), str(data.get("media_id", "")), Article(*article) if article else None)


@dataclass(frozen=True)
class Room:
    """How much fits into one message of a channel, and whether words in it can be tapped."""

    size: int
    unit: str = "bytes"
    tappable: bool = False
    pictures: bool = False  # can show a picture by media id

    def length(self, text: str) -> int:
        return len(text.encode()) if self.unit == "bytes" else len(text)


@dataclass(frozen=True)
class Rendered:
    """An answer, what its numbers mean, and the part that did not fit."""

    answer: Answer
    offered: tuple[Choice, ...] = ()
    rest: str = ""
    lines: int = 0
    """So many of `offered` are things of a list; the rest are next steps."""

    @functools.cached_property
    def meanings(self) -> list[dict[str, Any]]:
        """What the talk remembers of `offered`; nobody changes it."""
        return [choice.intent.to_json() for choice in self.offered]

    @functools.cached_property
    def steps(self) -> dict[str, int]:
        """The next steps' words and their numbers: one may type either."""
        return {bare(choice.label): n for n, choice in enumerate(self.offered[self.lines :], self.lines + 1)}

    @functools.cached_property
    def written(self) -> str:
        """The answer as it is kept, should the same message come again."""
        return json.dumps(self.answer.to_json(), ensure_ascii=False)


def yuan(fen: int) -> str:
    """9900 → ¥99, 2990 → ¥29.9, -500 → -¥5."""
    return f"{'-' if fen < 0 else ''}¥{prices.yuan(abs(fen))}"


def _harmless(value: Any) -> Any:
    """Data in chat text cannot plant a link: `<` becomes `＜`. Templates' own text is not data."""
    return value.replace("<", "＜") if isinstance(value, str) and "<" in value else value


@functools.lru_cache(4096)
def _tap(choice: Choice) -> str:
    """A line of a list as a link; the same lines are shown all day."""
    label = str(_harmless(choice.label))
    code = code_of(choice.intent)
    words = label if code else phrase_of(choice.intent) or label
    attribute = escape(words.replace("&", "＆").replace("#", "＃"), quote=True)
    return f'<a href="weixin://bizmsgmenu?msgmenucontent={attribute}&msgmenuid={code or "say"}">{label}</a>'


class Face:
    """Gives a reply its face. Templates are compiled once; both environments refuse what they do not know."""

    def __init__(self, folder: Path, zone: str, shop_name: str, public_url: str, *, by_cashier: bool = True) -> None:
        self.zone = ZoneInfo(zone)
        self.public_url = public_url.rstrip("/")
        shared: dict[str, Any] = {"shop_name": shop_name, "public_url": self.public_url, "by_cashier": by_cashier}
        loader = FileSystemLoader(str(folder))
        self.chat = Environment(
            loader=loader,
            undefined=StrictUndefined,
            finalize=_harmless,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            autoescape=False,
        )
        self.pages = Environment(loader=loader, undefined=StrictUndefined, autoescape=True, auto_reload=False)
        for environment in (self.chat, self.pages):
            environment.filters |= {
                "yuan": yuan,
                "when": self.when,
                "day": self.day,
                "span": span,
                "masked": masked,
            }
            environment.globals |= shared
        self._known: dict[tuple[str, str], str | None] = {}
        self._looks: dict[tuple[int, str, Room, bool], tuple[Reply, Rendered]] = {}

    def when(self, moment: datetime) -> str:
        """A moment as people here say it: 11月22日 10:00."""
        local = moment.astimezone(self.zone)
        return f"{local.month}月{local.day}日 {local:%H:%M}"

    def day(self, moment: datetime) -> str:
        local = moment.astimezone(self.zone)
        return f"{local.month}月{local.day}日"

    def has(self, template: str, kind: str) -> bool:
        return self._find(template, kind) is not None

    def _find(self, template: str, kind: str) -> str | None:
        key = (template, kind)
        if key not in self._known:
            self._known[key] = None
            for name in (f"{template}.{kind}.txt", f"{template}.txt") if kind != "html" else (f"{template}.html",):
                try:
                    self.chat.get_template(name)
                except TemplateNotFound:
                    continue
                self._known[key] = name
                break
        return self._known[key]

    def body(self, template: str, channel: str, facts: Mapping[str, Any]) -> str:
        """The words of a template for a channel; TemplateNotFound when it has none."""
        name = self._find(template, channel)
        if name is None:
            raise TemplateNotFound(template)
        return self.chat.get_template(name).render(facts).strip()

    def page(self, template: str, facts: Mapping[str, Any]) -> str:
        """The page of a template, autoescaped."""
        return self.pages.get_template(f"{template}.html").render(facts)

    def render(self, reply: Reply, channel: str, room: Room, *, numbers: bool = True) -> Rendered:
        """The answer as this channel can show it.

        `numbers=False` for pushes and notices: they carry codes and links, never numbers (conversation: C6).
        A list brings as many lines as fit and 更多; other text is cut at a paragraph, the rest waits behind 更多.
        """
        if not reply.lasting:
            return self._render(reply, channel, room, numbers)
        name = (id(reply), channel, room, numbers)
        known, look = self._looks.get(name, (None, None))
        if known is not reply or look is None:  # an id is given out again, once its owner is gone
            look = self._render(reply, channel, room, numbers)
            if len(self._looks) >= LASTING:
                self._looks.clear()
            self._looks[name] = (reply, look)
        return look

    def _render(self, reply: Reply, channel: str, room: Room, numbers: bool) -> Rendered:
        if reply.picture is not None and reply.picture.media_id and room.pictures:
            return Rendered(Answer(media_id=reply.picture.media_id))
        text = self.body(reply.template, channel, reply.facts)
        text = f"{self.body(reply.lead, channel, reply.facts)}\n{text}" if reply.lead else text
        ending = self.body(reply.ending, channel, reply.facts) if reply.ending else ""
        article = None
        if reply.picture is not None and reply.picture.url:
            p = reply.picture
            article = Article(p.title, p.text, self._absolute(p.url), self._absolute(p.link))
        lines, choices, more = list(reply.lines), list(reply.choices), reply.more
        while True:
            offered = (*lines, *choices, *((Choice("更多", more),) if more is not None else ()))
            whole = self._with_choices(text, offered, room, numbers, len(lines))
            whole = f"{whole}\n{ending}" if ending else whole
            if room.length(whole) <= room.size or not (len(lines) > 1 or choices):
                break
            if len(lines) > 1:
                lines.pop()
            else:
                choices.pop()
        rest = ""
        if room.length(whole) > room.size:
            whole, rest = self._cut(whole, room)
        if article is not None:
            article = replace(article, text=article.text or whole)
            return Rendered(Answer(text=whole, article=article), offered, rest, len(lines))
        return Rendered(Answer(text=whole), offered if numbers else (), rest, len(lines))

    def _with_choices(self, text: str, offered: tuple[Choice, ...], room: Room, numbers: bool, lines: int) -> str:
        shown = []
        for i, choice in enumerate(offered, 1):
            link = self._link(choice, room) if i <= TAPPABLE_LINKS else _harmless(choice.label)
            if numbers:
                shown.append(f"{i}. {link}")
            elif room.tappable:
                shown.append(link)
            else:
                shown.append(f"回 {_harmless(phrase_of(choice.intent) or choice.label)}")
        head, tail = shown[:lines], shown[lines:]
        parts = [text, "\n".join(head), "\n".join(tail)]
        return "\n\n".join(p for p in parts if p) if lines else "\n".join(p for p in (text, *tail) if p)

    def _link(self, choice: Choice, room: Room) -> str:
        if not room.tappable:
            return str(_harmless(choice.label))
        return _tap(choice) if isinstance(choice.intent, Coded) else _tap.__wrapped__(choice)  # words are not kept

    def _absolute(self, url: str) -> str:
        return self.public_url + url if url.startswith("/") else url

    def _cut(self, text: str, room: Room) -> tuple[str, str]:
        tail = "\n（回 更多 看后面）"
        space = room.size - room.length(tail)
        head = ""
        for paragraph in text.splitlines(keepends=True):
            if room.length(head + paragraph) > space:
                break
            head += paragraph
        if not head:
            for character in text:
                if room.length(head + character) > space:
                    break
                head += character
        return head.rstrip() + tail, text[len(head) :].strip()

    def path(self, intent: Coded) -> str:
        """The address of an intent's page."""
        return f"/h/{intent.pack()}"


def span(length: timedelta) -> str:
    """How long, as people say it: 23 小时 59 分."""
    minutes = max(0, int(length.total_seconds()) // 60)
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    if days:
        return f"{days} 天 {hours} 小时" if hours else f"{days} 天"
    if hours:
        return f"{hours} 小时 {minutes} 分" if minutes else f"{hours} 小时"
    return f"{minutes} 分钟"


def masked(phone: str) -> str:
    """13800138000 → 138****8000."""
    return f"{phone[:3]}****{phone[-4:]}" if len(phone) == 11 else "****"
