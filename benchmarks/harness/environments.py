"""The virtual environments of the harness and of each peer, created if missing or outdated."""

from __future__ import annotations  # so that an old Python reaches our error message

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent
REPOSITORY = BENCHMARKS.parent
VENVS = BENCHMARKS / ".venvs"
OLDEST = (3, 12)  # of Django 6.1, which every peer is measured with
INSTALL_SECONDS = 300
# The environments that hold this repository's package.
OURS = ("ours", "ours_mariadb")


class Unmeasurable(Exception):
    """Something cannot be measured here. The message says why and what to do."""


def enter(script: str) -> None:
    """Continue in the harness's own environment, in place of the calling process."""
    if sys.version_info < OLDEST:
        newer = _newer_python()
        _say(f"this is Python {sys.version.split()[0]}; continuing with {newer}")
        os.execv(newer, [newer, script, *sys.argv[1:]])
    if Path(sys.prefix) == VENVS / "harness":
        return
    try:
        python = ensure("harness", sys.executable)
    except Unmeasurable as problem:
        raise SystemExit(str(problem)) from problem
    os.execv(python, [str(python), script, *sys.argv[1:]])


def _newer_python() -> str:
    """Return an interpreter that can run Django 6.1, from PATH or from pyenv."""
    names = [f"python{OLDEST[0]}.{minor}" for minor in (13, 14, 12)]
    kept = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    places = [shutil.which(name) for name in names]
    places += [str(one) for name in names for one in sorted(kept.glob(f"*/bin/{name}"))]
    for place in filter(None, places):
        # A command in PATH may be a shim that only reports that no Python is installed.
        if not subprocess.run([place, "-c", ""], capture_output=True, check=False).returncode:
            return place
    raise SystemExit(
        f"this is Python {sys.version.split()[0]}, but Django 6.1 needs "
        f"{OLDEST[0]}.{OLDEST[1]} or later. Install one, or name it: make bench PYTHON=python3.13"
    )


@contextmanager
def alone() -> Iterator[None]:
    """Refuse to run at the same time as another benchmark, which would distort both."""
    VENVS.mkdir(exist_ok=True)
    with (VENVS / ".running").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(
                "another benchmark runs in this checkout. Wait for it, or stop it."
            ) from None
        yield


def python_of(name: str) -> Path:
    """Return the interpreter of an environment."""
    return VENVS / name / "bin" / "python"


def ensure(name: str, base: str) -> Path:
    """Return the interpreter of an environment with its requirements installed.

    Our own package is built from the repository each time, so that its current state is measured.
    """
    requirements = _requirements(name)
    stamp = VENVS / name / "installed"
    wanted = hashlib.sha256(_listed(requirements) + version_of(base).encode()).hexdigest()
    python = python_of(name)
    if not (stamp.exists() and stamp.read_text() == wanted and python.exists()):
        _say(f"creating the environment of {name} …")
        _run([base, "-m", "venv", "--clear", str(VENVS / name)])
        _pip(python, "-r", str(requirements))
        stamp.write_text(wanted)
    if name in OURS:
        _say(f"building this repository's package into {name} …")
        _pip(python, "--force-reinstall", "--no-deps", "--no-build-isolation", str(REPOSITORY))
        _run([str(python), "-m", "pip", "check"])
    return python


def pinned(name: str) -> str:
    """Return the distribution of a peer, such as "huey 3.5.4"."""
    if name in OURS:
        return _revision()
    first = _requirements(name).read_text().splitlines()[0]
    return re.sub(r"\[.*\]", "", first).replace("==", " ")


def packages(name: str, *wanted: str) -> dict[str, str]:
    """Return the installed versions of some distributions in an environment."""
    listed = _run([str(python_of(name)), "-m", "pip", "list", "--format=json"])
    found = {one["name"].lower(): one["version"] for one in json.loads(listed)}
    return {distribution: found.get(distribution.lower(), "none") for distribution in wanted}


def _requirements(name: str) -> Path:
    folder = BENCHMARKS / "harness" if name == "harness" else BENCHMARKS / "peers" / name
    return folder / "requirements.txt"


def _listed(requirements: Path) -> bytes:
    """Return a requirements file together with the files that it includes."""
    text = requirements.read_text()
    included = re.findall(r"^-r (.+)$", text, re.MULTILINE)
    return text.encode() + b"".join(_listed(requirements.parent / one) for one in included)


def version_of(python: str | Path) -> str:
    """Return the version of an interpreter."""
    return _run([str(python), "-c", "import platform; print(platform.python_version())"]).strip()


def _revision() -> str:
    git = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return f"this repository, {_run(git).strip()}"
    except Unmeasurable:
        return "this repository"


def _pip(python: Path, *arguments: str) -> None:
    quiet = ("--quiet", "--disable-pip-version-check")
    _run([str(python), "-m", "pip", "install", *quiet, *arguments])


def _run(command: list[str]) -> str:
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except FileNotFoundError:
        raise Unmeasurable(f"{command[0]} does not exist. Set another with --python.") from None
    except subprocess.TimeoutExpired:
        raise Unmeasurable(f"{' '.join(command)} took over {INSTALL_SECONDS} s.") from None
    if ran.returncode:
        raise Unmeasurable(f"{' '.join(command)} failed:\n{ran.stderr.strip()[-2000:]}")
    return ran.stdout


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
