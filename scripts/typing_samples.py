"""Run mypy and pyright on tests/typing. They must refuse the lines marked "# refused" only.

    python scripts/typing_samples.py

Django's stubs are installed here. Users may not have them, so pyright also runs without them.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from sysconfig import get_path

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = sorted((ROOT / "tests" / "typing").glob("*.py"))
MARK = "# refused"
MYPY_ERROR = re.compile(r"^(.+?):(\d+): error: (.*)$", re.M)

# The findings of a checker: a message for each line.
Found = dict[tuple[Path, int], str]


class CheckerFailed(Exception):
    """A checker failed before it checked anything."""


def marked() -> set[tuple[Path, int]]:
    """Return the lines that must be refused."""
    return {
        (path, number)
        for path in SAMPLES
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if MARK in line
    }


def mypy() -> Found:
    """Return what mypy refuses."""
    done = run(
        "mypy", "--hide-error-context", "--no-color-output", "--no-pretty", *map(str, SAMPLES)
    )
    found: Found = {
        (ROOT / name, int(line)): message for name, line, message in MYPY_ERROR.findall(done.stdout)
    }
    if done.returncode not in (0, 1) or (done.returncode and not found):
        raise CheckerFailed(f"mypy ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return found


def pyright() -> Found:
    """Return what pyright refuses, with Django's stubs."""
    return _pyright({"venvPath": str(Path(sys.prefix).parent), "venv": Path(sys.prefix).name})


def pyright_without_stubs() -> Found:
    """Return what pyright refuses where Django's stubs are not installed."""
    with site_without_stubs() as directory:
        return _pyright({"venvPath": str(directory), "venv": "venv"})


@contextmanager
def site_without_stubs() -> Iterator[Path]:
    """Make an environment of links to every package of this one except stubs."""
    with tempfile.TemporaryDirectory() as made:
        packages = Path(made) / "venv" / "lib" / "python3" / "site-packages"
        packages.mkdir(parents=True)
        for entry in Path(get_path("purelib")).iterdir():
            if not entry.name.endswith("-stubs"):
                (packages / entry.name).symlink_to(entry)
        yield Path(made)


def _pyright(settings: dict[str, str]) -> Found:
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory).resolve() / "pyrightconfig.json"
        samples = [os.path.relpath(path, config.parent) for path in SAMPLES]
        common = {"include": samples, "extraPaths": [str(ROOT)], "pythonVersion": "3.11"}
        # The samples consist of expressions that are written only for their type.
        rules = {"reportUnusedExpression": False, "reportUnusedCoroutine": False}
        config.write_text(json.dumps({**common, **rules, **settings}))
        done = run("pyright", "--outputjson", "--project", str(config))
    try:
        report = json.loads(done.stdout)
    except ValueError as error:
        raise CheckerFailed(f"pyright ended with {done.returncode}:\n{done.stderr}") from error
    if report["summary"]["filesAnalyzed"] != len(SAMPLES):
        raise CheckerFailed(f"pyright looked at {report['summary']}, not at {len(SAMPLES)} files.")
    return {
        (Path(one["file"]), one["range"]["start"]["line"] + 1): one["message"].splitlines()[0]
        for one in report["generalDiagnostics"]
        if one["severity"] == "error"
    }


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    """Run a tool of this environment in the checkout."""
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )


def problems(expected: set[tuple[Path, int]], found: Found) -> list[str]:
    """Return a line for each disagreement."""
    surplus = [(*place, found[place]) for place in found if place not in expected]
    missing = [(*place, "is accepted") for place in expected if place not in found]
    return [
        f"{path.relative_to(ROOT)}:{line}: {message}"
        for path, line, message in sorted(surplus + missing)
    ]


CHECKERS: dict[str, Callable[[], Found]] = {
    "mypy": mypy,
    "pyright": pyright,
    "pyright without django-stubs": pyright_without_stubs,
}


def main() -> int:
    expected = marked()
    wrong = False
    for name, check in CHECKERS.items():
        try:
            disagreements = problems(expected, check())
        except CheckerFailed as failure:
            print(failure, file=sys.stderr)
            return 1
        for line in disagreements:
            print(f"{name}: {line}", file=sys.stderr)
        wrong = wrong or bool(disagreements)
        if not disagreements:
            print(f"{name} refuses the {len(expected)} marked lines and no other.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
