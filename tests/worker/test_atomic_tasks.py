"""An atomic task that leaves its transaction, or whose transaction the server ends."""

import select
from contextlib import contextmanager, suppress

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import TransactionTestCase

from django_toosimple_q.models import TaskExec
from django_toosimple_q.registry import tasks_registry
from tests.app.models import Effect
from tests.faults.wrapper import cut
from tests.support import isolate_registries, make_task, reload

only_servers = pytest.mark.skipif(connection.vendor == "sqlite", reason="a file ends no session")
# What lets a server end sessions that stand idle in a transaction, here after a second at most.
IDLE = {
    "postgresql": {"options": "-c idle_in_transaction_session_timeout=300"},
    "mysql": {"init_command": "SET SESSION idle_transaction_timeout = 1"},
}


def execute(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


class AtomicTaskTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)
        connection.close()
        self.addCleanup(connection.close)

    def run_task(self, act, **options):
        """Run an atomic task that writes before and after it acts; return its first row."""

        def write():
            Effect.objects.create(key="before")
            act()
            Effect.objects.create(key="after")

        row = make_task("writes", write, atomic=True, **options).queue()
        neighbour = make_task("neighbour", lambda: Effect.objects.create(key="neighbour").key)
        after = neighbour.queue()
        call_command("worker", "--until_done", "-v0")
        self.assertEqual(reload(after).state, "SUCCEEDED", reload(after).error)
        self.assertFalse(connection.in_atomic_block)
        return reload(row)

    def assert_failed(self, row, reason):
        self.assertEqual(row.state, "FAILED")
        self.assertIn(reason, row.error)

    def keys(self):
        return sorted(Effect.objects.values_list("key", flat=True))

    # It leaves its transaction

    def test_ending_the_transaction_is_a_failure(self):
        begin = "BEGIN" if connection.vendor != "mysql" else "START TRANSACTION"
        for statements in (["COMMIT"], ["ROLLBACK"], ["COMMIT", begin], ["ROLLBACK", begin]):
            with self.subTest(statements):
                row = self.run_task(lambda statements=statements: execute(*statements))

                self.assert_failed(row, "it ended the transaction that it runs in")

    def test_so_it_is_when_the_driver_ends_it(self):
        for end in ("commit", "rollback"):
            with self.subTest(end):
                row = self.run_task(lambda end=end: getattr(connection.connection, end)())

                self.assert_failed(row, "it ended the transaction that it runs in")

    @pytest.mark.skipif("connection.vendor != 'mysql'", reason="others define in transactions")
    def test_a_statement_that_commits_ends_it(self):
        self.addCleanup(execute, "DROP TABLE IF EXISTS defined")

        row = self.run_task(lambda: execute("CREATE TABLE defined (id int)"))

        self.assert_failed(row, "it ended the transaction that it runs in")

    @pytest.mark.skipif(connection.vendor != "mysql", reason="elsewhere no procedure can commit")
    def test_a_procedure_that_commits_ends_it(self):
        for body, fails in (("COMMIT", True), ("SELECT 1", False)):
            with self.subTest(body):
                TaskExec.objects.all().delete()
                tasks_registry.clear()
                execute(
                    "DROP PROCEDURE IF EXISTS toosimpleq_proc",
                    f"CREATE PROCEDURE toosimpleq_proc() BEGIN {body}; END",
                )

                row = self.run_task(lambda: execute("CALL toosimpleq_proc()"))

                if fails:
                    self.assert_failed(row, "it ended the transaction that it runs in")
                else:
                    self.assertEqual(row.state, "SUCCEEDED", row.error)
        execute("DROP PROCEDURE toosimpleq_proc")

    @pytest.mark.skipif(connection.vendor != "mysql", reason="elsewhere no procedure can commit")
    def test_so_it_does_as_the_last_statement_and_among_savepoints(self):
        def at_the_end():
            execute("CALL toosimpleq_proc()")

        def prepared():
            execute("PREPARE p FROM 'COMMIT'", "EXECUTE p")

        def harmless():
            with transaction.atomic():
                execute("CALL toosimpleq_none()")
                with suppress(DatabaseError), transaction.atomic():
                    execute("CALL toosimpleq_none()", "SELECT nonsense")
            execute("CALL toosimpleq_none()")

        execute(
            "DROP PROCEDURE IF EXISTS toosimpleq_proc",
            "CREATE PROCEDURE toosimpleq_proc() COMMIT",
            "DROP PROCEDURE IF EXISTS toosimpleq_none",
            "CREATE PROCEDURE toosimpleq_none() SELECT 1",
        )
        rows = [
            make_task(act.__name__, act, atomic=True).queue()
            for act in (at_the_end, prepared, harmless)
        ]
        call_command("worker", "--until_done", "-v0")
        execute("DROP PROCEDURE toosimpleq_proc", "DROP PROCEDURE toosimpleq_none")

        self.assertEqual([reload(row).state for row in rows], ["FAILED", "FAILED", "SUCCEEDED"])

    def test_closing_the_connection_is_a_failure_and_no_loss(self):
        row = self.run_task(connection.close)

        self.assertEqual((row.state, row.replaced_by, self.keys()), ("FAILED", None, ["neighbour"]))

    def test_so_it_is_for_a_task_that_does_nothing_more(self):
        row = make_task("closes", lambda: connection.close(), atomic=True).queue()
        call_command("worker", "--until_done", "-v0")

        self.assert_failed(reload(row), "it closed the connection of the transaction")

    def test_marking_it_for_rollback_is_a_failure(self):
        row = make_task("marks", lambda: transaction.set_rollback(True), atomic=True).queue()
        call_command("worker", "--until_done", "-v0")

        self.assert_failed(reload(row), "marked the transaction that it runs in for rollback")

    def test_savepoints_of_its_own_are_no_end(self):
        def use():
            with transaction.atomic():
                Effect.objects.create(key="inner")
            execute("SAVEPOINT own")
            Effect.objects.create(key="undone")
            execute("ROLLBACK TO SAVEPOINT own")

        row = self.run_task(use)

        self.assertEqual(row.state, "SUCCEEDED", row.error)
        self.assertEqual(self.keys(), ["after", "before", "inner", "neighbour"])

    @pytest.mark.skipif("connection.vendor != 'postgresql'", reason="schemas are PostgreSQL's")
    def test_an_outcome_that_would_go_elsewhere_is_a_failure_and_takes_its_effects_back(self):
        execute("CREATE SCHEMA elsewhere")
        self.addCleanup(execute, "DROP SCHEMA elsewhere CASCADE")
        table = TaskExec._meta.db_table
        execute(f"CREATE TABLE elsewhere.{table} (LIKE public.{table} INCLUDING ALL)")

        row = self.run_task(lambda: execute("SET search_path TO elsewhere, public"))

        self.assert_failed(row, "its row was not found on its own connection")
        self.assertEqual(self.keys(), ["neighbour"])

    def test_its_retries_are_kept(self):
        attempts = []

        def close_once():
            attempts.append(1)
            if len(attempts) == 1:
                connection.close()

        row = make_task("once", close_once, atomic=True, retries=1).queue()
        call_command("worker", "--until_done", "-v0")

        self.assertEqual(reload(reload(row).replaced_by).state, "SUCCEEDED")

    # The database refuses its commit

    @pytest.mark.skipif("connection.vendor == 'mysql'", reason="it defers no constraint")
    def test_a_constraint_that_the_commit_breaks_keeps_its_retries(self):
        def break_it():
            Permission.objects.create(name="x", codename="x", content_type_id=2**31 - 1)

        row = self.run_task(break_it, retries=1)

        self.assert_failed(row, "its effects could not be committed: IntegrityError")
        last = reload(row.replaced_by)
        self.assertEqual((last.state, last.attempt, last.replaced_by), ("FAILED", 2, None))
        self.assertEqual(self.keys(), ["neighbour"])

    # The server ends its transaction

    @contextmanager
    def impatient_server(self):
        options = connection.settings_dict["OPTIONS"]
        before = dict(options)
        connection.close()
        options.update(IDLE[connection.vendor])
        try:
            yield
        finally:
            options.clear()
            options.update(before)
            connection.close()

    def idle(self):
        """Stand idle until the server has had enough."""
        raw = connection.connection
        number = raw.fileno()
        self.assertTrue(select.select([number], [], [], 20)[0], "the server has not ended it")

    @only_servers
    def test_a_transaction_that_stood_idle_too_long_is_a_failure_and_keeps_its_retries(self):
        def idle_and_catch():
            self.idle()
            try:
                Effect.objects.count()
            except DatabaseError:
                raise ValueError("out of reach") from None

        def write_and_idle():
            Effect.objects.create(key="lost")
            self.idle()

        for name, act in (("caught", idle_and_catch), ("noticed by a query", self.idle)):
            with self.subTest(name), self.impatient_server():
                self.assert_ended_by_the_server(self.run_task(act, retries=1))
        with self.subTest("noticed by the commit"), self.impatient_server():
            row = make_task("idles", write_and_idle, atomic=True, retries=1).queue()
            call_command("worker", "--until_done", "-v0")
            self.assert_ended_by_the_server(reload(row))

    def assert_ended_by_the_server(self, row):
        self.assert_failed(row, "the server ended its transaction after")
        last = reload(row.replaced_by)
        self.assertEqual((last.state, last.attempt, last.replaced_by), ("FAILED", 2, None))
        self.assertNotIn("before", self.keys())
        self.assertNotIn("lost", self.keys())

    @only_servers
    def test_a_limit_that_the_task_has_set_itself_counts_as_well(self):
        limit = {
            "postgresql": "SET idle_in_transaction_session_timeout = 300",
            "mysql": "SET SESSION idle_transaction_timeout = 1",
        }[connection.vendor]

        def act():
            execute(limit)
            self.idle()

        self.assert_ended_by_the_server(self.run_task(act, retries=1))

    @only_servers
    def test_a_connection_that_is_cut_under_an_impatient_server_is_replaced(self):
        with self.impatient_server():
            row = self.run_task(lambda: cut(connection.vendor, connection.connection), retries=1)

        self.assertEqual((row.state, row.replaced_by.retries), ("INTERRUPTED", 1), row.error)
