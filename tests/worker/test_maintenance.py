"""Who counts as dead: a stale heartbeat alone proves nothing."""

from datetime import timedelta
from unittest import mock

from django.test import TestCase

from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.worker.identity import own_identity
from django_toosimple_q.worker.maintenance import Maintenance
from tests.support import NOW, ago, claim, gone, isolate_registries, make_task, make_worker

TIMEOUT = timedelta(seconds=6)  # a beat each second


class DeclareTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        mine = make_worker("me", timeout=TIMEOUT)
        make_worker("other", incarnation="o", timeout=TIMEOUT, now=ago(seconds=10))
        self.maintenance = Maintenance(WorkerStatus.objects.get(pk=mine.worker_id), patient=True)

    def declared(self, *moments):
        """Look after each of the moments and return at which ones the other counted as dead."""
        dead = []
        for moment in moments:
            with mock.patch("time.monotonic", return_value=1000.0 + moment):
                self.maintenance.run_once(NOW)
            if WorkerStatus.objects.get(label="other").rescued:
                dead.append(moment)
        return dead

    def test_a_stale_worker_is_dead_that_has_not_beaten_over_two_beats(self):
        self.assertEqual(self.declared(0, 1, 2), [2])

    def test_beats_that_come_in_a_bunch_count_once(self):
        self.assertEqual(self.declared(0, 0.1, 0.2, 1, 1.1, 2), [2])

    def test_what_was_seen_before_we_were_held_up_ourselves_does_not_count(self):
        self.assertEqual(self.declared(0, 1, 9, 9.1, 10, 11), [11])


class OwnerlessTests(TestCase):
    def test_a_row_without_its_worker_s_row_waits_for_that_to_come_back(self):
        isolate_registries(self)
        make_task().queue()
        claim(make_worker("gone"))
        WorkerStatus.objects.all().delete()
        me = make_worker("me", timeout=TIMEOUT)
        maintenance = Maintenance(WorkerStatus.objects.get(pk=me.worker_id), patient=True)
        rescued = {}

        for moment in (0, 1, 5.9, 6):
            with mock.patch("time.monotonic", return_value=1000.0 + moment):
                rescued[moment] = maintenance.run_once(NOW)

        self.assertEqual(rescued, {0: 0, 1: 0, 5.9: 0, 6: 1})


class GoneTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.me = own_identity()
        mine = make_worker("me", timeout=TIMEOUT, host=self.me.host, place=self.me.place)
        self.maintenance = Maintenance(WorkerStatus.objects.get(pk=mine.worker_id), patient=True)

    def declared(self, place):
        make_worker("other", incarnation="o", host=self.me.host, place=place, pid=gone())
        self.maintenance.run_once(NOW)
        return WorkerStatus.objects.get(label="other").rescued is not None

    def test_a_worker_whose_process_is_gone_is_dead_at_once(self):
        self.assertTrue(self.declared(self.me.place))

    def test_a_process_that_has_its_id_elsewhere_is_not_looked_for_here(self):
        self.assertFalse(self.declared(f"{self.me.place}0"))
