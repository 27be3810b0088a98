"""Calls are cancelled while workers claim, begin and run them."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

from django.db import connection, connections

from django_toosimple_q import Cancellation
from django_toosimple_q.models import TaskExec
from tests.acceptance.processes import ProcessTests
from tests.app.tasks import sleep, until_interrupted
from tests.support import wait_for

LONGEST_BEAT = 5.0
MODES = ((), ("--threads=2",), ("--processes=2",), ("--until_done",))


class SureTests(ProcessTests):
    def test_what_is_cancelled_for_sure_never_begins_whatever_the_workers_do(self):
        for options in MODES:
            with self.subTest(options=options):
                calls = [(0.002, self.ledger, str(number)) for number in range(300)]
                rows = sleep.queue_many(calls)
                by_line = {row.args[2]: row.pk for row in rows}
                worker = self.worker("--no_schedules", *options, online=False)
                wait_for(lambda: len(self.lines()) > 5)

                shuffled = random.Random(1).sample(rows, 300)
                with ThreadPoolExecutor(2) as pool:
                    halves = pool.map(cancel_all, (shuffled[:150], shuffled[150:]))
                    found = {pk: what for half in halves for pk, what in half.items()}
                self.wait_until_drained()

                states = dict(TaskExec.objects.values_list("pk", "state"))
                begun = {by_line[line.split()[1]] for line in self.lines() if "began" in line}
                sure = {pk for pk, what in found.items() if what is Cancellation.CANCELLED}
                asked = {pk for pk, what in found.items() if what is Cancellation.ASKED}
                self.assertTrue(sure)
                self.assertEqual(sure & begun, set())
                self.assertEqual({states[pk] for pk in sure}, {"INTERRUPTED"})
                # Those run, or are let go; none of them is queued again.
                self.assertEqual({pk for pk in asked if states[pk] == "SUCCEEDED"}, asked & begun)
                self.assertEqual(len(states), 300)
                worker.end()
                TaskExec.objects.all().delete()
                self.forget_lines()


class ToldTests(ProcessTests):
    def test_a_worker_is_told_at_once(self):
        if connection.vendor != "postgresql":
            self.skipTest("only PostgreSQL tells hints apart; elsewhere a heartbeat finds it")
        for options in MODES:
            with self.subTest(options=options):
                row = until_interrupted.queue(self.ledger)
                worker = self.worker("--no_schedules", "--timeout=600", *options, online=False)
                for _ in range(4):
                    wait_for(lambda: self.lines() == ["began"])
                    # So that one can be told apart from the heartbeat's.
                    self.forget_lines()
                    following = until_interrupted.queue(self.ledger)
                    moment = time.monotonic()

                    self.assertIs(row.cancel(), Cancellation.ASKED)

                    self.wait_for_state(row, "SUCCEEDED")
                    self.times.append(time.monotonic() - moment)
                    row = following
                wait_for(lambda: self.lines() == ["began"])
                worker.end()
                TaskExec.objects.all().delete()
                self.forget_lines()
        # By heartbeats alone each would take half of one on average.
        self.assertLess(sorted(self.times)[len(self.times) // 2], LONGEST_BEAT / 5)

    def setUp(self):
        super().setUp()
        self.times = []


def cancel_all(rows):
    try:
        return {row.pk: row.cancel() for row in rows}
    finally:
        connections.close_all()
