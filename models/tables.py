"""Every table in one place: importing this module fills the metadata, and collects what must always hold."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from models.base import Base, Invariant, strict

# From ground to roof; a module without tables of its own may still export INVARIANTS.
MODULES = (
    "inbox",
    "talk",
    "follower",
    "staff",
    "audit",
    "tick",
    "answer",
    "budget",
    "outbox",
    "product",
    "offer",
    "discount",
    "freight",
    "groupbuy",
    "invite",
    "hold",
    "cart",
    "address",
    "orderline",
    "order",
    "parcel",
    "promise",
    "supplement",
    "payment",
    "paytoken",
    "ledger",
    "refund",
    "settlement",
    "hand",
    "request",
    "evidence",
    "aftersale",
    "remedy",
    "subscription",
    "campaign",
    "quarantine",
    "accord",
)


def modules() -> list[ModuleType]:
    """The model modules, in order."""
    return [import_module(f"models.{name}") for name in MODULES]


def invariants() -> list[tuple[str, Invariant]]:
    """(module, invariant) of every model."""
    return [(m.__name__, i) for m in modules() for i in m.INVARIANTS]


modules()
metadata = Base.metadata
strict(metadata)
