"""The wiring: configuration → store → desk → channels → aiohttp application; no other file builds things."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import logging
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any

import aiohttp
from aiohttp import web

from bot import quarantine
from bot.channel import Channel, Rights
from bot.clock import Clock, Ticks
from bot.courier import Courier
from bot.data import data
from bot.desk import Desk
from bot.face import Face, Room
from bot.pay import notify
from bot.pay.till import Till, no_till
from bot.pay.told import PayRefused, PayUnknown
from bot.pay.wxpay import Merchant, WxPay
from bot.settings import Settings
from bot.shared import InProcess, InRedis, Shared
from bot.step import providable
from bot.web import health, pages, paying
from bot.web.drawing import Easel
from bot.web.poster import CardFacts, draw_card
from bot.web.viewer import Viewer
from bot.wechat import webhook as wechat_webhook
from bot.wechat.api import WeChat
from bot.wechat.tokens import TokensShared
from bot.weibo import webhook as weibo_webhook
from bot.weibo.api import Weibo
from handlers.data import synonyms, topics
from handlers.errands import AskRefund, AskTrade, CloseTrade, DrawCard, FetchPicture, PayBack, Prepay
from handlers.intents import RightLost
from handlers.routing import load
from models import tables, tick
from models.base import Event, Work
from models.catalog import Catalogs
from models.figures import Figures
from models.product import ProductGlance
from models.seal import Keys, Sealed
from models.store import Store

log = logging.getLogger(__name__)

STOP_SECONDS = 4.0  # for requests in hand, and again for promises in hand: a supervisor's patience is 10
RUBBISH = (20_000, 20, 20)  # new things before a look for what only holds itself: a message leaves little of it
CATALOG_SECONDS = 2
KEYS_SECONDS = 60
FORGET_SECONDS = 3600
RESTORED_SECONDS = 3
TILL = (Prepay, AskTrade, CloseTrade, PayBack, AskRefund)  # the errands to the cashier


def figures_of(settings: Settings) -> Figures:
    """The settings' figures as the rules take them."""
    parts: dict[str, Any] = {}
    for part in dataclasses.fields(Figures):
        section = getattr(settings, part.name, None)
        if section is None:
            continue
        kind = type(getattr(Figures(), part.name))
        known = {f.name for f in dataclasses.fields(kind)}
        parts[part.name] = kind(**{k: v for k, v in section.model_dump().items() if k in known})
    return Figures(
        shop_name=settings.shop.name,
        zone=settings.shop.timezone,
        public_url=settings.shop.public_url.rstrip("/"),
        cashier=settings.wechat_pay is not None,
        **parts,
    )


class Tasks:
    """The only place where tasks are started; a task that fails is logged and takes no other with it."""

    def __init__(self) -> None:
        self._all: set[asyncio.Task[Any]] = set()
        self._endless: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, Any], *, endless: bool = False) -> asyncio.Task[Any]:
        """Run beside everything else; whoever awaits the task gets its result or failure.

        An `endless` one runs until the house closes, and nobody waits for its end.
        """
        task = asyncio.get_running_loop().create_task(coroutine)
        self._all.add(task)
        if endless:
            self._endless.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._all.discard(task)
        self._endless.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("a task failed", exc_info=failure)

    async def settle(self, seconds: float) -> None:
        """Wait until what is in hand is finished, at most so long."""
        pending = self._all - self._endless - {asyncio.current_task()}
        if pending:
            await asyncio.wait(pending, timeout=seconds)

    async def close(self) -> None:
        for task in list(self._all):
            task.cancel()
        await asyncio.gather(*self._all, return_exceptions=True)


@dataclasses.dataclass
class House:
    """The whole shop, wired. `start` opens it, `stop` finishes what is in hand and closes it."""

    settings: Settings
    clock: Clock = dataclasses.field(default_factory=Clock)
    works: bool = True  # the courier and the clock run in this process
    movable: bool = False  # the clock's offset row counts (demo and tests only)
    frame_ancestors: str = "'none'"

    def __post_init__(self) -> None:
        settings = self.settings
        self.figures = figures_of(settings)
        self.keys = Keys(
            settings.secret.key.get_secret_value(),
            tuple(k.get_secret_value() for k in settings.secret.old_keys),
        )
        Sealed.keys = self.keys
        self.store = Store(settings.database.url)
        self.shared: Shared = (
            InRedis(settings.redis.url, self.clock.now) if settings.redis.url else InProcess(self.clock.now)
        )
        self.catalogs = Catalogs(synonyms())
        self.face = Face(
            data("templates"),
            settings.shop.timezone,
            settings.shop.name,
            settings.shop.public_url,
            by_cashier=settings.wechat_pay is not None,
        )
        self.tasks = Tasks()
        self.ticks = Ticks()
        self.shop = load(providable)
        self.counts: dict[str, int] = {}
        self.stopping = self.closed = False
        rooms: dict[str, Room] = {}
        if settings.wechat:
            rooms["wechat"] = Room(settings.wechat.room_bytes, "bytes", settings.wechat.tappable, pictures=True)
        if settings.weibo:
            rooms["weibo"] = Room(settings.weibo.room_characters, "characters")
        self.desk = Desk(
            self.shop,
            self.store,
            self.shared,
            self.clock,
            self.face,
            rooms,
            self.figures,
            self.catalogs,
            self.keys,
            self.tasks.spawn,
        )

    def count(self, word: str) -> None:
        """One more refusal, fault or event of this name, for the metrics."""
        self.counts[word] = self.counts.get(word, 0) + 1

    async def open(self) -> None:
        """Open what needs the loop: the client session, the channels, the cashier, the courier, the catalogue."""
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        try:
            await self._open()
        except BaseException:  # what was opened before it is given back
            await self.http.close()
            await self.shared.close()
            await self.store.close()
            raise

    async def _open(self) -> None:
        settings = self.settings
        if self.movable:
            self.clock.offset = max(self.clock.offset, await tick.offset(self.store.reader))
        self.channels: dict[str, Channel] = {}
        if settings.wechat:
            tokens = TokensShared(self.shared, settings.wechat.app_id, self.clock.now)
            self.channels["wechat"] = WeChat(settings.wechat, self.http, self.clock.now, tokens, self._rights("wechat"))
        if settings.weibo:
            self.channels["weibo"] = Weibo(settings.weibo, self.http, self._rights("weibo"))
        easel = Easel(self.channels, ProductGlance(self.store.reader).picture, self.clock)
        performers: dict[Any, Any] = {DrawCard: easel.perform, FetchPicture: Viewer(self.channels).perform}
        self.pay: WxPay | None = None
        if settings.wechat_pay and settings.wechat:
            merchant = Merchant.read(settings.wechat_pay, settings.wechat.app_id)
            self.pay = WxPay(merchant, self.http, self.clock.now)
            self.till = Till(self.pay, self.clock, settings)
            performers |= dict.fromkeys(TILL, self.till.perform)
        else:
            performers |= dict.fromkeys(TILL, no_till)
        self.courier = Courier(
            self.store,
            self.clock,
            self.shared,
            self.desk,
            self.figures,
            self.channels,
            performers,
            _events(),
        )
        self.desk.perform = self.courier.keep
        await self.catalogs.refresh(self.store.reader, self.clock.now())

    def _rights(self, channel: str) -> Rights:
        """What an account turns out not to be allowed is an alarm: in the log, in the metrics, to the owner."""

        def lost(call: str) -> None:
            log.error("the account may not do this: switched off", extra={"channel": channel, "call": call})
            self.count("no_right")
            self.tasks.spawn(self.desk.fact(RightLost(channel, call)))

        return Rights(self.clock.now, lost)

    def application(self) -> web.Application:
        """The aiohttp application with every door."""
        app = web.Application(client_max_size=64 * 1024)
        annex = pages.Pages(self)
        app.middlewares.append(pages.frame(self, annex))
        if self.settings.wechat:
            app.add_routes(wechat_webhook.doors(self.settings.wechat, self.desk, self.clock, count=self.count))
        if self.settings.weibo:
            app.add_routes(weibo_webhook.doors(self.settings.weibo, self.desk, self.clock, count=self.count))
        if self.pay is not None:
            app.add_routes(notify.doors(self.pay, self._paid, self.clock, refused=self.count))
        app.add_routes(pages.doors(annex))
        app.add_routes(paying.doors(annex))
        app.add_routes(health.doors(self))
        return app

    async def _paid(self, notice: notify.Notice) -> bool:
        return not (await self.desk.fact(await self.till.noticed(notice))).refused

    def start(self) -> None:
        """Start what runs by itself: write-behind, the catalogue's look, and, where this process works, the rest."""
        # What is here now stays: collections need not walk through the dictionaries again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*RUBBISH)
        self.ticks.every(1, "write-behind", self.desk.write_behind)
        self.ticks.every(CATALOG_SECONDS, "catalogue", self._refresh)
        if self.pay is not None:
            self.ticks.every(KEYS_SECONDS, "pay-keys", self._refresh_keys)
        if self.works:
            self.ticks.every(RESTORED_SECONDS, "restored", lambda: quarantine.look(self))
            for one in self.shop.ticks:
                self.ticks.every(10, one.name, lambda one=one: self.desk.look(one))  # type: ignore[misc]
            self.ticks.every(FORGET_SECONDS, "forget", self.desk.forget)
            for endless in (self.courier.listen(), self.courier.run(), self._beat()):
                self.tasks.spawn(endless, endless=True)
        self.ticks.start()

    def warm(self) -> None:
        """Read what the first visitor would otherwise wait for; in a thread, 0.8 s of work."""
        topics().match("在吗")
        first = CardFacts("shop", self.figures.shop_name, "", None, None, "", "", "", "https://weixin.qq.com", None, "")
        draw_card(first)

    async def _refresh(self) -> None:
        await self.catalogs.refresh(self.store.reader, self.clock.now())

    async def _refresh_keys(self) -> None:
        """A callback has shown a serial that nobody knows: the request only noted it, here it is asked for."""
        if self.pay is None or not self.pay.keys.wanted:
            return
        try:
            await self.pay.refresh_keys()
        except (PayRefused, PayUnknown) as no:  # anybody may show a serial: that is no fault of ours
            log.warning("the cashier's keys were not fetched", extra={"why": str(no)})

    async def _beat(self) -> None:
        """A worker's heartbeat, for readyz."""
        while True:
            await self.shared.put("worker", str(self.clock.timestamp()), 120)
            await asyncio.sleep(20)

    async def look_all(self) -> None:
        """Everything that is due at this moment: ticks, pushes, errands (after the clock has been moved)."""
        await self.desk.write_behind()
        await quarantine.look(self)
        for one in self.shop.ticks:
            await self.desk.look(one)
        await self.desk.forget()
        await self.courier.drain()
        await self.catalogs.refresh(self.store.reader, self.clock.now())

    async def move_clock(self, by: timedelta) -> None:
        """Move the shop's clock (demo and tests only) and let everything that has become due happen."""
        if not self.movable:
            raise RuntimeError("the clock moves only in the demo and in tests")
        self.clock.move(by)
        async with self.store.session() as session, session.begin():
            await tick.set_offset(Work(session, self.clock.now()), self.clock.offset)
        await self.look_all()

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Take nothing new, finish what is in hand within so many seconds, close; once."""
        if self.closed:
            return
        self.stopping = self.closed = self.courier.paused = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ticks.rest()
                await self.tasks.settle(seconds)
                async with self.courier._busy:  # the round that is under way, to its end
                    pass
        self.ticks.stop()
        try:
            await self.desk.write_behind()
        except Exception:  # the database is away: everything else is closed all the same
            log.exception("the last windows could not be written down")
        await self.tasks.close()
        await self.http.close()
        await self.shared.close()
        await self.store.close()


def _events() -> Mapping[str, type[Event]]:
    """Every event by name, so that one whose reaction failed can be reacted to later."""
    tables.modules()
    found: dict[str, type[Event]] = {}
    todo: list[type[Event]] = [Event]
    while todo:
        kind = todo.pop()
        found[kind.__name__] = kind
        todo.extend(kind.__subclasses__())
    return found


Build = Callable[[Settings], House]
