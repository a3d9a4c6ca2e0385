"""Where the templates and other data lie: at the top of a checkout, in bot/_data in a wheel."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def data(name: str) -> Path:
    """The path of a data file or folder; FileNotFoundError when neither place has it."""
    for path in (_HERE / "_data" / name, _HERE.parent / name):
        if path.exists():
            return path
    raise FileNotFoundError(name)
