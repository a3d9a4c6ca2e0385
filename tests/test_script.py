"""The command of a bare machine: what can be shown of it without making an environment."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-tools.lock"]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="a POSIX shell's script")


def pins(lock: str) -> dict[str, str]:
    """name -> version of every package a lock names."""
    text = (TOP / lock).read_text()
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_package_by_hash_and_names_no_address(lock: str) -> None:
    text = (TOP / lock).read_text()
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip())
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9.-]+==[0-9][^\s]*( ;[^\\]+)? \\\n", entry), entry[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:80]
        assert not re.search(r"^ +(?! |--hash=sha256:[0-9a-f]{64}( \\)?$)", entry, re.MULTILINE), entry[:80]


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())

    def names(wanted: list[str]) -> set[str]:
        return {re.split(r"[\[<>=~!; ]", item, maxsplit=1)[0].lower() for item in wanted}

    run, dev, tools = map(pins, LOCKS)
    assert names(project["project"]["dependencies"]) <= set(run)
    assert names(project["dependency-groups"]["dev"]) <= set(dev)
    assert names(project["dependency-groups"]["tools"]) == set(tools)
    assert run.items() <= dev.items(), "what is tested is what runs"
    assert not names(project["dependency-groups"]["dev"]) & set(run), "a shop does not install test tools"


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_the_script_is_one_a_plain_shell_reads(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    subprocess.run([shell, "-n", TOP / "tuanpu"], check=True)
    assert os.access(TOP / "tuanpu", os.X_OK)
    assert os.access(TOP / ".ci" / "run", os.X_OK)


def copy(folder: Path) -> Path:
    """A checkout with only what the script needs, and a shop that says where it is."""
    top = folder / "a shop's checkout"
    (top / "bot").mkdir(parents=True)
    for name in ("tuanpu", "pyproject.toml", *LOCKS):
        shutil.copy(TOP / name, top / name)
    (top / "bot" / "__init__.py").touch()
    (top / "bot" / "__main__.py").write_text("import os, sys\nprint(os.getcwd(), sys.argv[1:], sep='|')\n")
    return top


def run(top: Path, *words: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    bare = {"PATH": os.environ["PATH"], "HOME": str(cwd), **environ}
    return subprocess.run([top / "tuanpu", *words], cwd=cwd, env=bare, capture_output=True, text=True, check=False)


def test_with_its_environment_made_it_runs_the_command_where_one_stands(tmp_path: Path) -> None:
    top, here = copy(tmp_path), tmp_path / "elsewhere"
    here.mkdir()
    # A pip that only writes down the name the script looks for, and stops it.
    first = run(top, "demo", cwd=here, PIP_NO_INDEX="1", TUANPU_HOME=str(tmp_path / "home"))
    assert first.returncode == 1
    assert "pip could not fetch uv" in first.stderr
    assert not list((tmp_path / "home").glob("new.*")), "a failed start leaves nothing half made"
    # Named after the lock and the Python; put one there by hand, and nothing is fetched.
    name = re.search(r"run-[0-9a-f]{16}", run_named(top, here, tmp_path / "home"))
    assert name is not None
    place = tmp_path / "home" / name[0] / "bin"
    place.mkdir(parents=True)
    (place / "python").write_text('#!/bin/sh\nshift 2\necho "$PWD|$PYTHONPATH|$*"\n')
    (place / "python").chmod(0o755)
    started = run(top, "demo", "--port", "1 2", cwd=here, TUANPU_HOME=str(tmp_path / "home"))
    assert (started.returncode, started.stderr) == (0, "")
    assert started.stdout.strip() == f"{here}|{top.resolve()}|demo --port 1 2"
    linked = tmp_path / "tuanpu"
    linked.symlink_to(top / "tuanpu")
    again = subprocess.run(
        [linked, "demo"],
        cwd=here,
        env={"PATH": os.environ["PATH"], "TUANPU_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout.strip() == f"{here}|{top.resolve()}|demo"


def run_named(top: Path, here: Path, home: Path) -> str:
    """What the shell would look for: read from its own trace."""
    bare = {"PATH": os.environ["PATH"], "HOME": str(here), "PIP_NO_INDEX": "1", "TUANPU_HOME": str(home)}
    traced = subprocess.run(
        ["sh", "-x", top / "tuanpu", "demo"], cwd=here, env=bare, capture_output=True, text=True, check=False
    )
    return traced.stderr


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 2", "Python 3.11 or newer is needed and was not found"),
        ("echo /opt/bare/python3; exit 3", "/opt/bare/python3 has no pip; install it"),
    ],
)
def test_a_machine_without_the_right_python_is_told_so_in_one_sentence(tmp_path: Path, script: str, said: str) -> None:
    top, tools = copy(tmp_path), tmp_path / "bin"
    tools.mkdir()
    (tools / "python3").write_text(f"#!/bin/sh\n{script}\n")
    (tools / "python3").chmod(0o755)
    for name in ("dirname", "readlink"):
        (tools / name).symlink_to(str(shutil.which(name)))
    done = subprocess.run(
        [shutil.which("sh") or "sh", top / "tuanpu", "demo"],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"tuanpu: {said}")
    assert done.stderr.count("\n") == 1


def test_a_python_that_was_named_is_the_one_wherever_it_lies(tmp_path: Path) -> None:
    top = copy(tmp_path)
    named = tmp_path / "my pythons" / "python"
    named.parent.mkdir()
    named.write_text("#!/bin/sh\necho /opt/named/python; exit 3\n")
    named.chmod(0o755)
    for python, said in ((named, "/opt/named/python has no pip"), ("/no/python", "TUANPU_PYTHON (/no/python) is no")):
        done = run(top, "demo", cwd=tmp_path, TUANPU_PYTHON=str(python))
        assert done.returncode == 1
        assert done.stderr.startswith(f"tuanpu: {said}")
