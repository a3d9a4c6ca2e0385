"""How we know that words are WeChat Pay's own: its keys, its signature, its sealed resources."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from multidict import CIMultiDict, CIMultiDictProxy

SCHEME = "WECHATPAY2-SHA256-RSA2048"
SKEW = timedelta(seconds=300)
"""A signature further than this from our time, either way, is refused (doc: verifying signatures)."""
PROBE = "WECHATPAY/SIGNTEST/"
"""So begin signatures sent to see whether we verify at all: they must fail (doc: signature probes)."""

Headers = Mapping[str, str] | CIMultiDict[str] | CIMultiDictProxy[str]

_STAMP = re.compile(r"[0-9]{1,12}")


class Forged(Exception):
    """Not from WeChat Pay, or not readable; `status` is what a callback is answered with."""

    def __init__(self, reason: str, status: int = 401) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status


class Keys:
    """The platform's public keys we know, by serial; a certificate counts only while it is valid."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[RSAPublicKey, datetime | None]] = {}
        self.wanted = False
        """Somebody showed a serial that we do not know: fetch the certificates, outside the request."""

    def learn(self, serial: str, key: RSAPublicKey, until: datetime | None = None) -> None:
        self._keys[serial] = (key, until)

    def learn_certificate(self, serial: str, pem: bytes) -> None:
        """Raises ValueError for what is no RSA certificate."""
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
        if not isinstance(key, RSAPublicKey):
            raise ValueError("not an RSA certificate")
        self.learn(serial, key, certificate.not_valid_after_utc)

    def get(self, serial: str, now: datetime) -> RSAPublicKey | None:
        key, until = self._keys.get(serial, (None, None))
        return key if until is None or now <= until else None

    def any(self, now: datetime) -> bool:
        return any(self.get(serial, now) for serial in self._keys)

    def join(self, others: Keys) -> None:
        self._keys |= others._keys


def check_signature(headers: Headers, raw: bytes, now: datetime, keys: Keys) -> None:
    """Raises Forged unless the platform signed exactly these bytes within 300 s of `now` with a key we know.

    Makes no request: an unknown serial only sets `keys.wanted`. Header names count in any case, each once.
    """
    given = headers if isinstance(headers, CIMultiDict | CIMultiDictProxy) else CIMultiDict(headers)

    def one(name: str) -> str:
        values = given.getall(f"Wechatpay-{name}", [])
        if len(values) != 1 or not values[0]:
            raise Forged("repeated" if len(values) > 1 else "missing")
        if len(values[0]) > 1024 or not values[0].isascii():
            raise Forged("malformed")
        return values[0]

    serial, stamp, nonce, signature = (one(name) for name in ("Serial", "Timestamp", "Nonce", "Signature"))
    if "Wechatpay-Signature-Type" in given and one("Signature-Type") != SCHEME:
        raise Forged("type")
    if not _STAMP.fullmatch(stamp):
        raise Forged("malformed")
    if abs(now.timestamp() - int(stamp)) > SKEW.total_seconds():
        raise Forged("stale")
    if signature.startswith(PROBE):
        raise Forged("probe")
    key = keys.get(serial, now)
    if key is None:
        keys.wanted = True
        raise Forged("serial")
    try:
        made = base64.b64decode(signature, validate=True)
        key.verify(made, f"{stamp}\n{nonce}\n".encode() + raw + b"\n", PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        raise Forged("signature") from None


def strict_json(raw: bytes | str) -> dict[str, Any]:
    """A JSON object without doubled keys, NaN or Infinity; raises ValueError for anything else."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ValueError("doubled key")
        return made

    def never(word: str) -> None:
        raise ValueError(word)

    try:
        found = json.loads(raw, object_pairs_hook=once, parse_constant=never)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def unseal(resource: object, api_v3_key: bytes) -> bytes:
    """The plain bytes of an AEAD_AES_256_GCM resource; raises ValueError if shape, key or a byte is wrong."""
    if not isinstance(resource, dict) or resource.get("algorithm") != "AEAD_AES_256_GCM":
        raise ValueError("unknown algorithm")
    nonce, sealed, beside = (resource.get(name) for name in ("nonce", "ciphertext", "associated_data"))
    if not isinstance(nonce, str) or not isinstance(sealed, str) or not isinstance(beside, str | None):
        raise ValueError("nonce, ciphertext or associated_data")
    try:
        box = base64.b64decode(sealed, validate=True)
        return AESGCM(api_v3_key).decrypt(nonce.encode(), box, (beside or "").encode())
    except (InvalidTag, binascii.Error, OverflowError):
        raise ValueError("cannot be decrypted") from None
