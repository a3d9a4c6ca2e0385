"""What the shop says to settings it will not start with, and what it makes of those it takes."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from bot.config import (
    ConfigError,
    build,
    fresh_aes_key,
    fresh_secret,
    fresh_token,
    load,
    starting_config,
)
from bot.settings import Settings

EXAMPLE = (Path(__file__).parent.parent / "config.example.toml").read_text()
KEY = fresh_secret()
PEM = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"


def house(**more: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The fewest settings that do, and what a test adds or replaces."""
    made: dict[str, dict[str, Any]] = {
        "shop": {"name": "小满茶铺", "public_url": "https://shop.example.com"},
        "secret": {"key": KEY},
    }
    for section, keys in more.items():
        made[section] = {**made.get(section, {}), **keys}
    return made


def wechat(**more: Any) -> dict[str, Any]:
    return {
        "app_id": "wx0123456789abcdef",
        "app_secret": fresh_secret(32),
        "token": fresh_token(),
        "encoding_aes_key": fresh_aes_key(),
        "account": "gh_0123456789ab",
        **more,
    }


def weibo(**more: Any) -> dict[str, Any]:
    return {
        "app_key": "2045436852",
        "app_secret": fresh_secret(32),
        "access_token": "2.00" + fresh_secret(28),
        "account": "1642909335",
        **more,
    }


def pay(**more: Any) -> dict[str, Any]:
    return {
        "mch_id": "1900000109",
        "serial_no": "5157F09EFDC096DE15EBE81A47057A7232F1B8E1",
        "private_key_file": "pay.pem",
        "api_v3_key": fresh_secret(32),
        **more,
    }


def of(section: str) -> type[BaseModel]:
    """The model behind a section, whether it may be absent or not."""
    annotation = Settings.model_fields[section].annotation
    return next(kind for kind in (*get_args(annotation), annotation) if hasattr(kind, "model_fields"))


def faults(values: dict[str, Any], folder: Path = Path("/srv/shop")) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        build(values, folder)
    return caught.value.faults


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


# -- what is taken -----------------------------------------------------------------------------------------


def test_a_house_without_channels_starts_with_the_figures_of_the_rules() -> None:
    settings = build(house(), Path("/srv/shop"))
    assert (settings.wechat, settings.weibo, settings.wechat_pay) == (None, None, None)
    assert settings.database.url == "sqlite:////srv/shop/data/shop.db"
    assert (settings.order.pay_minutes, settings.group.hours, settings.push.weekly) == (30, 24, 2)
    assert settings.push.quiet_hours == (22, 8)
    assert [t.isoformat("minutes") for t in settings.service.open_hours] == ["09:00", "21:00"]
    assert settings.server.host == "127.0.0.1"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, f'[shop]\nname = "甲"\npublic_url = "https://a.example"\n[secret]\nkey = "{KEY}"\n')
    settings = load(
        path,
        {
            "TUANPU_SHOP__NAME": "乙",
            "TUANPU_SERVER__PORT": "9000",
            "TUANPU_SERVER__TRUSTED_PROXIES": "10.0.0.0/8, 127.0.0.1",
            "TUANPU_WECHAT__TOKEN": "",  # an empty variable opens no section
            "TUANPU_CHROME": "/usr/bin/chromium",  # a tool's, not a setting
            "PATH": "/bin",
        },
    )
    assert settings.shop.name == "乙"
    assert settings.shop.public_url == "https://a.example"
    assert settings.server.port == 9000
    assert [str(net) for net in settings.server.proxies] == ["10.0.0.0/8", "127.0.0.1/32"]
    assert settings.wechat is None


def test_a_container_needs_no_file() -> None:
    environ = {
        "TUANPU_SECRET__KEY": KEY,
        "TUANPU_SHOP__NAME": "甲",
        "TUANPU_SHOP__PUBLIC_URL": "http://localhost",
    }
    for name, value in wechat(plain=True).items():
        environ[f"TUANPU_WECHAT__{name.upper()}"] = str(value)
    settings = load(None, environ)
    assert settings.wechat is not None
    assert settings.wechat.plain is True
    assert len(settings.wechat.aes_key) == 32


def test_relative_paths_start_at_the_file_not_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pay.pem").write_text(PEM)
    (tmp_path / "pay.pem").chmod(0o600)
    monkeypatch.chdir("/")
    settings = build(house(wechat=wechat(), wechat_pay=pay(), database={"url": "sqlite:///d/s.db"}), tmp_path)
    assert settings.wechat_pay is not None
    assert settings.wechat_pay.private_key_file == tmp_path / "pay.pem"
    assert settings.database.url == f"sqlite:///{tmp_path}/d/s.db"
    absolute = build(house(database={"url": "sqlite:////var/s.db"}), tmp_path)
    assert absolute.database.url == "sqlite:////var/s.db"


def test_settings_stay_as_they_were_read() -> None:
    settings = build(house(), Path("/srv"))
    with pytest.raises(ValidationError):
        settings.shop.name = "乙"  # type: ignore[misc]


# -- what is refused: every fault at once, a sentence each, no secret repeated -----------------------------


def test_all_faults_of_file_and_environment_are_told_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '[shop]\nnmae = "甲"\npublic_url = "http://shop.example.com"\n[secret]\nkey = "short-key"\n'
        '[wechat]\ntoken = "a-b"\napp_id = "wx1"\n[server]\nport = "80"\nworkers = 3\n[shpo]\n',
    )
    with pytest.raises(ConfigError) as caught:
        load(path, {"TUANPU_WECHAT__TOKN": "x", "TUANPU_ORDER__PAY_MINUTES": "３０", "TUANPU_NOSUCH__KEY": "1"})
    told = caught.value.faults
    for part in (
        "TUANPU_WECHAT__TOKN in the environment is not a setting (did you mean TUANPU_WECHAT__TOKEN?).",
        "TUANPU_ORDER__PAY_MINUTES in the environment must be a whole number.",
        "TUANPU_NOSUCH__KEY in the environment is not a setting",
        "shop.nmae is not a setting (did you mean shop.name?).",
        "shop.name is missing.",
        "shop.public_url must be https: http is for loopback only.",
        "secret.key is too short: at least 32 bytes.",
        "wechat.app_secret is missing.",
        "wechat.account is missing.",
        "wechat.token is too weak",
        "wechat.encoding_aes_key is missing; only wechat.plain = true does without it.",
        "server.port must be a whole number.",
        "server.workers above 1 needs PostgreSQL (database.url) and Redis (redis.url).",
        "shpo is not a setting (did you mean shop?).",
    ):
        assert any(sentence.startswith(part) for sentence in told), (part, told)
    assert len(told) == 14, told
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in told)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"secret": {"key": "change-me-key-change-me-key-change-me-key"}},
            "secret.key still has the example's",
        ),
        ({"secret": {"key": "ab" * 30}}, "secret.key is too weak: it has fewer than 6 different characters."),
        ({"secret": {"key": ""}}, "secret.key is empty."),
        ({"secret": {"key": KEY, "old_keys": ["abcdefg"]}}, "secret.old_keys is too short"),
        ({"wechat": wechat(token="ab")}, "wechat.token is too weak"),
        (
            {"wechat": wechat(token="abcdef-1")},
            "wechat.token must be 3 to 32 letters, digits or underscores.",
        ),
        ({"wechat": wechat(token="abcdefgh" * 5)}, "wechat.token must be 3 to 32"),
        ({"wechat": wechat(encoding_aes_key=KEY[:42])}, "wechat.encoding_aes_key must be exactly 43"),
        ({"wechat": wechat(encoding_aes_key="")}, "wechat.encoding_aes_key is missing"),
        ({"wechat": wechat(account="shop")}, "wechat.account must be the account's original id, gh_…."),
        ({"wechat": wechat(api_base="http://api.weixin.qq.com")}, "wechat.api_base must be https"),
        ({"wechat": wechat(jssdk_url="//res.wx.qq.com/x.js")}, "wechat.jssdk_url must be an address"),
        ({"wechat": wechat(verify_file="../config.toml")}, "wechat.verify_file must be the file's name"),
        ({"weibo": weibo(account="小满")}, "weibo.account must be the account's uid, digits only."),
        ({"weibo": weibo(account="１２３")}, "weibo.account must be the account's uid, digits only."),
        ({"weibo": {}}, "weibo.app_key is missing."),
        (
            {"wechat": wechat(), "wechat_pay": pay(api_v3_key=KEY[:31])},
            "wechat_pay.api_v3_key must be exactly 32",
        ),
        (
            {"wechat": wechat(), "wechat_pay": pay()},
            "wechat_pay.private_key_file cannot be read (/srv/shop/pay.pem)",
        ),
        ({"wechat": wechat(), "wechat_pay": pay(public_key_id="PUB")}, "wechat_pay.public_key_id and"),
        ({"wechat_pay": pay()}, "wechat_pay needs the section wechat"),
        ({"shop": {"public_url": "https://a.example/shop"}}, "shop.public_url must end after the host"),
        ({"shop": {"public_url": "https://u:p@a.example"}}, "shop.public_url must not have a user name"),
        ({"shop": {"public_url": "https://a.example:99999"}}, "shop.public_url is not an address."),
        ({"shop": {"public_url": "http://127.0.0.1.evil.example"}}, "shop.public_url must be https"),
        ({"shop": {"timezone": "Asia/Hangzhou"}}, "shop.timezone is no time zone"),
        ({"shop": {"timezone": "../../etc/passwd"}}, "shop.timezone is no time zone"),
        ({"shop": {"name": "  "}}, "shop.name is empty."),
        ({"server": {"port": True}}, "server.port must be a whole number."),
        ({"server": {"port": 70000}}, "server.port: input should be less than or equal to 65535."),
        ({"server": {"trusted_proxies": ["proxy"]}}, "server.trusted_proxies has 'proxy'"),
        (
            {"server": {"workers": 2}, "database": {"url": "postgresql://db/shop"}},
            "server.workers above 1 needs",
        ),
        ({"database": {"url": "mysql://db/shop"}}, "database.url must start with sqlite:/// and a file"),
        ({"database": {"url": "sqlite:///:memory:"}}, "database.url must name a file"),
        ({"redis": {"url": "localhost:6379"}}, "redis.url must start with redis://"),
        ({"push": {"quiet": "22:00-8"}}, 'push.quiet must be two hours, such as "22-8".'),
        ({"service": {"hours": "21:00-09:00"}}, "service.hours must begin before it ends"),
        ({"group": {"min_size": 5, "max_size": 3}}, "group.min_size must not be above group.max_size."),
        ({"order": {"pay_minutes": 0}}, "order.pay_minutes: input should be greater than or equal to 1."),
        ({"order": 30}, "order must be a section: [order]."),
    ],
)
def test_a_single_fault_is_told_in_one_sentence(values: dict[str, Any], sentence: str) -> None:
    made = house(**{k: v for k, v in values.items() if isinstance(v, dict)})
    made.update({k: v for k, v in values.items() if not isinstance(v, dict)})
    told = faults(made)
    first = [one for one in told if one.startswith(sentence)]
    assert first, told
    if values != {"weibo": {}}:
        assert len(told) == 1 or "private_key_file" in "".join(told), told


def test_what_is_wrong_never_repeats_a_secret() -> None:
    canary = "Canary7Secret-in!the,house"
    told = faults(
        house(
            secret={"key": canary, "old_keys": [canary]},
            wechat=wechat(token=canary, encoding_aes_key=canary, app_secret=["x", canary]),
            server={"metrics_token": 7, "port": canary},
            database={"url": f"mysql://u:{canary}@db"},
            redis={"url": f"http://:{canary}@r"},
        )
    )
    assert len(told) >= 6
    assert canary not in " ".join(told)


def test_secrets_and_passwords_are_not_in_what_settings_show() -> None:
    settings = build(
        house(
            wechat=wechat(),
            weibo=weibo(),
            database={"url": "postgresql://shop:hunter22@db/shop"},
            redis={"url": "redis://:hunter33@r/0"},
            server={"metrics_token": fresh_secret()},
        ),
        Path("/srv"),
    )
    hidden = settings.secrets()
    assert {"hunter22", "hunter33", KEY} <= set(hidden)
    assert len(hidden) == 9
    assert not [value for value in hidden if value in repr(settings) or value in str(settings)]


def test_every_secret_there_is_is_known_to_the_logs() -> None:
    """A section or a kind of field that Settings.secrets forgets would be written out some day."""

    fields = [field for section in Settings.model_fields for field in of(section).model_fields.values()]
    secrets = [field for field in fields if "SecretStr" in repr(field.annotation)]
    values = house(
        server={"metrics_token": fresh_secret()},
        secret={"key": KEY, "old_keys": [fresh_secret()]},
        wechat=wechat(),
        weibo=weibo(),
    )
    held = build(values, Path("/srv")).secrets()
    assert len(held) + 1 == len(secrets)  # the one more is wechat_pay.api_v3_key, which needs a key file


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
@pytest.mark.parametrize(("mode", "taken"), [(0o600, True), (0o640, True), (0o644, False), (0o602, False)])
def test_a_file_with_secrets_must_not_be_open_to_everybody(tmp_path: Path, mode: int, taken: bool) -> None:
    text = f'[shop]\nname = "甲"\npublic_url = "https://a.example"\n[secret]\nkey = "{KEY}"\n'
    path = write(tmp_path, text, mode)
    if taken:
        assert load(path, {}).shop.name == "甲"
        return
    with pytest.raises(ConfigError, match="open to everybody on this machine"):
        load(path, {})


def test_the_merchants_key_must_be_a_key_and_closed_to_others(tmp_path: Path) -> None:
    file = tmp_path / "pay.pem"
    file.write_text("hello")
    file.chmod(0o644)
    told = faults(house(wechat=wechat(), wechat_pay=pay()), tmp_path)
    assert len(told) == 2
    assert "is not a PEM file" in told[0]
    assert "open to everybody" in told[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [(b"[shop\n", "is not TOML"), (b"\xff\xfe", "is not UTF-8"), (None, "`tuanpu init` makes one")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: bytes | None, said: str) -> None:
    path = tmp_path / "config.toml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        load(path, {})
    assert str(path) in caught.value.faults[0]


# -- the example -------------------------------------------------------------------------------------------


def opened(example: str) -> str:
    """The example with every commented setting and section switched on."""
    return re.sub(r"^# (?=\[?[a-z_0-9]+(\]| =))", "", example, flags=re.MULTILINE)


def test_the_example_names_every_setting_with_its_default() -> None:
    told = tomllib.loads(opened(EXAMPLE))
    for section in Settings.model_fields:
        fields = of(section).model_fields
        assert set(told[section]) == set(fields), section
        for name, field in fields.items():
            shown, default = told[section][name], field.default
            if field.is_required() or "change-me" in str(shown):
                continue
            default = default.get_secret_value() if isinstance(default, SecretStr) else default
            assert shown == (list(default) if isinstance(default, tuple) else "" if default is None else default), name
    assert set(told) == set(Settings.model_fields)


def test_no_secret_of_the_example_is_accepted(tmp_path: Path) -> None:
    told = faults(tomllib.loads(opened(EXAMPLE)), tmp_path)
    for name in (
        "secret.key", "wechat.app_id", "wechat.app_secret", "wechat.token", "wechat.encoding_aes_key",
        "wechat.account", "weibo.app_key", "weibo.app_secret", "weibo.access_token", "weibo.account",
        "wechat_pay.mch_id", "wechat_pay.serial_no", "wechat_pay.api_v3_key",
    ):  # fmt: skip
        assert f"{name} still has the example's value; put your own there." in told, (name, told)


def test_init_makes_settings_of_the_example_that_start_at_once(tmp_path: Path) -> None:
    first, second = starting_config(EXAMPLE), starting_config(EXAMPLE)
    settings = load(write(tmp_path, first), {})
    assert settings.wechat is None
    assert tomllib.loads(first)["secret"]["key"] != tomllib.loads(second)["secret"]["key"]
    # With the sections opened, only what the platforms give is still asked for.
    told = faults(tomllib.loads(opened(first)), tmp_path)
    assert not [one for one in told if one.startswith(("wechat.token", "wechat.encoding_aes_key", "secret."))]
    assert any(one.startswith("wechat.app_secret still has the example's value") for one in told)
    assert any(one.startswith("weibo.access_token still has the example's value") for one in told)


def test_fresh_secrets_are_of_the_kind_each_place_wants() -> None:
    assert re.fullmatch(r"[A-Za-z0-9]{43}", fresh_secret())
    assert re.fullmatch(r"[A-Za-z0-9]{32}", fresh_token())
    assert re.fullmatch(r"[A-Za-z0-9]{43}", fresh_aes_key())
    assert len({fresh_secret() for _ in range(50)}) == 50
    assert len(set(fresh_secret(6))) == 6
