"""The command line as people and machines use it: real processes, real databases, real signals."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr
from servers import Postgres
from town import Blank, Town

from bot import commands, config, processes
from bot.backup import backup
from bot.cli import main
from bot.clock import Clock
from bot.doctor import examine
from bot.settings import Settings
from bot.simulator.cashier import Cashier
from bot.simulator.driver import Driver, Person
from bot.simulator.platform import Platform
from bot.simulator.stage import PEOPLE, Stage, listener, open_stage, port_of
from bot.terminal import Unfit
from models import tables
from models.staff import StaffGlance

TOP = Path(__file__).parent.parent
PATIENCE = 60  # seconds for a process to come up on a machine that does other things too
MEI = Person("wechat", "oXiaoMei0000000000000000wx1", "小美")


# -- processes -------------------------------------------------------------------------------------------


class Command:
    """`tuanpu …` as a process of its own; gone with the test."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        """Its next line; fails when it ends instead, with what it complained of."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
        if not line:
            pytest.fail(f"ended instead: {await self.ends()}")
        return line.decode().rstrip("\n")

    async def ends(self) -> tuple[int, str, str]:
        """Its exit status, the rest of what it said, and what it complained of."""
        out, err = await asyncio.wait_for(self.process.communicate(), PATIENCE)
        return self.process.returncode or 0, out.decode(), err.decode()

    async def told_to_stop(self, how: int = signal.SIGTERM) -> tuple[int, str, str]:
        """A signal, and then as `ends`; 10 seconds are all it has."""
        self.process.send_signal(how)
        async with asyncio.timeout(10):
            return await self.ends()


@asynccontextmanager
async def tuanpu(*words: object, cwd: Path, **environ: str) -> AsyncIterator[Command]:
    """Starts `python -m bot …` in `cwd`, in a process group of its own."""
    bare = {k: v for k, v in os.environ.items() if not k.startswith("TUANPU_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *map(str, words)),
        cwd=cwd,
        env=bare | {"PYTHONPATH": str(TOP)} | environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Command(process)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()


async def run(*words: object, cwd: Path, **environ: str) -> tuple[int, str, str]:
    """Runs a command to its end: exit status, output, complaints."""
    async with tuanpu(*words, cwd=cwd, **environ) as command:
        return await command.ends()


_held: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _ports() -> Iterator[None]:
    """Ports of the test's own: bound and not listened on, so that the shop gets them and nobody else does."""
    yield
    while _held:
        _held.pop().close()


def config_file(folder: Path, database: str = "", redis: str = "") -> tuple[Path, Settings]:
    """A config.toml of a shop with WeChat, on a free port; and what it says."""
    _held.append(listener())
    port = port_of(_held[-1])
    path = folder / "config.toml"
    path.write_text(
        f"""
[shop]
name = "小满茶铺"
public_url = "http://127.0.0.1:{port}"
[server]
port = {port}
[secret]
key = "{config.fresh_secret()}"
[database]
url = "{database or "sqlite:///shop.db"}"
[redis]
url = "{redis}"
[wechat]
app_id = "wx0000tuanpu00test"
app_secret = "{config.fresh_secret()}"
token = "{config.fresh_token()}"
encoding_aes_key = "{config.fresh_aes_key()}"
account = "gh_tuanputest"
api_base = "http://127.0.0.1:9"
"""
    )
    path.chmod(0o600)
    return path, config.load(path, {})


@asynccontextmanager
async def platform_of(settings: Settings, folder: Path) -> AsyncIterator[Driver]:
    """The platform's side of a shop that runs elsewhere."""
    clock = Clock()
    async with aiohttp.ClientSession() as http:
        platform = Platform.for_shop(settings, clock)
        cashier = Cashier(folder / "cashier", "wx0000tuanpu00test", clock)
        yield Driver(settings.shop.public_url, settings, clock, platform, cashier, http)


async def status_of(url: str, path: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(url + path) as response:
        return response.status


# -- demo ------------------------------------------------------------------------------------------------


def as_installed(folder: Path) -> Path:
    """What the wheel holds, laid out as pip would: the packages, and the data they need beside them."""
    wheel = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for package in wheel["packages"]:
        shutil.copytree(TOP / package, folder / package)
    for source, target in wheel["force-include"].items():
        copy = shutil.copytree if (TOP / source).is_dir() else shutil.copy
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        copy(TOP / source, folder / target)
    return folder


async def test_the_demo_prints_one_url_answers_there_and_ends_when_told(tmp_path: Path) -> None:
    folder, installed = tmp_path / "a folder", as_installed(tmp_path / "site-packages")
    with listener() as taken:  # somebody else is on the port that was asked for
        taken.listen()
        words = ("demo", "--port", port_of(taken), "--data", folder)
        async with tuanpu(*words, cwd=tmp_path, PYTHONPATH=str(installed)) as demo:
            url = await demo.line()
            assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+/simulator/", url)
            assert f":{port_of(taken)}/" not in url
            assert await status_of(url, "") == 200
            base = url.removesuffix("/simulator/")
            async with aiohttp.ClientSession(headers={"Origin": base}) as http:
                state = await (await http.get(f"{url}state")).json()
                mei = state["people"][0]
                assert mei["name"] == "小美"
                boss = "".join(str(p) for line in state["people"][-1]["lines"] for p in line["parts"])
                assert "店主" in boss, "the merchant runs the shop from the first minute"
                assert (await (await http.post(f"{url}follow", json={"person": mei["id"]})).json())["ok"]
                with pytest.raises(Unfit, match="running on"):
                    await processes.demo(0, folder, {})
                stream = await http.get(f"{url}events")  # an open page does not keep it from stopping
                code, rest, _ = await demo.told_to_stop(signal.SIGHUP)  # its terminal is closed
                stream.close()
    assert (code, rest) == (0, "")
    log = [json.loads(line) for line in (folder / "demo.log").read_text().splitlines()]
    assert [line["message"] for line in log if line["level"] in ("warning", "error")] == []
    assert stat.S_IMODE((folder / "secrets.json").stat().st_mode) == 0o600
    again = await open_stage(folder)
    following = {p.name for p in PEOPLE if again.driver.follows_now(p)}
    staff = await StaffGlance(again.house.store.reader).all()
    await again.close()
    assert following == {"小美", "老板"}, "a second start opens the same town"
    assert len(staff) == 1


@pytest.mark.parametrize("name", ["secrets.json", "shop.db", "demo.lock/"])
async def test_a_demo_whose_files_do_not_open_says_what_to_do(tmp_path: Path, name: str) -> None:
    broken = tmp_path / name
    if name.endswith("/"):
        broken.mkdir()  # nothing that could be written, whoever one is
    else:
        broken.write_text("{" * 5000)
    code, out, err = await run("demo", "--port", "0", "--data", tmp_path, cwd=tmp_path)
    assert (code, out) == (78, "")
    assert "Traceback" not in err
    assert str(tmp_path) in err
    assert "--data" in err or "cannot be written" in err


async def test_the_demo_refuses_to_start_beside_real_credentials(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="TUANPU_WECHAT__APP_SECRET") as why:
        await processes.demo(0, tmp_path / "demo", {"TUANPU_WECHAT__APP_SECRET": "x" * 32, "TUANPU_HOME": "/x"})
    assert why.value.status == 78
    assert "TUANPU_HOME" not in str(why.value)
    assert not (tmp_path / "demo").exists()


# -- a shop of one's own, on SQLite ----------------------------------------------------------------------


async def test_from_init_to_a_shop_that_answers_and_lets_no_second_one_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    code, out, err = await run("init", cwd=tmp_path)
    assert (code, err) == (0, "")
    assert re.fullmatch(r"[0-9]{6}", out.splitlines()[-1])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data" / "shop.db").stat().st_mode) == 0o600
    made = path.read_text()
    with pytest.raises(Unfit, match="is there already"):
        await commands.init(path)
    assert path.read_text() == made
    assert "change-me" not in tomllib.loads(made)["secret"]["key"]

    other, settings = config_file(tmp_path, f"sqlite:///{tmp_path / 'data' / 'shop.db'}")
    url = settings.shop.public_url
    async with tuanpu("serve", "--config", other, cwd=tmp_path) as shop:
        assert await shop.line() == url
        with pytest.raises(Unfit, match="another is running"):
            await processes.work(settings)
        second, beside = await asyncio.gather(  # other commands may run beside it
            run("serve", "--config", other, cwd=tmp_path, TUANPU_SERVER__PORT="1"),
            run("staff", "code", "--role", "owner", "--config", other, cwd=tmp_path),
        )
        assert (second[0], second[1]) == (78, "")
        assert "another is running" in second[2]
        code, out, _ = beside
        assert code == 0
        assert re.fullmatch(r"[0-9]{6}", out.splitlines()[-1])
        async with platform_of(settings, tmp_path) as driver:
            await driver.follows(MEI)
            assert "店主" in (await driver.says(MEI, f"绑定 {out.strip()}")).text
        for path_ in ("/simulator", "/simulator/", "/simulator/state", "/simulator/static/simulator.js"):
            assert await status_of(url, path_) == 404
        assert [await status_of(url, p) for p in ("/healthz", "/readyz", "/metrics")] == [200] * 3
        async with aiohttp.ClientSession() as http, http.get(url) as home:
            assert home.status == 200
            assert "frame-ancestors 'none'" in home.headers["Content-Security-Policy"]
        assert (await shop.told_to_stop())[0] == 0


async def test_a_command_without_a_database_says_what_to_do(tmp_path: Path) -> None:
    _, settings = config_file(tmp_path)
    for begun in (
        commands.verify(settings),
        commands.seeded(settings, "small"),
        commands.staff_code(settings, "clerk"),
    ):
        with pytest.raises(Unfit, match="say `tuanpu migrate` first"):
            await begun
    assert not (tmp_path / "shop.db").exists(), "looking made a database"


async def test_a_database_of_a_newer_version_is_not_sent_to_be_migrated(tmp_path: Path) -> None:
    _, settings = config_file(tmp_path)
    await commands.migrate(settings)
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    for begun in (commands.migrate(settings), commands.verify(settings), commands.seeded(settings, "small")):
        with pytest.raises(Unfit, match="at 9999, which a newer version has made; upgrade") as why:
            await begun
        assert why.value.status == 78


async def test_a_database_that_may_not_be_written_is_said_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, settings = config_file(tmp_path)
    await commands.migrate(settings)
    with sqlite3.connect(tmp_path / "shop.db") as database:  # as of a disk that is full, or of another's file
        database.execute("CREATE TRIGGER no BEFORE INSERT ON staff_code BEGIN SELECT load_extension('no'); END")
    with pytest.raises(Unfit, match="the database cannot be reached: OperationalError") as why:
        await commands.staff_code(settings, "clerk")
    assert why.value.status == 75

    def closed(self: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", closed)
    for begun in (commands.verify(settings), backup(settings, tmp_path / "backup")):
        with pytest.raises(Unfit, match=r"shop\.db cannot be read: Permission denied"):
            await begun


async def test_a_file_that_is_no_database_is_said_so_and_no_supervisor_tries_again(tmp_path: Path) -> None:
    _, settings = config_file(tmp_path)
    (tmp_path / "shop.db").write_bytes(b"no database, but longer than its header would be" * 100)
    for begun in (commands.migrate(settings), commands.verify(settings), backup(settings, tmp_path / "backup")):
        with pytest.raises(Unfit, match="damaged, or no database at all") as why:
            await begun
        assert why.value.status == 78


async def test_a_terminal_that_knows_no_chinese_gets_its_answer_all_the_same(tmp_path: Path) -> None:
    code, out, err = await run("help", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (code, err) == (0, "")
    assert "serve" in out


async def test_a_database_that_is_away_is_said_in_one_sentence_without_its_password(tmp_path: Path) -> None:
    _, settings = config_file(tmp_path, "postgresql://shop:Pa55w0rdPa55w0rd@127.0.0.1:9/shop")
    with pytest.raises(Unfit, match="cannot be reached") as why:
        await commands.migrate(settings)
    assert why.value.status == 75
    assert "Pa55w0rd" not in str(why.value)


def test_what_is_wrong_with_the_settings_is_said_all_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[shop]\nname = "x"\n[sever]\nport = 1\n')
    path.chmod(0o600)
    assert main(["verify", "--config", str(path)]) == 78
    said = capsys.readouterr().err
    assert "sever is not a setting (did you mean server?)" in said
    assert "shop.public_url is missing" in said


@pytest.mark.parametrize(
    "words", [["serve", "--workers", "0"], ["demo", "--port", "65536"], ["staff", "code", "--role", "god"]]
)
def test_nonsense_on_the_command_line_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(words)
    assert refused.value.code == 2
    assert "usage:" in capsys.readouterr().err


async def test_the_demo_goods_are_loaded_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, settings = config_file(tmp_path)
    assert await commands.migrate(settings) == 0
    assert await commands.migrate(settings) == 0
    assert await commands.seeded(settings, "small") == 0
    assert await commands.seeded(settings, "full") == 0
    said = capsys.readouterr().out
    assert "products were put on the shelf" in said
    assert "nothing was changed" in said
    assert await commands.verify(settings) == 0


# -- PostgreSQL, with and without Redis ------------------------------------------------------------------


@pytest.fixture
async def empty(postgres: Postgres) -> AsyncIterator[str]:
    """The URL of a PostgreSQL database in which nothing is."""
    url = await postgres.fresh_database()
    yield url
    await postgres.drop_database(url)


async def test_three_processes_migrate_at_once_and_none_of_them_minds(empty: str, tmp_path: Path) -> None:
    path, settings = config_file(tmp_path, empty)
    done = await asyncio.gather(*(run("migrate", "--config", path, cwd=tmp_path) for _ in range(3)))
    assert [code for code, _, _ in done] == [0, 0, 0], done
    assert await commands.verify(settings) == 0


async def test_without_redis_one_process_serves_and_any_number_works(empty: str, tmp_path: Path) -> None:
    path, settings = config_file(tmp_path, empty)
    with pytest.raises(Unfit, match="say `tuanpu migrate` first"):
        await commands.verify(settings)
    await commands.migrate(settings)
    async with (
        tuanpu("serve", "--config", path, cwd=tmp_path) as first,
        tuanpu("work", "--config", path, cwd=tmp_path) as worker,
    ):
        assert await first.line() == settings.shop.public_url
        code, _, err = await run("serve", "--config", path, cwd=tmp_path, TUANPU_SERVER__PORT="1")
        assert code == 78
        assert "without Redis one process serves" in err
        assert await worker.line() == "working"
        assert await status_of(settings.shop.public_url, "/readyz") == 200
        stopped = await asyncio.gather(first.told_to_stop(), worker.told_to_stop())
    assert [code for code, _, _ in stopped] == [0, 0], stopped


async def test_two_workers_on_one_port_answer_signed_messages_and_do_not_outlive_their_parent(
    empty: str, redis_url: str, tmp_path: Path
) -> None:
    path, settings = config_file(tmp_path, empty, redis_url)
    await commands.migrate(settings)
    url = settings.shop.public_url
    async with tuanpu("serve", "--workers", 2, "--config", path, cwd=tmp_path) as shop:
        assert [await shop.line(), await shop.line()] == [url, url]
        async with platform_of(settings, tmp_path) as driver:
            people = [Person("wechat", f"o{n:027d}", f"客人{n}") for n in range(12)]
            welcomes = await asyncio.gather(*(driver.follows(one) for one in people))
            assert all("欢迎" in heard.text and not heard.fault for heard in welcomes)
            helped = await asyncio.gather(*(driver.says(one, "帮助") for one in people))
            assert all("购物车" in heard.text for heard in helped)
        assert await status_of(url, "/readyz") == 503, "nobody works: `tuanpu work` is wanted"
        shop.process.kill()  # the hard way: who started them is gone at once
        async with asyncio.timeout(10):
            _, _, complaints = await shop.ends()  # the pipe ends when the last of them has ended
        assert '"level": "error"' not in complaints
    with pytest.raises(aiohttp.ClientConnectorError):
        await status_of(url, "/healthz")


WORKER = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
os.write(1, b"%d\\n" % os.getpid())
signal.pause()
"""
TOGETHER = "import sys; from bot.workers import together; sys.exit(together(2, [sys.executable, '-c', sys.argv[1]]))"


@pytest.mark.parametrize(("who", "how", "status"), [("parent", signal.SIGTERM, 0), ("worker", signal.SIGKILL, 9)])
async def test_workers_end_together_and_the_worst_status_counts(who: str, how: signal.Signals, status: int) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", TOGETHER, WORKER),
        env=os.environ | {"PYTHONPATH": str(TOP)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    workers = [int(await process.stdout.readline()) for _ in range(2)]
    os.kill(process.pid if who == "parent" else workers[0], how)
    assert await asyncio.wait_for(process.wait(), 10) == status
    assert await process.stdout.read() == b""  # the pipe ends with the last of them


# -- verify ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def lived_in(blank: Blank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database file of a shop in which something has happened: sold, unpaid, a group."""
    folder = tmp_path_factory.mktemp("lived-in")
    with copied(blank.file, folder / "shop.db"):
        pass
    opened = await open_stage(folder, migrate=False, goods="", alive=False)
    town = Town(opened)
    boss, mei, hao = await town.owner(), town.wechat("小美"), town.wechat("小浩")
    where = "张三 13800138000 浙江省杭州市西湖区文三路1号"
    await mei.says("买 A4")
    await mei.says("1")
    await mei.pays(await mei.says(where))
    await hao.says("买 A4")
    await hao.says("1")
    await hao.says(where)
    await boss.says("设团 A4 2人 19.9 24小时")
    shown = await boss.says("1")
    await boss.says("确认 " + re.findall(r"确认 (\d{4})", shown.text)[0])
    await mei.pays(await mei.says("开团 A4"))
    await town.settles()
    await opened.close()
    return folder / "shop.db"


@contextmanager
def copied(source: Path, target: Path) -> Iterator[sqlite3.Connection]:
    """A copy of a database, open and without any guard, so that a fault can be planted in it."""
    with sqlite3.connect(source) as there, sqlite3.connect(target) as here:
        there.backup(here)
        here.execute("PRAGMA ignore_check_constraints = ON")
        for (name,) in here.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            here.execute(f"DROP TRIGGER {name}")
        yield here
        here.commit()
    there.close()
    here.close()


FAULTS = {
    "stock_held_within": ("sku", "held = on_hand + 1", "held = 0"),
    "hold_sums_to_stock_held": ("sku", "held = held + 1", "held = 0"),
    "order_lines_add_up": ('"order"', "total_fen = total_fen + 1", "state = 'pending'"),
    "order_paid_dated": ('"order"', "paid_at = NULL", "paid_at IS NOT NULL"),
    "order_unpaid_ends": ('"order"', "pay_until = 1", "state = 'pending'"),
    "payment_matches_order": ("payment", "amount_fen = amount_fen - 1", "state = 'credited'"),
    "group_seats_counted": ("groupbuy", "paid_seats = paid_seats + 1", "1"),
    "follower_left": ("follower", "left_at = 1", "following"),
    "staff_role_known": ("staff", "role = 7", "1"),
    "outbox_follower": ("outbox", "follower_id = NULL", "kind = 'notice'"),
}
"""Invariant: the table, what is wrongly written into its first row, and which row that is."""


def test_each_of_these_faults_is_one_that_verify_looks_for() -> None:
    assert set(FAULTS) <= {invariant.name for _, invariant in tables.invariants()}


async def test_a_shop_in_which_all_is_well_is_green(lived_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await commands.verify(settings_at(lived_in)) == 0
    assert re.search(r"^\d+ invariants, 0 broken$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("invariant", FAULTS)
async def test_a_planted_fault_is_found_and_named(
    invariant: str, lived_in: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, change, where = FAULTS[invariant]
    with copied(lived_in, tmp_path / "shop.db") as broken:
        (row,) = broken.execute(f"SELECT rowid FROM {table} WHERE {where} ORDER BY 1 LIMIT 1")
        broken.execute(f"UPDATE {table} SET {change} WHERE rowid = ?", row)
    assert await commands.verify(settings_at(tmp_path / "shop.db")) == 1
    said = capsys.readouterr().out
    (line,) = re.findall(rf"^models\.\w+ {invariant}: .* — broken by (.*)$", said, re.MULTILINE)
    assert str(row[0]) in line.split(", ")


def settings_at(file: Path) -> Settings:
    """Settings of a shop whose database is this file."""
    values: dict[str, Any] = {
        "shop": {"name": "x", "public_url": "https://shop.example.com"},
        "secret": {"key": "k" * 20 + "0123456789abcdefghij"},
        "database": {"url": f"sqlite:///{file}"},
    }
    return config.build(values, file.parent)


# -- doctor ----------------------------------------------------------------------------------------------


async def doctor(stage: Stage, **sections: dict[str, Any]) -> tuple[int, str]:
    """What the doctor says of the stage's shop, some of its settings replaced."""
    said: list[str] = []
    settings = stage.house.settings
    changes = {name: getattr(settings, name).model_copy(update=new) for name, new in sections.items()}
    code = await examine(settings.model_copy(update=changes), said.append)
    return code, "\n".join(said)


async def test_the_doctor_finds_a_healthy_shop_healthy(sqlite_stage: Stage) -> None:
    code, said = await doctor(sqlite_stage)
    assert code == 0
    assert "✗" not in said
    for well in ("the database is at", "WeChat: customer messages", "Weibo: messages", "WeChat Pay: our signature"):
        assert f"✓ {well}" in said
    assert "! shop.public_url is not https" in said
    assert f"{sqlite_stage.url}/pay/ is an authorised JSAPI directory" in said
    assert "h5 is off" in said
    _, said = await doctor(sqlite_stage, wechat_pay={"h5": True})
    assert "once WeChat has approved H5 payment" in said


async def test_the_doctor_says_what_an_account_without_rights_does_not_offer(sqlite_stage: Stage) -> None:
    sqlite_stage.platform.denied |= {"message/custom/send", "qrcode/create", "menu/get"}
    code, said = await doctor(sqlite_stage)
    assert code == 0, "a shop can live with it"
    for missing in ("customer messages (48001)", "QR codes with a parameter (48001)", "menu (48001)"):
        line = next(line for line in said.splitlines() if missing in line)
        assert line.startswith("✗ WeChat: ")
        assert re.search(r"— .*[\u4e00-\u9fff]", line), "and what the shop therefore leaves out"
    assert "✓ WeChat: pictures" in said


async def test_the_doctor_calls_out_what_keeps_a_shop_from_working(sqlite_stage: Stage) -> None:
    wrong = SecretStr("wrong-wrong-0123456789")
    code, said = await doctor(
        sqlite_stage,
        wechat={"app_secret": wrong, "plain": True, "trust_plain": True},
        weibo={"access_token": wrong},
        wechat_pay={"serial_no": "ABCDEF0123"},
        database={"url": f"sqlite:///{sqlite_stage.house.store.path}.not-there"},
        server={"host": "0.0.0.0"},
    )
    assert code == 1
    for fault in ("there is no database", "WeChat: access token", "Weibo: the access token", "WeChat Pay refuses us"):
        assert f"✗ {fault}" in said
    for danger in ("wechat.plain", "wechat.trust_plain", "the server listens on 0.0.0.0"):
        assert f"! {danger}" in said
    assert "wrong-wrong" not in said


async def test_the_doctor_knows_a_redis_that_answers_from_one_that_does_not(
    sqlite_stage: Stage, redis_url: str
) -> None:
    assert "✓ Redis answers" in (await doctor(sqlite_stage, redis={"url": redis_url}))[1]
    code, said = await doctor(sqlite_stage, redis={"url": "redis://127.0.0.1:9/0"})
    assert code == 1
    assert "✗ Redis does not answer" in said
