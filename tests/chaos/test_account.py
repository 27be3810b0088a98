"""The account of a storm can fail: each thing that it rules out is planted once."""

import tempfile
from pathlib import Path

from django.test import TestCase

from django_toosimple_q.models import TaskExec
from tests.app.models import Effect
from tests.chaos.account import HELD, Call, settle
from tests.support import NOW, States


class AccountTests(TestCase):
    """A right history of a plain, an atomic, a rescued and a held call, then one thing is wrong."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.ledger = Path(folder.name) / "ledger"
        self.plain = self.row(States.SUCCEEDED)
        self.atomic = self.row(States.SUCCEEDED)
        self.first = self.row(States.INTERRUPTED)
        self.second = self.row(States.SUCCEEDED, root=self.first)
        self.change(self.first, replaced_by=self.second)
        self.held = self.row(States.INTERRUPTED, error=HELD)
        Effect.objects.create(key="atomic")
        self.calls = {
            self.plain.pk: Call("plain", "plain"),
            self.atomic.pk: Call("atomic", "atomic"),
            self.first.pk: Call("again", "plain"),
            self.held.pk: Call("held", "held"),
        }
        self.events = [
            *("began plain", "ended plain", "began atomic", "ended atomic"),
            *("began again", "began again", "ended again", "began held"),
        ]

    def row(self, state, **fields):
        return TaskExec.objects.create(task_name="t", state=state, due=NOW, created=NOW, **fields)

    def change(self, row, **fields):
        TaskExec.objects.filter(pk=row.pk).update(**fields)

    def assert_broken(self, *expected):
        self.ledger.write_text("".join(f"{event}\n" for event in self.events))
        broken = settle(self.calls, self.ledger).broken
        self.assertEqual(len(broken), len(expected), broken)
        for text, name in zip(broken, expected, strict=True):
            self.assertTrue(text.startswith(f"{name}: "), broken)

    def test_a_right_history(self):
        self.assert_broken()

    def test_a_row_that_is_gone(self):
        self.plain.delete()

        self.assert_broken("lost", "ends of chains beyond calls")

    def test_a_call_without_an_end(self):
        self.change(self.plain, state=States.QUEUED)

        self.assert_broken("lost", "stuck")

    def test_a_call_that_failed(self):
        self.change(self.plain, state=States.FAILED)

        self.assert_broken("lost", "innocents FAILED")

    def test_an_outcome_that_came_after_the_rescue(self):
        self.change(self.first, state=States.SUCCEEDED)

        self.assert_broken("late outcomes kept", "runs that no death explains")

    def test_a_call_that_was_let_go(self):
        self.change(self.held, error="interrupted")

        self.assert_broken("INTERRUPTED, neither replaced nor held")

    def test_a_replacement_too_many(self):
        self.change(self.row(States.SUCCEEDED), root=self.first)

        self.assert_broken("ends of chains beyond calls")

    def test_a_success_that_never_ran(self):
        self.events.remove("ended plain")

        self.assert_broken("SUCCEEDED and not in the ledger")

    def test_an_effect_that_was_doubled(self):
        Effect.objects.create(key="atomic")

        self.assert_broken("doubled effects of atomic tasks")

    def test_an_atomic_call_whose_effect_is_gone(self):
        Effect.objects.all().delete()

        self.assert_broken("atomic: SUCCEEDED without effect, or reverse")

    def test_an_effect_of_an_atomic_call_that_did_not_succeed(self):
        self.change(self.atomic, state=States.INTERRUPTED, error=HELD)

        self.assert_broken("lost", "atomic: SUCCEEDED without effect, or reverse")

    def test_a_second_run_of_a_call_that_nobody_interrupted(self):
        self.events.append("began plain")

        self.assert_broken("runs that no death explains")

    def test_a_second_run_of_a_held_call(self):
        self.events.append("began held")

        self.assert_broken("held tasks that began twice")
