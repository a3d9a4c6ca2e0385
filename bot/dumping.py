"""PostgreSQL's own tools: where pg_dump and pg_restore of the server's version lie, and what they are told."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.terminal import Unfit

MAGIC = b"PGDMP"
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
BEFORE = "before_"  # so begin the schemas into which a restore puts what was there
SECONDS = 6 * 3600

_VERSION = re.compile(r"\(PostgreSQL\)\s+([0-9]{1,3})")


async def major(connection: AsyncConnection) -> int:
    """The server's major version."""
    said = (await connection.execute(select(func.current_setting("server_version_num")))).scalar_one()
    return int(said) // 10000


def tool(name: str, wanted: int, places: tuple[str, ...] = PLACES, path: str | None = None) -> Path:
    """The tool of the server's major version, in its usual places or on PATH.

    Raises Unfit, in a sentence that says what is missing: another version's dump is not surely read by this server.
    """
    candidates = [Path(folder) / name for pattern in places for folder in sorted(glob.glob(pattern))]
    if (found := shutil.which(name, path=path)) is not None:
        candidates.append(Path(found))
    known: list[int] = []
    for candidate in candidates:
        version = _version(candidate)
        if version == wanted:
            return candidate
        known += [version] if version else []
    there = f"there is only {', '.join(map(str, sorted(set(known))))}" if known else "there is none at all"
    raise Unfit(
        f"the server is PostgreSQL {wanted}, and {name} {wanted} was not found ({there}): "
        f"install postgresql-client-{wanted}."
    )


def _version(candidate: Path) -> int:
    try:
        said = subprocess.run([candidate, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = _VERSION.search(said)
    return int(found[1]) if found else 0


def address(url: str) -> tuple[str, dict[str, str]]:
    """The database as the tools take it, and the environment with its password, which no list of processes shows."""
    given: URL = make_url(url)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "TUANPU_"))}
    if given.password:
        environ["PGPASSWORD"] = given.password
    query = {("sslmode" if name == "ssl" else name): value for name, value in given.query.items()}
    bare = URL.create("postgresql", given.username, None, given.host, given.port, given.database, query)
    return bare.render_as_string(hide_password=False), environ


def run(command: list[str | Path], environ: Mapping[str, str]) -> str:
    """What a tool says; raises Unfit with its first complaint when it fails."""
    try:
        done = subprocess.run(
            command,
            env=dict(environ) | {"LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise Unfit(f"{Path(command[0]).name} did not run: {type(failure).__name__}", 1) from None
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[:200])
        raise Unfit(f"{Path(command[0]).name} failed: {said[:300]}", 1)
    return done.stdout


def dump(pg_dump: Path, url: str, snapshot: str, file: Path) -> None:
    """The shop as the transaction sees it that exported this snapshot, into a file that is there; nothing set aside."""
    where, environ = address(url)
    command: list[str | Path] = [pg_dump, "--format=custom", "--no-owner", "--no-privileges", "--no-password"]
    command += ["--schema=public", f"--snapshot={snapshot}", f"--file={file}", f"--dbname={where}"]
    run(command, environ)


def revision(pg_restore: Path, file: Path) -> str:
    """The schema's revision in a dump; "" when it has none. Raises Unfit for a file that is no dump."""
    said = run([pg_restore, "--data-only", "--table=alembic_version", "--file=-", file], os.environ)
    lines = iter(said.splitlines())
    for line in lines:
        if line.startswith("COPY ") and "alembic_version" in line:
            return next(lines, "").strip().replace("\\.", "")
    return ""


def load(pg_restore: Path, url: str, file: Path) -> None:
    """A dump into the empty schema `public`, whole or not at all; but without its revision.

    Whoever finishes the restore writes that: until then no shop opens on this database.
    """
    listed = [
        line
        for line in run([pg_restore, "--list", file], os.environ).splitlines()
        if not re.search(r"\bSCHEMA (- )?public\b|\bTABLE DATA public alembic_version\b", line)
    ]  # the schema is there already; a dump may or may not name it
    where, environ = address(url)
    with tempfile.TemporaryDirectory(prefix="tuanpu-") as folder:
        contents = Path(folder) / "contents"
        contents.write_text("\n".join(listed) + "\n")
        command: list[str | Path] = [pg_restore, "--single-transaction", "--exit-on-error", "--no-owner"]
        command += ["--no-privileges", "--no-password", f"--use-list={contents}", f"--dbname={where}", file]
        run(command, environ)


async def set_aside(connection: AsyncConnection, name: str) -> bool:
    """Put everything that is in `public` into a schema of this name; False when there is nothing."""
    tables = await connection.execute(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
    if not tables.scalar_one():
        return False
    await connection.exec_driver_sql(f"ALTER SCHEMA public RENAME TO {_quoted(name)}")
    await connection.exec_driver_sql("CREATE SCHEMA public")
    return True


async def put_back(connection: AsyncConnection, name: str) -> None:
    """Undo `set_aside`; with name "" nothing was there."""
    await connection.exec_driver_sql("DROP SCHEMA public CASCADE")
    undo = f"ALTER SCHEMA {_quoted(name)} RENAME TO public" if name else "CREATE SCHEMA public"
    await connection.exec_driver_sql(undo)


def _quoted(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,60}", name):
        raise ValueError(name)
    return f'"{name}"'
