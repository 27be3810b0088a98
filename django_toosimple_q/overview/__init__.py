"""What the queue does at one look: what waits, runs and failed, how fast it goes, who works.

Functions that only read, for the admin, the command line and metrics. Each takes the time as `now`
and returns frozen values. None of them grows with the number of calls in the table.

from django_toosimple_q import overview

overview.verdict(overview.read(timezone.now())).sentence
"""

from django_toosimple_q.overview.durations import Durations
from django_toosimple_q.overview.failures import FailureGroup, failure_groups
from django_toosimple_q.overview.figures import (
    Ends,
    Interval,
    TaskFigures,
    by_queue,
    by_task,
    by_task_and_queue,
    throughput,
)
from django_toosimple_q.overview.now import Present, QueueFigures, WorkerFigures, read
from django_toosimple_q.overview.upcoming import Upcoming, upcoming
from django_toosimple_q.overview.verdict import Verdict, verdict

__all__ = [
    "Durations",
    "Ends",
    "FailureGroup",
    "Interval",
    "Present",
    "QueueFigures",
    "TaskFigures",
    "Upcoming",
    "Verdict",
    "WorkerFigures",
    "by_queue",
    "by_task",
    "by_task_and_queue",
    "failure_groups",
    "read",
    "throughput",
    "upcoming",
    "verdict",
]
