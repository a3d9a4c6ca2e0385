"""What the account may not do is switched off with an alarm, instead of failing each time."""

from datetime import timedelta
from itertools import count

import pytest
from conftest import NOON
from follower import Follower
from town import Town

from bot.channel import Rights, SendFailed


def test_what_was_never_refused_is_never_off_although_time_passes_while_one_looks() -> None:
    """A day's bug: the moment was asked for twice, the later one was "until", and nothing was sent to anybody."""
    ticks = count()
    rights = Rights(lambda: NOON + timedelta(microseconds=next(ticks)))
    rights.check("message/custom/send")
    rights.switch_off("qrcode/create")
    rights.check("message/custom/send")
    with pytest.raises(SendFailed, match="no_right"):
        rights.check("qrcode/create")


async def shop_with_a_customer(town: Town) -> tuple[Follower, Follower]:
    """An owner and somebody who has ordered and paid."""
    boss, mei = await town.owner(), town.wechat("小美")
    await mei.follows()
    await town.settles()
    return boss, mei


def calls(town: Town, call: str) -> list[str]:
    """From now on, the calls of this name that reach the platform."""
    seen: list[str] = []
    town.stage.platform.on_call.append(lambda one: seen.append(call) if call in one.path else None)
    return seen


async def test_no_right_to_send_messages_is_asked_for_once_an_hour_and_the_owner_is_told(town: Town) -> None:
    boss, mei = await shop_with_a_customer(town)
    town.stage.platform.denied.add("message/custom/send")
    seen = calls(town, "message/custom/send")
    for words in ("邀请卡", "邀请卡 A1", "邀请卡 A2"):
        await mei.says(words)
        await town.settles()
    assert len(seen) == 1
    assert town.stage.house.counts["no_right"] == 1
    assert "没有主动发消息的权限" in (await boss.says("今日")).text
    assert "没有主动发消息的权限" not in (await boss.says("今日")).text  # once
    town.stage.platform.denied.clear()
    await town.later(minutes=61)
    assert not mei.inbox  # nothing was tried again by itself
    await mei.says("商品")
    await town.settles()
    assert [sent.picture is not None for sent in mei.inbox] == [True, True, True]


async def test_without_qr_codes_cards_are_drawn_all_the_same_and_the_owner_hears_of_it_at_once(town: Town) -> None:
    boss, mei = await shop_with_a_customer(town)
    town.stage.platform.denied.add("qrcode/create")
    seen = calls(town, "qrcode/create")
    for words in ("邀请卡", "邀请卡 A1"):
        await mei.says(words)
        await town.settles()
    assert [sent.picture is not None for sent in mei.inbox] == [True, True]
    assert len(seen) == 1
    assert any("没有带参数二维码的权限" in sent.text for sent in boss.inbox)
