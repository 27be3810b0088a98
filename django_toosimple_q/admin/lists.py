"""Lists that open fast with a million rows: a bounded count, few columns, filters without SQL."""

from typing import Any

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
    """Counts at most 10,000 rows. Filters and search reach the older ones."""

    @cached_property
    def found(self) -> int:
        """Return the number of rows, or the bound plus one if there are more."""
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[: ROWS_COUNTED + 1].count())

    @cached_property
    def count(self) -> int:
        return min(self.found, ROWS_COUNTED)

    @property
    def is_cut(self) -> bool:
        """Return whether there are more rows than the pages show."""
        return self.found > ROWS_COUNTED


class ColumnsChangeList(ChangeList):
    """Loads only the columns that the list shows, so never a payload or a whole output."""

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet:
        rows = super().get_queryset(request, *args, **kwargs)
        shown: Any = self.model_admin
        return rows.only(*shown.list_columns).annotate(**shown.list_extras)


class RegistryFilter(SimpleListFilter):
    """Offers the registered names, and the selected name even if the code no longer has it."""

    parameter_name: str

    def names(self) -> set[str]:
        """Return the names that the registry knows."""
        raise NotImplementedError  # pragma: no cover

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        chosen = self.used_parameters.get(self.parameter_name)
        names = self.names() | ({chosen} if chosen else set())
        return [(name, name) for name in sorted(names)]

    def has_output(self) -> bool:
        return len(self.lookup_choices) > 1 or self.value() is not None

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        chosen = self.value()
        if chosen is None:
            return queryset
        # No name has a NUL, and PostgreSQL refuses to compare one.
        return (
            queryset.none() if "\0" in chosen else queryset.filter(**{self.parameter_name: chosen})
        )


class TaskFilter(RegistryFilter):
    """Filters by task."""

    title = _("task")
    parameter_name = "task_name"

    def names(self) -> set[str]:
        return set(tasks_registry)


class QueueFilter(RegistryFilter):
    """Filters by queue."""

    title = _("queue")
    parameter_name = "queue"

    def names(self) -> set[str]:
        return {task.queue_name for task in tasks_registry.values()}
