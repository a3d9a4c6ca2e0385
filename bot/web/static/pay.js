"use strict";
/* Calls up WeChat Pay inside WeChat, and looks whether the money has come: the browser's own "ok" proves nothing. */
(() => {
  const page = document.querySelector(".pay-page");
  const note = page.querySelector(".note");
  const again = page.querySelector("[data-again]");
  let looks = 0;

  async function look() {
    try {
      const told = await (await fetch(page.dataset.statePath, { cache: "no-store" })).json();
      if (told.state !== "pending") { location.replace(location.pathname); return; }
    } catch { /* no net for a moment */ }
    if (++looks < 450) setTimeout(look, looks < 30 ? 2000 : 4000);
  }

  function call() {
    again.hidden = true;
    note.textContent = "正在打开微信支付……";
    WeixinJSBridge.invoke("getBrandWCPayRequest", JSON.parse(note.dataset.words), (answer) => {
      const word = String((answer && answer.err_msg) || "");
      if (word.endsWith(":ok")) { note.textContent = "付好了，正在等微信支付的消息……"; return; }
      note.textContent = word.endsWith(":cancel")
        ? "还没有付款。想付的时候，再按一次就好。"
        : "微信支付没有打开，没有扣款。请再按一次；还不行的话，请在电脑上打开这一页扫码付。";
      again.hidden = false;
    });
  }

  if (note && note.dataset.words) {
    again.addEventListener("click", call);
    if (window.WeixinJSBridge) call();
    else document.addEventListener("WeixinJSBridgeReady", call, { once: true });
    setTimeout(() => { if (!window.WeixinJSBridge) { note.textContent = "微信支付没有打开。请退出这一页，从聊天里再点一次付款链接。"; } }, 8000);
  }
  setTimeout(look, 2000);
})();
