"""Traces in real workers: threads, forked processes, and the last spans of one that ends."""

import json
import os
import signal
from pathlib import Path
from unittest import mock

from django_toosimple_q.models import TaskExec
from tests.acceptance.processes import ProcessTests
from tests.app.tasks import echo, fail_once, stubborn
from tests.contrib.opentelemetry.spans import collect_spans, spans

SITE = "tests.app.tracing_site"


class WorkerTests(ProcessTests):
    def setUp(self):
        super().setUp()
        collect_spans(self)
        self.path = Path(self.folder.name) / "spans.json"
        environment = mock.patch.dict(os.environ, {"SPANS": str(self.path)})
        environment.start()
        self.addCleanup(environment.stop)

    def traced(self, *options, **settings):
        return self.worker("--no_schedules", *options, module=SITE, **settings)

    def sent(self):
        """Return the spans of attempts that workers have sent."""
        text = self.path.read_text() if self.path.exists() else ""
        found = map(json.loads, text.splitlines())
        return [one for one in found if one["name"].startswith("run ")]

    def assert_linked(self, sent):
        """Assert that each attempt is linked to the span of this process that queued the call."""
        queued = {f"0x{one.context.span_id:016x}" for one in spans("enqueue app.echo")}
        links = [link["context"]["span_id"] for one in sent for link in one["links"]]
        self.assertEqual(len(links), len(sent))
        self.assertLessEqual(set(links), queued)
        self.assertEqual({one["parent_id"] for one in sent}, {None})
        self.assertEqual(len({one["context"]["trace_id"] for one in sent}), len(sent))

    def test_one_process_sends_its_last_spans_when_it_ends(self):
        echo.queue_many(range(5))

        self.assertEqual(self.traced("--until_done", online=False).wait(), 0)

        self.assertEqual(len(self.sent()), 5)
        self.assert_linked(self.sent())

    def test_threads(self):
        echo.queue_many(range(20))

        worker = self.traced("--threads=3", online=False)
        self.wait_until_drained()
        worker.send(signal.SIGTERM)

        self.assertEqual(worker.wait(), 0, worker.log())
        self.assertEqual(len(self.sent()), 20)
        self.assert_linked(self.sent())

    def test_processes_that_were_forked_send_what_they_have_run_once(self):
        worker = self.traced("--processes=2", online=False)
        # So that both have some.
        for number in range(20):
            echo.queue(number)
        self.wait_until_drained()
        worker.send(signal.SIGTERM)

        self.assertEqual(worker.wait(), 0, worker.log())
        sent = self.sent()
        self.assertEqual(len(sent), 20)
        self.assert_linked(sent)
        ran = {row.worker.pid for row in TaskExec.objects.select_related("worker")}
        self.assertEqual({one["pid"] for one in sent}, ran)

    def test_attempts_in_two_processes_are_linked_to_what_queued_the_call(self):
        fail_once.queue(self.ledger)

        for _ in range(2):
            self.assertEqual(self.traced("--once", online=False).wait(), 0)

        first, second = self.sent()
        queued = f"0x{spans('enqueue app.fail_once')[0].context.span_id:016x}"
        self.assertEqual(
            [one["links"][0]["context"]["span_id"] for one in (first, second)], [queued] * 2
        )
        self.assertEqual(
            [one["status"]["status_code"] for one in (first, second)], ["ERROR", "UNSET"]
        )
        self.assertNotEqual(first["pid"], second["pid"])

    def test_a_task_that_does_not_stop_has_a_span_although_it_ends_its_process(self):
        self.queue_limited(stubborn, 60, self.ledger, timeout=0.2)

        self.assertNotEqual(self.traced(online=False).wait(), 0)

        [sent] = self.sent()
        self.assertEqual(
            sent["attributes"]["error.type"], "django_toosimple_q.exceptions.TaskDidNotStop"
        )
