"""Looks the shop over: what is dangerous, what is missing, and what this account may not do."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp

from bot.clock import Clock
from bot.settings import Settings
from bot.wechat.api import WeChat
from models import migrations
from models.store import Store

# What the shop leaves out when an account may not do something.
WITHOUT = {
    "customer messages": "发货、成团、推送等通知只能等客人下次说话时显示",
    "pictures": "邀请卡和客人发来的图不可用",
    "QR codes with a parameter": "邀请卡不可用，只能报团号参团",
    "menu": "底部菜单不可用",
    "web login": "网页里认不出是谁，只能看公开页",
}


async def examine(settings: Settings, say: Callable[[str], None]) -> int:
    """Say everything that is wrong or dangerous, one line each; 1 when something keeps the shop from working."""
    bad = 0

    def fault(words: str) -> None:
        nonlocal bad
        bad += 1
        say(f"✗ {words}")

    store = Store(settings.database.url)
    try:
        at = await migrations.at(store)
        if at == migrations.head():
            say(f"✓ the database is at {at}")
        else:
            fault(f"the database is at {at or 'nothing'}, this version wants {migrations.head()}: tuanpu migrate")
    except Exception as failure:
        fault(f"the database cannot be reached: {type(failure).__name__}")
    finally:
        await store.close()
    if not settings.shop.public_url.startswith("https://"):
        say("! shop.public_url is not https: WeChat will not call it, and pay pages will not open")
    if settings.server.host not in ("127.0.0.1", "::1", "localhost"):
        say(f"! the server listens on {settings.server.host}: put a proxy with TLS in front of it")
    if settings.wechat is None and settings.weibo is None:
        fault("neither [wechat] nor [weibo] is set: nobody can talk to this shop")
    if settings.wechat is not None:
        if settings.wechat.plain:
            say(
                "! wechat.plain: whoever saw one query string can write as any follower; staff commands are off"
            )
        if settings.wechat.trust_plain:
            say("! wechat.trust_plain: the shop believes unsigned messages; for test accounts only")
        if settings.wechat_pay is None:
            say("! no [wechat_pay]: orders are paid by hand, 收款 by staff")
        bad += await _rights(settings, say)
    return 1 if bad else 0


async def _rights(settings: Settings, say: Callable[[str], None]) -> int:
    assert settings.wechat is not None
    lacking = 0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        for right in await WeChat(settings.wechat, http, Clock().now).capabilities():
            if right.may:
                say(f"✓ WeChat: {right.name}")
            elif right.may is None:
                say(f"? WeChat: {right.name} could not be asked ({right.why})")
            else:
                lacking += right.name == "access token"
                code = f" ({right.code})" if right.code else ""
                say(f"✗ WeChat: {right.name}{code} — {WITHOUT.get(right.name, right.why)}")
    return lacking
