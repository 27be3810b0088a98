"""Lists that open fast with a million rows: a bounded count, few columns, filters without SQL."""

from typing import Any, ClassVar

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from django_toosimple_q.registry import tasks_registry

ROWS_COUNTED = 10_000


class BoundedPaginator(Paginator):
    """Counts no further than 10,000 rows; older ones are reached through filters and search."""

    @cached_property
    def found(self) -> int:
        """Return the number of rows, or one more than the bound when there are more."""
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[: ROWS_COUNTED + 1].count())

    @cached_property
    def count(self) -> int:
        return min(self.found, ROWS_COUNTED)

    @property
    def is_cut(self) -> bool:
        """Tell whether there are more rows than the pages show."""
        return self.found > ROWS_COUNTED


class ColumnsChangeList(ChangeList):
    """Reads the columns that the list shows, so never a payload or a whole output."""

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet:
        rows = super().get_queryset(request, *args, **kwargs)
        shown: Any = self.model_admin
        return rows.only(*shown.list_columns).annotate(**shown.list_extras)


class RegistryFilter(SimpleListFilter):
    """Offers what the code has registered, and the value in use even when the code lost it."""

    parameter_name: str

    def names(self) -> set[str]:
        """Return the values that the registry knows."""
        raise NotImplementedError  # pragma: no cover

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        chosen = self.used_parameters.get(self.parameter_name)
        names = self.names() | ({chosen} if chosen else set())
        return [(name, name) for name in sorted(names)]

    def has_output(self) -> bool:
        return len(self.lookup_choices) > 1 or self.value() is not None

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        chosen = self.value()
        return queryset if chosen is None else queryset.filter(**{self.parameter_name: chosen})


class GroupFilter(SimpleListFilter):
    """Rows by what a person has to do about them."""

    title = _("what is up")
    parameter_name = "group"

    GROUPS: ClassVar[dict[str, tuple[Any, dict[str, Any]]]] = {
        "failed": (_("Failed for good"), {"state": "FAILED", "replaced_by": None}),
        "dirty": (
            _("Cut off and not replaced"),
            {"state": "INTERRUPTED", "replaced_by": None, "started__isnull": False},
        ),
        "active": (_("Running now"), {"state": "PROCESSING"}),
        "pending": (_("Waiting for a worker"), {"state": "QUEUED"}),
        "future": (_("Due later"), {"state": "SLEEPING"}),
    }

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, Any]]:
        return [(name, label) for name, (label, _condition) in self.GROUPS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        _label, condition = self.GROUPS.get(self.value() or "", (None, {}))
        return queryset.filter(**condition)


class TaskFilter(RegistryFilter):
    """Rows of one task."""

    title = _("task")
    parameter_name = "task_name"

    def names(self) -> set[str]:
        return set(tasks_registry)


class QueueFilter(RegistryFilter):
    """Rows of one queue."""

    title = _("queue")
    parameter_name = "queue"

    def names(self) -> set[str]:
        return {task.queue_name for task in tasks_registry.values()}
