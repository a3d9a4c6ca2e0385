"""The command line: demo, init, migrate, seed, serve, work, staff, verify, backup, restore, reconcile, doctor, menu."""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.settings import Settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tuanpu", description="团铺 Tuanpu: a shop inside the chat")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, help: str, *, config: bool = True) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=help, description=help)
        if config:
            one.add_argument(
                "--config", type=Path, default=Path("config.toml"), metavar="FILE", help="else config.toml"
            )
        return one

    demo = command("demo", "everything on this machine without any account; prints its URL", config=False)
    demo.add_argument("--port", type=_port, default=8642, metavar="N", help="0, or one that is taken: any other")
    demo.add_argument("--data", type=Path, default=Path("tuanpu-demo"), metavar="DIR", help="else tuanpu-demo")
    command("init", "write config.toml, make the secrets, migrate, print the owner's one-time code")
    command("migrate", "bring the database to this version")
    seeding = command("seed", "load demo goods into an empty shop")
    seeding.add_argument("--demo", nargs="?", const="small", choices=["small", "full"], required=True)
    serve = command("serve", "answer messages, pages and callbacks")
    serve.add_argument("--workers", type=_count, default=None, metavar="N", help="more than 1: PostgreSQL and Redis")
    command("work", "deliver pushes and errands, look at what is due")
    staff = command("staff", "one-time codes for staff")
    staff.add_argument("what", choices=["code"])
    staff.add_argument("--role", choices=["owner", "manager", "clerk", "support"], default="clerk")
    command("verify", "check every invariant; exit 1 and the offending ids")
    command("doctor", "configuration, reachability, what this account may do")
    backup = command("backup", "the whole shop into one new file, while it runs")
    backup.add_argument("file", type=Path, metavar="FILE")
    restore = command("restore", "a backup in the place of the database, in quarantine; or the end of the quarantine")
    instead = restore.add_mutually_exclusive_group(required=True)
    instead.add_argument("file", type=Path, nargs="?", metavar="FILE")
    instead.add_argument("--release", action="store_true", help="end the quarantine, whatever is not answered yet")
    reconciling = command("reconcile", "compare a day's payments and refunds with the platform's bill")
    reconciling.add_argument("day", metavar="DATE", help="such as 2026-03-01, or yesterday")
    menu = command("menu", "the account's menu")
    menu.add_argument("what", choices=["push"])
    command("help", "this page", config=False)
    return parser


def _number(text: str, least: int, most: int) -> int:
    if text.isascii() and text.isdigit() and least <= int(text[:9]) <= most:
        return int(text[:9])
    raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} to {most}")


def _port(text: str) -> int:
    return _number(text, 0, 65535)


def _count(text: str) -> int:
    return _number(text, 1, 64)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that knows no Chinese must not stop the work
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    given = parser.parse_args(argv)
    if given.command == "help":
        parser.print_help()
        return 0
    try:
        return _run(given)
    except KeyboardInterrupt:
        return 130


def _run(given: argparse.Namespace) -> int:
    from bot import config, terminal, workers  # what is heavy is loaded only when it is needed

    try:
        if given.command in ("demo", "init"):
            return asyncio.run(_without_settings(given))
        settings = config.load(given.config, os.environ)
        if given.command == "serve":
            count = given.workers or settings.server.workers
            if count > 1 and not (settings.database.is_postgresql and settings.redis.url):
                raise terminal.Unfit("more than one worker needs PostgreSQL and Redis.")
            if count > 1 and not os.environ.get(workers.CHILD):
                again = ["serve", "--config", str(given.config), "--workers", str(count)]
                return workers.together(count, [sys.executable, "-m", "bot", *again])
        return asyncio.run(_with(settings, given))
    except config.ConfigError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        return terminal.REFUSED
    except terminal.Unfit as why:
        print(why, file=sys.stderr)
        return why.status


async def _without_settings(given: argparse.Namespace) -> int:
    from bot import commands, processes

    if given.command == "init":
        return await commands.init(given.config)
    return await processes.demo(given.port, given.data, os.environ)


async def _with(settings: Settings, given: argparse.Namespace) -> int:
    from bot import commands, processes, workers

    match given.command:
        case "migrate":
            return await commands.migrate(settings)
        case "seed":
            return await commands.seeded(settings, given.demo)
        case "serve":
            return await processes.serve(settings, shares_port=bool(os.environ.get(workers.CHILD)))
        case "work":
            return await processes.work(settings)
        case "staff":
            return await commands.staff_code(settings, given.role)
        case "verify":
            return await commands.verify(settings)
        case "backup" | "restore":
            from bot import backup

            if given.command == "backup":
                return await backup.backup(settings, given.file)
            return await (backup.release(settings) if given.release else backup.restore(settings, given.file))
        case "reconcile":
            from bot.reconcile import reconcile

            return await reconcile(settings, given.day)
        case "doctor":
            return await commands.doctor(settings)
        case _:
            return await commands.menu_push(settings)
