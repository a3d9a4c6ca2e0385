"""The door where WeChat Pay says what was paid or refunded: only its own words enter; 200 means committed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from bot.clock import Clock
from bot.pay.seal import Forged, Headers, check_signature, strict_json, unseal
from bot.pay.told import RefundState, Trade, refund_of, trade_of
from bot.pay.wxpay import WxPay
from bot.points import point

__all__ = ["Forged", "Notice", "doors", "verify"]

log = logging.getLogger(__name__)

BODY_BYTES = 64 * 1024
LOG_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Notice:
    """An authentic callback, read strictly but not yet compared with what we asked for.

    `id` may differ between repeats of one notice: dedupe on the payment or the refund itself.
    """

    id: str
    event: str
    at: datetime
    about: Trade | RefundState


def verify(pay: WxPay, headers: Headers, raw: bytes, now: datetime) -> Notice:
    """The notice in `raw`, the body's bytes as they came; raises Forged (status 401, 400 or 413).

    The signature is checked before anything is parsed. No request is made: an unknown serial only sets
    `pay.keys.wanted`.
    """
    if len(raw) > BODY_BYTES:
        raise Forged("size", 413)
    check_signature(headers, raw, now, pay.keys)
    try:
        said = strict_json(raw)
        event, resource = said.get("event_type"), said.get("resource")
        if said.get("resource_type") != "encrypt-resource" or not isinstance(resource, dict):
            raise ValueError("resource_type")
        made = datetime.fromisoformat(str(said.get("create_time")))
        if not isinstance(event, str) or not isinstance(said.get("id"), str) or made.tzinfo is None:
            raise ValueError("event_type, id or create_time")
    except (ValueError, OverflowError):
        raise Forged("body", 400) from None
    try:
        plain = unseal(resource, pay.merchant.api_v3_key)
    except ValueError:
        raise Forged("decrypt", 400) from None
    try:
        told = strict_json(plain)
        about: Trade | RefundState
        if event.startswith("TRANSACTION."):
            about = trade_of(told)
        elif event.startswith("REFUND."):
            about = refund_of(told)
        else:
            raise ValueError("event_type")
    except (ValueError, OverflowError):
        raise Forged("body", 400) from None
    return Notice(said["id"], event, made.astimezone(UTC), about)


def doors(
    pay: WxPay,
    enter: Callable[[Notice], Awaitable[bool]],
    clock: Clock,
    *,
    refused: Callable[[str], None] = lambda reason: None,
) -> list[web.RouteDef]:
    """POST /pay/wechat/notify and /pay/wechat/refund-notify; either takes both kinds of notice.

    200 with nothing only after `enter` returned True, that is: committed. `enter` False or raising is a 500,
    so that WeChat Pay says it again; what is not its own is 401, 400 or 413 and counted by `refused(reason)`.
    """
    quiet_until = 0.0

    def no(status: int, message: str) -> web.Response:
        return web.json_response({"code": "FAIL", "message": message}, status=status)

    async def door(request: web.Request) -> web.Response:
        nonlocal quiet_until
        raw = bytearray()
        async for chunk in request.content.iter_chunked(BODY_BYTES):
            raw += chunk
            if len(raw) > BODY_BYTES:
                break
        try:
            notice = verify(pay, request.headers, bytes(raw), clock.now())
        except Forged as forged:
            refused(forged.reason)
            if (tick := asyncio.get_running_loop().time()) >= quiet_until and forged.reason != "probe":
                quiet_until = tick + LOG_SECONDS
                log.warning("pay callback refused", extra={"reason": forged.reason})
            return no(forged.status, "验证不通过" if forged.status == 401 else "无法读取")
        point("notify.heard")
        try:
            done = await enter(notice)
            point("notify.kept")
        except Forged as forged:  # another merchant's, or another account's
            refused(forged.reason)
            return no(401, "验证不通过")
        except Exception:  # whatever it was, it is not committed: let it be said again
            log.exception("pay callback not kept", extra={"event": notice.event})
            done = False
        return web.Response() if done else no(500, "请稍后重试")

    return [web.post("/pay/wechat/notify", door), web.post("/pay/wechat/refund-notify", door)]
