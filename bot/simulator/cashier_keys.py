"""Keys for the fake cashier and its one merchant, made fresh on this machine and kept in a folder."""

from __future__ import annotations

import base64
import json
import secrets
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from bot.pay.seal import SCHEME


def make_merchant(folder: Path) -> dict[str, str]:
    """The `wechat_pay` settings of a merchant whose keys lie in `folder`, made there when they are missing.

    mch_id, serial_no, private_key_file, api_v3_key (32 characters), public_key_id, public_key_file. The
    first call of a folder takes some tenths of a second.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mine, public, names = (
        folder / "merchant_key.pem",
        folder / "platform_public.pem",
        folder / "merchant.json",
    )
    if not names.exists():
        _write(mine, _pem(_fresh()))
        theirs = _fresh()
        _write(folder / "platform_key.pem", _pem(theirs))
        _write(public, theirs.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        made = {
            "mch_id": "19" + "".join(secrets.choice("0123456789") for _ in range(8)),
            "serial_no": secrets.token_hex(20).upper(),
            "api_v3_key": secrets.token_hex(16),
            "public_key_id": "PUB_KEY_ID_01" + "".join(secrets.choice("0123456789") for _ in range(26)),
        }
        _write(names, json.dumps(made).encode())  # last: a folder with this file is complete
    kept: dict[str, str] = json.loads(names.read_bytes())
    return kept | {"private_key_file": str(mine.resolve()), "public_key_file": str(public.resolve())}


class Stamp:
    """One of the cashier's private keys and the serial under which the merchant knows it."""

    def __init__(self, serial: str, key: RSAPrivateKey) -> None:
        self.serial, self.key = serial, key

    @classmethod
    def read(cls, folder: Path) -> Stamp:
        """The key of public-key mode; `make_merchant` must have made the folder."""
        serial = json.loads((folder / "merchant.json").read_bytes())["public_key_id"]
        return cls(serial, _read(folder / "platform_key.pem"))

    @classmethod
    def fresh(cls) -> Stamp:
        """A new certificate's key."""
        return cls("4" + secrets.token_hex(19).upper() + "A", _fresh())  # 159 bits: what X.509 allows

    def headers(self, raw: bytes, stamp: int) -> dict[str, str]:
        """The Wechatpay-… headers that sign `raw` at Unix second `stamp`."""
        nonce = secrets.token_hex(16)
        signed = self.key.sign(f"{stamp}\n{nonce}\n".encode() + raw + b"\n", PKCS1v15(), SHA256())
        return {
            "Wechatpay-Timestamp": str(stamp),
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": self.serial,
            "Wechatpay-Signature": base64.b64encode(signed).decode(),
            "Wechatpay-Signature-Type": SCHEME,
        }

    def certificate(self, now: datetime, days: int = 1825) -> bytes:
        """A self-signed certificate of this key, PEM, valid from yesterday."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake cashier")])
        since, until = now - timedelta(days=1), now + timedelta(days=days)
        made = x509.CertificateBuilder(name, name, self.key.public_key(), int(self.serial, 16), since, until)
        return made.sign(self.key, SHA256()).public_bytes(Encoding.PEM)


def sealed(plain: bytes, api_v3_key: str, beside: str) -> dict[str, str]:
    """`plain` as an AEAD_AES_256_GCM resource."""
    nonce = secrets.token_hex(6)
    box = AESGCM(api_v3_key.encode()).encrypt(nonce.encode(), plain, beside.encode())
    return {
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(box).decode(),
        "associated_data": beside,
        "nonce": nonce,
    }


def merchants_key(folder: Path) -> RSAPublicKey:
    """The key by which the merchant's requests are checked."""
    return _read(folder / "merchant_key.pem").public_key()


def _fresh() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def _read(path: Path) -> RSAPrivateKey:
    # we made it: the checks, 50 ms each, are for keys from outside
    key = load_pem_private_key(path.read_bytes(), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, RSAPrivateKey)
    return key


def _pem(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, words: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(words)
