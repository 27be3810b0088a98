"""What tasks report of their progress gets into their rows: soon, seldom, and in the end."""

import sys
from unittest import mock, skipIf, skipUnless

from asgiref.sync import sync_to_async
from django.db import DataError, connection
from django.test import TestCase, TransactionTestCase

from django_toosimple_q import current_task, track
from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store import progress as store
from django_toosimple_q.store import task_execs
from django_toosimple_q.testing import run_queued
from django_toosimple_q.text import last_line
from django_toosimple_q.worker import in_flight
from django_toosimple_q.worker.execution.output import TAIL_LENGTH, Output
from django_toosimple_q.worker.in_flight import InFlight
from tests.acceptance.processes import ProcessTests
from tests.app.tasks import count_up, count_up_async
from tests.support import (
    NOW,
    claim,
    isolate_registries,
    make_task,
    make_worker,
    registration_of,
    reload,
    wait_for,
)


def progress_of(row):
    row = reload(row)
    return row.progress_done, row.progress_total, row.progress_message


class EndTests(TestCase):
    """A worker that runs inline stores it when the task ends."""

    def setUp(self):
        isolate_registries(self)

    def run_task(self, func, **options):
        row = make_task("t", func, **options).queue()
        run_queued()
        return reload(row)

    def test_the_last_report_is_kept_with_the_outcome(self):
        def work():
            for number in range(5):
                current_task().progress(number, 5, f"number {number}")

        row = self.run_task(work)

        self.assertEqual((row.state, progress_of(row)), ("SUCCEEDED", (4, 5, "number 4")))

    def test_a_failure_keeps_how_far_it_came_and_the_next_attempt_begins_anew(self):
        def work():
            for number in track(range(5)):
                if number == 3:
                    raise ValueError

        row = self.run_task(work, retries=1, retry_delay=1000)

        self.assertEqual((row.state, progress_of(row)), ("FAILED", (3, 5, "")))
        self.assertEqual(progress_of(row.replaced_by), (None, None, None))

    def test_a_coroutine_and_the_threads_that_it_uses_report_alike(self):
        async def work():
            current_task().progress(1, 3)
            await sync_to_async(lambda: current_task().progress(2, 3, "in a thread"))()

        self.assertEqual(progress_of(self.run_task(work)), (2, 3, "in a thread"))

    def test_an_atomic_task_has_it_committed_with_its_outcome(self):
        row = self.run_task(lambda: current_task().progress(1, 2, "half"), atomic=True)

        self.assertEqual((row.state, progress_of(row)), ("SUCCEEDED", (1, 2, "half")))

    def test_an_atomic_task_that_fails_keeps_it_too(self):
        def work():
            current_task().progress(1, 2, "half")
            raise ValueError

        row = self.run_task(work, atomic=True)

        self.assertEqual((row.state, progress_of(row)), ("FAILED", (1, 2, "half")))

    def test_a_report_that_cannot_be_right_fails_the_task_and_says_why(self):
        row = self.run_task(lambda: current_task().progress("3"))

        self.assertEqual(row.error_type, "django_toosimple_q.exceptions.InvalidProgress")
        self.assertIn("Use a number, 0 or more", row.error_message)

    def test_a_task_without_reports_costs_no_statement(self):
        make_task("plain", lambda: None).queue()

        with mock.patch.object(store, "_write") as write:
            run_queued()

        write.assert_not_called()

    def test_a_message_that_the_database_does_not_have_characters_for_is_written_in_ascii(self):
        write, refused = store._write, []

        def refuse_accents(rows, *rest):
            if not all(row[3].isascii() for row in rows):
                refused.append(rows)
                raise DataError(1366, "Incorrect string value")
            return write(rows, *rest)

        with (
            mock.patch.object(store, "_write", refuse_accents),
            mock.patch.object(store, "queue_database") as database,
        ):
            database().is_data_error.side_effect = lambda error: isinstance(error, DataError)
            row = self.run_task(lambda: current_task().progress(1, 2, "é"))

        self.assertEqual((row.state, progress_of(row)), ("SUCCEEDED", (1, 2, r"'\xe9'")))
        self.assertEqual(len(refused), 1)


class RunningTestCase(TestCase):
    def setUp(self):
        isolate_registries(self)
        make_task("t", lambda n: None).queue_many([1, 2])
        make_task("a", lambda: None, atomic=True).queue()
        self.me = make_worker()
        self.in_flight = InFlight(registration_of(self.me))
        self.rows = claim(self.me)
        self.in_flight.ready.extend(self.rows)
        self.first, self.second, self.atomic = (self.in_flight.take() for _ in range(3))


class RunningTests(RunningTestCase):
    def test_it_is_stored_at_most_once_a_second(self):
        self.first.progress(1, 9)
        self.second.progress(2, 9, "both")
        with mock.patch.object(in_flight.time, "monotonic", return_value=100.0):
            self.in_flight.store_progress()
            self.first.progress(5, 9)
            with self.assertNumQueries(0):
                self.in_flight.store_progress()

        self.assertEqual(progress_of(self.first.pk), (1, 9, ""))
        self.assertEqual(progress_of(self.second.pk), (2, 9, "both"))

        with mock.patch.object(in_flight.time, "monotonic", return_value=101.1):
            self.in_flight.store_progress()

        self.assertEqual(progress_of(self.first.pk), (5, 9, ""))

    def test_what_is_stored_already_is_not_written_again(self):
        self.first.progress(1, 9)
        self.in_flight.store_progress()
        self.in_flight.progress_due = 0

        with self.assertNumQueries(0):
            self.in_flight.store_progress()

    def test_the_row_of_an_atomic_task_is_left_to_its_own_transaction(self):
        self.atomic.progress(1, 9)

        with self.assertNumQueries(0):
            self.in_flight.store_progress()

    def test_a_row_that_is_no_longer_ours_stays_as_it_is(self):
        TaskExec.objects.filter(pk=self.first.pk).update(worker=self.me.worker_id + 1)
        self.first.progress(1, 9)

        self.in_flight.store_progress()

        self.assertEqual(progress_of(self.first.pk), (None, None, None))

    def test_an_outcome_that_is_stored_early_takes_it_along(self):
        self.first.progress(3, 9)

        self.in_flight.finish_running(self.first, Outcome("FAILED", NOW, NOW), NOW)

        self.assertEqual(progress_of(self.first.pk), (3, 9, ""))
        self.assertEqual(reload(self.first.pk).state, "FAILED")

    def test_reports_of_several_get_into_their_own_rows(self):
        for row, done in ((self.second, 2), (self.first, 1)):
            row.progress(done)

        task_execs.store_progress([self.second, self.first], self.me.worker_id)

        self.assertEqual([progress_of(row.pk)[0] for row in (self.first, self.second)], [1, 2])


class TailTests(RunningTestCase):
    """The end of what a task prints gets into its row while it runs."""

    def setUp(self):
        super().setUp()
        for row in self.rows:
            row.output = Output()

    def tail_of(self, row):
        return reload(row.pk).output_tail

    def store(self):
        self.in_flight.progress_due = 0
        self.in_flight.store_progress()

    def test_it_is_stored_at_most_once_a_second_and_only_what_is_new(self):
        self.first.output.write("stdout", "one\n")
        with mock.patch.object(in_flight.time, "monotonic", return_value=100.0):
            self.in_flight.store_progress()
            self.first.output.write("stderr", "two\n")
            with self.assertNumQueries(0):
                self.in_flight.store_progress()
        self.assertEqual((self.tail_of(self.first), self.tail_of(self.second)), ("one\n", None))

        self.store()
        self.assertEqual(self.tail_of(self.first), "one\ntwo\n")
        with self.assertNumQueries(0):
            self.store()

    def test_the_row_keeps_no_more_than_the_end(self):
        for number in range(3000):
            self.first.output.write("stdout", f"line {number}\n")
        self.second.output.write("stdout", "x" * 200_000 + "\x00\ud800")

        self.store()

        self.assertEqual(len(self.tail_of(self.first)), TAIL_LENGTH)
        self.assertTrue(self.tail_of(self.first).endswith("line 2999\n"))
        self.assertLess(len(self.tail_of(self.second)), TAIL_LENGTH + 20)
        self.assertTrue(self.tail_of(self.second).endswith(r"x\x00\ud800"))
        self.assertLessEqual(self.first.tail.size, 2 * TAIL_LENGTH)

    def test_tasks_that_print_nothing_cost_no_statement_and_wait_for_no_lock(self):
        self.in_flight.exchange = mock.MagicMock()

        with self.assertNumQueries(0):
            self.store()

        self.in_flight.exchange.__enter__.assert_not_called()

    def test_the_row_of_an_atomic_task_and_one_of_others_stay(self):
        TaskExec.objects.filter(pk=self.first.pk).update(worker=self.me.worker_id + 1)
        for row in (self.first, self.atomic):
            row.output.write("stdout", "x")

        self.store()

        self.assertEqual((self.tail_of(self.first), self.tail_of(self.atomic)), (None, None))

    def test_characters_that_the_database_does_not_have_are_escaped(self):
        write, refused = store._write, []

        def refuse_accents(rows, *rest):
            if not all(row[-1].isascii() for row in rows):
                refused.append(rows)
                raise DataError(1366, "Incorrect string value")
            return write(rows, *rest)

        self.first.output.write("stdout", "é\nb")
        with (
            mock.patch.object(store, "_write", refuse_accents),
            mock.patch.object(store, "queue_database") as database,
        ):
            database().is_data_error.side_effect = lambda error: isinstance(error, DataError)
            self.store()

        self.assertEqual((self.tail_of(self.first), len(refused)), ("\\xe9\nb", 1))

    def test_what_is_printed_while_it_is_read_is_written_the_next_time(self):
        output, write = self.first.output, store._write

        def print_more(*args):
            output.write("stdout", " more")
            return write(*args)

        output.write("stdout", "some")
        with mock.patch.object(store, "_write", print_more):
            self.store()
        self.store()

        self.assertEqual(self.tail_of(self.first), "some more")


@skipIf(connection.vendor == "sqlite", "SQLite locks no rows")
class LockTests(TransactionTestCase):
    """What another session does to the row of one task keeps nothing of the others."""

    def setUp(self):
        isolate_registries(self)
        make_task("t", lambda n: None).queue_many([1, 2])
        me = make_worker()
        self.in_flight = InFlight(registration_of(me))
        self.in_flight.ready.extend(claim(me))
        self.first, self.second = (self.in_flight.take() for _ in range(2))
        for row in (self.first, self.second):
            row.progress(1, 2)
            row.output = Output()
            row.output.write("stdout", "text")
        self.other = connection.copy()
        self.other.set_autocommit(False)
        self.addCleanup(self.other.close)

    def stored(self, row):
        row = reload(row.pk)
        return row.progress_done, row.output_tail

    def test_a_row_that_is_locked_is_passed_over_until_it_is_free(self):
        with self.other.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM toosimpleq_taskexec WHERE id = %s FOR UPDATE", [self.first.pk]
            )
        with mock.patch.object(in_flight, "PROGRESS_SECONDS", 0):
            self.in_flight.store_progress()
            self.assertEqual(
                (self.stored(self.first), self.stored(self.second)), ((None, None), (1, "text"))
            )

            self.other.rollback()
            self.in_flight.store_progress()

        self.assertEqual(self.stored(self.first), (1, "text"))

    @skipUnless(connection.vendor == "postgresql", "elsewhere such a lock keeps writers out")
    def test_a_row_that_an_open_transaction_refers_to_is_written(self):
        with self.other.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM toosimpleq_taskexec WHERE id = %s FOR KEY SHARE", [self.first.pk]
            )

        self.in_flight.store_progress()

        self.assertEqual(self.stored(self.first), (1, "text"))


class TailOfTaskTests(TestCase):
    def test_a_task_that_runs_has_it_and_one_that_has_ended_does_not(self):
        isolate_registries(self)
        seen = []

        def work():
            row = current_task()
            seen.append((row, row.tail))
            print("one")
            print("two", file=sys.stderr)
            seen.append((row, row.tail.text()))

        row = make_task("t", work).queue()
        run_queued()

        (claimed, before), (_, after) = seen
        self.assertEqual((before, after), (None, "one\ntwo\n"))
        self.assertIsNone(claimed.tail)
        self.assertEqual((reload(row).stdout, reload(row).output_tail), ("one\n", None))

    def test_the_last_line_is_what_a_terminal_shows(self):
        for text, line in (
            ("", ""),
            ("a\nb\n\n", "b"),
            ("10 %\r 20 %\r", "20 %"),
            ("x" * 500, "x" * 299 + "…"),
        ):
            self.assertEqual(last_line(text), line)


class LiveTests(ProcessTests):
    """Real workers show it while the task runs."""

    def test_it_is_shown_while_the_task_runs(self):
        for task in (count_up, count_up_async):
            for threads in ("1", "2"):
                with self.subTest(task=task.task.name, threads=threads):
                    worker = self.worker("--no_schedules", f"--threads={threads}")
                    row = task.queue(self.ledger)

                    wait_for(lambda row=row: progress_of(row) == (1, 3, "one"), timeout=60)
                    wait_for(lambda row=row: reload(row).output_tail == "printed one\n", timeout=60)
                    self.assertEqual(reload(row).state, "PROCESSING")
                    with open(self.ledger, "a") as file:
                        file.write("go\n")
                    self.wait_for_state(row, "SUCCEEDED", timeout=60)

                    self.assertEqual(progress_of(row), (3, 3, "three"))
                    self.forget_lines()
                    worker.end()
