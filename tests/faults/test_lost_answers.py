"""One fault at a time, at the worst moment: the answer of a commit, or the database half way."""

from contextlib import ExitStack
from unittest import mock

from django.db import connection
from django.test import TransactionTestCase

from django_toosimple_q.models import TaskExec, WorkerStatus
from tests.app.models import Effect
from tests.faults.world import FOREIGN, Member
from tests.faults.wrapper import LOST_AFTER, Faults
from tests.support import isolate_registries, make_task, states


class LostAnswerTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)
        self.runs = []
        # Nothing fails by chance.
        self.faults = Faults(connection, seed=0, share=0)
        stack = ExitStack()
        stack.enter_context(self.faults.installed())
        stack.enter_context(self.faults.blowing())
        self.addCleanup(connection.close)
        self.addCleanup(stack.close)
        self.member = Member("w")
        self.member.step()

    def run_until_idle(self):
        while self.member.step():
            pass

    def test_a_claim_whose_answer_was_lost_is_handed_back_and_runs_once(self):
        rows = make_task(func=lambda n: self.runs.append(n)).queue_many([(n,) for n in range(3)])
        self.faults.commits = [(LOST_AFTER, 0)]

        self.member.step()

        claimed = TaskExec.objects.get(pk=rows[0].pk)
        self.assertEqual((claimed.state, claimed.worker_id), ("PROCESSING", self.me.pk))
        self.assertEqual(self.runs, [])
        self.member.beat()
        self.assertEqual(states(), ["QUEUED"] * 3)
        self.run_until_idle()
        self.assertEqual((states(), self.runs), (["SUCCEEDED"] * 3, [0, 1, 2]))

    def test_that_a_claim_is_released_is_reported(self):
        make_task().queue()
        self.faults.commits = [(LOST_AFTER, 0)]
        self.member.step()

        with self.assertLogs("toosimpleq", "INFO") as logs:
            self.member.beat()
            self.member.beat()

        [line] = logs.output
        self.assertIn("a claim was committed but its reply was lost: label=w count=1", line)

    def test_an_outcome_whose_commit_was_not_answered_is_stored_once(self):
        make_task(func=lambda: 1 / 0, retries=1, retry_delay=3600).queue()
        self.member.step()
        self.faults.commits = [(LOST_AFTER, 0)]

        with self.assertLogs("toosimpleq") as logs:
            self.run_until_idle()

        self.assertNotIn("dropped", " ".join(logs.output))
        self.assertEqual(self.faults.commits, [])
        self.assertEqual(states(), ["FAILED", "SLEEPING"])
        self.assertFalse(self.member.worker.in_flight.busy)

    def test_an_atomic_task_whose_commit_was_not_answered_took_effect_once(self):
        for away in (0, 1, 5):
            with self.subTest(statements_away=away):
                TaskExec.objects.all().delete()
                Effect.objects.all().delete()
                make_task(f"atomic {away}", self.write_and_lose(away), atomic=True).queue()

                self.run_until_idle()
                self.member.beat()
                self.run_until_idle()

                self.assertEqual((Effect.objects.count(), states()), (1, ["SUCCEEDED"]))
                self.assertFalse(self.member.worker.in_flight.busy)

    def write_and_lose(self, away):
        def write_and_lose():
            Effect.objects.create(key="k")
            self.faults.commits = [(LOST_AFTER, away)]

        return write_and_lose

    def test_a_row_whose_task_nobody_could_be_asked_about_stays_in_flight(self):
        WorkerStatus.objects.create(label="other", host="elsewhere", tasks=[FOREIGN])
        TaskExec.objects.create(task_name=FOREIGN)
        look = self.member.worker.runner.left_to_others

        def ask_in_vain(claimed, outcome):
            self.faults.away = 1
            return look(claimed, outcome)

        self.member.worker.runner.left_to_others = ask_in_vain
        self.member.step()
        self.member.worker.runner.left_to_others = look

        self.run_until_idle()

        self.assertEqual(states(), ["QUEUED"])
        self.assertFalse(self.member.worker.in_flight.busy)

    def test_one_that_leaves_waits_for_the_database_with_an_outcome_in_hand(self):
        make_task().queue()
        self.member.step()
        self.assertEqual(states(), ["PROCESSING"])

        self.faults.away = 2
        with mock.patch.object(self.member.worker.wakeup, "wait") as wait:
            self.member.worker.empty()

        wait.assert_called()
        self.assertEqual(states(), ["SUCCEEDED"])

    def test_a_worker_that_lost_the_database_while_it_entered_enters_again(self):
        self.member.worker.liveness.fenced = True
        synchronize = self.member.worker.clock.synchronize
        self.member.worker.clock.synchronize = self.lose

        self.member.step()
        self.member.worker.clock.synchronize = synchronize
        self.member.step()

        self.assertEqual(self.me.state, "ONLINE")
        self.assertFalse(self.member.worker.liveness.fenced)

    def lose(self):
        self.faults.away = 1
        WorkerStatus.objects.count()

    @property
    def me(self):
        return WorkerStatus.objects.get(label="w")
