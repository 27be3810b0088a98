"""The list of calls: it looks through a bounded number of rows, and offers buttons for each."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.functional import cached_property
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_toosimple_q.admin.bulk.selection import asked_at, is_selection
from django_toosimple_q.admin.buttons import Allowed, buttons
from django_toosimple_q.admin.lists import ColumnsChangeList, RegistryFilter
from django_toosimple_q.admin.tabs import LENGTHS, TABS, Chosen
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store import lists as store
from django_toosimple_q.store.lookup import row_id


class TabLink(NamedTuple):
    """A tab as it is shown."""

    label: Any
    url: str
    amount: str
    current: bool


class TaskChangeList(ColumnsChangeList):
    """Shows a part of the calls, each call as its last attempt."""

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        found = super().get_filters_params(params)
        kept = ("within", "attempts")  # those that a filter reads
        return {
            name: value
            for name, value in found.items()
            if name in kept or name not in Chosen.PARAMETERS
        }

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet:
        rows = super().get_queryset(request, *args, **kwargs)
        self.chosen = Chosen.by(request, asked_at(request))
        self.stopped_at, self.searched = None, 0
        if is_id(self.query):
            return rows.order_by("-pk")
        if is_selection(request):
            return rows.filter(self.chosen.rows(), self.chosen.condition())
        window = self.chosen.window()
        self.stopped_at, self.searched = window.stopped_at, window.bound
        found = rows.filter(window.condition).filter(self.chosen.condition())
        return found.order_by(*self.chosen.order())

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # To find nothing takes as long as anything: not twice.
        rows: Any = list(self.result_list) if self.result_count else []
        self.result_list = rows
        allowed = Allowed.to(request)
        # Not by a join, which a filter by worker would turn into one that drops rows whose worker's
        # row is gone.
        labels = store.labels_of({row.worker_id for row in rows} - {None})
        for row in rows:
            row.worker_label = labels.get(row.worker_id, "")
            row.buttons = buttons(row, allowed)

    @cached_property
    def tabs(self) -> list[TabLink]:
        """Return the tabs. Each keeps the filters by value, and drops those by state and time."""
        counts = store.counts()
        by_id = is_id(self.query)
        dropped = ("state__exact", "since", "until", "within", *(("q",) if by_id else ()))
        without = dict.fromkeys(dropped)
        return [
            TabLink(
                tab.label,
                self.get_query_string({**without, "group": name or None}),
                bounded(counts[name]) if name in counts else "",
                self.chosen.tab is tab and not by_id,
            )
            for name, tab in TABS.items()
        ]

    @property
    def older_url(self) -> str:
        """Return the address of the rows before those that were looked through; "" for none."""
        if self.stopped_at is None or not hasattr(self.stopped_at, "isoformat"):
            return ""
        if self.chosen.tab.moment != "finished":
            return ""
        return self.get_query_string({"until": self.stopped_at.isoformat(), "within": None})

    @property
    def any_time_url(self) -> str:
        """Return the address of the list without a range of time; "" if it has none."""
        if is_id(self.query) or (self.chosen.since, self.chosen.until) == (None, None):
            return ""
        return self.get_query_string({"since": None, "until": None, "within": None})


def bounded(count: int) -> str:
    """Return a count with a "+" where there may be more."""
    more = count > store.COUNTED
    shown = number_format(store.COUNTED if more else count, force_grouping=True)
    return f"{shown}+" if more else shown


def is_id(query: str) -> bool:
    """Return whether somebody looks for one call, as "#12"."""
    text = query.strip()
    return text.startswith("#") and text[1:].isascii() and text[1:].isdigit()


def search(rows: QuerySet, query: str) -> QuerySet:
    """Return the call that "#12" names, with its later attempts if it was the first."""
    pk = row_id(query.strip()[1:].lstrip("0"))
    return rows.none() if pk is None else rows.filter(Q(pk=pk) | Q(root=pk))


class TimeFilter(SimpleListFilter):
    """Filters by when calls ended, began or are due, depending on the tab."""

    title = _("time")
    parameter_name = "within"

    TEXTS: ClassVar[dict[str, Any]] = {
        "finished": _("Ended in the last %(length)s"),
        "started": _("Started in the last %(length)s"),
        "due": _("Due in the last %(length)s"),
    }

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, Any]]:
        tab = Chosen.by(request, asked_at(request)).tab
        ahead = tab.states == (TaskExec.States.SLEEPING,)
        text = _("Due in the next %(length)s") if ahead else self.TEXTS[tab.moment]
        return [(name, text % {"length": label}) for name, (label, _length) in LENGTHS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset  # the list has it from the address


class AttemptsFilter(SimpleListFilter):
    """Shows each call once, as its last attempt, or all attempts."""

    title = _("attempts")
    parameter_name = "attempts"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, Any]]:
        return [("all", _("All attempts"))]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        yield {**first, "display": gettext("The last one of each call")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset  # the list has it from the address


class WorkerFilter(SimpleListFilter):
    """Filters by worker: those that were seen last, and the selected one."""

    title = _("worker")
    parameter_name = "worker__id__exact"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> Sequence[tuple[str, str]]:
        found = {str(pk): label for pk, label in store.worker_labels()}
        chosen = row_id(str(self.used_parameters.get(self.parameter_name)))
        if chosen is not None and str(chosen) not in found:
            found[str(chosen)] = store.labels_of({chosen}).get(chosen, f"#{chosen}")
        return sorted(found.items(), key=lambda item: item[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() is None:
            return queryset
        pk = row_id(self.value())
        return queryset.none() if pk is None else queryset.filter(worker_id=pk)


class ErrorTypeFilter(RegistryFilter):
    """Filters by exception class: those of the calls that failed last, and the selected one."""

    title = _("error type")
    parameter_name = "error_type"

    def names(self) -> set[str]:
        return set(store.error_types())
