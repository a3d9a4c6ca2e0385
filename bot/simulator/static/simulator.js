"use strict";
/* The phones. Everything a person does is one POST; everything that happens comes back as an event. */

const $ = (selector, root = document) => root.querySelector(selector);
const phones = new Map();          // id -> phone
const exchanges = new Map();       // n -> exchange
const busy = new Set();
let active = null;
let menu = [];
let shop = "";
let clock = { epoch: Date.now(), seen: performance.now() };
let following = true;              // the panel shows the newest exchange until one is picked

/* Small things */

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, does] of Object.entries(value)) element.addEventListener(event, does);
    else if (name === "class") element.className = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

function toast(words, gloss = "") {
  const note = make("div", { class: "toast" }, words, gloss ? make("small", {}, gloss) : null);
  $("#toasts").replaceChildren(note);
  setTimeout(() => note.remove(), 4200);
}

async function post(name, body) {
  try {
    const response = await fetch(`/simulator/${name}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    return await response.json();
  } catch {
    return { ok: false, why: "店没有回应 · the shop is not there" };
  }
}

/* One act at a time of its kind: a double tap is one tap. */
async function act(phone, name, body, button) {
  const key = JSON.stringify([phone.id, name, body]);
  if (busy.has(key)) return null;
  busy.add(key);
  button?.setAttribute("aria-busy", "true");
  typing(phone, +1);
  const answer = await post(name, { person: phone.id, ...body });
  typing(phone, -1);
  setTimeout(() => { busy.delete(key); button?.removeAttribute("aria-busy"); }, 350);
  if (!answer.ok && answer.why) toast(answer.why);
  if (answer.opens) open(phone, answer.opens);
  return answer;
}

const initial = (name) => {
  const given = name.replace(/^微博/, "");
  return /^[小阿老]/.test(given) && given.length === 2 ? given[1] : given[0];
};
const ROLES = {
  wechat: ["微信粉丝", "WeChat follower"], weibo: ["微博粉丝", "Weibo follower"],
  merchant: ["店主 · 微信", "merchant"],
};
const role = (phone) => ROLES[phone.role === "merchant" ? "merchant" : phone.channel];

/* A phone */

function build(told) {
  const root = $("#phone").content.firstElementChild.cloneNode(true);
  const phone = { ...told, lines: [], root, unread: 0, waiting: 0, log: $(".log", root), lastAt: 0, atEnd: true };
  const [zh, en] = role(phone);
  root.id = `phone-${phones.size}`;
  root.dataset.name = phone.name;
  root.dataset.channel = phone.channel;
  root.dataset.role = phone.role;
  root.setAttribute("aria-label", `${phone.name} · ${en}`);
  const avatar = $(".owner .avatar", root);
  avatar.textContent = initial(phone.name);
  avatar.dataset.hue = phones.size;
  $(".whose strong", root).textContent = phone.name;
  $(".whose small", root).textContent = `${zh} · ${en}`;
  $(".account", root).textContent = $(".profile strong", root).textContent = shop;
  $(".profile .avatar", root).textContent = shop ? shop[0] : "店";
  $(".badge", root).textContent = phone.channel === "weibo" ? "微博 Weibo" : "服务号 WeChat";

  phone.tab = make("button", {
    type: "button", role: "tab", class: "tab", id: `tab-${root.id}`, "aria-controls": root.id,
    "data-tab": phone.name, on: { click: () => choose(phone, true) },
  }, make("span", { class: "avatar", "data-hue": phones.size, "aria-hidden": "true" }, initial(phone.name)),
  make("span", { class: "tabname" }, phone.name), make("span", { class: "dot", hidden: true }));
  $("#tabs").append(phone.tab);
  phones.set(phone.id, phone);

  root.addEventListener("focusin", () => choose(phone, false));
  root.addEventListener("pointerdown", () => choose(phone, false));
  $("[data-follow]", root).addEventListener("click", (e) => toggleFollow(phone, e.currentTarget));
  $("[data-join]", root).addEventListener("click", (e) => act(phone, "follow", {}, e.currentTarget));
  const form = $(".say", root);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const words = form.elements.words.value.trim();
    if (!words) return;
    form.elements.words.value = "";
    say(phone, words);
  });
  form.elements.words.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.isComposing) event.stopPropagation();
  });
  const picker = $("input[type=file]", root);
  picker.addEventListener("change", () => sendPicture(phone, picker));
  $(".say label", root).addEventListener("keydown", (e) => {
    if (e.key === "Enter" || e.key === " ") { e.preventDefault(); picker.click(); }
  });
  $("[data-close]", root).addEventListener("click", () => closeSheet(phone));
  $("[data-desk]", root).addEventListener("click", () => sitElsewhere(phone));
  $("[data-pay]", root).addEventListener("click", (e) => pay(phone, e.currentTarget));
  $(".sheet", root).addEventListener("keydown", (e) => { if (e.key === "Escape") closeSheet(phone); });
  if (phone.channel === "weibo") $("[data-join]", root).replaceChildren("关注这个微博", make("small", {}, "Follow the account"));
  // A keyboard that opens, or a window that shrinks, leaves the newest words in sight.
  phone.log.addEventListener("scroll", () => { phone.atEnd = phone.log.scrollHeight - phone.log.scrollTop - phone.log.clientHeight < 40; });
  new ResizeObserver(() => { if (phone.atEnd) scrollDown(phone); }).observe(phone.log);
  buildMenu(phone);
  $("#phones").append(root);
  return phone;
}

function buildMenu(phone) {
  const bar = $(".menu", phone.root);
  bar.replaceChildren();
  for (const button of (menu.length ? menu : FALLBACK_MENU).slice(0, 3)) {
    const sub = button.sub_button && button.sub_button.length ? button.sub_button : null;
    const face = [button.name, make("small", {}, glossOf(button))];
    if (!sub) {
      bar.append(make("button", { type: "button", "data-menu": button.name,
        on: { click: (e) => press(phone, button, e.currentTarget) } }, ...face));
      continue;
    }
    const list = make("div", { class: "submenu", hidden: true, role: "group", "aria-label": button.name });
    const head = make("button", { type: "button", "aria-expanded": "false", "data-menu": button.name, on: { click: () => {
      const opened = list.hidden;
      closeMenus();
      list.hidden = !opened;
      head.setAttribute("aria-expanded", String(opened));
    } } }, make("span", { class: "lines", "aria-hidden": "true" }, "≡ "), ...face);
    for (const entry of sub.slice(0, 5)) {
      list.append(make("button", { type: "button", "data-menu": entry.name, on: { click: (e) => {
        closeMenus();
        press(phone, entry, e.currentTarget);
      } } }, entry.name, make("small", {}, glossOf(entry))));
    }
    bar.append(make("div", { class: "drop" }, head, list));
  }
}

const GLOSS = { "商品": "goods", "逛逛": "browse", "订单": "orders", "我的": "me", "我的订单": "my orders", "我的团": "my groups",
  "拼团": "group-buys", "正在拼": "open groups", "团": "groups", "购物车": "cart", "帮助": "help", "优惠": "offers", "人工": "a person", "客服": "a person",
  "邀请卡": "my card", "我的邀请": "my invites", "积分": "points", "订阅": "subscriptions", "我的订阅": "subscriptions",
  "地址": "address", "关于": "about", "签到": "check in", "退订": "stop pushes" };
const glossOf = (button) => button.gloss || GLOSS[button.name] || "";

function closeMenus() {
  for (const list of document.querySelectorAll(".submenu")) list.hidden = true;
  for (const head of document.querySelectorAll(".menu [aria-expanded]")) head.setAttribute("aria-expanded", "false");
}

function press(phone, button, element) {
  if (button.say) return say(phone, button.say);
  if (button.type === "view") return open(phone, button.url);
  return act(phone, "menu", { key: button.key, name: button.name }, element);
}

function say(phone, words) {
  return act(phone, "say", { text: words }).then((answer) => {
    const input = $(".words", phone.root);
    if (answer && !answer.ok && !input.value) input.value = words;
  });
}

function toggleFollow(phone, button) {
  act(phone, phone.following ? "unfollow" : "follow", {}, button);
}

async function sendPicture(phone, picker) {
  const file = picker.files[0];
  picker.value = "";
  if (!file) return;
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, 1280 / Math.max(bitmap.width, bitmap.height));
    const canvas = make("canvas", { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    act(phone, "picture", { data: canvas.toDataURL("image/jpeg", 0.88).split(",")[1] });
  } catch {
    toast("这不是图片", "this is no picture");
  }
}

/* Which phone is in hand */

function choose(phone, move) {
  active = phone;
  phone.unread = 0;
  for (const other of phones.values()) {
    const mine = other === phone;
    other.root.classList.toggle("active", mine);
    other.tab.setAttribute("aria-selected", String(mine));
    other.tab.tabIndex = mine ? 0 : -1;
    dot(other);
  }
  if (move) {
    scrollDown(phone);
    phone.root.scrollIntoView({ block: "nearest", inline: "center" });
    if (phone.following && matchMedia("(pointer: fine)").matches) $(".words", phone.root).focus({ preventScroll: true });
  }
}

function dot(phone) {
  const mark = $(".dot", phone.tab);
  mark.hidden = !phone.unread;
  mark.textContent = phone.unread > 9 ? "9+" : String(phone.unread || "");
  phone.root.classList.toggle("unread", phone.unread > 0);
  phone.tab.setAttribute("aria-label", phone.unread ? `${phone.name}, ${phone.unread} 条未读 · unread` : phone.name);
}

function follow(phone, now) {
  phone.following = now;
  phone.root.classList.toggle("away", !now);
  const button = $("[data-follow]", phone.root);
  button.replaceChildren(now ? "取消关注" : "关注", make("small", {}, now ? "unfollow" : "follow"));
  button.classList.toggle("on", now);
  chips(phone);
}

function typing(phone, step) {
  phone.waiting += step;
  $(".dots", phone.log)?.remove();
  $(".account", phone.root).textContent = phone.waiting > 0 ? "对方正在输入…" : shop;
  if (phone.waiting > 0) {
    phone.log.append(make("div", { class: "row shop dots", "aria-label": "正在输入 · typing" },
      shopFace(), make("div", { class: "bubble" }, make("i"), make("i"), make("i"))));
    scrollDown(phone);
  }
}

/* Bubbles */

const shopFace = () => make("span", { class: "avatar house", "aria-hidden": "true" }, shop ? shop[0] : "店");

function scrollDown(phone) {
  phone.log.scrollTop = phone.log.scrollHeight;
}

function show(phone, line, fresh) {
  if (phone.lines.some((known) => known.n === line.n)) return;
  phone.lines.push(line);
  const at = Date.parse(line.at);
  if (Math.abs(at - phone.lastAt) > 5 * 60e3) phone.log.append(make("div", { class: "when" }, line.at.slice(5, 16).replace("T", " ")));
  phone.lastAt = at;
  phone.log.append(row(phone, line));
  const waits = $(".dots", phone.log);
  if (waits) phone.log.append(waits);
  scrollDown(phone);
  if (fresh && line.side === "shop" && phone !== active) { phone.unread += 1; dot(phone); }
  if (fresh) chips(phone);
}

function row(phone, line) {
  if (line.side === "event") return make("div", { class: "event" }, line.parts.join(""));
  const mine = line.side === "me";
  const face = mine ? make("span", { class: "avatar", "data-hue": $(".owner .avatar", phone.root).dataset.hue, "aria-hidden": "true" }, initial(phone.name)) : shopFace();
  const body = line.picture ? pictureOf(line.picture)
    : line.article ? articleOf(phone, line.article)
      : make("div", { class: "bubble" }, ...line.parts.map((part) => (typeof part === "string" ? part : linkOf(phone, part))));
  if (line.fault) body.classList.add("fault");
  return make("div", { class: `row ${mine ? "me" : "shop"}${line.pushed ? " pushed" : ""}`, "data-n": line.n }, face,
    make("div", { class: "body" }, body,
      line.pushed ? make("small", { class: "note" }, "客服消息 · sent by the shop later") : null,
      line.fault ? make("small", { class: "note" }, line.fault) : null));
}

function linkOf(phone, link) {
  if (!link.url) {
    // No button element: it cannot break over lines in the middle of a sentence.
    return make("a", { class: "link", href: "#", role: "button", "data-says": link.says, title: `说「${link.says}」 · says ${link.says}`, on: {
      click: (e) => { e.preventDefault(); act(phone, "tap", { label: link.label, says: link.says || link.label, code: link.code }, e.currentTarget); },
      keydown: (e) => { if (e.key === " ") { e.preventDefault(); e.currentTarget.click(); } } } }, link.label);
  }
  const own = link.url.startsWith("/");
  if (!own && !/^https?:\/\//.test(link.url)) return link.label;
  return make("a", { class: "link", href: link.url, target: own ? null : "_blank", rel: "noopener noreferrer", on: {
    click: (e) => { if (own) { e.preventDefault(); open(phone, link.url); } } } }, link.label);
}

function pictureOf(source) {
  return make("button", { type: "button", class: "picture", "data-scan": source, title: "点开，让别人来扫 · open it and scan it as someone else",
    on: { click: () => askScan(source) } },
  make("img", { src: source, alt: "图片 · picture", on: { load: (e) => { const log = e.target.closest(".log"); log.scrollTop = log.scrollHeight; } } }),
  make("small", {}, "点图扫码 · click to scan it"));
}

function articleOf(phone, article) {
  const card = make("div", { class: "article" });
  if (article.picture.startsWith("/")) card.append(pictureOf(article.picture));
  const words = [make("strong", {}, article.title), article.text ? make("p", {}, article.text) : null];
  if (article.url) card.append(make("button", { type: "button", class: "read", on: { click: () => open(phone, article.url) } }, ...words.filter(Boolean)));
  else card.append(make("div", { class: "read" }, ...words.filter(Boolean)));
  return card;
}

function chips(phone) {
  const box = $(".chips", phone.root);
  const seen = new Set();
  box.replaceChildren(...suggestions(phone).filter(({ say: words }) => !seen.has(words) && seen.add(words)).slice(0, 14).map(({ say: words, gloss, fill }) =>
    make("button", { type: "button", class: `chip${/^\d+$/.test(words) ? " number" : ""}`, "data-say": words, title: fill ? "填入，可以改 · fills the line, edit it" : words,
      on: { click: (e) => {
        if (!fill) return act(phone, "say", { text: words }, e.currentTarget);
        const input = $(".words", phone.root);
        input.value = words;
        return input.focus();
      } } }, words.length > 16 ? `${words.slice(0, 15)}…` : words, fill ? " ✎" : "", make("small", {}, gloss))));
  box.scrollLeft = 0;
}

/* Pages in a sheet, each in this person's own browser. The pay page calls the wallet up inside WeChat, shows a code on
   a desk, and elsewhere tells words that somebody says to the WeChat account. */

let payTicket = "";

function open(phone, url) {
  if (!url.startsWith("/")) { window.open(url, "_blank", "noopener,noreferrer"); return; }
  const sheet = $(".sheet", phone.root);
  const frame = $("iframe", sheet);
  const paying = url.startsWith("/pay/");
  const desk = $("[data-desk]", sheet);
  phone.page = url;
  phone.codeUrl = "";
  phone.calledUp = null;
  phone.seat = phone.seat || (phone.channel === "weibo" ? "phone" : "wechat");
  desk.hidden = !paying;
  desk.setAttribute("aria-pressed", String(phone.seat === "desk"));
  $(".where", sheet).textContent = paying ? "付款 · pay" : url;
  $("footer", sheet).hidden = !paying;
  hint(phone, "先按网页里的按钮", "press the button on the page first");
  $("[data-pay]", sheet).disabled = true;
  frame.src = paying ? `/simulator/web/${encodeURIComponent(phone.id)}/${phone.seat}${url}` : url;
  sheet.hidden = false;
  clearInterval(phone.looking);
  if (paying) phone.looking = setInterval(() => lookForCode(phone, frame), 250);
}

function sitElsewhere(phone) {
  phone.seat = phone.seat === "desk" ? "" : "desk";
  open(phone, phone.page);
}

function lookForCode(phone, frame) {
  let code = "";
  let words = "";
  try {
    const page = frame.contentDocument;
    if (phone.seat === "wechat") bridge(phone, frame.contentWindow);
    code = page?.querySelector("[data-code-url]")?.dataset.codeUrl || page?.querySelector("[data-h5]")?.href || "";
    words = page?.querySelector("[data-ticket]")?.dataset.ticket || "";
  } catch { /* the page is not ours */ }
  if (words && words !== payTicket) {
    payTicket = words;
    hint(phone, `用一部微信手机说 付款 ${words}`, "say it on any WeChat phone");
    for (const other of phones.values()) chips(other);
  }
  if (phone.calledUp || code === phone.codeUrl) return;
  phone.codeUrl = code;
  $("[data-pay]", phone.root).disabled = !code;
  if (code) hint(phone, "付款码已生成，可以付了", "the code is there: pay now");
}

/* What WeChat gives to pages inside it: the wallet, called up with words that the cashier checks. */
function bridge(phone, inside) {
  if (inside.WeixinJSBridge || inside.document.readyState === "loading") return;
  phone.calledUp = null;
  inside.WeixinJSBridge = { invoke: (name, words, done) => {
    if (name !== "getBrandWCPayRequest") return done({ err_msg: `${name}:fail` });
    phone.calledUp = { words, done };
    $("[data-pay]", phone.root).disabled = false;
    return hint(phone, "微信支付打开了，请确认付款", "WeChat Pay is open: confirm, or close the page to cancel");
  } };
  inside.document.dispatchEvent(new inside.Event("WeixinJSBridgeReady"));
}

function hint(phone, words, gloss) {
  $(".sheet .hint", phone.root).replaceChildren(words, make("small", {}, gloss));
}

async function pay(phone, button) {
  const called = phone.calledUp;
  const answer = await act(phone, "pay", called ? { words: called.words } : { code_url: phone.codeUrl }, button);
  if (!answer) return;
  if (!answer.ok) { hint(phone, "没付成", answer.why || "not paid"); return; }
  button.disabled = true;
  if (called) called.done({ err_msg: "get_brand_wcpay_request:ok" });
  hint(phone, "已付款 ✓", "paid");
  clearInterval(phone.looking);
  setTimeout(() => closeSheet(phone), 1400);
}

function closeSheet(phone) {
  clearInterval(phone.looking);
  const sheet = $(".sheet", phone.root);
  if (sheet.hidden) return;
  if (phone.calledUp && !$("[data-pay]", sheet).disabled) {  // the first press leaves the wallet, the next the page
    phone.calledUp.done({ err_msg: "get_brand_wcpay_request:cancel" });
    phone.calledUp = null;
    $("[data-pay]", sheet).disabled = true;
    hint(phone, "没有付款，可以再按一次", "cancelled: press the page's button again");
    phone.looking = setInterval(() => lookForCode(phone, $("iframe", sheet)), 250);
    return;
  }
  sheet.hidden = true;
  $("iframe", sheet).src = "about:blank";
}

/* Scanning a card with another phone */

function askScan(source) {
  const dialog = $("#scan");
  $("#scan-picture").src = source;
  $("#scanners").replaceChildren(...[...phones.values()].map((phone) => make("button", {
    type: "button", class: "scanner", "data-scanner": phone.name, on: { click: async () => {
      dialog.close();
      choose(phone, true);
      await act(phone, "scan", { picture: source });
    } } }, make("span", { class: "avatar", "data-hue": $(".owner .avatar", phone.root).dataset.hue, "aria-hidden": "true" }, initial(phone.name)),
  phone.name, make("small", {}, phone.following ? role(phone)[1] : "not following yet"))));
  dialog.showModal();
}

/* The panel */

const pretty = (words) => words.replace(/(<\/\w+>|<xml>)(?=<)/g, "$1\n");

function listExchange(one) {
  exchanges.set(one.n, one);
  $("#exchanges .empty").hidden = true;
  const option = make("option", { value: one.n }, `#${one.n} ${one.person} · ${one.at.slice(11, 19)} · ${one.status || "—"} · ${one.took} ms${one.attempts > 1 ? ` · ${one.attempts}×` : ""}${one.fault ? " ⚠" : ""}`);
  $("#which").prepend(option);
  while ($("#which").options.length > 60) { exchanges.delete(Number($("#which").lastChild.value)); $("#which").lastChild.remove(); }
  if (following) { $("#which").value = one.n; showExchange(one); }
}

function showExchange(one) {
  const block = (zh, en, words) => make("div", {}, make("dt", {}, zh, make("small", {}, en)), make("dd", {}, make("pre", { tabindex: "0" }, pretty(words || "—"))));
  $("#exchange").replaceChildren(
    ...(one.fault ? [make("div", { class: "bad" }, make("dt", {}, "平台不接受", make("small", {}, "the platform refuses it")), make("dd", {}, one.fault))] : []),
    block("签名并加密的请求", "raw signed request", one.request),
    block("解密后的消息", "decrypted message", one.message),
    block("解密后的回复", "decrypted reply", one.reply),
    block("店的原始应答", "raw response", one.response));
}

function listCall(call) {
  $("#calls .empty").hidden = true;
  const words = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 1));
  $("#call-list").prepend(make("li", {}, make("details", {}, make("summary", {}, make("b", {}, call.method), ` ${call.path}`),
    make("h3", {}, "请求 · asked"), make("pre", { tabindex: "0" }, words(call.asked) || "—"),
    make("h3", {}, "应答 · answered"), make("pre", { tabindex: "0" }, words(call.answered) || "—"))));
  while ($("#call-list").children.length > 120) $("#call-list").lastChild.remove();
}

function showPanel(on) {
  $("#panel").hidden = !on;
  $("#wire").setAttribute("aria-pressed", String(on));
  document.body.classList.toggle("panelled", on);
  for (const phone of phones.values()) scrollDown(phone);
}

/* The clock */

function setClock(told) {
  clock = { epoch: told.epoch, seen: performance.now(), zone: told.now.slice(-6) };
  tick();
}

function tick() {
  if (!clock.zone) return;
  const sign = clock.zone[0] === "-" ? -1 : 1;
  const shift = sign * (Number(clock.zone.slice(1, 3)) * 60 + Number(clock.zone.slice(4))) * 60e3;
  const local = new Date(clock.epoch + performance.now() - clock.seen + shift);
  $("#now").textContent = local.toISOString().slice(11, 16);
  const night = local.getUTCHours() >= 22 || local.getUTCHours() < 8;
  $("#day").replaceChildren(`${local.getUTCMonth() + 1}月${local.getUTCDate()}日 · ${night ? "夜里" : "店里"}`, make("span", {}, night ? " quiet hours" : " shop time"));
}

async function turn(button) {
  if (button.getAttribute("aria-busy")) return;
  button.setAttribute("aria-busy", "true");
  const body = button.dataset.tomorrow ? { tomorrow: button.dataset.tomorrow } : { minutes: Number(button.dataset.minutes) };
  const answer = await post("clock", body);
  button.removeAttribute("aria-busy");
  if (!answer.ok) toast(answer.why);
}

/* Begin, and stay in touch */

async function load() {
  const state = await (await fetch("/simulator/state")).json();
  shop = state.shop;
  menu = state.menu;
  $("#shop").textContent = shop;
  setClock(state.clock);
  for (const told of state.people) {
    const phone = phones.get(told.id) || build(told);
    for (const line of told.lines) show(phone, line, false);
    follow(phone, told.following);
    $(".account", phone.root).textContent = shop;
  }
  for (const one of state.exchanges) if (!exchanges.has(one.n)) listExchange(one);
  if (!$("#call-list").children.length) state.calls.forEach(listCall);
  if (!active && phones.size) choose(phones.values().next().value, false);
  for (const phone of phones.values()) scrollDown(phone);  // only now is every one of them laid out
  document.body.classList.add("ready");
}

function listen() {
  const stream = new EventSource("/simulator/events");
  const on = (kind, does) => stream.addEventListener(kind, (event) => does(JSON.parse(event.data)));
  stream.addEventListener("open", () => { load(); document.body.classList.remove("lost"); });
  stream.addEventListener("error", () => document.body.classList.add("lost"));
  on("line", (line) => { const phone = phones.get(line.person); if (phone) show(phone, line, true); });
  on("following", (told) => { const phone = phones.get(told.person); if (phone) follow(phone, told.following); });
  on("exchange", listExchange);
  on("call", listCall);
  on("clock", (told) => { setClock(told); toast(`现在是 ${told.now.slice(5, 16).replace("T", " ")}`, "the shop's clock has moved"); });
}

for (const button of document.querySelectorAll(".clock button")) button.addEventListener("click", () => turn(button));
$("#which").addEventListener("change", (e) => {
  const one = exchanges.get(Number(e.target.value));
  following = e.target.selectedIndex === 0;
  if (one) showExchange(one);
});
$("#wire").addEventListener("click", () => showPanel($("#panel").hidden));
$("#close-panel").addEventListener("click", () => showPanel(false));
$("#side").addEventListener("click", (e) => {
  const side = document.body.classList.toggle("single") === false;
  e.currentTarget.setAttribute("aria-pressed", String(side));
  if (active) choose(active, true);
});
for (const [mine, other] of [["exchanges", "calls"], ["calls", "exchanges"]]) {
  $(`#tab-${mine}`).addEventListener("click", () => {
    $(`#${mine}`).hidden = false;
    $(`#${other}`).hidden = true;
    $(`#tab-${mine}`).setAttribute("aria-selected", "true");
    $(`#tab-${other}`).setAttribute("aria-selected", "false");
    $("#panel .pick").hidden = mine === "calls";
  });
}
$("#tabs").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step || !active) return;
  const all = [...phones.values()];
  const next = all[(all.indexOf(active) + step + all.length) % all.length];
  choose(next, false);
  next.root.scrollIntoView({ block: "nearest", inline: "center" });
  next.tab.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.altKey && /^[1-9]$/.test(event.key)) {
    const phone = [...phones.values()][Number(event.key) - 1];
    if (phone) { event.preventDefault(); choose(phone, true); }
  }
  if (event.key === "Escape") closeMenus();
});
document.addEventListener("click", (event) => { if (!event.target.closest(".drop")) closeMenus(); });
$("#scan").addEventListener("click", (event) => { if (event.target === event.currentTarget) event.currentTarget.close(); });
setInterval(tick, 5000);
listen();
