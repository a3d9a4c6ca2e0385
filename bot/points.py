"""Named places on the money path where a test may let the process die, to show that nothing is lost there."""

from __future__ import annotations

from collections.abc import Callable

_STEPS = ("message", "fact", "page", "tick", "react")
_CALLS = ("prepay", "query", "close", "refund", "refund_query")

POINTS = frozenset(
    [f"desk.{step}.{at}" for step in _STEPS for at in ("begin", "commit", "committed")]
    + [f"till.{call}.{at}" for call in _CALLS for at in ("asking", "asked")]
    + ["notify.heard", "notify.kept"]
    + ["courier.claim.commit", "courier.claimed", "courier.errand", "courier.performed"]
    + ["courier.say.allowed", "courier.say.sending", "courier.say.sent", "courier.say.settled"]
    + ["courier.back.commit", "courier.back.committed"]
)
"""Every name there is: a point of another name is a fault of ours."""

_hook: Callable[[str], None] | None = None


def point(name: str) -> None:
    """Here it may end; does nothing unless a test's launcher has installed a hook."""
    if _hook is not None:
        _hook(name)


def install(hook: Callable[[str], None] | None) -> None:
    """For the tests' launchers only: `hook` is called with the name of every point that is passed."""
    global _hook
    _hook = hook
