"""--max_tasks: never more than asked, in a thread or in several."""

from django_toosimple_q.models import TaskExec
from tests.acceptance.processes import ProcessTests
from tests.app.tasks import echo


class MaxTasksTests(ProcessTests):
    def ran(self, *options):
        """Return how many of a hundred calls a worker runs before it ends by itself."""
        TaskExec.objects.all().delete()
        echo.queue_many([(n,) for n in range(100)])
        worker = self.worker(*options, online=False)
        self.assertEqual(worker.wait(), 0, worker.log())
        self.assertFalse(TaskExec.objects.filter(state="PROCESSING").exists())
        return TaskExec.objects.filter(state="SUCCEEDED").count()

    def test_a_worker_runs_as_many_tasks_as_asked(self):
        self.assertEqual([self.ran(f"--max_tasks={count}") for count in (1, 2, 20)], [1, 2, 20])

    def test_so_it_does_in_threads(self):
        counts = [self.ran(f"--max_tasks={count}", "--threads=4") for count in (2, 31)]

        self.assertEqual(counts, [2, 31])
