"""Build the wheel, and fail if it lacks a file of the package or has any other file."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "django_toosimple_q"
# No import would miss this file. Type checkers need it, and git must have it.
MARKER = f"{PACKAGE}/py.typed"


def build(directory: str) -> Path:
    """Build the sdist, build the wheel from it, as a release does, and return the wheel."""
    command = [sys.executable, "-m", "build", "--outdir", directory]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return next(Path(directory).glob("*.whl"))


def problems(wheel: Path) -> list[str]:
    """Compare the wheel with the files that git knows."""
    expected = {MARKER, *_tracked_files()}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    return [
        *(f"lacks {name}" for name in sorted(expected - packed)),
        *(f"has the extra file {name}" for name in sorted(packed - expected)),
    ]


def _tracked_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", PACKAGE], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return listed.stdout.splitlines()


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        wheel = build(directory)
        found = problems(wheel)
        for problem in found:
            print(f"{wheel.name} {problem}", file=sys.stderr)
    if not found:
        print(f"{wheel.name} has every file of the package.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
