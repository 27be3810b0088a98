"""Processes that stand still with locks in hand, and sessions of a site that keep them for long."""

import inspect
import os
import subprocess
import sys
from datetime import timedelta
from typing import Any
from unittest import mock, skipIf

from django.db import DatabaseError, connection, transaction
from django.test import TransactionTestCase
from django.utils import timezone

from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import (
    ConcurrencyKey,
    QueueStatus,
    ScheduleExec,
    TaskExec,
    WorkerStatus,
)
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.store import queues, task_execs, workers
from django_toosimple_q.store.transaction import passing_over_locks, patience
from django_toosimple_q.worker.maintenance import Maintenance
from django_toosimple_q.worker.scheduler import Scheduler
from tests.acceptance.processes import ROOT, ProcessTests, environment
from tests.app.tasks import echo, ledger, sleep, two_at_once, unique
from tests.faults.frozen import ACTS, IDLE_SECONDS
from tests.faults.sessions import elsewhere, other_session
from tests.support import make_worker, registration_of, wait_for

MYSQL = connection.vendor == "mysql"
MODELS = (TaskExec, ScheduleExec, WorkerStatus, ConcurrencyKey, QueueStatus)
# For all that another worker does in a turn and a beat. Each lock that it meets costs two at most.
OTHERS_SECONDS = 20
# A unique call is claimed by itself, before those that were queued after it.
MOST_CLAIMS = 4


def stopped(process: "subprocess.Popen[bytes]") -> bool:
    """Return whether a process stands still; fail when it has ended."""
    found = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if found is not None and found.si_code != os.CLD_STOPPED:
        raise AssertionError(f"the process has ended with {process.wait()}")
    return found is not None


def work_as_another() -> list[str]:
    """Do what a worker does, all of it; return the states of the plain calls that it ran."""
    now = timezone.now()
    me = make_worker("another", "a", now=now, timeout=timedelta(minutes=5))
    mine = [row.pk for row in echo.queue_many([(1,), (2,), (3,)])]
    task_execs.wake(now)
    buckets = task_execs.backlog(now).buckets
    done: list[Any] = []
    for _ in range(MOST_CLAIMS):
        finished = done
        _, claimed = task_execs.finish_and_claim(finished, me, buckets, 100, now)
        done = [(row, Outcome("SUCCEEDED", now, now)) for row in claimed]
    with passing_over_locks():
        queues.ensure({"default", "mails"})
    schedules = Scheduler(list(schedules_registry.values()))
    schedules.sync(now)
    schedules.run_once(now + timedelta(seconds=1))
    workers.beat(*me)
    Maintenance(registration_of(me), patient=True).run_once(now)
    rows = TaskExec.objects.filter(pk__in=mine).order_by("pk")
    return list(rows.values_list("state", flat=True))


def free() -> bool:
    """Return whether no row of ours is locked."""
    try:
        with transaction.atomic():
            for model in MODELS:
                list(model.objects.select_for_update(nowait=True).values_list("pk"))
    except DatabaseError:
        return False
    return True


@skipIf(connection.vendor == "sqlite", "SQLite has one writer, and ends no session")
class FrozenTests(TransactionTestCase):
    def freeze(self, name):
        code = f"import django; django.setup(); from tests.faults.frozen import *; freeze({name!r})"
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment())

        def end():
            process.kill()
            process.wait(10)

        self.addCleanup(end)
        wait_for(lambda: stopped(process))

    def test_in_what_is_done_with_calls(self):
        self.check("claim", "claim_limited", "finish", "run_atomically", "wake", "release")

    def test_in_what_is_done_for_others(self):
        self.check("rescue", "recover", "requeue_known", "prune", "declare_dead")

    def test_in_what_is_done_with_schedules_and_workers(self):
        self.check("advance", "sync", "force", "register", "beat", "stop")

    def test_in_what_callers_do(self):
        self.check("ensure", "pause", "cancel", "requeue", "queue_many_unique")

    def test_none_is_left_out(self):
        source = inspect.getsource(FrozenTests)

        self.assertEqual([name for name in ACTS if f'"{name}"' not in source], [])

    def check(self, *names):
        """Let a process stand still in each: others go on meanwhile, and its locks fall."""
        for name in names:
            with self.subTest(name=name):
                self._fixture_teardown()
                try:
                    self.freeze(name)
                    # A row that is not committed yet is no row to lock, but keeps its name taken.
                    self.assertTrue(name == "ensure" or not free())

                    states = elsewhere(work_as_another, OTHERS_SECONDS)

                    self.assertEqual(states, ["SUCCEEDED"] * 3)
                    wait_for(free, timeout=IDLE_SECONDS + 5)
                finally:
                    # Its locks would keep the next one from an empty table.
                    self.doCleanups()


@skipIf(connection.vendor == "sqlite", "SQLite has one writer")
class LockedBySiteTests(ProcessTests):
    """A session of the site locks rows of ours for long."""

    def setUp(self):
        super().setUp()
        two_at_once.queue(0, self.ledger, "first")
        self.started = self.worker("--threads=1")
        self.wait_until_drained()

    def test_a_worker_goes_on_past_each_lock_and_does_not_end(self):
        row = sleep.queue(0.5, self.ledger, "running")
        wait_for(lambda: "began running" in self.lines())
        locks = {
            "a running call": TaskExec.objects.filter(pk=row.pk),
            "a concurrency key": ConcurrencyKey.objects.all(),
            "the schedules": ScheduleExec.objects.all(),
            "the workers": WorkerStatus.objects.all(),
            "the queues": QueueStatus.objects.all(),
        }
        for what, rows in locks.items():
            with self.subTest(what=what), other_session() as other, other.cursor() as cursor:
                cursor.execute("BEGIN")
                sql, params = rows.values("pk").query.sql_with_params()
                cursor.execute(f"{sql} FOR UPDATE", params)
                self.assertTrue(cursor.fetchall())

                two_at_once.queue(0, self.ledger, "limited")
                plain = [ledger.queue(self.ledger, f"{what} {number}") for number in range(3)]
                for one in plain:
                    self.wait_for_state(one, "SUCCEEDED", timeout=15)

                cursor.execute("ROLLBACK")
                self.wait_until_drained()
        self.assertEqual(self.last_of(row).attempt, 1)
        self.assertEqual(TaskExec.objects.get(pk=row.pk).state, "SUCCEEDED")
        self.assertIsNone(self.started.process.poll(), self.started.log())
        self.assertNotIn("Traceback", self.started.log())
        self.assertLessEqual(self.started.log().count("database is busy"), 1, self.started.log())
        self.assertNotIn("database lost", self.started.log())


@skipIf(connection.vendor == "sqlite", "SQLite locks the file")
class LockedTableTests(ProcessTests):
    def test_calls_of_plain_tasks_go_on_while_a_table_beside_theirs_is_locked(self):
        worker = self.worker("--threads=1")
        # Schedules point to calls: InnoDB locks both tables for a statement on the latter.
        tables = ["toosimpleq_concurrencykey", *([] if MYSQL else ["toosimpleq_scheduleexec"])]
        for table in tables:
            with self.subTest(table=table), other_session() as other, other.cursor() as cursor:
                two_at_once.queue(0, self.ledger, f"limited {table}")
                self.wait_until_drained()
                if MYSQL:
                    cursor.execute(f"LOCK TABLES {table} WRITE")
                else:
                    cursor.execute("BEGIN")
                    cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")

                two_at_once.queue(0, self.ledger, f"limited {table} again")
                for number in range(3):
                    row = ledger.queue(self.ledger, f"{table} {number}")
                    self.wait_for_state(row, "SUCCEEDED", timeout=15)

                cursor.execute("UNLOCK TABLES" if MYSQL else "ROLLBACK")
                self.wait_until_drained()
        self.assertIsNone(worker.process.poll(), worker.log())
        self.assertNotIn("Traceback", worker.log())
        self.assertNotIn("database lost", worker.log())
        self.assertLessEqual(worker.log().count("database is busy"), 1, worker.log())


class CallerTests(TransactionTestCase):
    @skipIf(connection.vendor == "sqlite", "SQLite has one writer")
    def test_one_that_was_given_a_waiting_call_keeps_no_other_from_queueing(self):
        unique.queue("k")

        with transaction.atomic():
            unique.queue("k")
            row = elsewhere(echo.queue)

        self.assertEqual(TaskExec.objects.get(pk=row.pk).state, "QUEUED")


class PatienceTests(TransactionTestCase):
    @skipIf(connection.vendor == "sqlite", "SQLite has no such settings")
    def test_the_session_is_left_as_it_was(self):
        names = {
            "postgresql": ["lock_timeout", "idle_in_transaction_session_timeout"],
            "mysql": ["innodb_lock_wait_timeout", "lock_wait_timeout", "wait_timeout"],
        }[connection.vendor]
        before = [self.setting(name) for name in names]

        with mock.patch.object(patience, "idle", 7):
            seen = self.settings_inside(names)

        self.assertEqual([self.setting(name) for name in names], before)
        self.assertTrue(all(one != other for one, other in zip(seen, before, strict=True)), seen)

    def settings_inside(self, names):
        """Return the settings of the session while a worker's transaction runs."""
        echo.queue()
        me = make_worker()
        found = []

        def look(execute, sql, params, many, context):
            result = execute(sql, params, many, context)
            if "SET state = 'PROCESSING'" in sql:
                with connection.connection.cursor() as raw:
                    for name in names:
                        raw.execute(f"SHOW VARIABLES LIKE '{name}'" if MYSQL else f"SHOW {name}")
                        found.append(raw.fetchone()[-1])
            return result

        with connection.execute_wrapper(look):
            buckets = task_execs.backlog(timezone.now()).buckets
            task_execs.finish_and_claim([], me, buckets, 1, timezone.now())
        return found

    def setting(self, name):
        with connection.cursor() as cursor:
            cursor.execute(f"SHOW VARIABLES LIKE '{name}'" if MYSQL else f"SHOW {name}")
            return cursor.fetchone()[-1]
