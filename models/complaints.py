"""What people say is wrong with goods, and what they want done about it, by the words for it."""

from __future__ import annotations

import re

from models.words import plain

# What is wrong, by the words for it, tried in this order.
_WHY = (
    ("wrong", "发错|寄错|送错|错发|不是我|不对|不符|不一样"),
    ("short", "少|漏发|缺|不够|不足|没看到|没送"),
    ("broken", "坏|破|瘪|扁|碎|压|裂|漏|洒|撒|烂|潮|霉|变质|化了"),
    ("bad", "难喝|难吃|不好|虫|头发|异物|过期|临期|味|不新鲜|质量|失望|不满意|不香"),
    ("late", "太久|还没发|不发货|太慢"),
    ("mistake", "买错|拍错|点错|下错"),
    ("mind", "不想要|不要了|不喜欢|不合适|后悔|用不上|不需要"),
)

# What is to be done about it, likewise.
_HOW = (
    ("resend", "补发|重新?[发寄]|再[发寄]|另[发寄]|补寄|补一|补给|补上|换"),
    ("part", "部分|部份|赔|补偿|补点|退点|退一点|一半|意思"),
    ("all", "全|都退|整单|退货|退款|退掉|退了|退钱"),
)


def why(words: str) -> str:
    """What is wrong, by the words for it; "" when they do not say."""
    said = plain(words)
    return next((reason for reason, cues in _WHY if re.search(cues, said)), "")


def how(words: str) -> str:
    """What is to be done about it, by the words for it; "" when they do not say."""
    said = plain(words)
    return next((remedy for remedy, cues in _HOW if re.search(cues, said)), "")
