"""Named places on the money path where a test may let the process die, to show that nothing is lost there."""

from __future__ import annotations

from collections.abc import Callable

_STEPS = {
    "desk": ("message", "fact", "page", "tick", "react"),
    "courier": ("claim", "allow", "settle", "refused", "back"),
}
_CALLS = ("prepay", "query", "close", "refund", "refund_query")

POINTS = frozenset(
    [f"{room}.{step}.{at}" for room in _STEPS for step in _STEPS[room] for at in ("begin", "commit", "committed")]
    + [f"till.{call}.{at}" for call in _CALLS for at in ("asking", "asked")]
    + ["courier.errand", "courier.performed", "courier.saying", "courier.said"]
    + ["notify.heard", "notify.kept"]
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
