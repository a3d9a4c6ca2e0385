"""Keys derived from the one secret, and columns that only the shop can read."""

from __future__ import annotations

import hashlib
import hmac
import json
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
        self._columns = [AESGCM(_derive(k, "column")) for k in self._keys]

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose, from the current key."""
        return _derive(self._keys[0], purpose)

    def seal(self, text: str) -> bytes:
        """nonce + AES-256-GCM of the text; what was sealed cannot be searched."""
        nonce = os.urandom(12)
        return nonce + self._columns[0].encrypt(nonce, text.encode(), b"tuanpu")

    def open(self, sealed: bytes) -> str:
        """The text again; ValueError when none of the keys fits."""
        for cipher in self._columns:
            try:
                return cipher.decrypt(sealed[:12], sealed[12:], b"tuanpu").decode()
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


class SealedJson(TypeDecorator[dict[str, Any]]):
    """JSON that may hold a person's words, address or order: kept like Sealed; nobody looks inside by SQL."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> bytes | None:
        if value is None:
            return None
        assert Sealed.keys is not None, "the app sets the keys before anything is sealed"
        return Sealed.keys.seal(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    def process_result_value(self, value: Any, dialect: Dialect) -> dict[str, Any] | None:
        if value is None:
            return None
        assert Sealed.keys is not None, "the app sets the keys before anything is opened"
        found: dict[str, Any] = json.loads(Sealed.keys.open(bytes(value)))
        return found
