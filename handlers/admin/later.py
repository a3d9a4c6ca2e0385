"""Staff words whose feature this shop has not yet: said as it is, with what there is instead."""

from __future__ import annotations

from handlers.intents import ListPushes, NotYet, Today
from handlers.replies import Choice, Reply, reply
from handlers.routing import shop

INSTEAD = {"numbers": Choice("今日", Today()), "pause": Choice("推送列表", ListPushes())}


@shop.on("后台", "console", what="console")
@shop.on("报表", "报表 {words}", "缺货", "没搜到", "没答上", what="numbers")
@shop.on("问答", "设问答", "设问答 {words}", what="answers")
@shop.on("设秒杀", "设秒杀 {words}", "设砍价", "设砍价 {words}", "设抽奖", "设抽奖 {words}", what="plays")
@shop.on("发券", "发券 {words}", what="plays")
@shop.on("图片 {product}", what="picture")
@shop.on("找 {phone}", "客户 {words}", what="people")
@shop.on("求谅解", "求谅解 {order}", what="pardon")
@shop.on("暂停推送", what="pause")
async def not_yet(ask: NotYet) -> Reply:
    """A word of the list of commands: never searched for as if it were goods, nor taken for the follower's own."""
    step = INSTEAD.get(ask.what)
    return reply("later/not_yet", *([step] if step is not None else []), what=ask.what).aside()
