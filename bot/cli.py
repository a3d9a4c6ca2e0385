"""The command line: demo, init, migrate, seed, serve, work, staff, verify, doctor, menu."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

REFUSED = 78  # EX_CONFIG: the shop refuses to start


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tuanpu", description="团铺 Tuanpu: a shop inside the chat")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, help: str, *, config: bool = True) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=help, description=help)
        if config:
            one.add_argument("--config", type=Path, default=Path("config.toml"), metavar="FILE")
        return one

    demo = command("demo", "everything on this machine without any account; prints its URL", config=False)
    demo.add_argument("--port", type=_port, default=8642, metavar="N", help="0, or one that is taken: any other")
    demo.add_argument("--data", type=Path, default=Path("tuanpu-demo"), metavar="DIR")
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
    from bot import commands, config, processes  # what is heavy is loaded only when it is needed

    try:
        if given.command == "demo":
            return asyncio.run(processes.demo(given.port, given.data, os.environ))
        if given.command == "init":
            return asyncio.run(commands.init(given.config))
        settings = config.load(given.config, os.environ)
        match given.command:
            case "migrate":
                return asyncio.run(commands.migrate(settings))
            case "seed":
                return asyncio.run(commands.seeded(settings, given.demo))
            case "serve":
                return processes.serve(settings, given.config, given.workers)
            case "work":
                return asyncio.run(processes.work(settings))
            case "staff":
                return asyncio.run(commands.staff_code(settings, given.role))
            case "verify":
                return asyncio.run(commands.verify(settings))
            case "doctor":
                return asyncio.run(commands.doctor(settings))
            case _:
                return asyncio.run(commands.menu_push(settings))
    except config.ConfigError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        return REFUSED
    except commands.Unfit as why:
        print(why, file=sys.stderr)
        return why.status
