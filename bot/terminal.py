"""How a command speaks to whoever started it: lines, complaints, and why it could not do its work."""

from __future__ import annotations

import sys

REFUSED = 78  # EX_CONFIG: starting again would not help
NOT_NOW = 75  # EX_TEMPFAIL: it may help


class Unfit(Exception):
    """The command cannot do its work; the message is for the person at the terminal, `status` for the shell."""

    def __init__(self, why: str, status: int = REFUSED) -> None:
        super().__init__(why)
        self.status = status


def say(words: str) -> None:
    """A line for the person, or the script, at the terminal."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def complain(words: str) -> None:
    """A line beside the command's own output."""
    sys.stderr.write(words + "\n")
    sys.stderr.flush()
