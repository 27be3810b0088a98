"""Queues in the admin: what waits in each, and which are paused."""

from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.messages import SUCCESS
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_toosimple_q import queues
from django_toosimple_q.admin import columns, markup
from django_toosimple_q.admin.read_only import ReadOnlyAdmin
from django_toosimple_q.models import QueueStatus, TaskExec
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store import queues as store

States = TaskExec.States


@admin.register(QueueStatus)
class QueueStatusAdmin(ReadOnlyAdmin):
    """Lists queues, pauses them and lets them go on."""

    actions = ("action_pause", "action_resume")
    list_display = ("name", "state_badge", "paused_away", "waiting", "running", "task_names")
    list_columns = ("name", "paused")
    ordering = ("name",)
    search_fields = ("name",)
    fieldsets = (
        (None, {"fields": ("state_badge", "paused_in_full", "waiting", "running", "task_names")}),
    )

    state_badge = columns.state
    paused_away = columns.moment("paused", _("paused"))
    paused_in_full = columns.moment_in_full("paused", _("paused"))

    def has_pause_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may pause queues and let them go on."""
        return request.user.has_perm("toosimpleq.pause_queuestatus")

    @admin.action(permissions=["pause"], description=_("Pause"))
    def action_pause(self, request: HttpRequest, queryset: QuerySet[QueueStatus]) -> None:
        """Let nothing more of these queues start."""
        for row in queryset:
            if queues.pause(row.name):
                self.log_change(request, row, "Paused.")
                self.message_user(request, gettext("Queue %s is paused.") % row.name, SUCCESS)

    @admin.action(permissions=["pause"], description=_("Resume"))
    def action_resume(self, request: HttpRequest, queryset: QuerySet[QueueStatus]) -> None:
        """Let these queues go on."""
        for row in queryset:
            if queues.resume(row.name):
                self.log_change(request, row, "Resumed.")
                self.message_user(request, gettext("Queue %s goes on.") % row.name, SUCCESS)

    @admin.display(description=_("waiting"))
    def waiting(self, row: QueueStatus) -> SafeString | str:
        count = store.waiting(row.name)
        more = "+" if count == store.WAITING_COUNTED else ""
        return self._tasks_link(row, States.QUEUED, f"{count}{more}")

    @admin.display(description=_("running"))
    def running(self, row: QueueStatus) -> SafeString | str:
        return self._tasks_link(row, States.PROCESSING, str(store.running(row.name)))

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
