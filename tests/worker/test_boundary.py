"""A task leaves nothing behind: the next one, and the worker, start clean."""

import os
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor

from django.core.management import call_command
from django.db import connection, transaction
from django.test import TransactionTestCase
from django.utils import timezone, translation

from django_toosimple_q.models import TaskExec
from django_toosimple_q.worker.boundary import Boundary
from tests.app.models import Effect
from tests.support import isolate_registries, make_task, reload

open_blocks = []


class BoundaryTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)

    def run_task(self, func, name="t", **options):
        row = make_task(name, func, **options).queue()
        call_command("worker", "--until_done", "-v0")
        return reload(row)

    def test_a_transaction_left_open_is_rolled_back_and_told(self):
        def leave():
            block = transaction.atomic()
            block.__enter__()
            open_blocks.append(block)
            Effect.objects.create(key="lost")

        row = self.run_task(leave)

        self.assertEqual((row.state, Effect.objects.count()), ("FAILED", 0))
        self.assertIn("it left a transaction open, now rolled back", row.error)
        self.assertFalse(connection.in_atomic_block)

    def test_so_is_a_block_left_open_in_an_atomic_task(self):
        def leave():
            for _ in range(2):
                block = transaction.atomic()
                block.__enter__()
                open_blocks.append(block)
            Effect.objects.create(key="lost")

        row = self.run_task(leave, atomic=True)
        after = self.run_task(lambda: Effect.objects.create(key="kept").key, "next", atomic=True)

        self.assertEqual((row.state, after.state), ("FAILED", "SUCCEEDED"))
        self.assertIn("it left a transaction open, now rolled back", row.error)
        self.assertEqual(list(Effect.objects.values_list("key", flat=True)), ["kept"])
        self.assertFalse(connection.in_atomic_block)
        with transaction.atomic(durable=True):
            self.assertEqual(connection.savepoint_ids, [])

    def test_a_block_left_open_inside_a_caller_s_transaction_is_rolled_back(self):
        def leave():
            transaction.atomic().__enter__()
            Effect.objects.create(key="lost")

        with transaction.atomic():
            row = self.run_task(leave)
            self.assertEqual((row.state, Effect.objects.count()), ("FAILED", 0))

    def test_so_is_one_on_a_connection_that_the_task_opened_first(self):
        def run():
            boundary = Boundary()
            open_blocks.append(transaction.atomic())
            open_blocks[-1].__enter__()
            return boundary.restore(), connection.in_atomic_block

        with ThreadPoolExecutor(1) as threads:
            self.assertEqual(threads.submit(run).result(), (True, False))

    def test_neither_does_one_that_the_task_left_and_removed(self):
        with tempfile.TemporaryDirectory() as name:
            self.addCleanup(os.chdir, os.getcwd())
            os.chdir(name)

            def leave():
                os.chdir("/")
                os.rmdir(name)

            row = self.run_task(leave)
            os.mkdir(name)

        self.assertEqual(row.state, "SUCCEEDED")

    def test_autocommit_switched_off_is_switched_on_again(self):
        def leave():
            transaction.set_autocommit(False)
            Effect.objects.create(key="lost")

        row = self.run_task(leave)
        after = self.run_task(lambda: Effect.objects.create(key="kept").key, name="next")

        self.assertEqual((row.state, after.state), ("FAILED", "SUCCEEDED"))
        self.assertEqual(list(Effect.objects.values_list("key", flat=True)), ["kept"])

    def test_a_connection_that_a_task_broke_is_not_the_next_one_s(self):
        def break_it():
            Effect.objects.count()
            # So that the driver has nothing left to close with.
            connection.connection.close()
            try:
                Effect.objects.count()
            except Exception as error:
                return type(error).__name__

        row = self.run_task(break_it)
        after = self.run_task(lambda: Effect.objects.count(), name="next")

        self.assertEqual((row.state, after.state, after.result), ("SUCCEEDED", "SUCCEEDED", 0))

    def test_zone_language_folder_umask_and_signal_handlers_are_put_back(self):
        before = (
            timezone.get_current_timezone(),
            translation.get_language(),
            os.getcwd(),
            signal.getsignal(signal.SIGTERM),
        )
        mask = os.umask(0o022)
        self.addCleanup(os.umask, mask)

        def change():
            timezone.activate("Asia/Tokyo")
            translation.activate("de")
            os.chdir(tempfile.gettempdir())
            os.umask(0o077)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

        row = self.run_task(change)

        self.assertEqual(row.state, "SUCCEEDED", row.error)
        after = (
            timezone.get_current_timezone(),
            translation.get_language(),
            os.getcwd(),
            signal.getsignal(signal.SIGTERM),
        )
        self.assertEqual(after, before)
        self.assertEqual(os.umask(0o022), 0o022)

    def test_a_folder_that_is_gone_harms_nobody(self):
        def vanish():
            folder = tempfile.mkdtemp()
            os.chdir(folder)
            os.rmdir(folder)

        self.assertEqual(self.run_task(vanish).state, "SUCCEEDED")
        self.assertEqual(TaskExec.objects.count(), 1)
        os.getcwd()
