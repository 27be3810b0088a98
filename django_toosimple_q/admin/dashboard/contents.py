"""What the dashboard shows to a user: figures, links, and the buttons that they may press."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.contrib.auth import get_permission_codename
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

from django_toosimple_q import overview
from django_toosimple_q.admin.dashboard import charts
from django_toosimple_q.models import (
    QueueStatus,
    ScheduleExec,
    TaskExec,
    WorkerStatus,
)
from django_toosimple_q.moments import aware
from django_toosimple_q.overview import Durations, Interval
from django_toosimple_q.overview.failures import GROUPED
from django_toosimple_q.store import overview as store

APP = "toosimpleq"
RUNNING_SHOWN = 20
GROUPS_SHOWN = 20
TASKS_SHOWN = 50
SCHEDULES_SHOWN = 30
AHEAD = timedelta(hours=1)
# The session remembers when the user was here last. A reload soon after that is the same visit.
SEEN = "toosimpleq_seen"
SAME_VISIT = timedelta(minutes=10)
WRITTEN_EVERY = timedelta(minutes=1)
REFRESH_HEADER = "X-Toosimpleq-Refresh"


@dataclass(frozen=True)
class Period:
    """A period of time that the figures may be shown for."""

    name: str
    label: Any
    length: timedelta
    interval: timedelta

    def bounds(self, now: datetime) -> tuple[datetime, datetime]:
        """Return the first and the last moment: whole intervals, the one of `now` being the last.

        They are whole since 1970, as the spans of the table of minutes.
        """
        seconds = self.interval.total_seconds()
        last = (aware(now).timestamp() // seconds + 1) * seconds
        end = datetime.fromtimestamp(last, aware(now).tzinfo)
        return end - self.length, end


PERIODS = {
    one.name: one
    for one in (
        Period("1h", _("1 hour"), timedelta(hours=1), timedelta(minutes=1)),
        Period("24h", _("24 hours"), timedelta(hours=24), timedelta(minutes=15)),
        Period("7d", _("7 days"), timedelta(days=7), timedelta(hours=2)),
    )
}


class Column(NamedTuple):
    """A column of the tasks: what it is called, what sorts by it, and how it is sorted now."""

    label: Any
    url: str
    sorted: str


LABELS = {
    "name": _("Task"),
    "runs": _("Runs"),
    "failures": _("Failed for good"),
    "run": _("Ran, half / 95 %"),
    "wait": _("Waited, half / 95 %"),
    "last": _("Last"),
}


class Contents:
    """The sections of the page. Each is read when the page asks for it."""

    def __init__(self, request: HttpRequest, site: str, now: datetime) -> None:
        self.request = request
        self.site = site
        self.now = now
        self.until = aware(now) + AHEAD
        self.halfway = aware(now) + AHEAD / 2
        self.periods = PERIODS.values()
        self.labels = LABELS
        self.period = PERIODS.get(request.GET.get("period", ""), PERIODS["1h"])
        self.sort = request.GET.get("sort", "-runs")

    # What the user may see and do

    @cached_property
    def sees(self) -> dict[str, bool]:
        """Return which kinds of rows the user may see."""
        models = (TaskExec, QueueStatus, WorkerStatus, ScheduleExec)
        return {str(model._meta.model_name): self._sees(model) for model in models}

    def _sees(self, model: Any) -> bool:
        return any(
            self.request.user.has_perm(f"{APP}.{get_permission_codename(action, model._meta)}")
            for action in ("view", "change")
        )

    @cached_property
    def action_url(self) -> str:
        """Return where the buttons post to; "" if this site has no page of calls."""
        return self._reverse("taskexec_act")

    @cached_property
    def page_url(self) -> str:
        """Return the address of the dashboard."""
        return reverse("admin:app_list", kwargs={"app_label": APP}, current_app=self.site)

    def _may(self, permission: str) -> bool:
        return bool(self.action_url) and self.request.user.has_perm(f"{APP}.{permission}")

    @cached_property
    def may_cancel(self) -> bool:
        return self._may("cancel_taskexec")

    @cached_property
    def may_requeue(self) -> bool:
        return self._may("requeue_taskexec")

    @cached_property
    def may_pause(self) -> bool:
        return self._may("pause_queuestatus")

    # Figures

    @cached_property
    def present(self) -> overview.Present:
        return overview.read(self.now)

    @cached_property
    def verdict(self) -> overview.Verdict:
        return overview.verdict(self.present)

    @cached_property
    def running(self) -> list[TaskExec]:
        return store.running(RUNNING_SHOWN)

    @property
    def running_more(self) -> int:
        # Both are read one after the other, so a few may differ.
        shown = len(self.running)
        return self.present.running - shown if shown == RUNNING_SHOWN else 0

    @cached_property
    def worker_labels(self) -> Mapping[int, str]:
        return {one.row.pk: one.row.label for one in self.present.workers}

    @cached_property
    def all_groups(self) -> list[overview.FailureGroup]:
        return overview.failure_groups(self.now, self.seen_before)

    @property
    def groups(self) -> list[tuple[overview.FailureGroup, list[Any]]]:
        """Return the newest groups, each with the bars of its last day."""
        return [(one, charts.spark(one.parts)) for one in self.all_groups[:GROUPS_SHOWN]]

    @property
    def groups_more(self) -> int:
        return max(len(self.all_groups) - GROUPS_SHOWN, 0)

    @property
    def failed(self) -> int:
        return sum(one.count for one in self.all_groups)

    @property
    def failed_more(self) -> bool:
        return self.failed >= GROUPED

    @property
    def waiting_more(self) -> bool:
        return any(one.more for one in self.present.queues)

    @property
    def new_failures(self) -> int:
        """Return how many calls failed for good since this user was here last."""
        return sum(one.new for one in self.all_groups)

    @cached_property
    def seen_before(self) -> datetime | None:
        """Return when this user was here before this visit, and note that they are here now."""
        session: Any = getattr(self.request, "session", None)
        kept = session.get(SEEN) if session is not None else None
        latest = before = None
        if kept:
            latest, before = (datetime.fromisoformat(one) for one in kept)
        now = aware(self.now)
        if latest is None or not SAME_VISIT > now - latest >= timedelta(0):
            before = latest
        if session is not None and (latest is None or now - latest > WRITTEN_EVERY):
            session[SEEN] = [now.isoformat(), (before or now).isoformat()]
        return before

    @cached_property
    def intervals(self) -> list[Interval]:
        return overview.throughput(*self.period.bounds(self.now), self.period.interval)

    @cached_property
    def bars(self) -> list[tuple[charts.Bar, str]]:
        """Return the places of the throughput, each with the address of its calls."""
        return [(bar, self._ended_between(bar.interval)) for bar in charts.bars(self.intervals)]

    @property
    def outlines(self) -> list[charts.Outline]:
        return charts.throughput(self.intervals)

    def _ended_between(self, interval: Interval) -> str:
        return self.list_url(
            "taskexec",
            since=interval.begin.isoformat(),
            until=interval.end.isoformat(),
            attempts="all",
        )

    @cached_property
    def lines(self) -> dict[str, list[str]]:
        return {kind: charts.line(self.intervals, kind) for kind in ("run", "wait")}

    @cached_property
    def totals(self) -> dict[str, int]:
        kinds = ("done", "retried", "failures", "interrupted")
        return {kind: sum(getattr(one.ends, kind) for one in self.intervals) for kind in kinds}

    @cached_property
    def most(self) -> int:
        return max((one.ends.total for one in self.intervals), default=0)

    @cached_property
    def run(self) -> Durations:
        return _summed([one.ends.run for one in self.intervals])

    @cached_property
    def wait(self) -> Durations:
        return _summed([one.ends.wait for one in self.intervals])

    @cached_property
    def tasks(self) -> list[tuple[overview.TaskFigures, list[Any], str]]:
        """Return the most frequent tasks in the order that was asked for, each with its list."""
        parts = self.period.length / 12
        found = overview.by_task(*self.period.bounds(self.now), parts, most=TASKS_SHOWN)
        return [
            (one, charts.spark_of(one.parts), self.list_url("taskexec", task_name=one.name))
            for one in charts.ordered(found, self.sort)
        ]

    @cached_property
    def timeline(self) -> list[tuple[overview.Upcoming, list[charts.Mark]]]:
        found = overview.upcoming(self.present.schedules[:SCHEDULES_SHOWN], self.now, self.until)
        return [(one, charts.marks(one, aware(self.now), self.until)) for one in found]

    # Addresses

    def list_url(self, model: str, **query: str) -> str:
        """Return the address of a list with these filters; "" if this site has no such list."""
        url = self._reverse(f"{model}_changelist")
        return f"{url}?{urlencode(query)}" if url and query else url

    def row_url(self, model: str, pk: object) -> str:
        """Return the address of a row's page; "" if this site has no such page."""
        return self._reverse(f"{model}_change", pk)

    def here(self, **query: str) -> str:
        """Return the query of this page with some parts of it changed."""
        kept = {"period": self.period.name, "sort": self.sort}
        return f"?{urlencode({**kept, **query})}"

    @property
    def columns(self) -> Sequence[Column]:
        """Return the columns by which the tasks are sorted, with the address that sorts by each."""
        columns = []
        for name, label in LABELS.items():
            now = {name: "ascending", f"-{name}": "descending"}.get(self.sort, "none")
            largest_first = name != "name" if now == "none" else now == "ascending"
            order = f"-{name}" if largest_first else name
            columns.append(Column(label, f"{self.here(sort=order)}#tasks", now))
        return columns

    def _reverse(self, view: str, *args: object) -> str:
        try:
            return reverse(f"admin:{APP}_{view}", args=args, current_app=self.site)
        except NoReverseMatch:
            return ""


def _summed(durations: Sequence[Durations]) -> Durations:
    columns = zip(*(one.counts for one in durations), strict=True)
    return Durations([sum(column) for column in columns], sum(one.seconds for one in durations))
