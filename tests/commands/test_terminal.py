"""What is drawn on a terminal, and that nothing is drawn elsewhere or without rich."""

import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

from django.test import SimpleTestCase

from django_toosimple_q.management import drain
from django_toosimple_q.models import TaskExec
from tests.acceptance.processes import ROOT, ProcessTests, environment
from tests.app.tasks import echo, ledger

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(*command, **more):
    """Run a command whose standard error is a terminal; return its code and what that showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "django", *command],
        cwd=ROOT,
        env={**environment(), "TERM": "xterm", "COLUMNS": "120", **more},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # Linux says so at the end
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return process.wait(30), shown.decode()


class UntilDoneTests(ProcessTests):
    def drain(self, *options, **more):
        return on_terminal("worker", "--until_done", "--no_schedules", *options, **more)

    def test_a_bar_shows_how_many_are_done(self):
        echo.queue_many([1, 2, 3])

        code, shown = self.drain()

        self.assertEqual(code, 0, shown)
        self.assertIn("0/3", shown)
        self.assertIn("3/3", shown)
        self.assertIn("app.echo", shown)
        # The cursor, which was hidden, is there again.
        self.assertGreater(shown.rindex("\x1b[?25h"), shown.rindex("\x1b[?25l"))

    def test_lines_of_the_log_stand_above_it(self):
        ledger.queue("/no/such/folder/x", "")
        echo.queue()

        code, shown = self.drain()

        self.assertEqual(code, 0, shown)
        lines = [CONTROL.sub("", line).strip() for line in re.split(r"[\r\n]+", shown)]
        self.assertTrue(
            any(re.match(r"\[\d{4}-.*ERROR .*app.ledger", line) for line in lines), lines
        )
        self.assertIn("2/2", shown)

    def test_only_the_queues_that_it_takes_count(self):
        echo.queue_many([1, 2])
        echo.using(queue="other").queue(3)

        _, shown = self.drain("--exclude_queue=other")

        self.assertIn("0/2", shown)
        self.assertEqual(TaskExec.objects.get(queue="other").state, "QUEUED")

    def test_without_rich_there_is_no_bar_and_no_error(self):
        echo.queue_many([1, 2, 3])
        with tempfile.TemporaryDirectory() as folder:
            hides = "import sys\nsys.modules['rich'] = None\n"
            Path(folder, "sitecustomize.py").write_text(hides)
            path = os.pathsep.join([folder, str(ROOT)])

            code, shown = self.drain(PYTHONPATH=path)

        self.assertEqual((code, shown), (0, ""))
        self.assertEqual(TaskExec.objects.filter(state="SUCCEEDED").count(), 3)

    def test_there_is_none_where_standard_error_is_no_terminal_or_nothing_is_to_be_shown(self):
        echo.queue()
        worker = self.worker("--until_done", "--no_schedules", online=False, verbosity=1)

        self.assertEqual((worker.wait(), worker.log()), (0, ""))
        self.assertEqual(self.drain("-v0"), (0, ""))


class DrainTests(SimpleTestCase):
    def test_the_total_follows_what_others_queue_meanwhile(self):
        drawn = []
        counts = iter([2, 5])
        counting = drain.Drain(lambda *values: drawn.append(values), lambda queue: True)
        claimed = mock.Mock(task_name="t\x1b")
        buckets = mock.Mock(buckets=[mock.Mock(queue="a")])

        with (
            mock.patch.object(drain.task_execs, "backlog", return_value=buckets),
            mock.patch.object(drain.queues, "waiting", side_effect=counts),
            mock.patch.object(drain.time, "monotonic") as clock,
        ):
            clock.return_value = 0.0
            counting.start()
            counting.end(claimed)  # too soon to be drawn
            clock.return_value = 0.2
            counting.end(claimed)
            clock.return_value = 2.1
            counting.end(claimed)
            counting.finish()

        self.assertEqual(drawn, [(0, 2, ""), (2, 2, "t\\x1b"), (3, 8, "t\\x1b"), (3, 8, "t\\x1b")])
