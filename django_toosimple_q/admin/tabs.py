"""The parts of the list of calls: what each shows, in which order, and how many are in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _

from django_toosimple_q.exceptions import InvalidDue
from django_toosimple_q.models import TaskExec
from django_toosimple_q.moments import project_datetime, resolve_due
from django_toosimple_q.store import lists as store

States = TaskExec.States
FOR_A_PERSON = Q(hold=True, started__isnull=False)
LAST = Q(replaced_by=None)

LENGTHS: dict[str, tuple[Any, timedelta]] = {
    "1h": (_("hour"), timedelta(hours=1)),
    "24h": (_("24 hours"), timedelta(hours=24)),
    "7d": (_("7 days"), timedelta(days=7)),
    "30d": (_("30 days"), timedelta(days=30)),
}


@dataclass(frozen=True)
class Tab:
    """A part of the list.

    states: those of its rows, none for all. moment: the column that a range of time is about.
    condition: what its rows fulfil besides, unless earlier attempts are shown as well.
    """

    name: str
    label: Any
    states: Sequence[str] = ()
    moment: str = "finished"
    condition: Q = field(default_factory=Q)

    @property
    def order(self) -> Sequence[str]:
        """Return the order of its rows, which is that of an index."""
        if not self.states:
            return ("-pk",)
        return ORDERS.get(self.states[0], ("-finished", "-pk"))


ORDERS: Mapping[str, Sequence[str]] = {
    States.PROCESSING: ("started", "pk"),
    States.SLEEPING: ("due", "pk"),
    States.QUEUED: ("queue", "concurrency_key", "-priority", "due", "pk"),
}
ALL = Tab("", _("All"))
TABS = {
    tab.name: tab
    for tab in (
        ALL,
        Tab("active", _("Running"), (States.PROCESSING,), "started"),
        Tab("pending", _("Waiting"), (States.QUEUED,), "due"),
        Tab("future", _("Scheduled"), (States.SLEEPING,), "due"),
        Tab("failed", _("Failed for good"), (States.FAILED, States.INVALID), condition=LAST),
        Tab("held", _("Held"), (States.INTERRUPTED,), condition=LAST & FOR_A_PERSON),
        Tab("interrupted", _("Interrupted"), (States.INTERRUPTED,), condition=LAST & ~FOR_A_PERSON),
        Tab("done", _("Done"), (States.SUCCEEDED,)),
    )
}
BY_STATE = {
    state: TABS[name]
    for name in ("active", "pending", "future", "done")
    for state in TABS[name].states
}
# Parts without a tab, which links of older releases name.
HIDDEN = {
    "dirty": Tab("dirty", "", (States.INTERRUPTED,), condition=LAST & Q(started__isnull=False)),
}


@dataclass(frozen=True)
class Chosen:
    """What the address of a list asks for, apart from its filters by value."""

    PARAMETERS = ("group", "attempts", "since", "until", "within")

    tab: Tab
    since: datetime | None
    until: datetime | None
    all_attempts: bool
    queue: str | None

    @classmethod
    def by(cls, request: HttpRequest, now: datetime) -> "Chosen":
        """Read the address of a request. What it does not understand, it leaves out."""
        given = request.GET
        tab = TABS.get(given.get("group", "")) or HIDDEN.get(given.get("group", "")) or ALL
        state = given.get("state__exact", "")
        if tab is ALL and state in States.values:
            tab = BY_STATE.get(state) or Tab("", "", (state,))
        since, until = _moment(given.get("since")), _moment(given.get("until"))
        _label, length = LENGTHS.get(given.get("within", ""), ("", None))
        if length is not None and tab.states == (States.SLEEPING,):
            until = project_datetime(now + length)
        elif length is not None:
            since = project_datetime(now - length)
        attempts, queue = given.get("attempts") == "all", given.get("queue")
        # No name has a NUL, and PostgreSQL refuses to compare one: the filter finds nothing then.
        queue = None if queue is not None and "\0" in queue else queue
        return cls(tab, since, until, attempts, queue)

    def window(self) -> store.Window:
        """Return the rows that the list looks through."""
        bounds = self.since, self.until
        state = self.tab.states[0] if self.tab.states else None
        if state == States.QUEUED:
            return store.waiting(*bounds, self.queue)
        if state == States.SLEEPING:
            return store.sleeping(*bounds)
        if state == States.PROCESSING:
            return store.processing(*bounds)
        if state is None and bounds == (None, None):
            return store.newest()
        return store.ended(self.tab.states or store.ENDED_STATES, *bounds)

    def rows(self) -> Q:
        """Return the rows of the part and of the time, however many they are."""
        condition = Q(state__in=self.tab.states) if self.tab.states else Q()
        if self.since is not None:
            condition &= Q(**{f"{self.tab.moment}__gte": self.since})
        if self.until is not None:
            condition &= Q(**{f"{self.tab.moment}__lt": self.until})
        return condition

    def order(self) -> Sequence[str]:
        """Return the order of the rows."""
        ranged = (self.since, self.until) != (None, None)
        return ("-finished", "-pk") if not self.tab.states and ranged else self.tab.order

    def condition(self) -> Q:
        """Return what the rows fulfil besides."""
        return Q() if self.all_attempts else self.tab.condition & LAST


def _moment(text: str | None) -> datetime | None:
    """Return a moment as the project has datetimes, or None for what is none."""
    try:
        return resolve_due(parse_datetime(text or ""))
    except (ValueError, InvalidDue, OverflowError):
        return None
