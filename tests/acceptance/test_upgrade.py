"""A site that runs django-toosimple-q 1.2.1 swaps the package and migrates: every row is kept."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import venv
from contextlib import closing
from pathlib import Path
from unittest import TestCase

import pytest

from tests.settings import KIND
from tests.support import wait_for

SITE = Path(__file__).parent / "upgrade"
ROOT = SITE.parent.parent.parent
SETUP = "import django; django.setup(); "
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

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        venv.create(folder, with_pip=True)
        cls.old = folder / "bin" / "python"
        packages = ("django-toosimple-q==1.2.1", "Django==5.2.*")
        subprocess.run([cls.old, "-m", "pip", "install", "-q", *packages], check=True, timeout=240)

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
        return done.stdout + done.stderr

    def start(self, python, *options, path=SITE, **environment):
        """Start a worker that runs beside the test."""
        process = subprocess.Popen(
            [str(python), "-m", "django", "worker", *options],
            cwd=SITE,
            env={**self.environment, **environment, "PYTHONPATH": str(path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

        def end():
            process.kill()
            process.communicate(timeout=10)

        self.addCleanup(end)
        return process

    def now(self, *arguments):
        """Run with this package in place of the old one."""
        return self.run_python(sys.executable, *arguments, path=f"{SITE}{os.pathsep}{ROOT}")

    def rows(self):
        import json

        found = json.loads(self.now("-c", DUMP).strip().splitlines()[-1])
        return {row["pk"]: row for row in found}

    def test_rows_in_every_state_survive_and_what_waits_runs(self):
        self.run_python(self.old, "fill.py")

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

    def queue(self, *arguments):
        call = ", ".join(map(repr, arguments))
        self.now("-c", f"{SETUP}from shop.tasks import note; note.queue({call})")

    def states(self):
        with closing(sqlite3.connect(self.environment["UPGRADE_DATABASE"])) as database:
            rows = database.execute("SELECT state FROM toosimpleq_taskexec ORDER BY id")
            return [state for (state,) in rows]

    def test_what_a_1_x_worker_beside_this_one_made_invalid_runs_once_at_most(self):
        ledger, go = self.folder / "ledger", self.folder / "go"
        self.run_python(self.old, "-m", "django", "migrate", "-v0")
        self.environment["SHOP_LEDGER"] = str(ledger)
        self.now("-m", "django", "migrate", "-v0")
        self.queue("ended")
        self.now("-m", "django", "worker", "--until_done", "-v0")
        self.start(sys.executable, "--tick=0.2", path=f"{SITE}{os.pathsep}{ROOT}")
        self.queue("running", str(go))
        wait_for(lambda: "running" in ledger.read_text(), timeout=40)
        self.queue("waiting")

        old = self.start(self.old, "--tick=1", SHOP_LEDGER="")
        wait_for(lambda: self.states() == ["INVALID"] * 3, timeout=40)
        beside = self.now("-m", "django", "worker", "--until_done")
        old.send_signal(signal.SIGTERM)
        old.wait(30)
        go.touch()
        self.now("-m", "django", "worker", "--until_done", "-v0")

        wait_for(lambda: self.states() == ["INVALID", "INVALID", "SUCCEEDED"], timeout=40)
        self.assertEqual(ledger.read_text().split(), ["ended", "running", "waiting"])
        self.assertIn("Stop all workers of 1.x now", beside)
