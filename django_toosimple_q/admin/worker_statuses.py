"""Workers in the admin: which run, since when, and how the others ended."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import ExpressionWrapper, F, Q, QuerySet, Value
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_toosimple_q.admin import columns, markup
from django_toosimple_q.admin.read_only import ReadOnlyAdmin
from django_toosimple_q.fields import MomentField
from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.moments import current_moment
from django_toosimple_q.overview.spans import span

States = WorkerStatus.States
ExitCodes = WorkerStatus.ExitCodes


class StateFilter(SimpleListFilter):
    """Filters by state, which is not a column but follows from several."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, Any]]:
        return list(States.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        chosen = conditions(current_moment()).get(str(self.value()))
        return queryset if chosen is None else queryset.filter(chosen)


def conditions(now: datetime) -> dict[str, Q]:
    """Return the condition of each state. It must agree with `WorkerStatus.state`."""
    earliest, latest = (
        ExpressionWrapper(moment, output_field=MomentField())
        for moment in (
            Value(now, MomentField()) - F("timeout"),
            Value(now, MomentField()) + F("timeout"),
        )
    )
    unheard = Q(last_tick__lt=earliest) | Q(last_tick__gt=latest)
    silent = Q(rescued__isnull=False) | unheard
    stopped = Q(stopped__isnull=False)
    clean, terminated = Q(exit_code=ExitCodes.STOPPED), Q(exit_code=ExitCodes.TERMINATED)
    known = Q(exit_code__in=[ExitCodes.STOPPED, ExitCodes.TERMINATED])
    return {
        States.ONLINE: ~stopped & ~silent,
        States.STOPPED: stopped & clean,
        States.TERMINATED: stopped & terminated,
        States.CRASHED: stopped & (Q(exit_code__isnull=True) | ~known),
        States.TIMEDOUT: ~stopped & silent,
    }


@admin.register(WorkerStatus)
class WorkerStatusAdmin(ReadOnlyAdmin):
    """Lists workers, and shows how each of them ended."""

    list_display = (
        *("label_text", "state_badge", "queues", "host_text", "pid_text"),
        *("started_away", "last_seen_away", "exit_text"),
    )
    list_columns = (
        *("label", "included_queues", "excluded_queues", "host", "pid", "started", "last_tick"),
        *("timeout", "stopped", "rescued", "exit_code"),
    )
    list_filter = (StateFilter,)
    search_fields = ("label", "host")
    fieldsets = (
        (None, {"fields": ("state_badge", "queues", "host_text", "pid_text", "tasks_link")}),
        (
            _("Times"),
            {"fields": ("started_in_full", "last_seen_in_full", "stopped_in_full", "timeout_text")},
        ),
        (_("End"), {"fields": ("exit_text", "exit_log_text")}),
    )

    label_text = columns.text("label", _("label"))
    host_text = columns.text("host", _("host"))
    state_badge = columns.state
    started_away = columns.moment("started", _("started"))
    last_seen_away = columns.moment("last_tick", _("last seen"))
    started_in_full = columns.moment_in_full("started", _("started"))
    last_seen_in_full = columns.moment_in_full("last_tick", _("last seen"))
    stopped_in_full = columns.moment_in_full("stopped", _("stopped"))
    exit_log_text = columns.output("exit_log", _("exit log"))

    @admin.display(description=_("queues"))
    def queues(self, row: WorkerStatus) -> str:
        if row.included_queues:
            return ", ".join(map(str, row.included_queues))
        if row.excluded_queues:
            return gettext("all except %(queues)s") % {
                "queues": ", ".join(map(str, row.excluded_queues))
            }
        return gettext("all")

    @admin.display(description=_("process"))
    def pid_text(self, row: WorkerStatus) -> str:
        return markup.NOTHING if row.pid is None else str(row.pid)

    @admin.display(description=_("exit code"))
    def exit_text(self, row: WorkerStatus) -> str:
        if row.exit_code is None:
            return markup.NOTHING
        meaning = dict(ExitCodes.choices).get(row.exit_code)
        return f"{row.exit_code} {meaning}" if meaning else str(row.exit_code)

    @admin.display(description=_("declared dead after"))
    def timeout_text(self, row: WorkerStatus) -> str:
        return span(row.timeout)

    @admin.display(description=_("tasks"))
    def tasks_link(self, row: WorkerStatus) -> SafeString | str:
        site = self.admin_site.name
        try:
            url = reverse("admin:toosimpleq_taskexec_changelist", current_app=site)
        except NoReverseMatch:
            return markup.NOTHING
        running = f"{url}?worker__id__exact={row.pk}&state__exact={TaskExec.States.PROCESSING}"
        return format_html(
            '<a href="{}">{}</a> · <a href="{}?worker__id__exact={}&amp;attempts=all">{}</a>',
            *(running, _("running now"), url, row.pk, _("all")),
        )
