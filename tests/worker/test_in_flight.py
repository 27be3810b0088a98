"""What a worker does with the rows in flight."""

from unittest import mock

from django.db import OperationalError
from django.test import TestCase

from django_toosimple_q.execution import Outcome
from django_toosimple_q.store import task_execs
from django_toosimple_q.store.task_execs import Bucket
from django_toosimple_q.worker.in_flight import InFlight
from tests.support import (
    NOW,
    claim,
    isolate_registries,
    make_task,
    make_worker,
    registration_of,
    states,
)


class InFlightTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        make_task().queue_many([(1,), (2,), (3,)])
        me = make_worker()
        self.in_flight = InFlight(registration_of(me))
        self.rows = claim(me)
        self.in_flight.ready.extend(self.rows)

    def end(self, row):
        self.in_flight.put(row, Outcome("SUCCEEDED", NOW, NOW))

    def test_a_quarantined_row_runs_while_nothing_else_does(self):
        first, quarantined, last = self.rows
        quarantined.crash_count = 1

        self.assertIs(self.in_flight.take(), first)
        self.assertIsNone(self.in_flight.take())
        self.end(first)
        self.assertIs(self.in_flight.take(), quarantined)
        self.assertIsNone(self.in_flight.take())
        self.end(quarantined)
        self.assertIs(self.in_flight.take(), last)

    def test_an_outcome_is_stored_once(self):
        self.end(self.in_flight.take())

        self.assertEqual(self.in_flight.flush(NOW), 1)

        self.assertEqual(len(self.in_flight.ids()), 2)
        with self.assertNumQueries(0):
            self.assertEqual(self.in_flight.flush(NOW), 0)

    def test_a_row_that_is_put_back_is_ready_and_does_not_run(self):
        row = self.in_flight.take()

        self.in_flight.put_back(row)

        self.assertEqual((self.in_flight.running, self.in_flight.ready[0]), ({}, row))
        self.assertEqual(self.in_flight.scoreboard.snapshot().running, frozenset())

    def test_a_row_whose_outcome_is_in_the_database_already_is_in_flight_no_more(self):
        row = self.in_flight.take()

        self.assertTrue(self.in_flight.put(row, None))

        self.assertNotIn(row.pk, self.in_flight.ids())
        self.assertEqual(self.in_flight.scoreboard.snapshot().running, frozenset())

    def test_who_may_claim_no_more_and_has_no_outcomes_asks_the_database_nothing(self):
        with self.assertNumQueries(0):
            self.assertEqual(
                self.in_flight.finish_and_claim([Bucket("default")], 0, NOW, []), (0, 0)
            )

    def test_rows_in_flight_are_no_strays(self):
        self.end(self.in_flight.take())
        self.in_flight.take()

        self.assertEqual(self.in_flight.reconcile(NOW), 0)

        self.assertEqual(states(), ["PROCESSING"] * 3)

    def test_what_is_released_starts_nowhere_else_though_the_answer_is_lost(self):
        release = task_execs.release

        def lose_answer(*args):
            release(*args)
            raise OperationalError

        with (
            mock.patch.object(task_execs, "release", lose_answer),
            self.assertRaises(OperationalError),
        ):
            self.in_flight.release_ready(NOW)

        self.assertIsNone(self.in_flight.take())
        self.assertEqual(states(), ["QUEUED"] * 3)

    def test_what_could_not_be_released_is_released_later(self):
        with (
            mock.patch.object(task_execs, "release", side_effect=OperationalError),
            self.assertRaises(OperationalError),
        ):
            self.in_flight.release_ready(NOW)
        self.assertEqual(states(), ["PROCESSING"] * 3)

        self.in_flight.reconcile(NOW)

        self.assertEqual(states(), ["QUEUED"] * 3)

    def test_rows_that_are_ours_and_not_in_flight_are_released(self):
        self.in_flight.ready.clear()

        self.assertEqual(self.in_flight.reconcile(NOW), 3)

        self.assertEqual(states(), ["QUEUED"] * 3)
