"""The invariants of a world can fail: each thing that they rule out is planted once."""

from datetime import timedelta
from types import SimpleNamespace

from django.test import TestCase

from django_toosimple_q.models import ScheduleExec, TaskExec
from tests.app.models import Effect
from tests.chaos.account import HELD
from tests.faults import invariants
from tests.faults.world import FOREIGN
from tests.support import NOW, States

SECOND = timedelta(seconds=1)


class InvariantTests(TestCase):
    """A right history of every kind of call, then one thing of it is wrong."""

    def setUp(self):
        self.plain = self.row("plain")
        self.failing = self.row("failing", States.FAILED)
        self.held = self.row("held", States.INTERRUPTED, error=HELD)
        self.atomic = self.row("atomic", args=["key"])
        Effect.objects.create(key="key")
        self.first = self.row("plain", States.INTERRUPTED)
        self.second = self.row("plain", root=self.first)
        self.change(self.first, replaced_by=self.second)
        self.foreign = self.row(FOREIGN, States.QUEUED)
        self.limited = [
            self.row("limited", started=NOW + at * SECOND, finished=NOW + (at + 1) * SECOND)
            for at in range(2)
        ]
        self.occurrences = [
            self.row("second", kwargs={"at": NOW + at * SECOND}) for at in range(1, 4)
        ]
        self.schedule = ScheduleExec.objects.create(name="seconds", last_due=NOW + 3 * SECOND)
        kinds = {"plain": self.plain, "failing": self.failing, "held": self.held}
        self.world = SimpleNamespace(
            acknowledged={row.pk: kind for kind, row in kinds.items()} | {self.first.pk: "plain"},
            cancelled=set(),
            rolled_back=["undone"],
            runs={self.plain.pk: 1, self.second.pk: 1},
            queued_at={"u": NOW},
            ran_at={"u": NOW},
            missed=NOW,
            old=[],
        )

    def row(self, name, state=States.SUCCEEDED, **fields):
        return TaskExec.objects.create(
            task_name=name, state=state, due=NOW, created=NOW, **{"args": [], "kwargs": {}} | fields
        )

    def change(self, row, **fields):
        TaskExec.objects.filter(pk=row.pk).update(**fields)

    def assert_broken(self, *expected):
        found = invariants.broken(self.world)
        self.assertEqual(len(found), len(expected), found)
        for text, part in zip(found, expected, strict=True):
            self.assertIn(part, text)

    def test_a_right_history(self):
        self.assert_broken()

    def test_a_call_without_an_end(self):
        self.change(self.plain, state=States.PROCESSING)

        self.assert_broken("plain is PROCESSING", "plain ends PROCESSING")

    def test_a_call_that_is_not_left_to_the_worker_that_knows_it(self):
        self.change(self.foreign, state=States.INVALID)

        self.assert_broken("not left to the worker that knows it")

    def test_a_row_that_is_gone(self):
        pk = self.plain.pk
        self.plain.delete()

        self.assert_broken(f"{pk} plain is gone")

    def test_a_wrong_end(self):
        self.change(self.failing, state=States.SUCCEEDED)
        self.change(self.held, error="stopped by chance")

        self.assert_broken("failing ends SUCCEEDED", "held ends INTERRUPTED")

    def test_a_row_that_was_rolled_back(self):
        pk = self.row("plain", args=["undone"]).pk

        self.assert_broken(f"{pk} was rolled back and is there")

    def test_an_outcome_that_came_after_the_rescue(self):
        self.change(self.first, state=States.SUCCEEDED)

        self.assert_broken("SUCCEEDED and was replaced")

    def test_an_interruption_for_nothing(self):
        self.row("plain", States.INTERRUPTED, error="?")

        self.assert_broken("is INTERRUPTED for nothing")

    def test_a_replacement_too_many(self):
        self.row("plain", root=self.first)

        self.assert_broken("calls have")

    def test_a_second_run(self):
        self.world.runs[self.plain.pk] = 2

        self.assert_broken("ran 2 times")

    def test_an_effect_too_many_and_one_too_few(self):
        Effect.objects.update(key="other")

        self.assert_broken("too many")

    def test_a_unique_call_that_ran_before_it_was_queued(self):
        self.world.queued_at["u"] = NOW + SECOND

        self.assert_broken("did not run after it was queued")

    def test_two_of_a_limited_task_at_once(self):
        self.change(self.limited[0], finished=NOW + 1.5 * SECOND)

        self.assert_broken("of a limited task began while")

    def test_a_first_occurrence_that_is_missing(self):
        self.occurrences[0].delete()

        self.assert_broken("the occurrences begin with")

    def test_an_occurrence_that_is_missing(self):
        self.occurrences[1].delete()

        self.assert_broken("only 2 occurrences were queued")

    def test_an_occurrence_that_was_queued_twice(self):
        self.row("second", kwargs={"at": NOW + 2 * SECOND})

        self.assert_broken("an occurrence was queued twice", "only 4 occurrences were queued")

    def test_a_schedule_that_forgets_its_last_occurrence(self):
        ScheduleExec.objects.update(last_due=NOW + 2 * SECOND)

        self.assert_broken("the last occurrence is")

    def test_an_old_row_that_was_not_pruned(self):
        self.world.old.append(self.plain.pk)

        self.assert_broken("was not pruned")
