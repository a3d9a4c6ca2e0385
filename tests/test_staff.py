"""Staff in the same chat: one-time codes, roles, 确认 with its digits, and who may hear none of it."""

import re

import pytest
from follower import Follower
from sqlalchemy import select
from town import Town

from bot.simulator.stage import make_owner
from handlers.asking import Coded, unpack
from handlers.intents import Confirm
from models import staff
from models.audit import Audit
from models.staff import new_code


async def digits(person: Follower, said: str) -> str:
    """Says a command that wants four digits and gives them."""
    found = re.search(r"确认 (\d{4})", (await person.says(said)).text)
    assert found
    return found[1]


async def grant(boss: Follower, role: str) -> str:
    """A one-time code that the owner makes in the chat."""
    found = re.search(r"绑定码：(\d{6})", (await boss.says(f"授权 {role}")).text)
    assert found
    return found[1]


async def acts(town: Town) -> list[str]:
    """What the log holds, oldest first."""
    async with town.stage.house.store.session() as session:
        return list((await session.execute(select(Audit.act).order_by(Audit.id))).scalars())


def wrong(code: str) -> str:
    """Another code of the same length."""
    return code[:-1] + str((int(code[-1]) + 1) % 10)


def test_a_one_time_code_has_six_digits() -> None:
    for _ in range(200):
        code = new_code()
        assert len(code) == 6
        assert code.isascii()
        assert code.isdigit()


async def test_two_codes_that_are_open_are_two(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    boss, drawn = await town.owner(), iter(["482913", "482913", "730164"])
    monkeypatch.setattr(staff, "new_code", lambda: next(drawn))
    assert [await grant(boss, "店员"), await grant(boss, "客服")] == ["482913", "730164"]


def test_confirming_cannot_be_packed_into_a_tap() -> None:
    assert not issubclass(Confirm, Coded)
    assert unpack("confirm") is None
    assert unpack("confirm:7341") is None


async def test_the_right_code_makes_one_staff_and_works_once(town: Town) -> None:
    code = await make_owner(town.stage.house)
    boss, thief = town.wechat("老板"), town.wechat("小偷")
    assert "店主" in (await boss.says(f"绑定 {code}")).text
    assert "对不上" in (await thief.says(f"绑定 {code}")).text
    assert "店主" not in (await thief.says("员工")).text


async def test_a_code_dies_after_thirty_minutes_and_not_before(town: Town) -> None:
    code, late = await make_owner(town.stage.house), await make_owner(town.stage.house)
    await town.later(minutes=29, seconds=50)
    assert "店主" in (await town.wechat("老板").says(f"绑定 {code}")).text
    await town.later(seconds=15)
    assert "对不上" in (await town.wechat("老王").says(f"绑定 {late}")).text


async def test_five_wrong_tries_in_all_end_every_open_code(town: Town) -> None:
    """A wrong try is an answer and no refusal: were it rolled back, one could guess on for ever."""
    code = await make_owner(town.stage.house)
    for name in ("甲", "乙", "丙", "丁", "戊"):
        await town.wechat(name).says(f"绑定 {wrong(code)}")
    assert "对不上" in (await town.wechat("老板").says(f"绑定 {code}")).text


async def test_four_wrong_tries_leave_the_code_alive(town: Town) -> None:
    code = await make_owner(town.stage.house)
    for name in ("甲", "乙", "丙", "丁"):
        await town.wechat(name).says(f"绑定 {wrong(code)}")
    assert "店主" in (await town.wechat("老板").says(f"绑定 {code}")).text


async def test_a_clerk_may_not_do_what_a_manager_may(town: Town) -> None:
    boss, clerk = await town.owner(), town.wechat("小店员")
    await clerk.says(f"绑定 {await grant(boss, '店员')}")
    assert "店主" not in (await clerk.says("员工")).text
    await clerk.says("下架 A1")
    assert "在架" in (await boss.says("库存 A1")).text


async def test_an_owner_is_not_made_in_the_chat(town: Town) -> None:
    boss = await town.owner()
    assert "命令行" in (await boss.says("授权 店主")).text
    assert await acts(town) == ["bind"]


@pytest.mark.parametrize("said", ["员工", "授权 店员", "确认", "今日", "下架 A1", "改价 A1-1 1", "日志", "撤销"])
async def test_for_a_customer_staff_commands_do_not_exist(town: Town, said: str) -> None:
    answer = (await town.wechat("小美").says(said)).text
    assert not re.search(r"店主|绑定码|确认 \d|待发货|已下架|等着确认|撤销", answer)
    assert await acts(town) == []


async def test_on_an_unsigned_channel_staff_commands_do_not_exist_even_for_the_owner(town: Town) -> None:
    lin = town.weibo("小林")
    await lin.follows()
    await lin.says(f"绑定 {await make_owner(town.stage.house)}")
    await lin.says("下架 A1")
    assert "明前龙井" in (await lin.says("看 A1")).text
    assert "takeoff" not in await acts(town)


async def test_who_was_dismissed_is_a_customer_with_the_next_word(town: Town) -> None:
    boss, clerk = await town.owner(), town.wechat("小店长")
    await clerk.says(f"绑定 {await grant(boss, '店长')}")
    waiting = await digits(clerk, "改价 A1-1 30")
    await boss.says("员工")
    assert "店长" in (await boss.says("撤权 2")).text
    await boss.says("确认")
    assert "没听懂" in (await clerk.says("今日")).text
    await clerk.says(f"确认 {waiting}")  # what he had begun is not carried out either
    assert "¥26" in (await boss.says("改价 A1")).text


async def test_the_last_owner_cannot_be_dismissed(town: Town) -> None:
    boss = await town.owner()
    await boss.says("员工")
    await boss.says("撤权 1")
    assert "只剩这一位" in (await boss.says("确认")).text
    assert "您自己" in (await boss.says("员工")).text


async def test_a_number_without_the_list_on_screen_dismisses_nobody(town: Town) -> None:
    boss = await town.owner()
    assert "一共 1 位" in (await boss.says("撤权 1")).text
    assert "没有等着确认" in (await boss.says("确认")).text


async def test_a_bare_confirmation_is_not_enough_where_digits_are_wanted(town: Town) -> None:
    boss = await town.owner()
    code = await digits(boss, "改价 A1-1 30")
    assert "四位数字" in (await boss.says("确认")).text
    assert "改好了" in (await boss.says(f"确认 {code}")).text


async def test_a_wrong_code_voids_nothing_until_the_fifth(town: Town) -> None:
    boss = await town.owner()
    code = await digits(boss, "改价 A1-1 30")
    for left in (4, 3, 2, 1):
        assert f"还可以试 {left} 次" in (await boss.says(f"确认 {wrong(code)}")).text
    assert "太多次" in (await boss.says(f"确认 {wrong(code)}")).text
    assert "没有等着确认" in (await boss.says(f"确认 {code}")).text


async def test_after_four_wrong_codes_the_right_one_still_works(town: Town) -> None:
    boss = await town.owner()
    code = await digits(boss, "改价 A1-1 30")
    for _ in range(4):
        await boss.says(f"确认 {wrong(code)}")
    assert "改好了" in (await boss.says(f"确认 {code}")).text


async def test_what_waits_is_carried_out_once(town: Town) -> None:
    boss = await town.owner()
    await boss.says("上架 新茶 88 库存5")
    assert "上架好了" in (await boss.says("确认")).text
    assert "没有等着确认" in (await boss.says("确认")).text
    assert (await acts(town)).count("publishnow") == 1


async def test_the_same_confirmation_delivered_three_times_is_one(town: Town) -> None:
    boss = await town.owner()
    await boss.says("上架 新茶 88 库存5")
    done = await boss.says("确认")
    again = await boss.gets_it_again(done, times=2)
    assert {heard.text for heard in again} == {done.text}
    assert (await acts(town)).count("publishnow") == 1


async def test_what_waits_is_forgotten_after_three_minutes(town: Town) -> None:
    boss = await town.owner()
    await boss.says("上架 新茶 88 库存5")
    await town.later(minutes=4)
    assert "没有等着确认" in (await boss.says("确认")).text


async def test_a_new_command_voids_the_code_of_the_old_one(town: Town) -> None:
    boss = await town.owner()
    old = await digits(boss, "改价 A1-1 30")
    new = await digits(boss, "改价 A1-1 31")
    if old != new:
        assert "对不上" in (await boss.says(f"确认 {old}")).text
    assert "¥26 → ¥31" in (await boss.says(f"确认 {new}")).text


@pytest.mark.parametrize("said", ["推送 #龙井", "推送 #龙井 明天23:00 好茶", "设团 A2 3人 29.9", "改价 A99 5"])
async def test_a_new_command_voids_the_old_one_although_it_lacks_something_itself(town: Town, said: str) -> None:
    """Whoever mends a sentence and says 确认 means the one on screen, never the one before."""
    boss = await town.owner()
    assert "确认" in (await boss.says("推送 #龙井 明天10:00 新茶到了")).text
    await boss.says(said)
    assert "没有等着确认" in (await boss.says("确认")).text
    assert "还没有推送" in (await boss.says("推送列表")).text


async def test_a_look_leaves_what_waits_waiting(town: Town) -> None:
    boss = await town.owner()
    await boss.says("推送 #龙井 明天10:00 新茶到了")
    for look in ("今日", "待发货", "推送列表", "商品"):
        await boss.says(look)
    assert "10:00 发" in (await boss.says("确认")).text


async def test_digits_meant_for_an_older_command_do_not_confirm_one_that_wants_none(town: Town) -> None:
    boss = await town.owner()
    old = await digits(boss, "改价 A1-1 30")
    await boss.says("上架 新茶 88 库存5")
    assert "不用数字" in (await boss.says(f"确认 {old}")).text
    assert "publishnow" not in await acts(town)


async def test_a_tap_confirms_nothing(town: Town) -> None:
    boss = await town.owner()
    await boss.says("上架 新茶 88 库存5")
    await boss.presses("confirm")
    assert "publishnow" not in await acts(town)


async def test_undoing_drops_what_waits_and_is_honest_about_the_rest(town: Town) -> None:
    boss = await town.owner()
    await boss.says("上架 新茶 88 库存5")
    assert "不做了" in (await boss.says("撤销")).text
    assert "没有等着确认" in (await boss.says("确认")).text
    assert "还不能撤销" in (await boss.says("撤销")).text


async def test_the_log_says_who_did_what_and_holds_no_mere_question(town: Town) -> None:
    boss = await town.owner()
    code = await digits(boss, "改价 A1-1 30")
    await boss.says(f"确认 {code}")
    await boss.says("库存 A1")
    await boss.says("确认 1234")
    assert await acts(town) == ["bind", "pricenow"]
    assert "改价 A1-1 ¥26 → ¥30" in (await boss.says("日志")).text
