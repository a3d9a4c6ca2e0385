"""A browser for tests: Chromium over its DevTools protocol, with real clicks and real keys."""

import asyncio
import base64
import contextlib
import io
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--no-default-browser-check", "--disable-background-networking", "--disable-component-update"),
    *("--disable-extensions", "--disable-dev-shm-usage", "--hide-scrollbars", "--lang=zh-CN"),
    "--remote-debugging-port=0",
)


def _keep(path: Path, png: bytes) -> None:
    """A page has few colours: with a palette its picture is a third as large."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(io.BytesIO(png)).convert("RGB").quantize(255, dither=Image.Dither.NONE).save(path, optimize=True)


class Page:
    """One tab; `errors` collects uncaught exceptions, console errors and refused resources."""

    def __init__(self, browser: "Browser", session: str) -> None:
        self.browser, self.session = browser, session
        self.errors: list[str] = []

    async def do(self, method: str, **params: Any) -> dict[str, Any]:
        """Calls one DevTools method on this tab; raises RuntimeError with Chromium's words."""
        return await self.browser.call(method, params, self.session)

    async def js(self, expression: str) -> Any:
        """Evaluates `expression` (awaiting promises) and gives its value; raises AssertionError."""
        told = await self.do("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in told:
            thrown = told["exceptionDetails"]
            raise AssertionError(thrown.get("exception", {}).get("description") or thrown["text"])
        return told["result"].get("value")

    async def wait(self, condition: str, seconds: float = 30) -> Any:
        """Waits until the JavaScript `condition` is truthy and gives its value; raises AssertionError."""
        deadline = asyncio.get_running_loop().time() + seconds
        value = f"const v = {condition}; return v?.nodeType ? true : v"  # a node does not come over by value
        look = f"(() => {{ try {{ {value} }} catch {{ return null }} }})()"
        while not (value := await self.js(look)):
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"after {seconds:g} s still not: {condition}")
            await asyncio.sleep(0.05)
        return value

    async def goto(self, url: str) -> None:
        """Opens `url` and waits until it has loaded."""
        await self.do("Page.navigate", url=url)
        await self.wait(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'", 20)

    async def size(self, width: int, height: int, *, phone: bool = False, dark: bool = False) -> None:
        """Makes the window `width` × `height` CSS pixels."""
        await self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.do("Emulation.setEmulatedMedia", features=scheme)

    async def click(self, selector: str, *, frame: str = "") -> None:
        """Waits for `selector` (inside the same-origin iframe `frame`, if given) to stand still and clicks it."""
        inner, outer = json.dumps(selector), json.dumps(frame)
        find = f"({outer} ? document.querySelector({outer}).contentDocument : document).querySelector({inner})"
        await self.wait(f"(e => e && !e.disabled && e.getClientRects().length)({find})")
        x, y = await self.js(
            f"(async () => {{ const at = () => {{ const e = {find};"
            f" e.scrollIntoView({{block: 'nearest', inline: 'nearest'}});"
            f" const r = e.getClientRects()[0]; let x = r.x + r.width / 2, y = r.y + r.height / 2;"
            f" if ({outer}) {{ const f = document.querySelector({outer}).getBoundingClientRect();"
            f" x += f.x; y += f.y; }} return [x, y]; }}; let was, is = at(), left = 60;"
            f" do {{ was = is; await new Promise(r => setTimeout(r, 30)); is = at(); }}"
            f" while (--left && (was[0] !== is[0] || was[1] !== is[1])); return is; }})()"
        )
        for kind, buttons in (("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 0)):
            button = "none" if kind == "mouseMoved" else "left"
            mouse = {"type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": 1}
            await self.do("Input.dispatchMouseEvent", **mouse)

    async def type(self, selector: str, words: str, *, enter: bool = False) -> None:
        """Clicks a field and types `words` (any script); `enter` presses the key afterwards."""
        await self.click(selector)
        await self.wait(f"document.activeElement?.matches({json.dumps(selector)})")
        await self.do("Input.insertText", text=words)
        if enter:
            await self.press("Enter")

    async def press(self, key: str) -> None:
        """Presses one named key, such as Enter, Escape, Tab."""
        code = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowRight": 39, "ArrowLeft": 37}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            await self.do("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more)

    async def text(self, selector: str = "body") -> str:
        """What the eye reads in the element."""
        return str(await self.wait(f"document.querySelector({json.dumps(selector)})?.innerText ?? null"))

    async def screenshot(self, path: str | Path, *, of: str = "", margin: int = 0, scale: float = 1) -> None:
        """Writes what the window shows, or the element `of` with some pixels around it, as a small PNG."""
        clip: dict[str, Any] = {}
        if of:
            where = f"document.querySelector({json.dumps(of)}).getBoundingClientRect()"
            x, y, w, h = await self.js(f"(r => [r.x, r.y, r.width, r.height])({where})")
            box = {"x": x - margin, "y": y - margin, "width": w + 2 * margin, "height": h + 2 * margin}
            clip = {"clip": box | {"scale": scale}}
        shot = await self.do("Page.captureScreenshot", format="png", **clip)
        await asyncio.to_thread(_keep, Path(path), base64.b64decode(shot["data"]))


class Browser:
    """One Chromium with a profile of its own, gone with it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    @classmethod
    @asynccontextmanager
    async def launch(cls, chrome_path: str) -> AsyncIterator["Browser"]:
        """Starts Chromium; on the way out every process of it is ended and its profile removed."""
        with tempfile.TemporaryDirectory(prefix="chrome-", ignore_cleanup_errors=True) as profile:
            command = [chrome_path, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
            quiet = asyncio.subprocess.DEVNULL
            process = await asyncio.create_subprocess_exec(
                *command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
            )
            try:
                port_file = Path(profile) / "DevToolsActivePort"
                async with asyncio.timeout(30):
                    while not (port_file.exists() and port_file.read_text().count("\n")):
                        assert process.returncode is None, f"{chrome_path} did not start"
                        await asyncio.sleep(0.05)
                port, path = port_file.read_text().split()[:2]
                async with (
                    aiohttp.ClientSession() as http,
                    http.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0) as socket,
                ):
                    browser = cls(socket)
                    reader = asyncio.create_task(browser._read())
                    try:
                        yield browser
                    finally:
                        reader.cancel()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    async def page(self) -> Page:
        """Opens a tab that shares no cookies with the others."""
        context = await self.call("Target.createBrowserContext", {})
        where = {"url": "about:blank", "browserContextId": context["browserContextId"]}
        target = await self.call("Target.createTarget", where)
        attached = await self.call("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True})
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            await page.do(f"{domain}.enable")
        return page

    async def call(self, method: str, params: dict[str, Any], session: str = "") -> dict[str, Any]:
        """Sends one command and waits for its answer, 30 s at most; raises RuntimeError."""
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params}
        try:
            async with asyncio.timeout(30):
                await self._socket.send_json({**message, "sessionId": session} if session else message)
                told = await answer
        finally:
            self._waiting.pop(number, None)
        if "error" in told:
            raise RuntimeError(f"{method}: {told['error']['message']}")
        return dict(told["result"])

    async def _read(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                answer = self._waiting.pop(told["id"], None)  # none: nobody waits for it any more
                if answer is not None and not answer.done():
                    answer.set_result(told)
            elif page := self._pages.get(told.get("sessionId", "")):
                if told["method"] == "Runtime.exceptionThrown":
                    page.errors.append(json.dumps(told["params"]["exceptionDetails"], ensure_ascii=False))
                elif told["method"] == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                    page.errors.append(told["params"]["entry"]["text"])
