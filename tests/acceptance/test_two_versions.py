"""Two versions of a site on one database: real workers, each with files of its own."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import skipIf

from django.db import connection
from django.test import TransactionTestCase

from django_toosimple_q.models import TaskExec, WorkerStatus
from tests.acceptance.processes import ROOT, environment
from tests.support import wait_for

OLD = """
from django_toosimple_q.decorators import register_task

class Letter:
    pass

@register_task(name="two.send", retries=3, retry_delay=1)
def send(what):
    return "old"
"""
NEW = """
from django_toosimple_q.decorators import register_task

class Letter:
    pass

class Parcel:
    pass

@register_task(name="two.send", retries=3, retry_delay=1)
def send(what, urgent=None):
    return "new"
"""
SETTINGS = """
from tests.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "shop"]
"""
QUEUE = """
import django; django.setup()
from shop.tasks import Letter, Parcel, send
for _ in range(5):
    send.queue(Letter()); send.queue(Parcel()); send.queue(Letter(), True)
"""


class Site:
    """One version of a site, in a directory of its own, and its processes."""

    def __init__(self, test, tasks):
        directory = TemporaryDirectory()
        test.addCleanup(directory.cleanup)
        self.test = test
        self.path = Path(directory.name)
        (self.path / "shop").mkdir()
        (self.path / "shop" / "__init__.py").touch()
        (self.path / "shop" / "tasks.py").write_text(tasks)
        (self.path / "site_settings.py").write_text(SETTINGS)

    def start(self, *arguments):
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.path,
            env={
                **environment(),
                "DJANGO_SETTINGS_MODULE": "site_settings",
                "PYTHONPATH": f"{self.path}:{ROOT}",
            },
        )
        self.test.addCleanup(process.wait)
        self.test.addCleanup(process.kill)
        return process

    def worker(self, label):
        process = self.start("-m", "django", "worker", "-v0", "--label", label, "--no_schedules")
        wait_for(WorkerStatus.objects.filter(label=label, stopped=None).exists, 60)
        return process


@skipIf(connection.vendor == "sqlite" and connection.is_in_memory_db(), "processes share no memory")
class TwoVersionsTests(TransactionTestCase):
    def queue(self, site):
        self.assertEqual(site.start("-c", QUEUE).wait(60), 0)

    def ended(self, count):
        """Wait until so many calls have ended."""
        wait_for(lambda: len(self.outcomes()) == count, 60)

    def outcomes(self):
        """Return how many calls have ended in which state, by which code; of each its retries."""
        rows = TaskExec.objects.exclude(state="QUEUED").exclude(state="PROCESSING")
        return sorted(rows.values_list("state", "result_preview", "retries", "attempt"))

    def test_each_call_is_run_by_the_code_that_can_begin_it(self):
        old, new = Site(self, OLD), Site(self, NEW)
        old.worker("old")
        new.worker("new")

        self.queue(new)

        self.ended(15)
        self.assertEqual({one[0] for one in self.outcomes()}, {"SUCCEEDED"})
        self.assertEqual({one[2:] for one in self.outcomes()}, {(3, 1)})
        self.assertGreaterEqual([one[1] for one in self.outcomes()].count("new"), 10)

    def test_what_old_code_alone_could_not_begin_is_run_once_new_code_starts(self):
        old, new = Site(self, OLD), Site(self, NEW)
        process = old.worker("old")
        self.queue(new)
        self.ended(15)
        before = self.outcomes()
        process.terminate()
        self.assertEqual(process.wait(60), 0)

        new.worker("new")

        wait_for(lambda: not TaskExec.objects.exclude(state="SUCCEEDED").exists(), 60)
        self.assertEqual([one[:2] for one in before].count(("INVALID", None)), 10)
        self.assertEqual([one[1] for one in self.outcomes()].count("new"), 10)
        self.assertEqual({one[2:] for one in self.outcomes()}, {(3, 1)})
