"""How many of what, as people say it: 3盒, 来A12 3份, 来3份第2个, 要买这个."""

from __future__ import annotations

import re

from handlers.asking import Intent, remembered
from handlers.intents import AddToCart, BeyondList, Buy, BuyLines, ShowProduct
from handlers.routing import Hearing, shop
from models.words import asks, is_yes, number, quantity, unfill

_WISH = r"我?想?(?:要买?|买|来|拿|订|下单)"
_MANY = r"(?P<n>[0-9]{1,4}|[一二两三四五六七八九十百]{1,4})\s?[盒罐袋包饼件份个提条瓶箱桶块支只套组颗枚筒板]?"
_SO_MANY_OF = re.compile(
    rf"{_WISH}\s?{_MANY}\s?"
    r"(?:第\s?(?P<line>[0-9]{1,2}|[一二三四五六七八九十]{1,3})\s?(?:个|款|号|种|样)?|(?P<code>a[0-9]{1,5}))"
)
_CODE_SO_MANY = re.compile(rf"(?:{_WISH})?\s?(?P<code>a[0-9]{{1,5}})\s?(?P<many>.{{1,6}})")
_THIS_ONE = re.compile(
    r"我?(?:就|想|要|想要|那就)?(?:买|要|来|拿|订|下单|就[这它那])(?:一[个盒份罐袋包])?(?:这|那|此|它)?(?:个|一?[款种样])?(?:了|的)?"
)


@shop.cue(40)
def how_many(hearing: Hearing) -> Intent | None:
    """3盒, while an order is being asked about, is how many of it."""
    asked = hearing.talk.asked(hearing.now)
    many = quantity(hearing.said) if asked else None
    intent = remembered(asked["intent"]) if asked and many else None
    if isinstance(intent, Buy | AddToCart) and many:
        return intent.filled(quantity=many)
    if isinstance(intent, BuyLines) and many and len(intent.lines) == 1:
        return intent.filled(lines=((intent.lines[0][0], many),))
    return None


@shop.cue(45)
def code_so_many(hearing: Hearing) -> Intent | None:
    """买a1两盒, 来A12 3份, A11来三罐, A11 x3: the code first, then so many of it."""
    found = _CODE_SO_MANY.fullmatch(hearing.said) if not asks(hearing.said) else None
    many = quantity(found["many"]) if found else None
    return Buy(found["code"].upper(), many) if found and many else None


@shop.cue(205)
def this_one(hearing: Hearing) -> Intent | None:
    """要买这个, 我就要它: what is on screen. 想要, 来 are a yes to no question: they show it once more."""
    said, shown = unfill(hearing.said), hearing.talk.shown("product", hearing.now)
    if not shown or not _THIS_ONE.fullmatch(said):
        return None
    if len(said) == 1 and hearing.talk.last == "checkout/placed":
        return None  # 来, said to an order that was just made, is no second one
    return ShowProduct(shown) if is_yes(said) else Buy(shown)


@shop.cue(50)
def so_many_of(hearing: Hearing) -> Intent | None:
    """来3份第2个, 想买两盒A12: so many of a line of the list, or of a code."""
    found = _SO_MANY_OF.fullmatch(hearing.said) if not asks(hearing.said) else None
    many = number(found["n"]) if found else None
    if not found or not many:
        return None
    if found["code"]:
        return Buy(found["code"].upper(), many)
    n = number(found["line"]) or 0
    line = hearing.talk.line(n, hearing.now)
    if line is None and hearing.talk.fresh(hearing.now):
        return BeyondList(n, len(hearing.talk.offered))
    listed = remembered(line) if line else None
    if isinstance(listed, Buy | AddToCart):  # the question which spec is open
        return listed.filled(quantity=many)
    product = str(getattr(listed, "product", ""))
    return Buy(product, many) if product else None
