"""Sentry: what one task tells about itself is on its own events, and on no other's."""

import json
import signal
from pathlib import Path
from unittest import mock

from tests.acceptance.processes import ProcessTests
from tests.support import isolate_registries, make_task, wait_for

SITE = "tests.app.sentry_site"
KEYS = "abcdef"


class SentryTests(ProcessTests):
    def setUp(self):
        super().setUp()
        isolate_registries(self)
        self.path = Path(self.folder.name) / "events.json"

    def told(self, *options, kinds=("plain",), fails=False, **settings):
        """Return the events of calls of these kinds, by key, and the transactions."""
        count = len(KEYS)
        tasks = [make_task(f"sentry.{kind}") for kind in kinds]
        self.names = {}
        for number, key in enumerate(KEYS):
            task = tasks[number % len(tasks)]
            task.queue(key, fails)
            self.names[key] = task.task.name
        environment = {"SENTRY_EVENTS": str(self.path), "SENTRY_OPTIONS": json.dumps(settings)}
        with mock.patch.dict("os.environ", environment):
            worker = self.started = self.worker(
                "--no_schedules", *options, module=SITE, online=False
            )
        self.wait_until_drained()
        wait_for(lambda: len(self.events("event")) >= count)
        if "--until_done" in options:
            self.assertEqual(worker.wait(), 0, worker.log())
        events = self.events("event")
        self.assertEqual(len(events), count, events)
        return {key_of(event): event for event in events}

    def events(self, kind):
        text = self.path.read_text() if self.path.exists() else ""
        found = [json.loads(line) for line in text.splitlines()]
        return [one for one in found if one.get("type", "event") == kind]

    def assert_apart(self, events):
        """Assert that each event has all of its own task and nothing of another."""
        self.assertEqual(sorted(events), list(KEYS))
        for key, event in events.items():
            with self.subTest(key=key, tags=event.get("tags")):
                self.assertEqual(event["user"]["id"], key)
                self.assertEqual(event["tags"], {f"tag_{key}": "set"})
                crumbs = event["breadcrumbs"]["values"]
                self.assertEqual([one["message"] for one in crumbs if one["category"] == "test"],
                                 [f"crumb {key}"])  # fmt: skip
                made = [one["message"] for one in crumbs if one["category"] == "query"]
                self.assertEqual(len([one for one in made if "auth_user" in one]), 1, made)
                self.assertEqual([one for one in made if "toosimpleq_" in one], [])
                self.assertEqual(event["transaction"], self.names[key])
        traces = {event["contexts"]["trace"]["trace_id"] for event in events.values()}
        self.assertEqual(len(traces), len(events))

    def test_what_tasks_capture_in_one_process(self):
        self.assert_apart(self.told())

    def test_what_atomic_and_async_tasks_capture(self):
        self.assert_apart(self.told(kinds=("atomic", "async", "plain")))

    def test_what_tasks_capture_in_threads(self):
        self.assert_apart(self.told("--threads=2", kinds=("plain", "async")))

    def test_what_tasks_capture_in_processes(self):
        self.assert_apart(self.told("--processes=2"))

    def test_what_is_told_beside_the_tasks_has_neither_their_data_nor_our_statements(self):
        for options in ((), ("--threads=2",)):
            with self.subTest(options=options):
                self.told(*options)

                self.started.send(signal.SIGTERM)

                self.assertEqual(self.started.wait(), 0)
                event = self.events("event")[-1]
                self.assertEqual(event["message"], "the worker stops")
                self.assertEqual(event.get("tags", {}), {})
                crumbs = event["breadcrumbs"]["values"]
                self.assertEqual([one for one in crumbs if one["category"] == "query"], [])
                self.path.unlink()

    def test_what_tasks_capture_in_a_drain(self):
        self.assert_apart(self.told("--until_done", kinds=("plain", "atomic", "async")))

    def test_failures_have_it_too_and_are_one_event_each(self):
        self.assert_apart(self.told(kinds=("plain", "atomic", "async"), fails=True))

    def test_with_tracing_each_run_is_a_transaction_that_the_failure_belongs_to(self):
        events = self.told(kinds=("plain", "atomic"), fails=True, traces_sample_rate=1.0)

        self.assert_apart(events)
        wait_for(lambda: len(self.events("transaction")) >= len(KEYS))
        transactions = self.events("transaction")
        self.assertEqual(
            {one["contexts"]["trace"]["trace_id"] for one in transactions},
            {event["contexts"]["trace"]["trace_id"] for event in events.values()},
        )
        for one in transactions:
            self.assertEqual(one["contexts"]["trace"]["status"], "internal_error")
            self.assertEqual(one["contexts"]["trace"]["op"], "queue.process")
            self.assertEqual(one["transaction_info"], {"source": "task"})
            made = [span["description"] for span in one["spans"] if span["op"] == "db"]
            self.assertEqual([text for text in made if "toosimpleq_" in text], [])


def key_of(event):
    """Return the key of the task that an event comes from."""
    return event["exception"]["values"][-1]["value"] if "exception" in event else event["message"]
