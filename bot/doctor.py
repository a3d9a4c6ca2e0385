"""Looks the shop over: what is dangerous, what is missing, and what this account may not do."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp

from bot.channel import SendFailed
from bot.clock import Clock
from bot.commands import ready
from bot.face import Answer
from bot.pay.told import PayRefused, PayUnknown
from bot.pay.wxpay import Merchant, WxPay
from bot.settings import Settings
from bot.shared import InRedis
from bot.terminal import Unfit
from bot.wechat.api import WeChat
from bot.weibo.api import Weibo
from models import migrations

TOKEN = "access token"

# What the shop leaves out when an account may not do something.
WITHOUT = {
    "customer messages": "发货、成团、推送等通知只能等客人下次说话时显示",
    "pictures": "邀请卡和客人发来的图不可用",
    "QR codes with a parameter": "邀请卡不可用，只能报团号参团",
    "menu": "底部菜单不可用",
    "web login": "网页里认不出是谁，只能看公开页；付款页在微信里付不了款，只能在电脑上扫码",
}


async def examine(settings: Settings, say: Callable[[str], None]) -> int:
    """Say everything that is wrong or dangerous, one line each; 1 when something keeps the shop from working.

    ✓ is well, ✗ is missing, ! is dangerous, ? could not be found out.
    """
    faults = [*await _database(settings, say), *await _redis(settings, say)]
    if not settings.shop.public_url.startswith("https://"):
        say("! shop.public_url is not https: WeChat will not call it, and pay pages will not open")
    if settings.server.host not in ("127.0.0.1", "::1", "localhost"):
        say(f"! the server listens on {settings.server.host}: put a proxy with TLS in front of it")
    if settings.wechat is None and settings.weibo is None:
        faults.append("neither [wechat] nor [weibo] is set: nobody can talk to this shop")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        if settings.wechat is not None:
            faults += await _wechat(settings, http, say)
        if settings.weibo is not None:
            faults += await _weibo(settings, http, say)
        if settings.wechat_pay is not None:
            faults += await _pay(settings, http, say)
    for fault in faults:
        say(f"✗ {fault}")
    return 1 if faults else 0


async def _database(settings: Settings, say: Callable[[str], None]) -> list[str]:
    try:
        async with ready(settings):
            say(f"✓ the database is at {migrations.head()}")
    except Unfit as why:
        return [str(why)]
    return []


async def _redis(settings: Settings, say: Callable[[str], None]) -> list[str]:
    if not settings.redis.url:
        if settings.database.is_postgresql:
            say("! no Redis: only one `serve` may run, and lists are forgotten when it starts again")
        return []
    shared = InRedis(settings.redis.url, Clock().now)
    try:
        if not await shared.ready():
            return ["Redis does not answer: limits hold per process, lists are forgotten; money is not affected"]
        say("✓ Redis answers")
    finally:
        await shared.close()
    return []


async def _wechat(settings: Settings, http: aiohttp.ClientSession, say: Callable[[str], None]) -> list[str]:
    account = settings.wechat
    assert account is not None
    if account.plain:
        say("! wechat.plain: whoever saw one query string can write as any follower; staff commands are off")
    if account.trust_plain:
        say("! wechat.trust_plain: the shop believes unsigned messages; for test accounts only")
    if settings.wechat_pay is None:
        say("! no [wechat_pay]: people pay the shop itself (service.pay_words), and staff say 收款")
    say(f"· WeChat calls {settings.shop.public_url}/wechat: a filed domain, port 443, a full certificate chain")
    faults = []
    for right in await WeChat(account, http, Clock().now).capabilities():
        code = f" ({right.code})" if right.code else ""
        if right.may:
            say(f"✓ WeChat: {right.name}")
        elif right.may is None:
            say(f"? WeChat: {right.name} could not be asked ({right.why})")
        elif right.name == TOKEN:  # 40164 names our address, which must stand in the account's white list
            faults.append(f"WeChat: {right.name}{code}: {right.why}")
        else:
            say(f"✗ WeChat: {right.name}{code} — {WITHOUT.get(right.name, right.why)}")
    return faults


async def _weibo(settings: Settings, http: aiohttp.ClientSession, say: Callable[[str], None]) -> list[str]:
    assert settings.weibo is not None
    say("! Weibo does not sign what it sends: personal answers go out as messages, staff commands are off there")
    try:
        # Nobody has this number: what comes back is about the token, or about the number.
        await Weibo(settings.weibo, http).say("0", Answer("?"), key="doctor")
    except SendFailed as failed:
        if failed.reason in ("tokens", "no_right"):
            return [f"Weibo: the access token is not good ({failed.code}): nothing can be sent"]
        if failed.reason in ("later", "unknown"):
            say(f"? Weibo could not be asked ({failed})")
            return []
    say("✓ Weibo: messages")
    return []


async def _pay(settings: Settings, http: aiohttp.ClientSession, say: Callable[[str], None]) -> list[str]:
    assert settings.wechat_pay is not None
    assert settings.wechat is not None  # the configuration sees to it
    try:
        merchant = Merchant.read(settings.wechat_pay, settings.wechat.app_id)
    except (OSError, ValueError) as failure:
        return [f"WeChat Pay: a key file cannot be used: {failure}"]
    try:
        await WxPay(merchant, http, Clock().now).query("TUANPUDOCTOR")
    except PayRefused as no:
        if no.means != "missing":
            return [f"WeChat Pay refuses us: {no}"]
    except PayUnknown as nobody_knows:
        say(f"? WeChat Pay could not be asked ({nobody_knows})")
        return []
    say("✓ WeChat Pay: our signature and its own are good")
    say(f"· inside WeChat people can pay once {settings.shop.public_url}/pay/ is an authorised JSAPI directory")
    if settings.wechat_pay.h5:
        say("· wechat_pay.h5: phones outside WeChat can pay once WeChat has approved H5 payment for this domain")
    else:
        say("· wechat_pay.h5 is off: on phones outside WeChat people get words to say to the account (付款 …)")
    return []
