"""What can be set: one frozen section per room of the shop, with its defaults and what each value must be.

Sections [wechat], [weibo] and [wechat_pay] are None when nothing speaks of them. Figures are the shop's
rules; config.example.toml says what each means.
"""

import base64
import ipaddress
import re
from datetime import time
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError

PLACEHOLDER = "change-me"  # stands in config.example.toml where a secret belongs; never accepted
DISTINCT = 6  # fewer different characters than this is not a secret


def _fault(sentence: str) -> PydanticCustomError:
    """A fault that reads on after the setting's name: "wechat.token" + " must be …"."""
    return PydanticCustomError("fault", "{sentence}", {"sentence": sentence})


# -- what single values must be ----------------------------------------------------------------------------


def _secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text and PLACEHOLDER in text.lower():
        raise _fault("still has the example's value; put your own there")
    if text and len(set(text)) < DISTINCT:
        raise _fault(f"is too weak: it has fewer than {DISTINCT} different characters")
    return value


def _given(value: SecretStr) -> SecretStr:
    if not value.get_secret_value():
        raise _fault("is empty")
    return value


def _said(value: str) -> str:
    if not value.strip():
        raise _fault("is empty")
    if PLACEHOLDER in value.lower():
        raise _fault("still has the example's value; put your own there")
    return value


def _loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _url(value: str) -> str:
    """An address without its last slash: https, or http on this very machine."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise _fault("is not an address") from None
    if any(ch.isspace() or not ch.isprintable() for ch in value):
        raise _fault("must not have spaces in it")
    if parts.scheme not in ("https", "http") or not host:
        raise _fault("must be an address that starts with https:// (http:// only on loopback)")
    if parts.scheme == "http" and not _loopback(host):
        raise _fault("must be https: http is for loopback only")
    if parts.username is not None or parts.password is not None:
        raise _fault("must not have a user name or password in it")
    if parts.query or parts.fragment or "?" in value or "#" in value:
        raise _fault("must end before any ? or #")
    return value.rstrip("/")


def _root_url(value: str) -> str:
    """As _url, and nothing after the host: the doors' paths are fixed."""
    value = _url(value)
    if urlsplit(value).path:
        raise _fault("must end after the host: the shop's paths start at the root")
    return value


def _matches(pattern: str, sentence: str) -> AfterValidator:
    ready = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        if not ready.fullmatch(value):
            raise _fault(sentence)
        return value

    return AfterValidator(check)


def _clock_time(text: str) -> time:
    if not re.fullmatch(r"[0-9]{1,2}:[0-9]{2}", text):
        raise ValueError(text)
    hour, minute = text.split(":")
    return time(int(hour), int(minute))


Secret = Annotated[SecretStr, AfterValidator(_secret)]
GivenSecret = Annotated[SecretStr, AfterValidator(_secret), AfterValidator(_given)]
Said = Annotated[str, AfterValidator(_said)]
Url = Annotated[str, AfterValidator(_url)]
RootUrl = Annotated[str, AfterValidator(_root_url)]
FilePath = Annotated[Path | None, Field(strict=False)]
Count = Annotated[int, Field(ge=1)]


# -- the sections ------------------------------------------------------------------------------------------


class Section(BaseModel):
    # strict: `port = true` and `workers = "2"` are mistakes. Inputs are hidden because some are secrets.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Shop(Section):
    name: Said
    public_url: RootUrl
    timezone: str = "Asia/Shanghai"

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError in name, both in kind
            raise _fault("is no time zone, such as Asia/Shanghai") from None
        except KeyError:
            raise _fault("is no time zone, such as Asia/Shanghai") from None
        return value

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


class Server(Section):
    host: Said = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    trusted_proxies: Annotated[tuple[str, ...], Field(strict=False)] = ()  # addresses or networks
    metrics_token: Secret = SecretStr("")  # "": /metrics and /readyz answer loopback only

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            try:
                ipaddress.ip_network(value)
            except ValueError:
                raise _fault(f"has {value!r}, which is no address or network such as 10.0.0.0/8") from None
        return values

    @property
    def proxies(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        return tuple(ipaddress.ip_network(value) for value in self.trusted_proxies)


def _long_key(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value().encode()) < 32:
        raise _fault("is too short: at least 32 bytes")
    return value


class SecretKeys(Section):
    key: Annotated[GivenSecret, AfterValidator(_long_key)]
    old_keys: Annotated[
        tuple[Annotated[GivenSecret, AfterValidator(_long_key)], ...], Field(strict=False)
    ] = ()  # still read, never written with


class Database(Section):
    url: str = Field("sqlite:///data/shop.db", repr=False)  # after loading, a SQLite path is absolute

    @field_validator("url")
    @classmethod
    def _is_one_of_two(cls, value: str) -> str:
        if value.startswith("sqlite:///") and len(value) > len("sqlite:///"):
            if ":memory:" in value or "?" in value:
                raise _fault("must name a file: a shop in memory would forget its orders")
            return value
        if value.startswith("postgresql://") and len(value) > len("postgresql://"):
            return value
        raise _fault("must start with sqlite:/// and a file, or with postgresql://")

    @property
    def is_postgresql(self) -> bool:
        return self.url.startswith("postgresql://")


class Redis(Section):
    url: Annotated[
        str,
        Field(repr=False),
        _matches(r"|(rediss?|unix)://.+", 'must start with redis://, rediss:// or unix://, or be ""'),
    ] = ""  # "": what may be lost stays in the process


class WeChat(Section):
    app_id: Annotated[Said, _matches(r"[A-Za-z0-9_-]+", "must be letters and digits, such as wx…")]
    app_secret: GivenSecret
    token: GivenSecret
    account: Annotated[Said, _matches(r"gh_[A-Za-z0-9_]+", "must be the account's original id, gh_…")]
    encoding_aes_key: Secret = SecretStr("")
    plain: bool = False  # the account speaks without encryption: WeChat's test accounts
    trust_plain: bool = False  # treat an unsigned channel as signed: for test accounts only
    tappable: bool = True  # choices are links one can tap
    room_bytes: Annotated[int, Field(ge=200, le=2048)] = 2048
    verify_file: Annotated[
        str, _matches(r"|MP_verify_[A-Za-z0-9]+\.txt", "must be the file's name, MP_verify_….txt")
    ] = ""
    jssdk_url: Url = "https://res.wx.qq.com/open/js/jweixin-1.6.0.js"
    api_base: Url = "https://api.weixin.qq.com"
    mp_base: Url = "https://mp.weixin.qq.com"
    open_base: Url = "https://open.weixin.qq.com"

    @field_validator("token")
    @classmethod
    def _is_a_token(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(r"[A-Za-z0-9_]{3,32}", value.get_secret_value()):
            raise _fault("must be 3 to 32 letters, digits or underscores")
        return value

    @field_validator("encoding_aes_key")
    @classmethod
    def _is_an_aes_key(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not re.fullmatch(r"[A-Za-z0-9]{43}", value.get_secret_value()):
            raise _fault("must be exactly 43 letters and digits")
        return value

    @property
    def aes_key(self) -> bytes:
        """The 32 bytes that encoding_aes_key stands for; b"" in plain mode without one."""
        text = self.encoding_aes_key.get_secret_value()
        return base64.b64decode(text + "=") if text else b""


class Weibo(Section):
    app_key: Annotated[Said, _matches(r"[0-9A-Za-z]+", "must be letters and digits")]
    app_secret: GivenSecret
    access_token: GivenSecret
    account: Annotated[Said, _matches(r"[0-9]+", "must be the account's uid, digits only")]
    room_characters: Annotated[int, Field(ge=100, le=2000)] = 280
    api_base: Url = "https://m.api.weibo.com"
    upload_base: Url = "https://upload.api.weibo.com"  # where pictures of messages lie; an old page's word


class WeChatPay(Section):
    mch_id: Annotated[Said, _matches(r"[0-9]+", "must be digits")]
    serial_no: Annotated[Said, _matches(r"[0-9A-Fa-f]+", "must be the certificate's serial number")]
    private_key_file: Annotated[Path, Field(strict=False)]
    api_v3_key: GivenSecret
    public_key_id: str = ""  # with public_key_file: public-key mode; without both: platform certificates
    public_key_file: FilePath = None
    h5: bool = False  # browsers on a phone outside WeChat may pay: only once WeChat has approved it
    api_base: Url = "https://api.mch.weixin.qq.com"

    @field_validator("api_v3_key")
    @classmethod
    def _is_a_v3_key(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value().encode()) != 32:
            raise _fault("must be exactly 32 bytes")
        return value


class Order(Section):
    pay_minutes: Count = 30
    hand_pay_minutes: Count = 1440  # without [wechat_pay]: staff say 收款 within this time
    group_seat_minutes: Count = 10
    hold_extra_minutes: Count = 5  # what is held outlives the ability to pay by this much
    late_money_minutes: Count = 10  # money that pays nothing goes back after this
    promise_hours: Count = 48
    promise_warn_hours: Count = 4
    promise_again_hours: Count = 24
    receive_days: Count = 15
    aftersale_days: Count = 7
    aftersale_hours: Count = 48
    return_days: Count = 7
    returned_days: Count = 10
    instant_refund: bool = False
    pickup_at: Annotated[str, Field(max_length=60)] = ""
    freight_fen: Annotated[int, Field(ge=0, le=1_000_000)] = 800
    freight_free_from_fen: Annotated[int, Field(ge=0, le=100_000_000)] = 9900
    max_unpaid: Count = 5
    max_quantity: Annotated[int, Field(ge=1, le=9999)] = 99


class Group(Section):
    hours: Annotated[int, Field(ge=1, le=720)] = 24
    min_size: Annotated[int, Field(ge=2, le=100)] = 2
    max_size: Annotated[int, Field(ge=2, le=100)] = 10
    last_minutes: Annotated[int, Field(ge=0)] = 2  # no seat is given this short before the deadline
    settle_minutes: Count = 6  # the longest wait for open attempts after the deadline


class Push(Section):
    quiet: str = "22-8"
    weekly: Count = 2
    keep_for_service: Annotated[int, Field(ge=0)] = 2
    customer_messages: Count = 5
    customer_hours: Count = 48
    tap_messages: Count = 3
    tap_minutes: Count = 1
    mass_monthly: Count = 4
    weibo_hours: Count = 48

    @field_validator("quiet")
    @classmethod
    def _are_hours(cls, value: str) -> str:
        found = re.fullmatch(r"([0-9]{1,2})-([0-9]{1,2})", value)
        if not found or not all(int(hour) <= 24 for hour in found.groups()):
            raise _fault('must be two hours, such as "22-8"')
        return value

    @property
    def quiet_hours(self) -> tuple[int, int]:
        """(first quiet hour, first hour that is not), 0–23 in the shop's zone; equal: never quiet."""
        start, end = self.quiet.split("-")
        return int(start) % 24, int(end) % 24


class Service(Section):
    hours: str = "09:00-21:00"
    phone: Annotated[str, _matches(r"[0-9+() -]{0,30}", "must be a telephone number")] = ""
    pay_words: Annotated[str, Field(max_length=100)] = ""  # without [wechat_pay]: how to pay the shop itself
    return_to: Annotated[str, Field(max_length=120)] = ""
    return_freight: Annotated[str, _matches("buyer|shop", 'must be "buyer" or "shop"')] = "buyer"

    @field_validator("hours")
    @classmethod
    def _are_times(cls, value: str) -> str:
        try:
            start, end = map(_clock_time, value.split("-"))
        except ValueError:
            raise _fault('must be two times, such as "09:00-21:00"') from None
        if start >= end:
            raise _fault("must begin before it ends, such as 09:00-21:00")
        return value

    @property
    def open_hours(self) -> tuple[time, time]:
        """(first minute, minute after the last) at which a person answers, in the shop's zone."""
        start, end = self.hours.split("-")
        return _clock_time(start), _clock_time(end)


class Limits(Section):
    messages_per_minute: Count = 30
    messages_per_day: Count = 600
    orders_per_minute: Count = 5
    orders_per_day: Count = 20


class Settings(Section):
    shop: Shop
    server: Server = Server()
    secret: SecretKeys
    database: Database = Database()
    redis: Redis = Redis()
    wechat: WeChat | None = None
    weibo: Weibo | None = None
    wechat_pay: WeChatPay | None = None
    order: Order = Order()
    group: Group = Group()
    push: Push = Push()
    service: Service = Service()
    limits: Limits = Limits()

    def secrets(self) -> list[str]:
        """Every secret value in use, for the logs to hide."""
        found = []
        for section in (self.server, self.secret, self.wechat, self.weibo, self.wechat_pay):
            for _, value in section or ():
                for item in value if isinstance(value, tuple) else (value,):
                    if isinstance(item, SecretStr) and item.get_secret_value():
                        found.append(item.get_secret_value())
        for url in (self.database.url, self.redis.url):
            try:
                password = urlsplit(url).password
            except ValueError:
                continue
            if password:
                found.append(password)
        return found
