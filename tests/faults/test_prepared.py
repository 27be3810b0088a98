"""Errors that a new connection cures, such as of a statement prepared before a migration."""

import os
from contextvars import copy_context
from unittest import mock, skipUnless

from django.db import (
    DataError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    connection,
)
from django.test import TransactionTestCase

from django_toosimple_q.execution import running
from django_toosimple_q.store.transaction import in_bounded_transaction, patience
from tests.acceptance.processes import ProcessTests
from tests.app.models import Effect
from tests.app.tasks import atomic_twice, echo, unique
from tests.faults.sessions import other_session
from tests.support import claimed

# Columns that each step of a worker and of a caller reads, as a migration may widen them.
WIDENED = {
    "toosimpleq_taskexec": ("task_name", "queue", "concurrency_key", "unique_hash"),
    "toosimpleq_workerstatus": ("label", "host", "incarnation"),
    "toosimpleq_scheduleexec": ("name", "state"),
    "toosimpleq_queuestatus": ("name",),
    "toosimpleq_concurrencykey": ("name",),
}


@skipUnless(connection.vendor == "postgresql", "only PostgreSQL refuses a plan that it has cached")
class PreparedTests(ProcessTests):
    def setUp(self):
        super().setUp()
        patched = mock.patch.dict(os.environ, TOOSIMPLEQ_TEST_PREPARED="on")
        patched.start()
        self.addCleanup(patched.stop)
        self.lengths = self.widths()
        self.addCleanup(lambda: self.alter(self.lengths))

    def widths(self):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_name, column_name, character_maximum_length"
                " FROM information_schema.columns WHERE table_name LIKE 'toosimpleq_%'"
            )
            found = {(table, column): length for table, column, length in cursor.fetchall()}
        return {(t, c): found[t, c] for t, columns in WIDENED.items() for c in columns}

    def alter(self, lengths):
        """Change the columns as a migration does, one table after the other."""
        for (table, column), length in lengths.items():
            with other_session() as other, other.cursor() as cursor:
                cursor.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE varchar({length})")

    def check(self, *options):
        worker = self.worker(*options)
        self.run_each_kind()

        for more in (1, 2, 3):
            self.alter({key: length + more for key, length in self.lengths.items()})
            self.run_each_kind()

        self.assertIsNone(worker.process.poll(), worker.log())
        self.assertNotIn("Traceback", worker.log())

    def run_each_kind(self):
        Effect.objects.all().delete()
        rows = [*echo.queue_many([(n,) for n in range(5)]), unique.queue("k")]
        rows.append(atomic_twice.queue(self.ledger, 0))
        for row in rows:
            self.wait_for_state(row, "SUCCEEDED")

    def test_a_worker_goes_on(self):
        self.check("--timeout=6")

    def test_one_with_threads_goes_on(self):
        self.check("--timeout=6", "--threads=2")


class OnceMoreTests(TransactionTestCase):
    """What becomes of an error that no value is to blame for, in any step of the queue's own."""

    def setUp(self):
        self.tries = []
        connection.ensure_connection()

    def step(self, *errors):
        """Run a step whose first tries raise these errors; return the sessions of its tries."""
        left = list(errors)

        @in_bounded_transaction
        def fail(connection):
            connection.ensure_connection()
            self.tries.append(connection.connection)
            if left:
                raise left.pop(0)

        with mock.patch.object(patience, "renews", self.in_worker):
            fail()
        return self.tries

    in_worker = True

    def test_a_worker_tries_again_on_a_new_connection(self):
        first, second = self.step(NotSupportedError("cached plan must not change result type"))

        self.assertIsNot(first, second)

    def test_but_only_once(self):
        with self.assertRaisesMessage(ProgrammingError, "two"):
            self.step(ProgrammingError("one"), ProgrammingError("two"))

        self.assertEqual(len(self.tries), 2)

    def test_not_where_a_value_is_at_fault(self):
        for error in (DataError("value"), IntegrityError("value")):
            with self.assertRaises(type(error)):
                self.step(error)

        self.assertEqual(len(self.tries), 2)

    def test_a_site_keeps_its_connection(self):
        self.in_worker = False

        with self.assertRaises(ProgrammingError):
            self.step(ProgrammingError("one"))

        self.assertEqual(len(self.tries), 1)

    def test_so_does_a_task(self):
        def run():
            running.set(claimed())
            self.step(ProgrammingError("one"))

        with self.assertRaises(ProgrammingError):
            copy_context().run(run)

        self.assertEqual(len(self.tries), 1)
