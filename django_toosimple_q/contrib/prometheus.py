"""Figures of the queue for Prometheus, from the database: the same from whatever process answers.

path("metrics", metrics_view)
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from django_toosimple_q import health
from django_toosimple_q.contrib.monitoring import MonitoringView
from django_toosimple_q.health import Health
from django_toosimple_q.histogram import BINS, BOUNDS
from django_toosimple_q.models import Minute
from django_toosimple_q.moments import aware
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.store import minutes, schedule_execs, schedule_pauses

PREFIX = "toosimpleq_"
CALL = ["task", "queue"]
# As the columns of `Minute.ENDS`.
OUTCOMES = ("done", "failed", "retried", "interrupted")
RUN_SUM, WAIT_SUM = range(len(Minute.ENDS), len(Minute.ENDS) + len(Minute.SUMS))
# A series each for every task: so fewer than the bins that the table has. In seconds.
BUCKET_ENDS = (0.01, 0.05, 0.2, 1.0, 5.0, 20.0, 100.0, 500.0, 2000.0, 10_000.0)
# The upper ends as Prometheus writes them, with the number of the bin that each ends with.
BUCKETS = [*((str(end), BOUNDS.index(end)) for end in BUCKET_ENDS), ("+Inf", BINS - 1)]


class QueueCollector(Collector):
    """Reads the figures anew each time that they are asked for.

    Counters and histograms begin anew at midnight UTC, as after a restart, which `rate()` and
    `increase()` see: so they cost the same however long the history is.
    """

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering this asks the database nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        found = health.read()
        yield from _queues(found)
        yield from _ends(found.now)
        yield _lateness(found.now)


class MetricsView(MonitoringView):
    """Answers with the figures of the queue, as text for Prometheus."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        registry = CollectorRegistry()
        registry.register(QueueCollector())
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


metrics_view = MetricsView.as_view()


def _queues(found: Health) -> Iterator[Metric]:
    """Yield the figures of this moment."""
    gauges = {
        "waiting": "Calls that are due and wait for a worker. Counting ends at 10,000 a queue.",
        "oldest_wait_seconds": "For how long the oldest of these calls has waited.",
        "running": "Calls that workers have claimed.",
        "paused": "1 while the queue is paused.",
        "queue_workers": "Living workers that take the queue.",
    }
    families = {
        name: GaugeMetricFamily(PREFIX + name, text, None, ["queue"])
        for name, text in gauges.items()
    }
    for queue in found.queues:
        wait = found.wait(queue) or timedelta(0)
        values = (
            *(queue.waiting, wait.total_seconds(), queue.running),
            *(int(queue.paused is not None), queue.workers),
        )
        for family, value in zip(families.values(), values, strict=True):
            family.add_metric([queue.name], value)
    yield from families.values()
    yield GaugeMetricFamily(PREFIX + "workers", "Living workers.", len(found.workers))
    yield GaugeMetricFamily(
        PREFIX + "failures_last_hour",
        "Calls that failed for good within an hour.",
        found.failures,
    )


def _ends(now: datetime) -> Iterator[Metric]:
    """Yield what ended today."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    finished = CounterMetricFamily(
        PREFIX + "finished", "Calls that ended, by outcome.", None, [*CALL, "outcome"]
    )
    runs = HistogramMetricFamily(PREFIX + "run_seconds", "How long calls ran.", labels=CALL)
    # A queue waits, whatever the task.
    waits = HistogramMetricFamily(
        PREFIX + "wait_seconds",
        "How long calls waited from their due date to their start.",
        labels=["queue"],
    )
    span = (minutes.minute_of(today), minutes.minute_of(now) + 2)
    for call, counts in minutes.by_task_and_queue(*span).items():
        for outcome, count in zip(OUTCOMES, counts, strict=False):
            finished.add_metric([*call, outcome], count)
        runs.add_metric(list(call), _buckets(counts, minutes.FIRST_RUN_BIN), counts[RUN_SUM])
    for queue, counts in minutes.by_queue(*span).items():
        waits.add_metric([queue], _buckets(counts, minutes.FIRST_WAIT_BIN), counts[WAIT_SUM])
    yield from (finished, runs, waits)


def _buckets(counts: Sequence[float], first: int) -> list[tuple[str, float]]:
    """Return a histogram as Prometheus reads it: each bucket holds all that lie below its end."""
    upto = list(accumulate(counts[first : first + BINS]))
    return [(end, float(upto[number])) for end, number in BUCKETS]


def _lateness(now: datetime) -> Metric:
    """Return for how long each schedule's next occurrence is overdue."""
    family = GaugeMetricFamily(
        PREFIX + "schedule_late_seconds",
        "For how long the oldest occurrence that was not queued is overdue; 0 if none or paused.",
        None,
        ["schedule"],
    )
    paused = schedule_pauses.paused()
    for name, last in schedule_execs.read(list(schedules_registry)).items():
        since = None if last is None or name in paused else aware(last)
        due = None if since is None else schedules_registry[name].expression.next(since)
        late = timedelta(0) if due is None else max(now - due, timedelta(0))
        family.add_metric([name], late.total_seconds())
    return family
