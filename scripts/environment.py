"""Create the virtual environment of this checkout, and install the extras of a command.

    python scripts/environment.py EXTRA ...

VENV names a directory other than .venv, and DJANGO a release ("Django==5.2.*").
"""

from __future__ import annotations  # so that an old Python reaches our error message

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / (os.environ.get("VENV") or ".venv")
DJANGO = os.environ.get("DJANGO") or "Django"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.json"
OLDEST = (3, 11)


class EnvironmentProblem(Exception):
    """The environment cannot be created. The message says why and what to do."""


def ensure(*extras: str) -> Path:
    """Return the environment's Python, with the project and these extras installed."""
    _refuse_old_python()
    with _locked():
        if _python_version() != sys.version_info[:2]:
            _create()
        installed = _installed_extras()
        if installed is None or not installed.issuperset(extras):
            _install({*(installed or ()), *extras})
    return PYTHON


def _refuse_old_python() -> None:
    if sys.version_info < OLDEST:
        raise EnvironmentProblem(
            f"this is Python {sys.version.split()[0]}, but the project needs "
            f"{OLDEST[0]}.{OLDEST[1]} or later. Use another one: make PYTHON=python3.13 …"
        )


@contextmanager
def _locked() -> Iterator[None]:
    """Lock the environment, so that one process at a time changes it."""
    VENV.mkdir(parents=True, exist_ok=True)
    # Next to the directory, which _create() empties.
    with VENV.with_name(f"{VENV.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _python_version() -> tuple[int, int] | None:
    """Return the version of the environment's Python, or None if it does not work."""
    code = "import pip, sys; print(*sys.version_info[:2])"
    try:
        ran = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    major, minor = ran.stdout.split()
    return int(major), int(minor)


def _create() -> None:
    print(f"Making {_shown(VENV)} with Python {sys.version.split()[0]} …", flush=True)
    # Not the environment's own Python, which would delete itself.
    base = getattr(sys, "_base_executable", sys.executable)
    _run(
        [base, "-m", "venv", "--clear", str(VENV)],
        "could not create the environment. On Debian and Ubuntu: apt-get install python3-venv.",
    )


def _installed_extras() -> set[str] | None:
    """Return the installed extras, or None if pyproject.toml or DJANGO has changed."""
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return None
    return set(stamp["extras"]) if stamp["of"] == _fingerprint() else None


def _install(extras: set[str]) -> None:
    named = ",".join(sorted(extras))
    what = f".[{named}]" if extras else "."
    print(f"Installing {what} and {DJANGO} into {_shown(VENV)} …", flush=True)
    # An installation that failed half-way must not look complete the next time.
    STAMP.unlink(missing_ok=True)
    _run(
        [str(PYTHON), "-m", "pip", "install", "--quiet", "--editable", what, DJANGO],
        f"pip could not install {what}. See its output above.",
    )
    STAMP.write_text(json.dumps({"of": _fingerprint(), "extras": sorted(extras)}))


def _fingerprint() -> str:
    pyproject = (ROOT / "pyproject.toml").read_bytes()
    return hashlib.sha256(pyproject + DJANGO.encode()).hexdigest()


def _run(command: list[str], problem: str) -> None:
    ran = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if ran.returncode:
        print(ran.stdout.strip(), file=sys.stderr, flush=True)
        raise EnvironmentProblem(problem)


def _shown(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def main(extras: list[str]) -> int:
    try:
        ensure(*extras)
    except EnvironmentProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
