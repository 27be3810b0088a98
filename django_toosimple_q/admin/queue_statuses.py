"""Queues in the admin: how many calls wait and run in each, and which are paused."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.messages import ERROR, SUCCESS
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_toosimple_q import health, queues
from django_toosimple_q.admin import columns, history, markup
from django_toosimple_q.admin.lists import ColumnsChangeList
from django_toosimple_q.admin.read_only import ReadOnlyAdmin
from django_toosimple_q.health import Health
from django_toosimple_q.models import QueueStatus, TaskExec
from django_toosimple_q.overview import QueueFigures, findings
from django_toosimple_q.overview.spans import span
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store import queues as store

States = TaskExec.States
# The attribute of a request that has what it has read.
READ = "toosimpleq_health"


@admin.register(QueueStatus)
class QueueStatusAdmin(ReadOnlyAdmin):
    """Lists queues, and pauses and resumes them."""

    actions = ("action_pause", "action_resume")
    list_display = (
        *("name_text", "state_badge", "paused_away", "waiting", "running", "worker_labels"),
        "task_names",
    )
    list_columns = ("name", "paused")
    ordering = ("name",)
    search_fields = ("name",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("state_badge", "paused_in_full", "waiting", "running", "worker_labels"),
                    "task_names",
                )
            },
        ),
    )

    name_text = columns.text("name", _("name"))
    state_badge = columns.state
    paused_away = columns.moment("paused", _("paused"))
    paused_in_full = columns.moment_in_full("paused", _("paused"))

    def has_pause_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may pause and resume queues."""
        return request.user.has_perm("toosimpleq.pause_queuestatus")

    @admin.action(permissions=["pause"], description=_("Pause"))
    def action_pause(self, request: HttpRequest, queryset: QuerySet[QueueStatus]) -> None:
        """Stop claims from these queues."""
        for row in queryset:
            if queues.pause(row.name):
                self.log_change(request, row, history.PAUSED)
                self.message_user(request, gettext("Queue %s is paused.") % row.name, SUCCESS)

    @admin.action(permissions=["pause"], description=_("Resume"))
    def action_resume(self, request: HttpRequest, queryset: QuerySet[QueueStatus]) -> None:
        """Allow claims from these queues again."""
        for row in queryset:
            if queues.resume(row.name):
                self.log_change(request, row, history.RESUMED)
                self.message_user(
                    request, gettext("Queue %s is no longer paused.") % row.name, SUCCESS
                )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """List the queues, those as well that no worker has ever looked after."""
        if request.method == "GET" and self.has_view_permission(request):
            found = health.read()
            # Workers make these rows too. A queue needs one to be seen and paused.
            store.ensure({queue.name for queue in found.queues})
            setattr(request, READ, found)
            for queue in found.queues:
                if queue.unattended:
                    text = " ".join(findings.unattended([queue], found.now))
                    self.message_user(request, markup.commands(text), ERROR)
        return super().changelist_view(request, extra_context)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ColumnsChangeList]:
        return QueuesChangeList

    @admin.display(description=_("waiting"))
    def waiting(self, row: QueueStatus) -> SafeString | str:
        found, queue = self._figures(row)
        wait = found.wait(queue)
        oldest = "" if wait is None else gettext("oldest %s") % span(wait, units=1)
        link = self._tasks_link(row, States.QUEUED, health.counted(queue))
        return markup.stack(link, oldest)

    @admin.display(description=_("running"))
    def running(self, row: QueueStatus) -> SafeString | str:
        _found, queue = self._figures(row)
        return self._tasks_link(row, States.PROCESSING, str(queue.running))

    @admin.display(description=_("workers"))
    def worker_labels(self, row: QueueStatus) -> SafeString | str:
        found, queue = self._figures(row)
        if queue.unattended:
            return markup.warning(gettext("no living worker"))
        return ", ".join(found.labels(queue)) or markup.NOTHING

    def _figures(self, row: Any) -> tuple[Health, QueueFigures]:
        """Return how a queue stands; the list has read it once for all its rows."""
        if not hasattr(row, "figures"):
            row.figures = all_figures()[row.name]
        figures: tuple[Health, QueueFigures] = row.figures
        return figures

    @admin.display(description=_("tasks"))
    def task_names(self, row: QueueStatus) -> str:
        names = [task.name for task in tasks_registry.values() if task.queue_name == row.name]
        return ", ".join(sorted(names)) or markup.NOTHING

    def _tasks_link(self, row: QueueStatus, state: str, text: str) -> SafeString | str:
        try:
            url = reverse("admin:toosimpleq_taskexec_changelist", current_app=self.admin_site.name)
        except NoReverseMatch:
            return text
        query = urlencode({"state__exact": state, "queue": row.name})
        return format_html('<a href="{}?{}">{}</a>', url, query, text)


class QueuesChangeList(ColumnsChangeList):
    """Reads how the queues of a page stand once, not once for each row and column."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: Any = list(self.result_list)
        self.result_list = rows
        figures = all_figures(getattr(request, READ, None))
        for row in rows:
            if row.name in figures:  # not one that a worker has added meanwhile
                row.figures = figures[row.name]


def all_figures(found: Health | None = None) -> dict[str, tuple[Health, QueueFigures]]:
    """Return how each queue stands, by its name; `found` is what was read already."""
    found = found or health.read()
    return {queue.name: (found, queue) for queue in found.queues}
