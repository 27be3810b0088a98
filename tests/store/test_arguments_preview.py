"""The text of the arguments goes with a call through all of its rows."""

from django.test import TestCase

from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store import task_execs
from tests.support import NOW, claim, isolate_registries, make_task, make_worker


class ArgumentsPreviewTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.task = make_task(retries=2)

    def previews(self):
        rows = TaskExec.objects.order_by("pk")
        return list(rows.values_list("arguments_preview", flat=True))

    def test_a_queued_call_has_it(self):
        self.task.queue(1, "a", b=None)
        self.task.queue_many([2, 3])

        self.assertEqual(self.previews(), ["1, 'a', b=None", "2", "3"])

    def test_a_row_made_by_hand_has_it(self):
        TaskExec.objects.create(task_name="t", args=[5], kwargs={"k": "v"})

        self.assertEqual(self.previews(), ["5, k='v'"])

    def test_a_replacement_has_it(self):
        worker = make_worker()
        self.task.queue(1)
        [row] = claim(worker)

        task_execs.finish(
            [(row, Outcome("INTERRUPTED", NOW, NOW, replaced=True))], worker.worker_id, NOW
        )

        self.assertEqual(self.previews(), ["1", "1"])

    def test_a_call_that_is_queued_again_has_it(self):
        self.task.queue(1)

        task_execs.requeue(TaskExec.objects.get(), NOW)

        self.assertEqual(self.previews(), ["1", "1"])

    def test_text_of_any_script_is_kept(self):
        self.task.queue("Grüße 🚀", name="日本")

        self.assertEqual(self.previews(), ["'Grüße 🚀', name='日本'"])

    def test_sensitive_arguments_are_masked(self):
        def log_in(user, password):
            return None

        task = make_task("log_in", log_in, sensitive=["password"])
        row = task.queue("ann", "s3cret")
        task.queue("ann", password="s3cret")
        task_execs.requeue(TaskExec.objects.get(pk=row.pk), NOW)
        TaskExec.objects.create(task_name="log_in", args=["ann", "s3cret"])

        masked, by_name = "'ann', ********", "'ann', password=********"
        self.assertEqual(self.previews(), [masked, by_name, masked, masked])
