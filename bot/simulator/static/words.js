"use strict";
/* What one could say next, with an English gloss. Pure data and one function: (phone) -> [{say, gloss, fill?}]. */

const SAMPLE_ADDRESS = {
  "小美": "陈小美 13800138000 浙江省杭州市西湖区文三路1号",
  "阿强": "李强 13900139000 广东省广州市天河区体育西路8号",
  "王阿姨": "王秀兰 13700137000 上海市徐汇区漕溪北路18号",
  "微博小林": "林晓 13600136000 四川省成都市武侯区人民南路4号",
};

function lastCode(phone, pattern) {
  for (let i = phone.lines.length - 1; i >= 0; i--) {
    const line = phone.lines[i];
    if (line.side === "event") continue;
    const words = line.parts.map((p) => (typeof p === "string" ? p : `${p.label} ${p.code}`)).join(" ")
      + (line.article ? ` ${line.article.title} ${line.article.text}` : "");
    const found = words.match(pattern);
    if (found) return found[found.length - 1];
  }
  return "";
}

function suggestions(phone) {
  const product = lastCode(phone, /\bA[0-9A-HJKMNP-Z]{1,5}\b/g);
  const group = lastCode(phone, /\bG[2-9A-HJKMNP-Z]{3,5}\b/g);
  const order = lastCode(phone, /\b(?=[2-9A-HJKMNP-Z]*[2-9])(?=[2-9A-HJKMNP-Z]*[A-HJKMNP-Z])[2-9A-HJKMNP-Z]{8}\b/g);
  const out = [];
  const add = (say, gloss, fill) => out.push({ say, gloss, fill });
  const newest = phone.lines.filter((l) => l.side === "shop" && !l.fault).pop();
  const lately = phone.lines.filter((l) => l.side === "shop").slice(-3).flatMap((l) => l.parts).filter((p) => typeof p === "string").join("");
  const said = newest ? newest.parts.map((p) => (typeof p === "string" ? p : p.label)).join("") : "";

  if (newest) for (const [number, words] of Object.entries(newest.choices).slice(0, 6)) add(number, words);
  if (phone.role === "merchant") {
    if (/回 ?确认/.test(said)) add((said.match(/确认 ?\d{4}/) || ["确认"])[0], "confirm");
    if (/绑定/.test(said) && !/绑定好了/.test(said)) add("绑定 ", "bind as staff with the code", true);
    add("待发货", "to ship");
    if (order) add(`发货 ${order} 顺丰 SF1234567890`, "ship the order", true);
    if (/售后|要退|同意/.test(said)) {
      add("售后", "what is complained about");
      if (order) { add(`同意 ${order}`, "grant it"); add(`退 ${order} 5`, "offer a part of the money", true); add(`拒绝 ${order} 已经拆封了`, "refuse it, and say why", true); }
    }
    add("今日", "today");
    add(`设团 ${product || "A12"} 3人 29.9 24小时`, "offer a group of 3", true);
    add("推送 #龙井 明天10:00 新茶到了,头采龙井已上架", "schedule a push", true);
    add("推送列表", "pushes");
    add(`库存 ${product || "A12"} +10`, "ten more in stock", true);
    add("上架 龙井250g 88 库存50 #茶", "publish a product", true);
    add("撤销", "undo");
    add("帮助", "help");
    return out;
  }
  if (phone.channel === "wechat" && typeof payTicket === "string" && payTicket) add(`付款 ${payTicket}`, "pay that order here");
  if (/付款 https?:/.test(said)) add("代付", "a link for a friend who pays");
  if (/寄到哪里|地址发/.test(said) && SAMPLE_ADDRESS[phone.name]) add(SAMPLE_ADDRESS[phone.name], "my address (a sample)");
  if (/回 ?要 ?或 ?不用/.test(said)) { add("要", "yes, tell me"); add("不用", "no, thanks"); }
  if (group) { add(`参团 ${group}`, "join the group"); add(`邀请卡 ${group}`, "my card for the group"); }
  if (product) { add(`买 ${product}`, "buy it"); add(`开团 ${product}`, "start a group"); add(`看 ${product}`, "show it"); }
  if (order && /收到您的付款|待发货/.test(lately)) { add("换规格", "another spec, before it is packed"); add("改地址", "another address"); }
  if (order && /收到您的付款|待发货|已发货|已由|运单号|已完成/.test(lately)) add("退款", "I want my money back");
  if (order && /已发货|已由|运单号|已完成|收到/.test(lately)) add("罐子压扁了", "the tin came crushed");
  if (/售后|申请/.test(lately)) { add("售后", "how my case stands"); add("不退了", "never mind, I keep it"); }
  add("商品", "browse");
  add("搜 龙井", "search");
  add("longjing 80以内", "search in pinyin, with a bound");
  add("订单", "my orders");
  add("发货了吗", "where is my parcel");
  add("购物车", "cart");
  add("订阅 龙井", "tell me about Longjing");
  add("退订", "stop all pushes");
  add("邮费多少", "what is the freight");
  add("取消", "cancel");
  add("帮助", "help");
  return out;
}

const FALLBACK_MENU = [
  { name: "商品", gloss: "goods", say: "商品" },
  { name: "订单", gloss: "orders", say: "订单" },
  { name: "我的", gloss: "me", sub_button: [
    { name: "我的团", gloss: "my groups", say: "我的团" },
    { name: "我的订阅", gloss: "what I asked for", say: "我的订阅" },
    { name: "购物车", gloss: "cart", say: "购物车" },
    { name: "地址", gloss: "address", say: "地址" },
    { name: "帮助", gloss: "help", say: "帮助" },
  ] },
];
