"""Schedules in the admin: what they last did, and when they run next."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_toosimple_q import conf
from django_toosimple_q.admin import columns, markup
from django_toosimple_q.admin.read_only import ReadOnlyAdmin
from django_toosimple_q.exceptions import InvalidDefinition
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.schedule import Schedule
from django_toosimple_q.store import schedule_execs

OCCURRENCES_SHOWN = 10


@admin.register(ScheduleExec)
class ScheduleExecAdmin(ReadOnlyAdmin):
    """Lists schedules, shows the next occurrences of one, and runs it by hand."""

    actions = ("action_force_run",)
    row_action = "action_force_run"
    list_display = (
        *("name", "state_badge", "cron_and_zone", "next_away", "last_due_away", "last_task_link"),
    )
    list_columns = ("name", "state", "last_due", "last_task__state")
    list_select_related = ("last_task",)
    list_filter = ("state",)
    ordering = ("name",)
    search_fields = ("name",)
    fieldsets = (
        (None, {"fields": ("state_badge", "definition", "call", "queue")}),
        (_("When"), {"fields": ("cron", "zone", "catch_up", "next_occurrences")}),
        (_("Last occurrence"), {"fields": ("last_due_in_full", "last_task_link")}),
    )

    state_badge = columns.state
    last_due_away = columns.moment("last_due", _("last due"))
    last_due_in_full = columns.moment_in_full("last_due", _("due"))

    def has_force_run_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may run schedules by hand."""
        return request.user.has_perm("toosimpleq.force_run_scheduleexec")

    @admin.action(permissions=["force_run"], description=_("Run now"))
    def action_force_run(self, request: HttpRequest, queryset: QuerySet[ScheduleExec]) -> None:
        """Queue the tasks of schedules now; when they run next stays as it was."""
        self.queue_for_each(request, queryset, force, "Run by hand as task {}.")

    @admin.display(description=_("task"))
    def definition(self, row: ScheduleExec) -> SafeString:
        schedule = row.schedule
        if schedule is None:
            return markup.warning(gettext("not in the code"))
        return format_html("{} {}", schedule.task.name, markup.quiet(schedule.place))

    @admin.display(description=_("call"))
    def call(self, row: ScheduleExec) -> SafeString | str:
        schedule = row.schedule
        if schedule is None:
            return markup.NOTHING
        kwargs = dict(schedule.kwargs)
        if schedule.datetime_kwarg:
            kwargs[schedule.datetime_kwarg] = Occurrence()
        return markup.call(schedule.task.name, schedule.args, kwargs)

    @admin.display(description=_("queue"))
    def queue(self, row: ScheduleExec) -> str:
        return row.schedule.queue_name if row.schedule else markup.NOTHING

    @admin.display(description=_("cron"))
    def cron(self, row: ScheduleExec) -> SafeString | str:
        if row.schedule is None:
            return markup.NOTHING
        return format_html('<code class="tsq-cron">{}</code>', row.schedule.cron)

    @admin.display(description=_("cron"))
    def cron_and_zone(self, row: ScheduleExec) -> SafeString:
        return markup.stack(self.cron(row), self.zone(row) if row.schedule else "")

    @admin.display(description=_("time zone"))
    def zone(self, row: ScheduleExec) -> str:
        return zone_name(row.schedule) if row.schedule else markup.NOTHING

    @admin.display(description=_("catch up"), boolean=True)
    def catch_up(self, row: ScheduleExec) -> bool | None:
        return row.schedule.catch_up if row.schedule else None

    @admin.display(description=_("next"))
    def next_away(self, row: ScheduleExec) -> SafeString | str:
        now = timezone.now()
        following = next(occurrences(row.schedule, now), None)
        return markup.NOTHING if following is None else markup.moment(following, aware(now))

    @admin.display(description=_("next occurrences"))
    def next_occurrences(self, row: ScheduleExec) -> SafeString | str:
        schedule, now = row.schedule, timezone.now()
        if schedule is None:
            return markup.NOTHING
        if schedule.expression.manual:
            return gettext("never by itself")
        zone = ZoneInfo(zone_name(schedule))
        lines = [
            (markup.exact(moment.astimezone(zone)), markup.away(moment, aware(now)))
            for moment in islice(occurrences(schedule, now), OCCURRENCES_SHOWN)
        ]
        items = format_html_join("", '<li>{} <span class="tsq-quiet">{}</span></li>', lines)
        return format_html('<ol class="tsq-occurrences">{}</ol>', items)

    @admin.display(description=_("last task"))
    def last_task_link(self, row: ScheduleExec) -> SafeString | str:
        if row.last_task is None:
            return markup.NOTHING
        return markup.task_link(row.last_task, self.admin_site.name)


class Occurrence:
    """Stands for the moment that a schedule passes to its task."""

    def __repr__(self) -> str:
        return "<the occurrence>"


def force(row: ScheduleExec) -> TaskExec:
    """Queue the task of a schedule, now. Raises `InvalidDefinition` when the code lost it."""
    if row.schedule is None:
        raise InvalidDefinition("no such schedule is in the code, so it cannot be run.")
    return schedule_execs.force(row.schedule, timezone.now())


def occurrences(schedule: Schedule | None, now: datetime) -> Iterator[datetime]:
    """Yield the occurrences after `now`, without end, or none."""
    if schedule is None or schedule.expression.manual:
        return
    moment = schedule.expression.next(aware(now))
    while moment is not None:
        yield moment
        moment = schedule.expression.next(moment)


def aware(moment: datetime) -> datetime:
    """Return the clock's datetime as an aware one, whatever USE_TZ says."""
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment.astimezone(UTC)


def zone_name(schedule: Schedule) -> str:
    """Return the name of the zone that a schedule's expression is read in."""
    return schedule.timezone or conf.cron_timezone()
