"""A host whose clock jumps, there and back; on SQLite the clock of the queue jumps with it."""

import os
import time
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from unittest import mock, skipIf

from django.db import connection
from django.utils import timezone

from django_toosimple_q.models import TaskExec
from django_toosimple_q.store import workers
from tests.acceptance.processes import ProcessTests
from tests.app.tasks import NO_CATCH_UP, echo, sleep
from tests.faults.shifted import CLOCK
from tests.support import wait_for

HOUR = 3600
YEAR = 365 * 24 * HOUR
TIMEOUT_SECONDS = 2
# On SQLite the clock of the host is the database's: a schedule follows it.
HAS_OWN_CLOCK = connection.vendor != "sqlite"


class ClockTests(ProcessTests):
    def setUp(self):
        super().setUp()
        self.clock = Path(self.folder.name) / "clock"
        self.set_clock(0)
        self.enterContext(mock.patch.dict(os.environ, {CLOCK: str(self.clock)}))

    def set_clock(self, seconds):
        # At once: a worker may read it at any time.
        new = self.clock.with_name("new")
        new.write_text(str(seconds))
        new.rename(self.clock)

    def test_nobody_is_declared_dead_and_no_occurrence_comes_twice_or_early(self):
        options = [f"--timeout={TIMEOUT_SECONDS}", "--threads=2"] + ["--no_schedules"] * (
            not HAS_OWN_CLOCK
        )
        jumping = self.worker(*options, module="tests.faults.shifted")
        module = "django" if HAS_OWN_CLOCK else "tests.faults.shifted"
        steady = self.worker(*options, module=module)
        long = [sleep.queue(3.2 * TIMEOUT_SECONDS, self.ledger, f"long-{n}") for n in range(2)]
        wait_for(lambda: len(self.lines()) == 2)

        for seconds in (HOUR, -HOUR, 0):
            self.set_clock(seconds)
            time.sleep(TIMEOUT_SECONDS)

        for row in long:
            self.assertEqual(self.wait_for_state(row, "SUCCEEDED").attempt, 1)
        self.wait_for_state(echo.queue(1), "SUCCEEDED")
        self.assertEqual(TaskExec.objects.filter(state="INTERRUPTED").count(), 0)
        for worker in (jumping, steady):
            self.assertIsNone(worker.process.poll(), worker.log())
            self.assertNotIn(" died; ", worker.log())
        if HAS_OWN_CLOCK:
            self.check_occurrences()
            self.assertIn("clock of this host differs by 3600", jumping.log())
            self.assertNotIn("clock of this host", steady.log())

    @skipIf(HAS_OWN_CLOCK, "only on SQLite does the host's clock count")
    def test_a_year_ahead_for_a_while_stops_no_schedule_afterwards_and_deletes_nothing(self):
        now = timezone.now()
        self.enterContext(mock.patch.dict(os.environ, {NO_CATCH_UP: "1"}))
        ended = TaskExec.objects.create(task_name="t", state="SUCCEEDED", finished=now)
        worker = self.worker(f"--timeout={TIMEOUT_SECONDS}", module="tests.faults.shifted")
        wait_for(lambda: len(self.occurrences()) > 1)

        self.set_clock(YEAR)
        wait_for(lambda: self.occurrences()[-1] > now + timedelta(seconds=YEAR / 2))
        wait_for(lambda: "pruning would delete" in worker.log())
        self.set_clock(0)

        back = timezone.now()
        wait_for(lambda: self.occurrences()[-1] < back + timedelta(seconds=YEAR / 2))
        wait_for(lambda: len(self.occurrences(after=back)) > 2)
        occurrences = self.occurrences()
        self.assertEqual(len(set(occurrences)), len(occurrences))
        self.assertTrue(TaskExec.objects.filter(pk=ended.pk).exists())
        log = worker.log()
        self.assertIn(f"clock jumped by {YEAR} s", log)
        self.assertIn(f"clock jumped by -{YEAR} s", log)
        self.assertEqual(log.count("had run until a moment that lies ahead"), 1, log)

    def occurrences(self, after=None):
        rows = TaskExec.objects.filter(task_name="app.second").order_by("pk")
        found = [row.kwargs["at"] for row in rows]
        return [
            one for one in found if after is None or after < one < after + timedelta(seconds=HOUR)
        ]

    def check_occurrences(self):
        rows = TaskExec.objects.filter(task_name="app.second").order_by("pk")
        occurrences = sorted(row.kwargs["at"] for row in rows)
        steps = {(b - a).total_seconds() for a, b in pairwise(occurrences)}
        self.assertEqual(steps, {1.0})
        self.assertLess(occurrences[-1], workers.clock() + timedelta(seconds=1))
