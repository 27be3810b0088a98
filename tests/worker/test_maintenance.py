"""Who counts as dead: a stale heartbeat alone proves nothing."""

from datetime import timedelta
from unittest import mock

from django.test import TestCase

from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.worker.maintenance import Maintenance
from django_toosimple_q.worker.registration import own_identity
from tests.support import (
    NOW,
    ago,
    claim,
    gone,
    isolate_registries,
    make_task,
    make_worker,
    registration_of,
    reload,
)

BEAT = 2.0
TIMEOUT = timedelta(seconds=6 * BEAT)


class DeclareTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        mine = make_worker("me", timeout=TIMEOUT)
        make_worker("other", incarnation="o", timeout=TIMEOUT, now=ago(seconds=20))
        self.maintenance = Maintenance(registration_of(mine), patient=True)

    def declared(self, *moments):
        """Look at each of the moments, in beats; return at which ones the other counted as dead."""
        dead = []
        for moment in moments:
            with mock.patch("time.monotonic", return_value=1000.0 + moment * BEAT):
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


class OldWorkerTests(TestCase):
    """A worker of 1.x: its row knows of no process, and it makes what it does not know INVALID."""

    def setUp(self):
        isolate_registries(self)
        make_task()
        self.old = WorkerStatus.objects.create(label="old", last_tick=NOW, started=NOW)
        self.maintenance = Maintenance(registration_of(make_worker("me")), patient=True)

    def run_at(self, seconds, now=NOW):
        with mock.patch("time.monotonic", return_value=1000.0 + seconds):
            self.maintenance.run_once(now)

    def test_one_that_lives_is_reported_at_once_and_every_minute(self):
        with self.assertLogs("toosimpleq", "ERROR") as logs:
            for seconds in (0, 5, 30, 59, 61):
                self.run_at(seconds)

        self.assertEqual(len(logs.output), 2)
        self.assertIn("Stop all workers of 1.x now: labels=old", logs.output[0])

    def test_one_that_has_ended_is_not(self):
        self.old.delete()
        WorkerStatus.objects.create(label="ended", last_tick=NOW, stopped=NOW)
        WorkerStatus.objects.create(label="silent", last_tick=ago(hours=2))

        with self.assertNoLogs("toosimpleq", "ERROR"):
            self.run_at(0)

    def test_once_it_is_gone_what_waited_is_queued_again(self):
        waiting = TaskExec.objects.create(task_name="t", state="INVALID")
        self.run_at(0)
        self.run_at(5)
        self.assertEqual(reload(waiting).state, "INVALID", "the other would meet it again")

        WorkerStatus.objects.filter(pk=self.old.pk).update(stopped=NOW)
        self.run_at(10)

        self.assertEqual(reload(waiting).state, "QUEUED")


class OwnerlessTests(TestCase):
    def test_a_row_without_its_worker_s_row_waits_for_that_to_come_back(self):
        isolate_registries(self)
        make_task().queue()
        claim(make_worker("gone"))
        WorkerStatus.objects.all().delete()
        me = make_worker("me", timeout=TIMEOUT)
        maintenance = Maintenance(registration_of(me), patient=True)
        rescued = {}

        for moment in (0, 1, 5.9, 6):
            with mock.patch("time.monotonic", return_value=1000.0 + moment * BEAT):
                rescued[moment] = maintenance.run_once(NOW)

        self.assertEqual(rescued, {0: 0, 1: 0, 5.9: 0, 6: 1})


class GoneTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.me = own_identity()
        mine = make_worker("me", timeout=TIMEOUT, host=self.me.host, host_id=self.me.host_id)
        self.maintenance = Maintenance(registration_of(mine), patient=True)

    def declared(self, host_id):
        make_worker("other", incarnation="o", host=self.me.host, host_id=host_id, pid=gone())
        self.maintenance.run_once(NOW)
        return WorkerStatus.objects.get(label="other").rescued is not None

    def test_a_worker_whose_process_is_gone_is_dead_at_once(self):
        self.assertTrue(self.declared(self.me.host_id))

    def test_a_process_that_has_its_id_elsewhere_is_not_looked_for_here(self):
        self.assertFalse(self.declared(f"{self.me.host_id}0"))
