"""Whatever a task does to its session, the queue goes on and the next task finds a fresh one."""

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.db.backends.signals import connection_created
from django.test import TransactionTestCase
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TransactionTestCase as PropertyTestCase

from django_toosimple_q.databases import database_of
from django_toosimple_q.models import TaskExec
from django_toosimple_q.worker.execution.isolation import LentConnection
from tests.app.models import Effect
from tests.app.sessions import (
    FAILING,
    LEFT_OPEN,
    TAMPERING,
    change_the_driver,
    report,
    tamper,
    tampering,
)
from tests.support import isolate_registries, make_task, reload

# What a project may have each new session begin with.
OPENING = {
    "postgresql": "SET statement_timeout = 60000",
    "mysql": "SET @receiver = 1",
    "sqlite": "PRAGMA busy_timeout = 4000",
}


def drain():
    call_command("worker", "--until_done", "-v0")


class SessionTests(TransactionTestCase):
    def setUp(self):
        connection.close()
        self.addCleanup(connection.close)
        self.vendor = connection.vendor
        row = report.queue()
        drain()
        self.fresh = reload(row).result

    def assert_put_back(self, row, kinds=()):
        after = report.queue()
        drain()

        row, after = reload(row), reload(after)
        failed = {*LEFT_OPEN[self.vendor], *FAILING[self.vendor]}.intersection(kinds)
        self.assertEqual(row.state, "FAILED" if failed else "SUCCEEDED", row.error)
        if LEFT_OPEN[self.vendor].intersection(kinds):
            self.assertIn("it left a transaction open, now rolled back", row.error)
        self.assertEqual((after.state, after.result), ("SUCCEEDED", self.fresh), after.error)
        self.assertFalse(Effect.objects.filter(key="lost").exists())

    def test_what_a_statement_changes_is_not_the_next_task_s(self):
        for raw in (False, True):
            for kind in tampering():
                with self.subTest(kind, raw=raw):
                    self.assert_put_back(tamper.queue([kind], raw), [kind])

    def test_nor_is_what_is_changed_at_the_driver(self):
        self.assert_put_back(change_the_driver.queue())

    def test_a_session_that_was_only_used_is_the_next_task_s(self):
        def use():
            with transaction.atomic():
                Effect.objects.create(key="a; b")
                with transaction.atomic():
                    list(Effect.objects.select_for_update())
            if self.vendor == "postgresql":
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute("SET LOCAL statement_timeout = 1000")
                    cursor.execute("SELECT pg_advisory_xact_lock(1)")
                    cursor.execute("SELECT SET_CONFIG('work_mem', '1MB', true)")
            used.append(connection.connection)

        used = []
        isolate_registries(self)
        make_task("use", use).queue_many([(), (), ()])
        drain()

        self.assertEqual(len(used), 3, TaskExec.objects.last().error)
        self.assertEqual(len({id(raw) for raw in used}), 1)

    def test_what_receivers_do_to_a_new_session_belongs_to_it(self):
        def receive(connection, **kwargs):
            with connection.cursor() as cursor:
                cursor.execute(OPENING[self.vendor])

        used = []
        isolate_registries(self)

        def use():
            Effect.objects.count()
            used.append(connection.connection)

        task = make_task("use", use)
        connection_created.connect(receive)
        self.addCleanup(connection_created.disconnect, receive)
        connection.close()
        task.queue_many([(), (), ()])
        drain()

        self.assertEqual(len({id(raw) for raw in used}), 1)
        self.assertEqual(len(used), 3)

    @pytest.mark.skipif("connection.vendor != 'postgresql'", reason="its functions may SET")
    def test_an_outcome_that_a_changed_session_refuses_is_stored_over_a_new_one(self):
        def hide():
            with connection.cursor() as cursor:
                cursor.execute("SELECT public.hide()")

        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE FUNCTION public.hide() RETURNS text LANGUAGE sql AS"
                " $$ SELECT set_config('search_path', 'pg_catalog', false) $$"
            )
        self.addCleanup(self.drop_function)
        isolate_registries(self)
        row = make_task("hide", hide).queue()
        drain()

        self.assertEqual(reload(row).state, "SUCCEEDED", reload(row).error)

    def drop_function(self):
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION public.hide()")

    def test_nothing_is_noticed_any_more_once_the_worker_has_ended(self):
        connection.ensure_connection()
        before = set(connection.__dict__)
        type_before = getattr(connection.connection, "cursor_factory", None)
        drain()

        self.assertEqual(set(connection.__dict__), before)
        self.assertEqual(getattr(connection.connection, "cursor_factory", None), type_before)
        if self.vendor == "mysql":
            self.assertNotIn("query", connection.connection.__dict__)


class AnySequenceTests(PropertyTestCase):
    """Sequences of what a task may do to its session, by chance."""

    @settings(max_examples=15, deadline=None)
    @given(st.data())
    def test_whatever_a_task_does_to_its_session_its_neighbours_outcomes_are_stored(self, data):
        kind = st.sampled_from(sorted(tampering()))
        kinds = st.lists(kind, min_size=1, max_size=3)
        calls = data.draw(st.lists(st.tuples(kinds, st.booleans()), min_size=1, max_size=4))
        connection.close()
        first = report.queue()
        rows = [(tamper.queue(kinds, raw), report.queue()) for kinds, raw in calls]

        drain()

        fresh = reload(first).result
        for tampering_row, neighbour in rows:
            self.assertIn(reload(tampering_row).state, ("SUCCEEDED", "FAILED"))
            neighbour = reload(neighbour)
            self.assertEqual(
                (neighbour.state, neighbour.result), ("SUCCEEDED", fresh), neighbour.error
            )


class LentConnectionTests(TransactionTestCase):
    """A connection for tasks beside the queue's own, in one thread."""

    def setUp(self):
        self.own = connections["default"]
        self.own.ensure_connection()
        self.lent = LentConnection(self.own)
        self.addCleanup(self.lent.close)

    def test_tasks_never_see_the_connection_that_the_queue_uses(self):
        with self.lent.swapped_in():
            self.assertIsNot(connections["default"], self.own)
            Effect.objects.create(key="by a task")
            with self.lent.set_aside():
                self.assertIs(connections["default"], self.own)

        self.assertIs(connections["default"], self.own)
        self.assertEqual(Effect.objects.get().key, "by a task")


@pytest.mark.django_db
@pytest.mark.parametrize("sql", ["SELECT 1", "select 'a; SET x = 1'", "/* a */ SELECT 1;"])
def test_statements_that_only_read_are_no_change(sql):
    assert noticed(sql) == (False, False)


def noticed(sql):
    """Return what a session of this run's database is taken to be after a statement."""
    connection.ensure_connection()
    database = database_of(connection)
    session = database.watch(connection.connection)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
    finally:
        database.unwatch(connection.connection)
    return session.changed, session.ended


def test_each_database_has_its_tampering():
    assert set(TAMPERING) == {"postgresql", "mysql", "sqlite"}
