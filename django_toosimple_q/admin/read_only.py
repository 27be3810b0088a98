"""What the pages share: rows are shown, not edited, and each action needs a permission."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin, ShowFacets
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.utils import quote
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db.models import Func, Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_toosimple_q.admin import history, markup
from django_toosimple_q.admin.buttons import Press, press_actions
from django_toosimple_q.admin.lists import ROWS_COUNTED, BoundedPaginator, ColumnsChangeList
from django_toosimple_q.exceptions import ToosimpleQError
from django_toosimple_q.models import TaskExec

logger = logging.getLogger("toosimpleq")

NAMED_IN_MESSAGES = 5


class ReadOnlyAdmin(ModelAdmin):
    """Shows rows without adding or changing any. Django's own permission allows deleting."""

    list_columns: tuple[str, ...] = ()
    list_extras: dict[str, Func] = {}
    # The actions that may act on more rows than the list counts.
    unbounded_actions: tuple[str, ...] = ()

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
        for selected in request.POST.getlist("_selected_action"):
            try:
                self.opts.pk.clean(selected, None)
            except ValidationError as error:
                raise BadRequest("A selected row has an id that no row can have.") from error
        return super().changelist_view(request, extra_context)

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: int) -> HttpResponse:
        """Return to the list. Django leads who may not change rows to the start page."""
        response = super().response_delete(request, obj_display, obj_id)
        if not isinstance(response, HttpResponseRedirect) or not self.has_view_permission(request):
            return response
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_changelist"
        filters: Any = {"preserved_filters": self.get_preserved_filters(request), "opts": self.opts}
        return HttpResponseRedirect(add_preserved_filters(filters, reverse(name)))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().history_view(request, object_id, extra_context)
        if isinstance(response, TemplateResponse):
            for entry in (response.context_data or {})["action_list"]:
                entry.change_message = history.translated(entry.change_message)
        return response

    def row_actions(self, row: Any) -> Sequence[str]:
        """Return the actions that the page of a row offers to those who may."""
        return ()

    def press(self, request: HttpRequest, row: Any) -> Press:
        """Return the buttons of a row's page."""
        allowed = self.get_actions(request)
        offered = [name for name in self.row_actions(row) if name in allowed]
        actions = [(name, getattr(self, name).short_description) for name in offered]
        return press_actions(row, actions, self.admin_site.name)

    def render_change_form(
        self,
        request: HttpRequest,
        context: Any,
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        if obj is not None:
            context["press"] = self.press(request, obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def response_action(  # type: ignore[override]  # Django 5.2 has no action_location
        self, request: HttpRequest, queryset: QuerySet, **kwargs: Any
    ) -> HttpResponse | None:
        pages = BoundedPaginator(queryset, self.list_per_page)
        bounded = set(request.POST.getlist("action")) - {"", *self.unbounded_actions}
        # "Select all" must not act on rows that the list never counted.
        if request.POST.get("select_across") == "1" and bounded and pages.is_cut:
            text = _("More than %(count)s rows match. Use a filter to select fewer.")
            self.message_user(request, text % {"count": ROWS_COUNTED}, messages.WARNING)
            return HttpResponseRedirect(request.get_full_path())
        response = super().response_action(request, queryset, **kwargs)
        pressed = request.POST.getlist("_selected_action")
        if "row_page" in request.POST and isinstance(response, HttpResponseRedirect) and pressed:
            # The button of a row's page leads back to it.
            view = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
            url = reverse(view, args=[quote(pressed[0])], current_app=self.admin_site.name)
            return HttpResponseRedirect(url)
        return response

    def queue_for_each(
        self,
        request: HttpRequest,
        queryset: QuerySet,
        queue: Callable[[Any], TaskExec],
        note: str,
    ) -> None:
        """Queue a task for each selected row, note it in the row's history, and show a message.

        `note` is one of `admin/history.py`; its value is the id of the task.
        """
        queued, errors = [], []
        # Load all columns: the new row needs the payload, which the list leaves out.
        for row in queryset.defer(None).order_by("pk"):
            try:
                task_exec = queue(row)
            except ToosimpleQError as error:
                errors.append(f"{row}: {error}")
                continue
            self.log_change(request, row, note % {"task": task_exec.pk})
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
            text = _("%d more could not be queued.") % (len(errors) - NAMED_IN_MESSAGES)
            self.message_user(request, text, messages.ERROR)
