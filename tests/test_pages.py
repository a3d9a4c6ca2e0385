"""The pages: what every one of them carries, who may press a button, and that looking changes nothing."""

import hashlib
import logging
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from follower import Follower, Web
from town import Town
from yarl import URL

from bot import logs
from bot.simulator import stage as stages
from bot.simulator.stage import Stage
from bot.web.pages import STATIC
from handlers.asking import VERBS, Coded
from handlers.intents import JoinGroup, ShowProduct

DEALS = ("/about/rewards", "/about/lottery")
PAGES = ("/", "/h/browse", "/h/show:A1", "/h/groups", "/h/help", "/about/privacy", "/about/licence", *DEALS)
WHERE = "欧阳小美 13812345678 浙江省杭州市西湖区听泉巷77号"
HTML = {"Accept": "text/html,*/*"}
ATTACK = "<script>pwned()</script>\"' onload=x <b>"
Patch = Callable[..., Awaitable[Stage]]


@asynccontextmanager
async def browser_of(stage: Stage, **headers: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Somebody's browser: keeps cookies, sends these headers."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(stage.url, cookie_jar=jar, headers=HTML | headers) as http:
        yield http


@pytest.fixture
async def patched(sqlite_stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Patch]:
    """Opens the stage's shop a second time, some of its settings replaced: `await patched(shop={…})`."""
    opened: list[Stage] = []
    usual = stages.settings_of

    async def again(**sections: dict[str, Any]) -> Stage:
        def changed(*args: Any, **more: Any) -> Any:
            settings = usual(*args, **more)
            new = {name: getattr(settings, name).model_copy(update=wanted) for name, wanted in sections.items()}
            return settings.model_copy(update=new)

        monkeypatch.setattr(stages, "settings_of", changed)
        opened.append(await stages.open_stage(tmp_path, migrate=False, goods="", alive=False))
        return opened[-1]

    yield again
    for one in opened:
        await one.close()


async def unpaid(stage: Stage, name: str = "小美") -> tuple[Follower, str]:
    """Somebody with an order to pay, and the path of its pay page."""
    mei = Town(stage).wechat(name)
    await mei.says("买 A4")
    await mei.says("1")
    placed = await mei.says(WHERE)
    return mei, URL(next(link.url for link in placed.links if "/pay/" in link.url)).path


def leaked(told: str, *secrets: str) -> list[str]:
    """Which of them can be read there; a short one by itself, for what is drawn by lot may have it in its middle."""
    alone = r"(?<![\w+/-]){}(?![\w+/-])"
    return [
        s for s in secrets if (re.search(alone.format(s), told, re.ASCII) if len(s) < 6 and s.isascii() else s in told)
    ]


def content(stage: Stage) -> str:
    """Everything in the shop's database."""
    with sqlite3.connect(stage.house.store.path) as database:
        return "\n".join(database.iterdump())


# -- what every page carries -----------------------------------------------------------------------------


async def test_every_page_has_a_strict_policy_with_a_nonce_of_its_own(sqlite_stage: Stage) -> None:
    _, pay = await unpaid(sqlite_stage)
    nonces = []
    async with browser_of(sqlite_stage) as browser:
        for path in (*PAGES, pay, "/nothing-here", "/h/show:A404", "/h/join:G7K2"):
            async with browser.get(path) as page:
                html, policy = await page.text(), page.headers["Content-Security-Policy"]
                assert page.content_type == "text/html", path
                assert page.headers["X-Content-Type-Options"] == "nosniff"
                assert page.headers["Cache-Control"] == "no-store"
            assert policy.startswith("default-src 'none'; ")
            assert "unsafe" not in policy
            assert "frame-ancestors 'self'" in policy, "the simulator shows it in a phone; `serve` says 'none'"
            nonces += set(re.findall("'nonce-([^']+)'", policy))
            assert not re.search(r"<(script|style)\b(?![^>]*\bnonce=)", html), path
            assert not re.search(r"<[^>]+\s(on\w+|style)=", html), path
    assert len(set(nonces)) == len(PAGES) + 4


@pytest.mark.parametrize("path", DEALS)
async def test_the_rules_of_what_this_shop_does_not_run_say_so(sqlite_stage: Stage, path: str) -> None:
    """The chat says 邀请奖励小店现在没有: a page that promises a share to whoever brings friends says another thing."""
    async with browser_of(sqlite_stage) as browser, browser.get(path) as page:
        assert page.status == 200
        assert "小店现在" in (html := await page.text())
        assert "没有" in html


async def test_the_licence_page_sends_nobody_in_a_circle(sqlite_stage: Stage) -> None:
    """The answer to 执照 leads to the page, and the page said to ask for 执照."""
    asked = await Town(sqlite_stage).wechat("小美").says("执照")
    async with browser_of(sqlite_stage) as browser, browser.get("/about/licence") as page:
        assert "人工" in (html := await page.text())
        assert "回 <b>执照" not in html
    assert "看大图" not in asked.text, "there is none"


async def test_what_is_no_page_may_do_nothing_in_a_browser(sqlite_stage: Stage) -> None:
    async with browser_of(sqlite_stage) as browser:
        for path in ("/healthz", "/wechat", "/pay/ABCDEFGHJK/state"):
            async with browser.get(path, headers={"Accept": "*/*"}) as said:
                assert said.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
                assert re.fullmatch("[0-9a-f]{12}", said.headers["X-Request-ID"])
                assert "Python" not in said.headers["Server"]


async def test_names_that_are_scripts_stay_words(patched: Patch, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("UPDATE product SET name = ?, line = ?, category = ?", [ATTACK] * 3)
        database.execute("UPDATE sku SET label = ? || id", [ATTACK])
    stage = await patched(shop={"name": ATTACK})
    mei, pay = await unpaid(stage)
    async with browser_of(stage) as browser:
        for path in (*PAGES, pay):
            html = await (await browser.get(path)).text()
            assert "<script>pwned" not in html, path
            assert "&lt;script&gt;pwned()" in html, path
            assert "\"' onload" not in html, path
    heard = (await mei.says("看 A1")).raw_response + (await mei.says("看 A1")).text
    assert "<script" not in heard, "nor do they in a chat"


# -- buttons ---------------------------------------------------------------------------------------------


async def form_of(browser: aiohttp.ClientSession, path: str) -> str:
    """The token of the form on a page."""
    async with browser.get(path) as page:
        (token,) = re.findall(r'name="token" value="([0-9a-f]{64})"', await page.text())
    return str(token)


async def test_a_button_that_is_pressed_from_elsewhere_does_nothing(sqlite_stage: Stage) -> None:
    _, pay = await unpaid(sqlite_stage)
    _, other = await unpaid(sqlite_stage, "阿强")
    own = {"Origin": sqlite_stage.url}
    async with browser_of(sqlite_stage) as browser, browser_of(sqlite_stage) as stranger:
        token, another = await form_of(browser, pay), await form_of(browser, other)
        foreign = await form_of(stranger, pay)
        before = content(sqlite_stage)
        attempts: list[tuple[dict[str, str], dict[str, Any]]] = [
            (own, {}),
            (own, {"data": {}}),
            (own, {"data": {"token": ""}}),
            (own, {"data": {"token": foreign}}),
            (own, {"data": {"token": another}}),
            (own, {"data": {"token": token[:-1] + "é"}}),
            ({"Origin": "https://evil.example"}, {"data": {"token": token}}),
            ({"Origin": sqlite_stage.url + ".evil.example"}, {"data": {"token": token}}),
            ({"Origin": sqlite_stage.url.replace("http:", "https:")}, {"data": {"token": token}}),
            ({"Origin": "null"}, {"data": {"token": token}}),
            ({"Sec-Fetch-Site": "cross-site"}, {"data": {"token": token}}),
            ({"Sec-Fetch-Site": "same-site"}, {"data": {"token": token}}),
            (own, {"json": {"token": token}}),
            (own, {"data": f"token={token}".encode(), "headers": {"Content-Type": "text/plain"}}),
            (own, {"data": aiohttp.FormData({"token": token}, default_to_multipart=True)}),
            (own, {"data": b"token=\xff\xfe", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}),
            (
                own,
                {
                    "data": b"token=x",
                    "headers": {"Content-Type": "application/x-www-form-urlencoded; charset=no-such"},
                },
            ),
        ]
        for headers, sent in attempts:
            sent["headers"] = headers | sent.get("headers", {})
            async with browser.post(pay, **sent) as refused:
                assert refused.status == 403, (headers, sent)
        async with aiohttp.ClientSession(sqlite_stage.url) as without_cookie:
            async with without_cookie.post(pay, data={"token": token}, headers=own) as refused:
                assert refused.status == 403
            for cookie in ("form=", "form=x", 'form="<script>"', "form=\xff" * 40):
                async with without_cookie.post(pay, data={"token": token}, headers=own | {"Cookie": cookie}) as refused:
                    assert refused.status in (400, 403)
        async with browser.post(pay, data={"token": "x" * 70_000}, headers=own) as refused:
            assert refused.status == 413
        assert content(sqlite_stage) == before, "nothing of all this has changed anything"
        assert not sqlite_stage.cashier.books.orders
        async with browser.post(pay, data={"token": token}, headers=own) as pressed:
            assert pressed.status == 200
            assert "data-code-url" in await pressed.text()
    assert len(sqlite_stage.cashier.books.orders) == 1


async def test_looking_changes_nothing(sqlite_stage: Stage) -> None:
    _, pay = await unpaid(sqlite_stage)
    changing = [f"/h/{kind().pack()}" for kind in VERBS.values() if issubclass(kind, Coded)]
    before = content(sqlite_stage)
    async with browser_of(sqlite_stage) as browser:
        for path in (*PAGES, pay, f"{pay}/state", *changing, "/h/buy:A1:1", "/h/join:G7K2", "/h/start:A1"):
            for method in ("GET", "HEAD"):
                async with browser.request(method, path) as seen:
                    assert seen.status in (200, 404), path
    assert content(sqlite_stage) == before


async def test_a_page_that_fails_says_so_and_its_line_in_the_log_bears_the_id_of_the_answer(
    sqlite_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp's own page named its version, and what it logged belonged to no request."""
    lines: list[tuple[str, str]] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append((logs.request_id.get(), record.getMessage()))

    async def away(*_: object, **__: object) -> None:
        raise OSError("the database is away")

    monkeypatch.setattr(sqlite_stage.house.desk, "visit", away)
    heard = Lines(logging.ERROR)
    logging.getLogger().addHandler(heard)
    try:
        async with browser_of(sqlite_stage) as browser:
            page = await browser.get("/h/show:A1")
            assert page.status == 500
            assert "这一页暂时打不开" in await page.text()
            assert "nonce-" in page.headers["Content-Security-Policy"]
            assert page.headers["Server"] == "Tuanpu"
            assert lines == [(page.headers["X-Request-ID"], "a page failed")]
            program = await browser.get("/h/show:A1", headers={"Accept": "*/*"})
            assert (program.status, await program.text()) == (500, "")
            assert program.headers["Server"] == "Tuanpu"
    finally:
        logging.getLogger().removeHandler(heard)
    assert sqlite_stage.house.counts["failed"] == 2
    assert len(lines) == 1, "one line a second"


# -- which intents have a page ---------------------------------------------------------------------------


def test_few_intents_have_a_page_and_none_of_them_is_personal() -> None:
    paged = {kind.__name__ for kind in VERBS.values() if issubclass(kind, Coded) and kind.page}
    assert {"Browse", "ShowProduct", "ShowGroup", "Groups", "Help"} <= paged
    assert not [kind.__name__ for kind in VERBS.values() if issubclass(kind, Coded) and kind.page and kind.personal]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_intent_without_a_page_is_not_there(sqlite_stage: Stage, method: str) -> None:
    hidden = [k().pack() for k in VERBS.values() if issubclass(k, Coded) and (not k.page or k.personal)]
    assert len(hidden) > 30
    async with browser_of(sqlite_stage, Origin=sqlite_stage.url) as browser:
        assert (await browser.get(f"/h/{ShowProduct('A1').pack()}")).status == 200
        gone = await (await browser.get(f"/h/{JoinGroup('G7K2').pack()}")).text()
        for code in hidden:
            async with browser.request(method, f"/h/{code}") as page:
                assert page.status == 404, code
                assert "Set-Cookie" not in page.headers
                assert re.sub("nonce-[^']+", "", await page.text()) == gone, "all of them sound alike"


async def test_any_nonsense_in_an_address_is_not_there(sqlite_stage: Stage) -> None:
    nonsense = [
        *(f"/h/{code}" for code in ("", "%00", "%ff%fe", "x" * 2000, "group:G%F0%9F%8D%B5", "%2e%2e%2fx")),
        *(f"/h/show{code}" for code in ("", ":", ":%3Cscript%3E", ":A1:A1:A1", ":A0")),
        *(f"/h/browse:{code}" for code in ("-1", "9" * 20, "%EF%BC%91", ":%27%20OR%201=1")),
        *(
            "/pay/short",
            "/pay/aaaaaaaaaa",
            "/pay/ABCDEFGHJK",
            "/pic/x.jpg",
            "/pic/../x",
            "/static/",
            "/static/x/shop.css",
        ),
        *("/about/", "/about/nothing", "/MP_verify_x.txt", "/console", "/%2e%2e/x"),
    ]
    async with browser_of(sqlite_stage) as browser:
        for path in nonsense:
            async with browser.get(URL(path, encoded=True)) as page:
                usual = path.startswith(("/h/browse", "/h/show"))  # a code that says too little shows the shelf
                assert page.status in ((200, 404) if usual else (404,)), path


# -- paying ----------------------------------------------------------------------------------------------


async def test_the_pay_page_shows_nothing_personal_and_tells_how_it_stands(sqlite_stage: Stage) -> None:
    mei, path = await unpaid(sqlite_stage)
    number = re.search(r"订单 ([2-9A-Z]{8})", mei.last.text)
    assert number
    before = await Web.get(sqlite_stage.driver, path)
    pressed = await before.presses_the_button()
    async with browser_of(sqlite_stage) as browser:
        assert (await (await browser.get(f"{path}/state")).json()) == {"state": "pending"}
        await mei.pays(path)
        assert (await (await browser.get(f"{path}/state")).json()) == {"state": "paid"}
        assert (await (await browser.get("/pay/ABCDEFGHJK/state")).json()) == {"state": "gone"}
    after = await Web.get(sqlite_stage.driver, path)
    assert pressed.code_url
    assert "已付款" in after.text
    for page in (before, pressed, after):
        assert not leaked(page.html, "欧阳", "小美", "13812345678", "听泉巷", "杭州", number[1], mei.person.who)
        assert not leaked(page.html, "5678", "A4")
    assert (await Web.get(sqlite_stage.driver, "/pay/ABCDEFGHJK")).status == 404


# -- cookies ---------------------------------------------------------------------------------------------


async def test_a_cookie_is_set_only_where_there_is_a_form(sqlite_stage: Stage) -> None:
    _, pay = await unpaid(sqlite_stage)
    async with browser_of(sqlite_stage) as browser:
        for path in (*PAGES, "/nothing-here"):
            assert "Set-Cookie" not in (await browser.get(path)).headers, path
        first = (await browser.get(pay)).headers["Set-Cookie"]
        assert re.fullmatch(r"form=[\w-]{32}; HttpOnly; Max-Age=7200; Path=/; SameSite=Lax", first)
        assert (await browser.get(pay)).headers["Set-Cookie"] == first, "the same one, for longer"


async def test_behind_https_cookies_are_bound_to_the_host_and_its_name_is_the_settings(patched: Patch) -> None:
    stage = await patched(shop={"public_url": "https://shop.example.com"})
    _, pay = await unpaid(stage)
    async with aiohttp.ClientSession(stage.url) as browser:  # a Secure cookie does not come back over http by itself
        async with browser.get(pay) as page:
            cookie = page.headers["Set-Cookie"]
            (token,) = re.findall(r'name="token" value="([0-9a-f]{64})"', await page.text())
        assert re.fullmatch(r"__Host-form=[\w-]{32}; HttpOnly; Max-Age=7200; Path=/; SameSite=Lax; Secure", cookie)
        held = {"Cookie": cookie.partition(";")[0]}
        for origin, status in ((stage.url, 403), ("https://shop.example.com", 200)):
            more = {"Origin": origin, "Host": "evil.example", "X-Forwarded-Host": "evil.example"}
            async with browser.post(pay, data={"token": token}, headers=held | more) as pressed:
                assert pressed.status == status
                assert "evil.example" not in await pressed.text()


# -- pictures, files, proofs -----------------------------------------------------------------------------


async def test_pictures_and_files_are_named_by_what_they_hold_and_kept_for_a_year(sqlite_stage: Stage) -> None:
    jpeg, thumb = b"\xff\xd8\xff-large", b"\xff\xd8\xff-small"
    sha = hashlib.sha256(jpeg).hexdigest()
    with sqlite3.connect(sqlite_stage.house.store.path) as database:
        database.execute("INSERT INTO picture (sha256, jpeg, thumb, made) VALUES (?, ?, ?, 1)", [sha, jpeg, thumb])
    year = "public, max-age=31536000, immutable"
    async with browser_of(sqlite_stage) as browser:
        for path, body in ((f"/pic/{sha}.jpg", jpeg), (f"/pic/{sha}.s.jpg", thumb)):
            async with browser.get(path) as seen:
                assert (seen.status, seen.content_type, await seen.read()) == (200, "image/jpeg", body)
                assert seen.headers["Cache-Control"] == year
                assert seen.headers["X-Content-Type-Options"] == "nosniff"
        assert (await browser.get(f"/pic/{'0' * 64}.jpg")).status == 404
        (css,) = re.findall(r'href="(/static/[0-9a-f]{12}/shop\.css)"', await (await browser.get("/")).text())
        async with browser.get(css) as seen:
            assert (seen.status, seen.content_type) == (200, "text/css")
            assert await seen.text() == (STATIC / "shop.css").read_text()
            assert seen.headers["Cache-Control"] == year
        for outside in ("../pages.py", "%2e%2e/pages.py", "..%2fpages.py", "fonts/"):
            found = await browser.get(URL(css.replace("shop.css", outside), encoded=True))
            assert found.status in (403, 404)
            assert "immutable" not in found.headers.get("Cache-Control", "")


async def test_the_file_that_proves_the_domain_is_there_when_it_is_named(patched: Patch) -> None:
    stage = await patched(wechat={"verify_file": "MP_verify_a1B2c3D4.txt"})
    async with browser_of(stage) as browser:
        assert await (await browser.get("/MP_verify_a1B2c3D4.txt")).text() == "a1B2c3D4"
        assert (await browser.get("/MP_verify_other.txt")).status == 404


async def test_a_page_leads_on_to_what_has_a_page(sqlite_stage: Stage) -> None:
    async with browser_of(sqlite_stage) as browser:
        shelf = await (await browser.get("/h/browse")).text()
        assert '<a href="/h/show:A1">明前龙井' in shelf
        assert '<a href="/h/browse' in shelf, "and to the rest of the shelf"
        assert "/h/buy" not in await (await browser.get("/h/show:A1")).text()
