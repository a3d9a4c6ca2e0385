"""Keys derived from the one secret, and columns that only the shop can read."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import LargeBinary
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class Keys:
    """What is derived from `secret.key`; older keys still open what they sealed."""

    def __init__(self, key: str, old: tuple[str, ...] = ()) -> None:
        self._keys = [k.encode() for k in (key, *old)]

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose, from the current key."""
        return _derive(self._keys[0], purpose)

    def seal(self, text: str) -> bytes:
        """nonce + AES-256-GCM of the text; what was sealed cannot be searched."""
        nonce = os.urandom(12)
        return nonce + AESGCM(self.derive("column")).encrypt(nonce, text.encode(), b"tuanpu")

    def open(self, sealed: bytes) -> str:
        """The text again; ValueError when none of the keys fits."""
        for key in self._keys:
            try:
                return AESGCM(_derive(key, "column")).decrypt(sealed[:12], sealed[12:], b"tuanpu").decode()
            except InvalidTag:
                continue
        raise ValueError("no key opens this column")


def _derive(key: bytes, purpose: str) -> bytes:
    return hmac.new(key, b"tuanpu:" + purpose.encode(), hashlib.sha256).digest()


class Sealed(TypeDecorator[str]):
    """A text column that holds personal data: encrypted on its way in, opened on its way out."""

    impl = LargeBinary
    cache_ok = True
    keys: Keys | None = None  # one shop a process; set by the app when it opens its store

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        if value is None:
            return None
        assert Sealed.keys is not None, "the app sets the keys before anything is sealed"
        return Sealed.keys.seal(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        if value is None:
            return None
        assert Sealed.keys is not None, "the app sets the keys before anything is opened"
        return Sealed.keys.open(bytes(value))
