"""config.toml and the environment become one frozen Settings, or a list of sentences that says why not.

Both sources are merged here and checked once, so that every fault is told at the first start and not one
per start. What can be set stands in bot/settings.py.
"""

import difflib
import os
import re
import secrets
import stat
import string
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import SecretStr, ValidationError

from bot.settings import DISTINCT, PLACEHOLDER, Database, Group, Settings

__all__ = [
    "ConfigError",
    "Settings",
    "build",
    "fresh_aes_key",
    "fresh_secret",
    "fresh_token",
    "load",
    "starting_config",
]

PREFIX = "TUANPU_"


class ConfigError(Exception):
    """The settings cannot be used; `faults` has one sentence for each thing that is wrong."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


# -- reading -----------------------------------------------------------------------------------------------


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Settings from the file at `path` (None: no file) and from TUANPU_<SECTION>__<KEY> in `environ`.

    The environment wins over the file. Raises ConfigError with every fault at once.
    """
    values: dict[str, Any] = {}
    faults: list[str] = []
    if path is not None:
        values, faults = _read(path)
    from_environment, more = _from_environment(environ)
    faults += more
    for section, keys in from_environment.items():
        there = values.setdefault(section, {})
        if isinstance(there, dict):
            values[section] = {**there, **keys}
    try:
        settings = build(values, path.absolute().parent if path is not None else Path.cwd())
    except ConfigError as error:
        raise ConfigError(faults + error.faults) from None
    if faults:
        raise ConfigError(faults)
    return settings


def build(values: Mapping[str, Any], folder: Path) -> Settings:
    """Settings from nested plain values; relative paths are taken from `folder`.

    Raises ConfigError with every fault at once.
    """
    values = _with_absolute_paths(values, folder.absolute())
    settings, faults = None, []
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        faults = [_sentence(detail["loc"], detail["type"], detail["msg"]) for detail in error.errors()]
    faults += _faults_between(values)
    if settings is None or faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return settings


def _read(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise ConfigError([f"{path} is not there; `tuanpu init` makes one."]) from None
    except OSError as error:
        raise ConfigError([f"{path} cannot be read: {error.strerror}."]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path} is not UTF-8 text."]) from None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path} is not TOML: {error}."]) from None
    return values, [fault] if (fault := _open_to_others(path)) else []


def _open_to_others(path: Path) -> str | None:
    """A file with secrets must not be readable by everybody on the machine (a group is fine)."""
    if os.name != "posix" or not stat.S_IMODE(path.stat().st_mode) & 0o007:
        return None
    return f"{path} holds secrets and is open to everybody on this machine; say `chmod 640 {path}`."


def _from_environment(environ: Mapping[str, str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Sections found in the environment. Names without __ are the tools' and are left alone."""
    values: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or "__" not in name:
            continue
        section, _, key = name.removeprefix(PREFIX).partition("__")
        fields = _fields(section.lower())
        field = fields.get(key.lower()) if name == name.upper() and fields else None
        if field is None:
            known = [f"{PREFIX}{s}__{k}".upper() for s in Settings.model_fields for k in _fields(s)]
            faults.append(f"{name} in the environment is not a setting{_nearest(name.upper(), known)}.")
            continue
        value = _typed(field, text)
        if value is None:
            faults.append(f"{name} in the environment must be {_kind(field)}.")
        else:
            values.setdefault(section.lower(), {})[key.lower()] = value
    # An empty variable overrides a value, but does not open a section that nothing else speaks of.
    return {s: keys for s, keys in values.items() if any(v not in ("", []) for v in keys.values())}, faults


def _fields(section: str) -> dict[str, Any]:
    """name -> annotation of a section's settings; {} where there is no such section."""
    info = Settings.model_fields.get(section)
    if info is None:
        return {}
    inner = next(kind for kind in (*get_args(info.annotation), info.annotation) if kind is not NoneType)
    return {name: field.annotation for name, field in inner.model_fields.items()}


def _plain(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(kind for kind in get_args(annotation) if kind is not NoneType)
    return get_origin(annotation) or annotation


def _typed(annotation: Any, text: str) -> Any:
    """A variable's text as what the setting wants; None if it cannot be that."""
    kind = _plain(annotation)
    if kind is int:
        return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else None
    if kind is bool:
        return {"true": True, "1": True, "false": False, "0": False, "": False}.get(text.lower())
    if kind is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _kind(annotation: Any) -> str:
    return {int: "a whole number", bool: "true or false", tuple: "a list"}.get(_plain(annotation), "text")


def _with_absolute_paths(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A copy in which relative paths start at `folder`, whatever folder one stands in."""
    made = {name: dict(keys) if isinstance(keys, Mapping) else keys for name, keys in values.items()}
    database = made.setdefault("database", {})
    if isinstance(database, dict):
        url = database.get("url", Database().url)
        file = url.removeprefix("sqlite:///") if isinstance(url, str) else ""
        if isinstance(url, str) and url.startswith("sqlite:///") and file and file != ":memory:":
            database["url"] = f"sqlite:///{folder / file}"
    pay = made.get("wechat_pay")
    if isinstance(pay, dict):
        for name in ("private_key_file", "public_key_file"):
            if isinstance(pay.get(name), str | Path):
                pay[name] = folder / pay[name] if str(pay[name]) else None
    return made


# -- faults ------------------------------------------------------------------------------------------------


def _faults_between(values: Mapping[str, Any]) -> list[str]:
    """What no single value shows. Looks at raw values, so that it speaks beside other faults."""
    return [*_wechat_faults(values), *_pay_faults(values), *_size_faults(values)]


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}


def _text(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value or "")


def _wechat_faults(values: Mapping[str, Any]) -> Iterator[str]:
    wechat = _section(values, "wechat")
    if wechat and wechat.get("plain") is not True and not _text(wechat.get("encoding_aes_key")):
        yield "wechat.encoding_aes_key is missing; only wechat.plain = true does without it."


def _pay_faults(values: Mapping[str, Any]) -> Iterator[str]:
    pay = _section(values, "wechat_pay")
    if pay and not _section(values, "wechat"):
        yield "wechat_pay needs the section wechat: a payment is made for its app_id."
    if bool(pay.get("public_key_id")) != bool(pay.get("public_key_file")):
        yield "wechat_pay.public_key_id and wechat_pay.public_key_file go together: give both or neither."
    for name in ("private_key_file", "public_key_file"):
        file = pay.get(name)
        if not isinstance(file, Path):
            continue
        try:
            with file.open("rb") as handle:
                start = handle.read(65536)
        except OSError as error:
            yield f"wechat_pay.{name} cannot be read ({file}): {error.strerror}."
            continue
        if b"-----BEGIN " not in start:
            yield f"wechat_pay.{name} is not a PEM file ({file})."
        if name == "private_key_file" and (fault := _open_to_others(file)):
            yield f"wechat_pay.{name}: {fault}"


def _size_faults(values: Mapping[str, Any]) -> Iterator[str]:
    workers = _section(values, "server").get("workers", 1)
    url = str(_section(values, "database").get("url", ""))
    shared = url.startswith("postgresql://") and _section(values, "redis").get("url")
    if type(workers) is int and workers > 1 and not shared:
        yield "server.workers above 1 needs PostgreSQL (database.url) and Redis (redis.url)."
    group, usual = _section(values, "group"), Group()
    low, high = group.get("min_size", usual.min_size), group.get("max_size", usual.max_size)
    if type(low) is int and type(high) is int and low > high:
        yield "group.min_size must not be above group.max_size."


def _sentence(place: tuple[int | str, ...], kind: str, message: str) -> str:
    """One fault that pydantic found, in one sentence that never repeats the value."""
    section = str(place[0])
    fields = _fields(section)
    name = ".".join(str(part) for part in place[:2])
    if kind == "extra_forbidden":
        known = list(fields) if len(place) > 1 else list(Settings.model_fields)
        return f"{name} is not a setting{_nearest(str(place[-1]), known, section if len(place) > 1 else '')}."
    if kind == "missing":
        if len(place) > 1:
            return f"{name} is missing."
        wanted = ", ".join(f"{section}.{key}" for key in _needed(section))
        return f"The section {section} is missing; it must have {wanted}."
    if kind == "fault":
        return f"{name} {message}."
    if kind in ("model_type", "model_attributes_type"):
        return f"{name} must be a section: [{name}]."
    if kind.endswith("_type") and len(place) > 1:
        return f"{name} must be {_kind(fields.get(str(place[1])))}."
    return f"{name}: {message[0].lower()}{message[1:]}."


def _needed(section: str) -> list[str]:
    inner = Settings.model_fields[section].annotation
    assert inner is not None
    return [name for name, field in inner.model_fields.items() if field.is_required()]


def _nearest(name: str, known: list[str], section: str = "") -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {section + '.' if section else ''}{near[0]}?)" if near else ""


# -- fresh secrets -----------------------------------------------------------------------------------------

ALPHABET = string.ascii_letters + string.digits


def fresh_secret(length: int = 43) -> str:
    """Random letters and digits; 43 of them are 256 bits."""
    while True:
        made = "".join(secrets.choice(ALPHABET) for _ in range(length))
        if len(set(made)) >= DISTINCT:  # only a very short one ever needs a second try
            return made


def fresh_token() -> str:
    """A webhook token: 32 characters, the most WeChat takes."""
    return fresh_secret(32)


def fresh_aes_key() -> str:
    """43 letters and digits that stand for exactly 32 bytes (the last one carries no stray bits)."""
    return fresh_secret(42) + secrets.choice("AEIMQUYcgkosw048")


def starting_config(example: str) -> str:
    """The text of config.example.toml with the house's own secrets made fresh.

    What only the platforms can give (app_id, app_secret, …) keeps its placeholder, which is refused.
    """
    for name, make in (("key", fresh_secret), ("token", fresh_token), ("encoding_aes_key", fresh_aes_key)):
        example = re.sub(
            rf'^(#? ?{name} = )"{PLACEHOLDER}[^"]*"',
            lambda found, make=make: f'{found[1]}"{make()}"',  # type: ignore[misc]
            example,
            flags=re.MULTILINE,
        )
    return example
