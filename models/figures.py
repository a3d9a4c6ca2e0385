"""The shop's figures: every number of the rules that a merchant may change, with its default."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True)
class OrderFigures:
    pay_minutes: int = 30
    hand_pay_minutes: int = 24 * 60  # without a cashier: people have to see the money first
    group_seat_minutes: int = 10
    max_unpaid: int = 5
    max_quantity: int = 99
    hold_extra_minutes: int = 5  # stock outlives the ability to pay
    late_money_minutes: int = 10
    promise_hours: int = 48
    promise_warn_hours: int = 4  # staff are told so long before a promise breaks
    promise_again_hours: int = 24  # the new time of a promise that broke
    pickup_at: str = ""  # where orders can be fetched, with its hours; "": nowhere
    receive_days: int = 15  # what was shipped counts as received after this
    aftersale_days: int = 7  # after receipt one may still complain
    aftersale_hours: int = 48  # a shop that says nothing for so long has agreed
    return_days: int = 7  # whoever sends nothing back for so long has let it drop
    returned_days: int = 10  # what was sent back counts as arrived after this
    instant_refund: bool = False  # what is neither packed nor shipped goes back without the merchant
    freight_fen: int = 800
    freight_free_from_fen: int = 9900


@dataclass(frozen=True)
class GroupFigures:
    hours: int = 24
    min_size: int = 2
    max_size: int = 10
    last_minutes: int = 2  # no seat is given in a group's last minutes
    settle_minutes: int = 6  # how long a due group waits for open attempts


@dataclass(frozen=True)
class PushFigures:
    quiet: str = "22-8"
    weekly: int = 2
    keep_for_service: int = 2
    customer_messages: int = 5
    customer_hours: int = 48
    tap_messages: int = 3
    tap_minutes: int = 1
    mass_monthly: int = 4
    weibo_hours: int = 48


@dataclass(frozen=True)
class ServiceFigures:
    hours: str = "09:00-21:00"
    phone: str = ""
    pay_words: str = ""  # how to pay the shop itself, where there is no cashier
    return_to: str = ""  # who and where returns are sent to
    return_freight: str = "buyer"  # who pays for them after a change of mind; a fault is the shop's


@dataclass(frozen=True)
class LimitFigures:
    messages_per_minute: int = 30
    messages_per_day: int = 600
    orders_per_minute: int = 5
    orders_per_day: int = 20


@dataclass(frozen=True)
class Figures:
    """All of them, with the names and the zone that the rules need."""

    shop_name: str = "小店"
    zone: str = "Asia/Shanghai"
    public_url: str = ""
    cashier: bool = True  # WeChat Pay takes the money; else people pay the shop itself, and staff say 收款
    order: OrderFigures = field(default_factory=OrderFigures)
    group: GroupFigures = field(default_factory=GroupFigures)
    push: PushFigures = field(default_factory=PushFigures)
    service: ServiceFigures = field(default_factory=ServiceFigures)
    limits: LimitFigures = field(default_factory=LimitFigures)

    @property
    def silence(self) -> timedelta:
        """How long the shop may say nothing to a complaint."""
        return timedelta(hours=self.order.aftersale_hours)

    @property
    def waiting_for_return(self) -> timedelta:
        """How long the shop may say nothing of what was sent back."""
        return timedelta(days=self.order.returned_days)
