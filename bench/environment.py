"""Where the peers live: an environment of their own, made on demand, named after what it is made from.

It lies beside the project's environments, so that no package of a peer enters the project's lock.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "peers"
LOCK = PEERS / "peers.lock"
TOOLS = ROOT / "requirements-tools.lock"


class NoPeers(Exception):
    """The peers' environment could not be made; says why."""


def home() -> Path:
    """The folder of the project's environments, found as the script `tuanpu` finds it. Raises NoPeers."""
    if given := os.environ.get("TUANPU_HOME"):
        places = [Path(given)]
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        places = [ROOT / ".tuanpu", Path(cache) / "tuanpu"]
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(place, os.W_OK | os.X_OK):
            return place.resolve()
    raise NoPeers(f"none of {', '.join(map(str, places))} can be written; name a folder with TUANPU_HOME")


def peers_python() -> Path:
    """The Python of the peers' environment, which is made if it is not there. Raises NoPeers."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    made_from = [sysconfig.get_platform(), sys.version, base]
    digest = hashlib.sha256(repr(made_from).encode() + LOCK.read_bytes()).hexdigest()[:16]
    place = home()
    final = place / f"peers-{digest}"
    python = final / "bin" / "python"
    if python.exists():
        return python
    print(f"making an environment for the peers in {final}", file=sys.stderr)
    new = Path(tempfile.mkdtemp(prefix="new.", dir=place))
    try:
        uv = _uv(place)
        _run(uv, "venv", "--quiet", "--relocatable", "--no-project", "--allow-existing", "--python", base, str(new))
        inside = str(new / "bin" / "python")
        _run(uv, "pip", "sync", "--quiet", "--require-hashes", "--no-build", "--python", inside, str(LOCK))
        new.chmod(0o755)
        try:
            new.rename(final)
        except OSError:
            if not python.exists():  # otherwise another start was faster: both are the same
                raise
    except OSError as broken:
        raise NoPeers(str(broken)) from None
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return python


def lock() -> None:
    """Pin the newest peers; what they share with the shop stays at the shop's version. Raises NoPeers."""
    os.environ["UV_CUSTOM_COMPILE_COMMAND"] = "./tuanpu bench --lock"
    words = ["--quiet", "--upgrade", "--universal", "--python-version", "3.11", "--generate-hashes"]
    words += ["--no-emit-index-url", "--no-annotate", "-c", str(ROOT / "requirements.lock")]
    _run(_uv(home()), "pip", "compile", *words, str(PEERS / "peers.in"), "-o", str(LOCK))


def versions(python: Path, *names: str) -> str:
    """ "name version" of packages in the environment of `python`, those that are there."""
    places = [str(place) for place in python.parent.parent.glob("lib/python*/site-packages")]
    found = {d.name.lower(): d.version for d in importlib.metadata.distributions(path=places)}
    return ", ".join(f"{name} {found[name.lower()]}" for name in names if name.lower() in found)


def _uv(place: Path) -> str:
    """The script's uv, else one on PATH or in this Python, else one fetched as the script fetches it."""
    for found in _uvs(place):
        return found
    new = place / "uv-bench"
    words = ["-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    words += ["--no-warn-script-location", "--no-compile", "--require-hashes", "--target", str(new), "-r", str(TOOLS)]
    _run(getattr(sys, "_base_executable", None) or sys.executable, *words)
    for found in _uvs(place):
        return found
    raise NoPeers("uv could not be fetched")


def _uvs(place: Path) -> Iterator[str]:
    for beside in (place, Path(sys.executable).parent.parent.parent):  # .tuanpu/dev-…/bin/python
        yield from (str(path) for path in sorted(beside.glob("uv-*/bin/uv")))
    if on_path := shutil.which("uv"):
        yield on_path
    if (here := Path(sys.executable).with_name("uv")).exists():
        yield str(here)


def _run(program: str, *words: str) -> None:
    """Run uv or pip with the index and the certificates that the script uses; raises NoPeers with its words."""
    environ = dict(os.environ)
    if not environ.get("UV_DEFAULT_INDEX") and not environ.get("UV_INDEX_URL") and (index := _index()):
        environ["UV_DEFAULT_INDEX"] = index
    if environ.get("PIP_CERT"):
        environ.setdefault("SSL_CERT_FILE", environ["PIP_CERT"])
    environ.setdefault("UV_SYSTEM_CERTS", "true")
    environ.setdefault("UV_CACHE_DIR", str(home() / "cache"))
    environ |= {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "PIP_USER": "0"}
    done = subprocess.run([program, *words], env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoPeers((done.stderr or done.stdout).strip()[-1000:])


def _index() -> str:
    """The package index that pip is set up for, "" for the usual one."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    for key in (":env:.index-url", "install.index-url", "global.index-url"):
        words = [base, "-I", "-m", "pip", "config", "get", key]
        done = subprocess.run(words, cwd="/", capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return ""
