"""Everything a person can ask of the shop, on one page: the table of contents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from handlers.asking import (
    AddressLine,
    Coded,
    Digits,
    GroupCode,
    Intent,
    Number,
    OrderNo,
    ProductCode,
    Quantity,
    Scene,
    Spec,
    Words,
    YesNo,
    Yuan,
)
from models.staff import Role

# fmt: off
# -- coming and going (follow, help) -------------------------------------------------------------------
@dataclass(frozen=True)
class Arrive(Intent, verb="arrive", changes=True): scene: str = ""
@dataclass(frozen=True)
class Scan(Intent, verb="scan", changes=True): scene: str = ""
@dataclass(frozen=True)
class Leave(Intent, verb="leave", changes=True): pass
@dataclass(frozen=True)
class Silent(Intent, verb="silent"): pass
@dataclass(frozen=True)
class Help(Coded, verb="help", page=True): pass
@dataclass(frozen=True)
class NotUnderstood(Intent, verb="lost"): words: Words = ""
@dataclass(frozen=True)
class BeyondList(Intent, verb="beyond"): n: Number = 0; of: Number = 0
@dataclass(frozen=True)
class ListGone(Intent, verb="listgone"): pass
@dataclass(frozen=True)
class StrangeThing(Intent, verb="strange"): kind: str = ""
@dataclass(frozen=True)
class CancelQuestion(Intent, verb="nevermind"): pass
@dataclass(frozen=True)
class WelcomeNews(Intent, verb="welcomenews", changes=True): answer: YesNo = ""

# -- looking around (catalog) --------------------------------------------------------------------------
@dataclass(frozen=True)
class Browse(Coded, verb="browse", page=True): category: Number = 0; after: str = ""
@dataclass(frozen=True)
class ShowProduct(Coded, verb="show", page=True): product: ProductCode = ""
@dataclass(frozen=True)
class Search(Intent, verb="search"): words: Words = ""; page: Number = 0
@dataclass(frozen=True)
class More(Coded, verb="more"): pass
@dataclass(frozen=True)
class Back(Coded, verb="back"): pass

# -- everyday questions (everyday) ---------------------------------------------------------------------

# -- the cart (cart) -----------------------------------------------------------------------------------

# -- where it goes (address) ---------------------------------------------------------------------------

# -- buying (checkout, payment, orders) ----------------------------------------------------------------
@dataclass(frozen=True)
class Buy(Coded, verb="buy", changes=True, personal=True): product: ProductCode = ""; quantity: Quantity = 0; spec: Spec = ""; play: str = ""

# -- group-buys (groupbuy) -----------------------------------------------------------------------------
@dataclass(frozen=True)
class ShowGroup(Coded, verb="group", page=True): group: GroupCode = ""
@dataclass(frozen=True)
class JoinGroup(Coded, verb="join", changes=True, personal=True): group: GroupCode = ""

# -- invite cards (invite) -----------------------------------------------------------------------------

# -- what may be pushed (subscribe) --------------------------------------------------------------------

# -- staff (admin) -------------------------------------------------------------------------------------

# -- what the world has done: facts, by the house only -------------------------------------------------
# fmt: on

