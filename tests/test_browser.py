"""The first hour of a visitor: the demo in a real browser, with real clicks, from the first follow to the last push."""

import json
import os
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cdp import Browser, Page

from bot.clock import Clock
from bot.simulator.stage import Stage, open_stage
from models.verify import offenders

PICTURES = Path(__file__).parent.parent / "docs" / "pictures" if os.environ.get("TUANPU_PICTURES") == "1" else None
WIDE = (1600, 960)


@pytest.fixture
async def chromium(browser: str) -> AsyncIterator[Browser]:
    """One for each test: of a page that opened behind another one's no picture comes."""
    async with Browser.launch(browser) as opened:
        yield opened


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Stage]:
    """`tuanpu demo` in this process; its day begins at noon, so that nothing is quiet."""
    zone, clock = ZoneInfo("Asia/Shanghai"), Clock()
    local = datetime.now(UTC).astimezone(zone)
    noon = local.replace(hour=12, minute=0, second=0) + timedelta(days=1)
    clock.move(noon - local)
    opened = await open_stage(tmp_path, clock=clock)
    yield opened
    broken = [invariant.name for _, invariant, _ in await offenders(opened.house.store, clock.now())]
    await opened.close()
    assert not broken


@pytest.fixture
async def page(chromium: Browser, demo: Stage) -> AsyncIterator[Page]:
    """The simulator, opened; nothing on it may have failed by the end."""
    opened = await chromium.page()
    await opened.size(*WIDE)
    await opened.goto(f"{demo.url}/simulator/")
    yield opened
    assert opened.errors == []


class Phone:
    """One of the phones on the page, used as one uses a phone."""

    def __init__(self, page: Page, name: str) -> None:
        self.page, self.name, self.at = page, name, f"[data-name={name}]"

    async def sees(self, words: str, seconds: float = 30) -> str:
        """Waits until the shop has said it, and gives the newest bubble with these words."""
        rows = f"[...document.querySelectorAll('{self.at} .row.shop')].map(r => r.innerText)"
        return str(await self.page.wait(f"{rows}.filter(t => t.includes({json.dumps(words)})).at(-1)", seconds))

    async def heard(self) -> str:
        """Everything the shop has said to this phone."""
        rows = f"[...document.querySelectorAll('{self.at} .row.shop')].map(r => r.innerText).join('\\n')"
        return str(await self.page.js(rows))

    async def follows(self) -> None:
        await self.page.click(f"{self.at} [data-join]")
        await self.sees("欢迎")

    async def says(self, words: str, then: str) -> str:
        """Types it, sends it, and waits for an answer with the words `then`."""
        before = await self._answers()
        await self.page.type(f"{self.at} .words", words, enter=True)
        return await self._answered(before, then)

    async def picks(self, chip: str, then: str) -> str:
        """Clicks a suggestion that begins so; one that only fills the line is sent with Enter."""
        before = await self._answers()
        found = f"{self.at} .chip[data-say^='{chip}']"
        await self.page.click(found)
        if await self.page.js(f"document.querySelector('{self.at} .words').value.length"):
            await self.page.press("Enter")
        return await self._answered(before, then)

    async def taps(self, label: str, then: str) -> str:
        """Taps the newest link with this label in the chat."""
        before = await self._answers()
        await self._newest(".log .link", label)
        await self.page.click("[data-here]")
        return await self._answered(before, then)

    async def presses(self, button: str, entry: str, then: str) -> str:
        """Opens a button of the account's menu and chooses an entry."""
        before = await self._answers()
        await self.page.click(f"{self.at} .drop > [data-menu={button}]")
        await self.page.click(f"{self.at} .submenu [data-menu={entry}]")
        return await self._answered(before, then)

    async def pays(self, shot: str = "") -> None:
        """Opens the newest pay link, presses the page's button, pays with the wallet; the sheet closes."""
        sheet = f"{self.at} .sheet"
        await self._newest(".log a.link", "/pay/")
        await self.page.click("[data-here]")
        await self.page.click("button.pay", frame=f"{sheet} iframe")
        await self.page.wait(f"!document.querySelector('{sheet} [data-pay]').disabled")
        if shot:
            await picture(self.page, shot, of=f"{self.at} .screen", margin=10)
        await self.page.click(f"{sheet} [data-pay]")
        await self.page.wait(f"document.querySelector('{sheet}').hidden")

    async def _answers(self) -> int:
        return int(await self.page.js(f"document.querySelectorAll('{self.at} .row.shop:not(.dots)').length"))

    async def _answered(self, before: int, then: str) -> str:
        rows = f"[...document.querySelectorAll('{self.at} .row.shop:not(.dots)')].slice({before})"
        said = f"{rows}.map(r => r.innerText)"
        try:
            return str(await self.page.wait(f"{said}.find(t => t.includes({json.dumps(then)}))"))
        except AssertionError:
            line = await self.page.js(f"document.querySelector('{self.at} .words').value")
            heard = await self.page.js(said)
            raise AssertionError(f"{self.name} waits for {then!r}, heard {heard}, still types {line!r}") from None

    async def _newest(self, selector: str, words: str) -> None:
        """Marks the newest element of the phone that shows, or leads to, these words."""
        await self.page.wait(
            f"(() => {{ document.querySelectorAll('[data-here]').forEach(e => e.removeAttribute('data-here'));"
            f" const found = [...document.querySelectorAll('{self.at} {selector}')].filter(e =>"
            f" (e.innerText + (e.getAttribute('href') || '')).includes({json.dumps(words)})).at(-1);"
            " found?.setAttribute('data-here', ''); return Boolean(found); })()"
        )


async def picture(page: Page, name: str, **how: object) -> None:
    """For the docs, when they are wanted: TUANPU_PICTURES=1."""
    if PICTURES is None:
        return
    await page.js("document.activeElement.blur(); document.querySelector('#toasts').replaceChildren()")
    await page.js("new Promise(r => setTimeout(r, 400))")  # the last bubble's movement
    await page.screenshot(PICTURES / f"{name}.png", **how)  # type: ignore[arg-type]
    assert (PICTURES / f"{name}.png").stat().st_size <= 300_000


async def test_a_sale_from_the_first_follow_to_the_parcel(page: Page) -> None:
    mei, boss = Phone(page, "小美"), Phone(page, "老板")
    await boss.sees("店主")  # the shop has been handed over before anybody came
    await mei.follows()
    await mei.picks("商品", "回数字")
    await mei.says("1", "明前龙井（A1）")
    await mei.says("搜 longjing", "明前龙井")
    await mei.says("买 A1", "要哪种")
    await mei.taps("250g 罐装", "寄到哪里")
    placed = await mei.picks("陈小美 138", "合计")
    assert "13800138000 浙江省杭州市西湖区文三路1号" in placed  # read back in full, this once
    await mei.pays(shot="paysheet")
    await mei.sees("收到您的付款")
    await boss.sees("新订单")
    await boss.picks("待发货", "文三路1号")
    await boss.picks("发货 ", "顺丰")
    await mei.sees("SF1234567890")
    await mei.presses("我的", "订单", "已发货")
    await picture(page, "follower", of="[data-name=小美]", margin=4)


async def test_a_group_fills_by_a_card_and_another_one_does_not(page: Page) -> None:
    mei, wang, qiang, boss = (Phone(page, n) for n in ("小美", "王阿姨", "阿强", "老板"))
    await boss.says("设团 A1 2人 59 24小时", "哪种")
    await boss.says("2", "确认")
    await boss.picks("确认 ", "设好了")
    await mei.follows()
    await mei.says("开团 A1", "寄到")
    await mei.says("陈小美 13800138000 浙江省杭州市西湖区文三路1号", "合计")
    await mei.pays()
    group = re.search(r"G[2-9A-HJ-NP-Z]{3}", await mei.sees("还差"))
    assert group
    await mei.picks(f"邀请卡 {group[0]}", "正在画")
    await page.click("[data-name=小美] .picture img")
    await page.wait("document.querySelector('#scan').open")
    await picture(page, "card", of="#scan", margin=0, scale=0.9)
    await page.click("[data-scanner=王阿姨]")
    await wang.sees("还差 1 人")  # she did not even follow: the card comes first
    await wang.taps("参团", "寄到")
    await wang.says("王秀兰 13700137000 上海市徐汇区漕溪北路18号", "合计")
    await wang.pays()
    for member in (mei, wang):
        await member.sees("成团了")
    await qiang.follows()
    await qiang.says("开团 A1", "寄到")
    await qiang.says("李强 13900139000 广东省广州市天河区体育西路8号", "合计")
    await qiang.pays()
    await qiang.sees("还差")
    await boss.picks("待发货", "文三路1号")
    await Phone(page, "微博小林").page.click("[data-name=微博小林] [data-join]")
    await Phone(page, "微博小林").says("便宜的龙井", "龙井")
    await picture(page, "simulator")
    await page.click("[data-minutes='1440']")
    await qiang.sees("没拼成")
    await page.click("[data-minutes='10']")  # the cashier is asked within the next minute
    await qiang.sees("已原路退回")
    assert "没拼成" not in await mei.heard()
    await mei.presses("我的", "订单", "明前龙井")
    await page.click("#wire")
    assert "<Encrypt>" in await page.text("#exchange")
    await page.wait(
        "[...document.querySelectorAll('.phone')].every(p => p.getBoundingClientRect().right <= innerWidth)"
    )
    await picture(page, "panel")


async def test_each_phone_pays_where_it_sits(page: Page) -> None:
    """Weibo's gets a token, WeChat's calls up the wallet and may leave it again, a desk shows a code."""
    lin, mei = Phone(page, "微博小林"), Phone(page, "小美")
    for one in (lin, mei):
        await one.follows()
    await lin.says("买 A11 x2", "哪种")
    await lin.says("1", "寄到")
    await lin.picks("林晓 136", "合计")
    sheet = f"{lin.at} .sheet"
    await lin._newest(".log a.link", "/pay/")
    await page.click("[data-here]")
    await page.click("button.pay", frame=f"{sheet} iframe")
    await page.wait(f"document.querySelector('{sheet} .hint').innerText.includes('付款 ')")
    await mei.picks("付款 ", "口令对上了")
    await mei._newest(".log a.link", "/pay/")
    await page.click("[data-here]")
    mine = f"{mei.at} .sheet"
    await page.click("button.pay", frame=f"{mine} iframe")
    await page.wait(f"!document.querySelector('{mine} [data-pay]').disabled")
    await page.click(f"{mine} [data-close]")
    await page.wait(f"document.querySelector('{mine} iframe').contentDocument.body.innerText.includes('还没有付款')")
    await page.click("[data-again]", frame=f"{mine} iframe")
    await page.wait(f"!document.querySelector('{mine} [data-pay]').disabled")
    await page.click(f"{sheet} [data-desk]")
    desk = f"document.querySelector('{sheet} iframe').contentDocument"
    await page.wait(f"{desk}.readyState === 'complete' && {desk}.location.pathname.includes('/desk/')")
    await page.click("button.pay", frame=f"{sheet} iframe")
    await page.wait(f"{desk}.querySelector('[data-code-url]')")
    await page.click(f"{sheet} [data-pay]")
    await lin.sees("收到您的付款")
    await page.click(f"{mine} [data-pay]")  # what was closed cannot be paid any more
    await page.wait(f"document.querySelector('{mine} .hint').innerText.includes('没付成')")


async def test_a_friend_is_asked_by_a_card_scans_it_and_pays(page: Page) -> None:
    mei, qiang = Phone(page, "小美"), Phone(page, "阿强")
    await mei.follows()
    await mei.says("买 A4", "哪种")
    await mei.says("1", "寄到")
    await mei.says("陈小美 13800138000 浙江省杭州市西湖区文三路1号", "合计")
    await mei.says("代付", "帮忙付一单")
    await page.click("[data-name=小美] .picture img")
    await page.wait("document.querySelector('#scan').open")
    await picture(page, "pay-card", of="#scan", margin=0, scale=0.9)
    await page.click("[data-scanner=阿强]")  # he need not even follow
    sheet = f"{qiang.at} .sheet"
    await page.click("button.pay", frame=f"{sheet} iframe")
    shown = await page.js(f"document.querySelector('{sheet} iframe').contentDocument.body.innerText")
    assert "想请您帮忙付" in shown
    assert "文三路" not in shown
    await page.wait(f"!document.querySelector('{sheet} [data-pay]').disabled")
    await page.click(f"{sheet} [data-pay]")
    await mei.sees("收到您的付款")


async def test_only_who_has_asked_gets_the_push_and_nobody_who_has_left(page: Page) -> None:
    mei, wang, qiang, lin, boss = (Phone(page, n) for n in ("小美", "王阿姨", "阿强", "微博小林", "老板"))
    for one in (mei, wang, qiang, lin):
        await page.click(f"{one.at} [data-join]")
        await one.sees("欢迎")
    for one in (mei, wang, lin):
        await one.picks("订阅 龙井", "龙井")
    await wang.picks("退订", "不再")
    await qiang.says("商品", "回数字")
    shown = await boss.picks("推送 #龙井", "确认")
    assert "2 人" in shown
    await boss.picks("确认", "10:00")
    await page.click(f"{mei.at} [data-follow]")
    await page.wait(f"document.querySelector('{mei.at}').classList.contains('away')")
    await page.click("[data-tomorrow='10:00']")
    assert "新茶到了" in await lin.sees("新茶到了")
    for one in (mei, wang, qiang):
        assert "新茶到了" not in await one.heard()
