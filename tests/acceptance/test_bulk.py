"""An action on very many calls survives the death of its worker, and changes each row once."""

import signal
from collections import Counter
from contextlib import contextmanager
from unittest import skipIf

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from django_toosimple_q.admin.bulk.selection import Selection
from django_toosimple_q.bulk_task import act_on_many
from django_toosimple_q.models import BulkRun, TaskExec
from django_toosimple_q.store import task_execs
from tests.acceptance.processes import ProcessTests
from tests.app.hazards import KillsWhoReads
from tests.faults.sessions import other_session
from tests.support import NOW, reload, wait_for

ROWS = 5000


class BulkTests(ProcessTests):
    def setUp(self):
        super().setUp()
        self.user = User.objects.create_superuser("admin")

    def fill(self, state, count=ROWS):
        TaskExec.objects.bulk_create(
            [
                TaskExec(
                    task_name="app.echo",
                    queue="mail",
                    state=state,
                    args=[KillsWhoReads(self.ledger) if number == count // 2 else number],
                    started=NOW,
                    finished=timezone.now(),
                )
                for number in range(count)
            ],
            batch_size=500,
        )

    def ask(self, action, query):
        last = TaskExec.objects.latest("pk").pk
        selection = Selection("admin", last, NOW.isoformat(), query).described()
        return act_on_many.queue(action, selection, self.user.pk)

    def test_killed_in_the_middle_it_goes_on_and_queues_no_row_twice(self):
        # A row that had succeeded does not show that it was queued again.
        self.fill("SUCCEEDED")
        call = self.ask("requeue", "state=SUCCEEDED")
        first = self.worker("--queue=default", "--no_schedules")
        self.assertEqual(first.wait(), -signal.SIGKILL)
        come = BulkRun.objects.get()
        self.assertEqual((come.reached, come.changed), (2400, 2400))
        self.assertEqual(TaskExec.objects.filter(queue="mail").count(), ROWS + 2400)

        self.worker("--queue=default", "--no_schedules")

        wait_for(lambda: self.last_of(call).state == "SUCCEEDED", timeout=60)
        last = self.last_of(call)
        self.assertEqual((last.attempt, last.result["changed"]), (2, ROWS))
        self.assertEqual((last.progress_done, last.progress_total), (ROWS, ROWS))
        again = TaskExec.objects.filter(task_name="app.echo", state="QUEUED")
        counts = Counter(str(row.args[0]) for row in again)
        self.assertEqual((len(counts), set(counts.values())), (ROWS, {1}))
        self.assertEqual(LogEntry.objects.count(), 1)

    @skipIf(connection.vendor == "sqlite", "SQLite locks no rows")
    def test_a_row_that_a_session_keeps_locked_is_passed_over_and_no_other(self):
        self.fill("QUEUED", 300)
        with self.locked_row() as locked:
            call = self.ask("cancel", "state=QUEUED")
            self.worker("--queue=default", "--no_schedules")
            self.wait_for_state(call, "SUCCEEDED", "FAILED", timeout=60)

        result = reload(call).result
        self.assertEqual((result["changed"], result["passed_over"]), (299, 1), reload(call).error)
        self.assertEqual(reload(locked).state, "QUEUED")

    @skipIf(connection.vendor == "sqlite", "SQLite locks no rows")
    def test_cancelled_meanwhile_it_ends_says_where_and_can_be_queued_again(self):
        self.fill("QUEUED", 700)
        with self.locked_row():
            call = self.ask("cancel", "state=QUEUED")
            self.worker("--queue=default", "--no_schedules")
            wait_for(lambda: BulkRun.objects.filter(reached__gt=0, reached__lt=700).exists())
            call.cancel()
            ended = self.wait_for_state(call, "FAILED", timeout=60)

        self.assertRegex(ended.error, r"cancelled after \d+ of 700 calls")
        self.assertIsNone(ended.replaced_by)
        again = task_execs.requeue(ended, timezone.now())
        self.wait_for_state(again, "SUCCEEDED")
        self.assertEqual(reload(again).result["changed"], 700)
        self.assertEqual(TaskExec.objects.filter(queue="mail", state="INTERRUPTED").count(), 700)
        self.assertEqual(LogEntry.objects.count(), 2)

    @contextmanager
    def locked_row(self):
        locked = TaskExec.objects.filter(queue="mail").order_by("pk")[237]
        with other_session() as other, other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(
                "SELECT id FROM toosimpleq_taskexec WHERE id = %s FOR UPDATE", [locked.pk]
            )
            yield locked
            cursor.execute("ROLLBACK")
