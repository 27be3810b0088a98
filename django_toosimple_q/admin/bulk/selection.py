"""Which calls an action is about, in words that can be stored and are looked up again later."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.contrib.admin.sites import all_sites
from django.contrib.admin.views.main import ALL_VAR, ORDER_VAR, PAGE_VAR
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.urls import get_resolver

from django_toosimple_q.admin.bulk.actions import ACTIONS
from django_toosimple_q.exceptions import InvalidArguments, shown
from django_toosimple_q.models import TaskExec
from django_toosimple_q.moments import current_moment

# The conditions that a selection may have besides the filter of a list.
LOOKUPS = frozenset(
    {"pk__in", "task_name", "error_type", "state__in", "replaced_by__isnull", "finished__gte"}
)
ASKED = "toosimpleq_asked"
# What the parameters of a list say besides the filter. The page may be gone when the task runs.
NO_FILTERS = (PAGE_VAR, ALL_VAR, ORDER_VAR, "_facets")


@dataclass(frozen=True)
class Selection:
    """The rows that match a filter, up to an id.

    site: the name of the admin site. query: the parameters of the list there, None for all rows.
    lookups: more conditions. last: the highest id that there was. asked: when (ISO 8601).
    """

    site: str
    last: int
    asked: str
    query: str | None = None
    lookups: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def now(
        cls, model_admin: ModelAdmin, parameters: QueryDict | None = None, **lookups: Any
    ) -> "Selection":
        """Return a selection of rows that exist already."""
        newest = TaskExec.objects.order_by("-pk").values_list("pk", flat=True).first()
        query = None
        if parameters is not None:
            kept = parameters.copy()
            for name in NO_FILTERS:
                kept.pop(name, None)
            query = kept.urlencode()
        return cls(
            site=model_admin.admin_site.name,
            last=newest or 0,
            asked=current_moment().isoformat(),
            query=query,
            lookups=lookups,
        )

    @classmethod
    def read(cls, given: Any) -> "Selection":
        """Return a selection that was described. Raises `InvalidArguments` for anything else."""
        try:
            found = cls(**given)
            datetime.fromisoformat(found.asked)
            wrong = (
                not isinstance(found.site, str)
                or isinstance(found.last, bool)
                or not isinstance(found.last, int)
                or not isinstance(found.query, str | None)
                or not set(found.lookups) <= LOOKUPS
            )
        except (TypeError, ValueError):
            wrong = True
        if wrong:
            names = ", ".join(one.name for one in fields(cls))
            raise InvalidArguments(
                f"a selection of calls cannot be {shown(given)}. It has: {names}; and of lookups: "
                f"{', '.join(sorted(LOOKUPS))}. Use the actions of the admin."
            )
        return found

    def described(self) -> dict[str, Any]:
        """Return the selection as plain values."""
        return asdict(self)

    def open(self, user_pk: Any, action: str) -> "Opened":
        """Return the rows as this user may act on them now. Raises `PermissionDenied`."""
        model_admin = model_admin_of(self.site)
        user = get_user_model()._default_manager.filter(pk=user_pk).first()
        request = HttpRequest()
        request.method = "GET"
        request.GET = QueryDict(self.query or "")
        request.user = user  # type: ignore[assignment]
        setattr(request, ASKED, datetime.fromisoformat(self.asked))
        may = getattr(model_admin, f"has_{ACTIONS[action].permission}_permission")
        if user is None or not model_admin.admin_site.has_permission(request) or not may(request):
            raise PermissionDenied(
                f"the user with the id {user_pk} is gone or may no longer do this. Let another "
                "user select the calls again."
            )
        if self.query is None:
            rows = model_admin.get_queryset(request)
        else:
            rows = model_admin.get_changelist_instance(request).queryset
        rows = rows.filter(pk__lte=self.last, **self.lookups)
        return Opened(model_admin, request, rows.order_by("pk"))


@dataclass(frozen=True)
class Opened:
    """A selection: its rows in the order of their ids, and the ModelAdmin for a user's request."""

    model_admin: ModelAdmin
    request: HttpRequest
    rows: QuerySet

    def ids(self, after: int, most: int) -> list[int]:
        """Return the first ids after this one, so many at most."""
        return list(self.rows.filter(pk__gt=after).values_list("pk", flat=True)[:most])


def asked_at(request: HttpRequest) -> datetime:
    """Return when a list was asked for, which in a task was earlier than now.

    A filter that is relative to now counts from there.
    """
    moment: datetime = getattr(request, ASKED, None) or current_moment()
    return moment


def is_selection(request: HttpRequest) -> bool:
    """Return whether a list is not to be shown, but acted on by a task: then it has no bound."""
    return hasattr(request, ASKED)


def model_admin_of(name: str) -> ModelAdmin:
    """Return the ModelAdmin of calls in the site with this name."""
    for load in (lambda: None, lambda: get_resolver().url_patterns):
        load()  # A site of the project's own may be made where its addresses are.
        for site in (admin.site, *all_sites):
            if site.name == name and site.is_registered(TaskExec):
                return site.get_model_admin(TaskExec)
    raise InvalidArguments(
        f"the worker has no admin site {shown(name)} that shows calls. Start it with the settings "
        "of the site."
    )
