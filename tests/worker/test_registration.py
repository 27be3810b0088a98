"""A label is no identity: who may take a row over that stands under it."""

import os
import socket
from datetime import timedelta
from pathlib import Path
from unittest import mock, skipUnless

from django.test import SimpleTestCase, TestCase

from django_toosimple_q.exceptions import LabelInUse
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.worker import registration
from django_toosimple_q.worker.registration import own_host_id, register
from tests.support import NOW, claim, gone, isolate_registries, make_task, make_worker, reload

HERE = socket.gethostname()
PLACE = own_host_id(HERE)
TIMEOUT = timedelta(minutes=5)


class SameLabelTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def other(self, **fields):
        return make_worker("w", incarnation="other", timeout=TIMEOUT, **fields)

    def register(self, *, default=False, wait=None, now=lambda: NOW):
        settings = {"timeout": TIMEOUT, "tasks": []}
        return register("w", label_is_default=default, settings=settings, now=now, wait=wait)

    def test_a_live_process_of_this_host_keeps_it(self):
        self.other(host=HERE, host_id=PLACE, pid=os.getppid())

        with self.assertRaisesRegex(LabelInUse, f"held by process {os.getppid()} on this host"):
            self.register()

    def test_a_new_one_takes_no_id_that_a_living_worker_has_put_back_after_a_flush(self):
        last = self.other()
        for number in (1, 2):
            # As one is put back: the sequence of PostgreSQL does not notice.
            WorkerStatus(
                pk=last.worker_id + number, label=f"back{number}", last_tick=NOW, timeout=TIMEOUT
            ).save(force_insert=True)

        row = register(
            "new",
            label_is_default=False,
            settings={"timeout": TIMEOUT, "tasks": []},
            now=lambda: NOW,
            wait=None,
        )

        self.assertGreater(row.pk, last.worker_id + 2)

    def test_what_a_process_held_that_is_gone_from_this_host_is_taken_over(self):
        other = self.other(host=HERE, host_id=PLACE, pid=gone())
        make_task().queue()
        [claimed] = claim(other)

        row = self.register()

        self.assertEqual((row.pk, row.pid), (other.worker_id, os.getpid()))
        self.assertNotEqual(row.incarnation, "other")
        self.assertEqual(reload(claimed).state, "INTERRUPTED")

    def test_our_own_process_id_is_no_proof_of_life(self):
        # In a container that was started again, every worker has the same one.
        other = self.other(host=HERE, host_id=PLACE, pid=os.getpid())

        self.assertEqual(self.register().pk, other.worker_id)

    def test_a_default_label_of_another_host_gets_the_host_s_name(self):
        self.other(host="elsewhere", pid=1)

        self.assertEqual(self.register(default=True).label, f"w@{HERE}")
        self.assertEqual(WorkerStatus.objects.count(), 2)

    def test_a_host_of_the_same_name_is_another_host(self):
        # Containers on their host's network have its name, and process ids of their own.
        self.other(host=HERE, host_id=f"{PLACE}0", pid=gone())

        with self.assertRaisesRegex(LabelInUse, f"held by a worker on {HERE}"):
            self.register()
        self.assertRegex(self.register(default=True).label, "^w-[0-9a-f]{6}$")
        self.assertIsNone(WorkerStatus.objects.get(label="w").rescued)

    def test_default_labels_of_any_number_of_hosts_with_one_name_differ(self):
        for label in ("w", f"w@{HERE}"):
            make_worker(label, incarnation="other", timeout=TIMEOUT, host="elsewhere")

        self.assertRegex(self.register(default=True).label, f"^w@{HERE}-[0-9a-f]{{6}}$")

    def test_a_given_label_of_another_host_waits_until_that_one_has_timed_out(self):
        other = self.other(host="elsewhere", pid=1)
        moments = [NOW + timedelta(minutes=2), NOW + timedelta(minutes=2), NOW + TIMEOUT * 2]
        waited = []

        row = self.register(wait=waited.append, now=lambda: moments[len(waited) * 2])

        self.assertEqual(waited, [180.0])
        self.assertEqual(row.pk, other.worker_id)

    def test_a_given_label_that_another_host_has_left_is_free_at_once(self):
        self.other(host="elsewhere", host_id="elsewhere", pid=1, stopped=NOW)

        self.register()

        self.assertNotEqual(WorkerStatus.objects.get().incarnation, "other")

    def test_one_that_cannot_wait_is_refused(self):
        self.other(host="elsewhere", pid=1)

        with self.assertRaisesRegex(LabelInUse, "held by a worker on elsewhere"):
            self.register()


class HostIdTests(SimpleTestCase):
    @skipUnless(registration.BOOT_ID.exists(), "no /proc")
    def test_it_differs_between_pid_namespaces_and_between_boots(self):
        here = own_host_id("host")

        with mock.patch.object(registration, "PID_NAMESPACE", Path(__file__)):
            self.assertNotEqual(own_host_id("host"), here)
        with mock.patch.object(registration, "BOOT_ID", Path(__file__)):
            self.assertNotEqual(own_host_id("host"), here)

    def test_where_neither_is_known_it_is_the_host_but_for_the_first_process(self):
        with mock.patch.object(registration, "BOOT_ID", Path("/nowhere")):
            self.assertEqual(own_host_id("host"), "host")
            with mock.patch("os.getpid", return_value=1):
                self.assertEqual(own_host_id("host"), "")
