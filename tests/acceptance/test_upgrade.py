"""A site that runs django-toosimple-q 1.2.1 swaps the package and migrates: every row is kept."""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from unittest import TestCase

import pytest

from tests.settings import KIND

SITE = Path(__file__).parent / "upgrade"
ROOT = SITE.parent.parent.parent
DUMP = """
import os, sys, json
import django
django.setup()
from django_toosimple_q.models import TaskExec
rows = TaskExec.objects.order_by("pk").values("pk", "task_name", "state", "replaced_by", "queue",
    "priority", "error", "stdout")
print(json.dumps([dict(row, args=str(TaskExec.objects.get(pk=row["pk"]).args),
    result=str(TaskExec.objects.get(pk=row["pk"]).result)) for row in rows]))
"""


@pytest.mark.skipif(KIND != "sqlite", reason="the site of this test stands on SQLite")
@pytest.mark.timeout(300)
class UpgradeTests(TestCase):
    """The old package is installed from the index, in an environment of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "settings",
            "UPGRADE_DATABASE": str(self.folder / "site.sqlite3"),
        }

    def run_python(self, python, *arguments, path=SITE):
        done = subprocess.run(
            [str(python), *arguments],
            cwd=SITE,
            env={**self.environment, "PYTHONPATH": str(path)},
            capture_output=True,
            text=True,
            timeout=240,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def now(self, *arguments):
        """Run with this package in place of the old one."""
        return self.run_python(sys.executable, *arguments, path=f"{SITE}{os.pathsep}{ROOT}")

    def rows(self):
        import json

        found = json.loads(self.now("-c", DUMP).strip().splitlines()[-1])
        return {row["pk"]: row for row in found}

    def test_rows_in_every_state_survive_and_what_waits_runs(self):
        venv.create(self.folder / "old", with_pip=True)
        old = self.folder / "old" / "bin" / "python"
        self.run_python(
            old, "-m", "pip", "install", "-q", "django-toosimple-q==1.2.1", "Django==5.2.*"
        )
        self.run_python(old, "fill.py")

        self.now("-m", "django", "migrate", "-v0")
        before = self.rows()
        self.now("-m", "django", "migrate", "--check")
        self.now("-m", "django", "worker", "--until_done", "-v0")
        after = self.rows()

        self.assertEqual([row["task_name"] for row in before.values()][:3], ["add", "fail", "fail"])
        by_args = {row["args"]: row for row in after.values() if row["task_name"] == "add"}
        done = [row for row in after.values() if row["task_name"] == "add" and row["result"] == "3"]
        self.assertEqual(
            [(row["state"], row["stdout"]) for row in done], [("SUCCEEDED", "adding\n")]
        )
        # What waited has run, with the queue and the priority of its task.
        waited = next(row for row in after.values() if row["result"] == "7")
        self.assertEqual(
            (waited["state"], waited["queue"], waited["priority"]), ("SUCCEEDED", "sums", 3)
        )
        self.assertIn("(5, 6)", by_args)
        states = {}
        for row in after.values():
            states.setdefault(row["task_name"], []).append(row["state"])
        self.assertEqual(states["refresh"], ["SUCCEEDED"])
        self.assertEqual(sorted(states["later"]), ["SLEEPING", "SUCCEEDED"])
        self.assertEqual(states["fail"], ["FAILED", "SLEEPING"])
        self.assertEqual(states["gone"], ["INVALID"])
        # What a dead 1.x worker held is replaced, and was run.
        held = next(row for row in after.values() if row["args"] == "(5, 6)")
        self.assertEqual(held["state"], "INTERRUPTED")
        self.assertEqual(after[held["replaced_by"]]["result"], "11")
        self.assertEqual(len(after), len(before) + 1)
