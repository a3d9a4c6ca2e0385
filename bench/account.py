"""The one account that every server of a run answers for, and what is said to it."""

from __future__ import annotations

import json
import os
import secrets
import string
from dataclasses import asdict, dataclass

SAID = "商品"
"""The words of every request: the shop answers with its shelf, an echo with the words themselves."""

PIECES = 100
BUYERS = 2000
"""A flash sale: so many people at once for so many pieces."""

PATH = "/wechat"
HOST = "127.0.0.1"
VARIABLE = "BENCH_ACCOUNT"


@dataclass(frozen=True, slots=True)
class Account:
    """A service account in AES mode; handed to the servers through the environment, as JSON."""

    token: str
    app_id: str
    aes_key: str  # 43 characters
    gh: str  # the account's original id, gh_…

    @classmethod
    def fresh(cls) -> Account:
        """An account of its own for every run, so that nothing of an earlier run can answer."""
        letters = string.ascii_letters + string.digits
        key = "".join(secrets.choice(letters) for _ in range(43))
        return cls(secrets.token_hex(16), "wx0000tuanpubench", key, "gh_tuanpubench")

    @classmethod
    def from_environment(cls) -> Account:
        """The account that the bench named; KeyError outside a bench."""
        return cls(**json.loads(os.environ[VARIABLE]))

    def environment(self) -> dict[str, str]:
        """What a server's environment needs to find the account."""
        return {VARIABLE: json.dumps(asdict(self))}


def ordinary(number: int) -> str:
    """Code of a product that does not run out; forty of them, so that not everybody wants the same row."""
    return f"A8{number % 40:02d}"


def on_sale(number: int) -> str:
    """Code of the product of the flash sale of this number, below 100."""
    return f"A7{number:02d}"


def people(count: int) -> list[str]:
    """`count` openids of 28 characters."""
    return [f"o{number:027d}" for number in range(count)]
