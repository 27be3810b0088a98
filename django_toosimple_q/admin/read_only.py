"""What the pages share: rows are looked at, not edited, and acted on by permission."""

import logging
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin, ShowFacets
from django.core.exceptions import PermissionDenied
from django.db.models import Func, Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_toosimple_q.admin import markup
from django_toosimple_q.admin.lists import ROWS_COUNTED, BoundedPaginator, ColumnsChangeList
from django_toosimple_q.exceptions import ToosimpleQError
from django_toosimple_q.models import TaskExec

logger = logging.getLogger("toosimpleq")

NAMED_IN_MESSAGES = 5


class ReadOnlyAdmin(ModelAdmin):
    """Shows rows; adds and changes none. Deleting is left to Django's own permission."""

    list_columns: tuple[str, ...] = ()
    list_extras: dict[str, Func] = {}
    row_action: str | None = None

    empty_value_display = markup.NOTHING
    list_per_page = 50
    list_max_show_all = 200
    ordering = ("-pk",)
    paginator = BoundedPaginator
    show_facets = ShowFacets.NEVER
    show_full_result_count = False
    sortable_by = ()

    class Media:
        css = {"all": ["toosimpleq/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ColumnsChangeList]:
        return ColumnsChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        refused = set(request.POST.getlist("action")) - {"", *self.get_actions(request)}
        if refused:
            logger.warning(
                "admin action refused: model=%s action=%s user=%s",
                self.opts.model_name,
                ",".join(sorted(refused)),
                request.user.pk,
            )
            raise PermissionDenied
        return super().changelist_view(request, extra_context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        offered = self.row_action if self.row_action in self.get_actions(request) else None
        label = getattr(getattr(self, offered), "short_description", "") if offered else ""
        context = {**(extra_context or {}), "row_action": offered, "row_action_label": label}
        return super().change_view(request, object_id, form_url, context)

    def response_action(  # type: ignore[override]  # Django 5.2 has no action_location
        self, request: HttpRequest, queryset: QuerySet, **kwargs: Any
    ) -> HttpResponse | None:
        pages = BoundedPaginator(queryset, self.list_per_page)
        # "All" must not reach rows that the list never counted.
        if request.POST.get("select_across") == "1" and pages.is_cut:
            text = _("More than %(count)s rows match. Narrow the list with a filter first.")
            self.message_user(request, text % {"count": ROWS_COUNTED}, messages.WARNING)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset, **kwargs)

    def queue_for_each(
        self,
        request: HttpRequest,
        queryset: QuerySet,
        queue: Callable[[Any], TaskExec],
        note: str,
    ) -> None:
        """Queue a task for each selected row, note it in the row's history, and say so."""
        queued, errors = [], []
        # With all columns: what is queued is made from the payload, which the list leaves out.
        for row in queryset.defer(None).order_by("pk"):
            try:
                task_exec = queue(row)
            except ToosimpleQError as error:
                errors.append(f"{row}: {error}")
                continue
            self.log_change(request, row, note.format(task_exec.pk))
            queued.append(task_exec)
        self._report(request, queued, errors)

    def _report(self, request: HttpRequest, queued: list[TaskExec], errors: list[str]) -> None:
        if queued:
            text = ngettext("%d task queued:", "%d tasks queued:", len(queued)) % len(queued)
            rows = queued[:NAMED_IN_MESSAGES]
            links = [(markup.link(row, f"#{row.pk}", self.admin_site.name),) for row in rows]
            more = " …" if len(queued) > len(rows) else ""
            named = format_html_join(", ", "{}", links)
            self.message_user(request, format_html("{} {}{}", text, named, more), messages.SUCCESS)
        for error in errors[:NAMED_IN_MESSAGES]:
            self.message_user(request, error, messages.ERROR)
        if len(errors) > NAMED_IN_MESSAGES:
            text = _("%d more were refused.") % (len(errors) - NAMED_IN_MESSAGES)
            self.message_user(request, text, messages.ERROR)
