"""Visit the admin with Chromium: the tests in tests/browser, on PostgreSQL if it answers.

    python scripts/browser.py [PYTEST ARGUMENT ...]

TOOSIMPLEQ_BROWSER names Chromium; otherwise it is looked for on PATH. npm fetches axe-core. What
is fetched, and the pictures that the tests take, go to .browser/.
"""

from __future__ import annotations  # so that an old Python reaches our error message

import os
import shutil
import subprocess
import sys
import tarfile

from databases import DATABASES, Database, Unavailable
from environment import ROOT, EnvironmentProblem, ensure

TESTS = "tests/browser"
FOLDER = ROOT / ".browser"
AXE = FOLDER / "axe.min.js"
AXE_PACKAGE = "axe-core@4"
NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Return the path of Chromium."""
    given = os.environ.get("TOOSIMPLEQ_BROWSER")
    found = next(filter(None, map(shutil.which, [given] if given else NAMES)), None)
    if found is None:
        raise EnvironmentProblem(
            f"there is no {given or 'Chromium on PATH'}. On Debian and Ubuntu: apt-get install "
            "chromium. Or set TOOSIMPLEQ_BROWSER to its path."
        )
    return found


def fetch_axe() -> None:
    """Fetch axe-core, unless it is there already."""
    if AXE.exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise EnvironmentProblem("npm is missing. On Debian and Ubuntu: apt-get install npm.")
    FOLDER.mkdir(exist_ok=True)
    packed = subprocess.run(
        [npm, "pack", AXE_PACKAGE, "--silent", "--pack-destination", str(FOLDER)],
        capture_output=True,
        text=True,
        check=False,
    )
    if packed.returncode:
        raise EnvironmentProblem(f"npm could not fetch {AXE_PACKAGE}: {packed.stderr.strip()}")
    archive = FOLDER / packed.stdout.split()[-1]
    with tarfile.open(archive) as files:
        script = files.extractfile("package/axe.min.js")
        if script is None:
            raise EnvironmentProblem(f"{archive} has no axe.min.js. Name another release.")
        AXE.write_bytes(script.read())
    archive.unlink()


def database() -> Database:
    """Return PostgreSQL if it lets us in, otherwise SQLite."""
    sqlite, postgresql = DATABASES[0], DATABASES[1]
    try:
        if not postgresql.answers():
            raise Unavailable(postgresql.silence)
        postgresql.prepare()
    except Unavailable as unavailable:
        print(f"Not on PostgreSQL: {unavailable}", flush=True)
        return sqlite
    return postgresql


def main(arguments: list[str]) -> int:
    try:
        browser = chromium()
        python = ensure("browser", "test")
        fetch_axe()
        environment = database().environment()
    except EnvironmentProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    settings = {
        "DJANGO_SETTINGS_MODULE": "tests.browser.settings",
        "TOOSIMPLEQ_BROWSER": browser,
        "TOOSIMPLEQ_BROWSER_FOLDER": str(FOLDER),
        "TOOSIMPLEQ_AXE": str(AXE),
    }
    # A test opens many pages, several times each.
    command = [str(python), "-m", "pytest", "-p", "no:randomly", "--timeout=600"]
    tests = [] if any(one.startswith(TESTS) for one in arguments) else [TESTS]
    return subprocess.run(
        [*command, *tests, *arguments], cwd=ROOT, env={**environment, **settings}, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
