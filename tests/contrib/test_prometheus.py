"""Figures for Prometheus: from the database, so right from whatever process answers."""

import json
import re
from datetime import timedelta
from math import inf
from pathlib import Path

from django.test import TestCase, override_settings
from django.urls import path
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from django_toosimple_q import queues
from django_toosimple_q.contrib.prometheus import BUCKETS, OUTCOMES, QueueCollector, metrics_view
from django_toosimple_q.decorators import register_task, schedule_task
from django_toosimple_q.histogram import BINS, BOUNDS
from django_toosimple_q.models import Minute, ScheduleExec, TaskExec
from django_toosimple_q.store import minutes
from tests.acceptance.processes import ProcessTests
from tests.app.tasks import echo, ledger
from tests.support import count_failures, isolate_registries, make_task, make_worker, wait_for

TOKEN = "a token for the tests"
DASHBOARD = Path(__file__).parent.parent.parent / "docs" / "grafana.json"

urlpatterns = [path("metrics", metrics_view)]


def sample(name, **labels):
    registry = CollectorRegistry()
    registry.register(QueueCollector())
    return registry.get_sample_value(f"toosimpleq_{name}", labels)


class GaugeTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.task = make_task()

    def test_what_waits_in_each_queue_and_for_how_long(self):
        self.task.using(queue="mail").queue_many([1, 2])
        TaskExec.objects.update(due=timezone.now() - timedelta(seconds=90))

        self.assertEqual(sample("waiting", queue="mail"), 2)
        self.assertAlmostEqual(sample("oldest_wait_seconds", queue="mail"), 90, delta=60)
        self.assertEqual(sample("waiting", queue="default"), 0)
        self.assertEqual(sample("oldest_wait_seconds", queue="default"), 0)

    def test_workers_and_the_queues_that_they_take(self):
        make_worker(now=timezone.now(), included_queues=["mail"])
        queues.pause("default")

        self.assertEqual(sample("workers"), 1)
        self.assertEqual(sample("queue_workers", queue="default"), 0)
        self.assertEqual(sample("paused", queue="default"), 1)

    def test_failures_of_the_last_hour(self):
        count_failures(3)

        self.assertEqual(sample("failures_last_hour"), 3)

    def test_a_schedule_is_late_by_its_first_occurrence_that_was_not_queued(self):
        @schedule_task(name="late", cron="* * * * *")
        @schedule_task(name="hand", cron="manual")
        @schedule_task(name="timely", cron="0 0 1 1 *")
        @register_task(name="report")
        def report():
            pass

        now = timezone.now()
        for name, minutes_ago in (("late", 10), ("hand", 10), ("timely", 0)):
            last = now - timedelta(minutes=minutes_ago)
            ScheduleExec.objects.create(name=name, last_due=last)

        self.assertAlmostEqual(sample("schedule_late_seconds", schedule="late"), 570, delta=90)
        self.assertEqual(sample("schedule_late_seconds", schedule="hand"), 0)
        self.assertEqual(sample("schedule_late_seconds", schedule="timely"), 0)

        ScheduleExec.objects.update(paused=now)

        self.assertEqual(sample("schedule_late_seconds", schedule="late"), 0)


class CountTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def minute(self, minute, worker=1, **counts):
        Minute.objects.create(
            minute=minute, task_name="t", queue="mail", worker_id=worker, **counts
        )

    def test_counts_of_all_workers_are_added_up(self):
        now = minutes.minute_of(timezone.now())
        self.minute(now, 1, done=2, failures=1, run_0=1, run_3=2, run_seconds=0.5)
        self.minute(now, 2, done=3, run_22=3, run_seconds=99_999)

        call = {"task": "t", "queue": "mail"}
        self.assertEqual(sample("finished_total", **call, outcome="done"), 5)
        self.assertEqual(sample("finished_total", **call, outcome="failed"), 1)
        self.assertEqual(sample("finished_total", **call, outcome="retried"), 0)
        bins = [sample("run_seconds_bucket", **call, le=le) for le in ("0.01", "10000.0")]
        self.assertEqual(bins, [3, 3])
        self.assertEqual(sample("run_seconds_bucket", **call, le="+Inf"), 6)
        self.assertEqual(sample("run_seconds_count", **call), 6)
        self.assertEqual(sample("run_seconds_sum", **call), 99_999.5)
        self.assertEqual(sample("wait_seconds_count", queue="mail"), 0)

    def test_each_bucket_holds_what_lies_within_its_end(self):
        for number, bound in enumerate([*BOUNDS, inf]):
            Minute.objects.all().delete()
            self.minute(minutes.minute_of(timezone.now()), **{f"wait_{number}": 1})
            with self.subTest(bound=bound):
                found = {
                    end: sample("wait_seconds_bucket", queue="mail", le=end) for end, _ in BUCKETS
                }
                self.assertEqual(found, {end: bound <= float(end) for end in found})

    def test_waits_are_those_of_a_queue_whatever_the_task(self):
        now = minutes.minute_of(timezone.now())
        for name in "ab":
            Minute.objects.create(
                minute=now, task_name=name, queue="mail", worker_id=1, wait_4=1, wait_seconds=0.02
            )

        self.assertEqual(sample("wait_seconds_count", queue="mail"), 2)
        self.assertEqual(sample("wait_seconds_sum", queue="mail"), 0.04)

    def test_a_task_has_few_series_however_long_its_calls_take(self):
        def count():
            registry = CollectorRegistry()
            registry.register(QueueCollector())
            return len(generate_latest(registry)), sum(
                1 for family in registry.collect() for _ in family.samples
            )

        now = minutes.minute_of(timezone.now())
        bins = {f"{kind}_{number}": 1 for kind in ("run", "wait") for number in range(BINS)}
        self.minute(now, **bins)
        bytes_before, before = count()
        for number in range(10):
            Minute.objects.create(
                minute=now, task_name=f"shop.tasks.{number}", queue="mail", worker_id=1, **bins
            )

        size, series = count()

        self.assertEqual((series - before) / 10, 4 + 13)
        self.assertLess((size - bytes_before) / 10, 1700)

    def test_each_outcome_is_that_of_its_column(self):
        self.assertEqual(len(OUTCOMES), len(Minute.ENDS))
        now = minutes.minute_of(timezone.now())
        self.minute(now, **{name: number for number, name in enumerate(Minute.ENDS)})

        found = [
            sample("finished_total", task="t", queue="mail", outcome=name) for name in OUTCOMES
        ]
        self.assertEqual(found, [0, 1, 2, 3])

    def test_they_begin_anew_at_midnight_utc(self):
        now = minutes.minute_of(timezone.now())
        midnight = now - now % (24 * 60)
        self.minute(midnight - 1, done=7)
        self.minute(midnight, done=2)

        self.assertEqual(sample("finished_total", task="t", queue="mail", outcome="done"), 2)


class ViewTests(TestCase):
    def get(self, token):
        return self.client.get("/metrics", headers={"Authorization": f"Bearer {token}"})

    @override_settings(ROOT_URLCONF=__name__, TOOSIMPLEQ_MONITORING_TOKEN=TOKEN)
    def test_it_needs_the_token_and_is_text_that_prometheus_reads(self):
        make_task('<t>\n"').queue()
        self.assertEqual(self.get("wrong").status_code, 403)

        response = self.get(TOKEN)

        self.assertEqual(response.status_code, 200)
        self.assertTrue(response["Content-Type"].startswith("text/plain; version="))
        families = {
            one.name: one for one in text_string_to_metric_families(response.content.decode())
        }
        self.assertEqual(families["toosimpleq_workers"].samples[0].value, 0)
        self.assertEqual(families["toosimpleq_run_seconds"].type, "histogram")

    @override_settings(ROOT_URLCONF=__name__, TOOSIMPLEQ_MONITORING_TOKEN=TOKEN)
    def test_the_dashboard_asks_for_metrics_that_there_are(self):
        make_worker(now=timezone.now())
        Minute.objects.create(
            minute=minutes.minute_of(timezone.now()), task_name="t", queue="q", worker_id=1
        )
        text = self.get(TOKEN).content.decode()
        families = list(text_string_to_metric_families(text))
        there = {one.name for one in families} | {s.name for one in families for s in one.samples}
        panels = json.loads(DASHBOARD.read_text())["panels"]
        asked = {
            name
            for panel in panels
            for target in panel["targets"]
            for name in re.findall(r"toosimpleq_\w+", target["expr"])
        }

        self.assertGreater(len(asked), 8)
        self.assertEqual(asked - there, set())


class ProcessesTests(ProcessTests):
    def test_calls_of_several_processes_are_counted_once_each(self):
        self.worker("--no_schedules", "--processes=2", online=False)
        self.worker("--no_schedules", online=False)
        echo.queue_many(range(60))
        ledger.queue("/no/such/folder/x", "")

        def counted():
            call = {"queue": "default"}
            done = sample("finished_total", task="app.echo", outcome="done", **call)
            failed = sample("finished_total", task="app.ledger", outcome="failed", **call)
            return (done, failed) == (60, 1)

        wait_for(counted, timeout=90)

        self.assertEqual(sample("run_seconds_count", task="app.echo", queue="default"), 60)
