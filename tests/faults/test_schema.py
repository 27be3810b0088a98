"""A migration under workers: old code runs on the new schema."""

from django.db import connection

from django_toosimple_q.models import TaskExec
from tests.acceptance.processes import ProcessTests
from tests.app.models import Effect
from tests.app.tasks import atomic_twice, echo, fail_once, ledger, second, sleep, unique
from tests.faults.sessions import TABLES, other_session
from tests.support import wait_for

TABLES_OF_A_RELEASE = (*TABLES, "toosimpleq_scheduleexec")


class MigrationTests(ProcessTests):
    def setUp(self):
        super().setUp()
        self.added = []
        self.addCleanup(self.drop_columns)

    def drop_columns(self):
        with connection.cursor() as cursor:
            for table in self.added:
                cursor.execute(f"ALTER TABLE {table} DROP COLUMN from_the_future")

    def add_columns(self):
        """Do what a migration of a later release might: a column that old code knows nothing of."""
        for table in TABLES_OF_A_RELEASE:
            with other_session() as other, other.cursor() as cursor:
                cursor.execute(
                    f"ALTER TABLE {table} ADD COLUMN from_the_future INTEGER NOT NULL DEFAULT 0"
                )
            self.added.append(table)

    def test_old_workers_and_old_callers_go_on_under_a_column_more(self):
        worker = self.worker("--threads=2")
        running = sleep.queue(1.5, self.ledger, "running")
        wait_for(lambda: self.lines() == ["began running"])

        self.add_columns()

        rows = [ledger.queue(self.ledger, "after"), *echo.queue_many([(n,) for n in range(20)])]
        rows += [unique.queue("k"), atomic_twice.queue(self.ledger, 0), running]
        retried = fail_once.queue(f"{self.ledger} of attempts")
        for row in rows:
            self.wait_for_state(row, "SUCCEEDED")
        wait_for(lambda: self.last_of(retried).state == "SUCCEEDED")
        self.assertEqual(Effect.objects.count(), 2)
        occurrences = TaskExec.objects.filter(task_name=second.task.name, state="SUCCEEDED")
        seen = occurrences.count()
        wait_for(lambda: occurrences.count() > seen)
        newer = self.worker("--no_schedules")
        self.assertIsNone(worker.process.poll(), worker.log())
        self.assertNotIn("Traceback", worker.log() + newer.log())
