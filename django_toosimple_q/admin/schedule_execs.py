"""Schedules in the admin: when they run, what became of it, and the buttons for it."""

from collections.abc import Sequence
from datetime import timedelta, tzinfo
from typing import Any

from django.contrib import admin
from django.contrib.messages import SUCCESS
from django.db import DatabaseError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_toosimple_q import conf
from django_toosimple_q.admin import columns, history, markup, schedule_notes
from django_toosimple_q.admin.cron_words import cron_words
from django_toosimple_q.admin.read_only import ReadOnlyAdmin
from django_toosimple_q.admin.values import Placeholder
from django_toosimple_q.exceptions import InvalidArguments, InvalidDefinition, ToosimpleQError, said
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.moments import aware, current_moment
from django_toosimple_q.overview.spans import span
from django_toosimple_q.schedule import Schedule
from django_toosimple_q.store import schedule_execs, schedule_pauses
from django_toosimple_q.store.schedule_runs import Run, last_runs
from django_toosimple_q.text import printable

ACTIVE = ScheduleExec.States.ACTIVE
OCCURRENCES_SHOWN = 10
# What stands for the moment that a schedule passes to its task.
OCCURRENCE = Placeholder(_("<the occurrence>"))


class StateFilter(admin.ChoicesFieldListFilter):
    """Filters by state."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("state")


class PausedFilter(admin.SimpleListFilter):
    """Filters by whether a schedule is paused."""

    title = _("pause")
    parameter_name = "paused"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Paused")), ("0", _("Not paused"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        chosen = self.value()
        return queryset.filter(paused__isnull=chosen != "1") if chosen in ("0", "1") else queryset


@admin.register(ScheduleExec)
class ScheduleExecAdmin(ReadOnlyAdmin):
    """Lists schedules, shows their occurrences, runs them by hand, pauses and resumes them."""

    actions = ("action_force_run", "action_pause", "action_resume")
    list_display = (
        *("name_text", "state_and_pause", "cron_and_zone", "next_away", "last_due_away"),
        "last_task_link",
    )
    list_columns = (
        *("name", "state", "paused", "last_due", "expression"),
        *("last_task__state", "last_task__due"),
    )
    list_select_related = ("last_task",)
    list_filter = (("state", StateFilter), PausedFilter)
    ordering = ("name",)
    search_fields = ("name",)
    fieldsets = (
        (None, {"fields": ("state_in_full", "definition", "call", "queue")}),
        (_("Why it is broken"), {"fields": ("error_text", "failed_in_full")}),
        (_("When"), {"fields": ("cron_in_full", "zone", "catch_up", "next_occurrences")}),
        (_("Last runs"), {"fields": ("last_due_in_full", "runs")}),
    )

    name_text = columns.text("name", _("name"))
    error_text = columns.output("error", _("error"))
    failed_in_full = columns.moment_in_full("failed", _("last tried"))

    def get_fieldsets(self, request: HttpRequest, obj: ScheduleExec | None = None) -> Any:
        broken = obj is not None and obj.state == ScheduleExec.States.BROKEN
        return [one for one in self.fieldsets if broken or "error_text" not in one[1]["fields"]]

    def row_actions(self, row: ScheduleExec) -> Sequence[str]:
        """Return what is of use: no call without a definition, no pause without an occurrence."""
        schedule = row.schedule
        run = ["action_force_run"] if schedule is not None else []
        if row.paused is not None:
            return [*run, "action_resume"]
        pauses = schedule is not None and not schedule.expression.manual
        return [*run, "action_pause"] if pauses else run

    def has_force_run_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may run schedules by hand."""
        return request.user.has_perm("toosimpleq.force_run_scheduleexec")

    @admin.action(permissions=["force_run"], description=_("Run now"))
    def action_force_run(self, request: HttpRequest, queryset: QuerySet[ScheduleExec]) -> None:
        """Queue the tasks of these schedules now. Their next occurrences do not change."""
        self.queue_for_each(request, queryset, force, history.RUN_BY_HAND)

    def has_pause_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may pause and resume schedules."""
        return request.user.has_perm("toosimpleq.pause_scheduleexec")

    @admin.action(permissions=["pause"], description=_("Pause"))
    def action_pause(self, request: HttpRequest, queryset: QuerySet[ScheduleExec]) -> None:
        """Let the expressions of these schedules queue nothing. They still run by hand."""
        for row in queryset:
            if schedule_pauses.pause(row.name, current_moment()):
                self.log_change(request, row, history.PAUSED)
                self.message_user(request, gettext("Schedule %s is paused.") % row.name, SUCCESS)

    @admin.action(permissions=["pause"], description=_("Resume"))
    def action_resume(self, request: HttpRequest, queryset: QuerySet[ScheduleExec]) -> None:
        """Let these schedules go on; those that catch up queue what they have missed."""
        for row in queryset:
            # Of one that this code does not define, nobody here knows whether it catches up.
            catch_up = row.schedule is None or row.schedule.catch_up
            if schedule_pauses.resume(row.name, current_moment(), catch_up=catch_up):
                self.log_change(request, row, history.RESUMED)
                text = gettext("Schedule %s is no longer paused.")
                self.message_user(request, text % row.name, SUCCESS)

    @admin.display(description=_("state"))
    def state_and_pause(self, row: ScheduleExec) -> SafeString:
        if row.paused is None:
            return markup.badge(row)
        return markup.stack(markup.paused(), "" if row.state == ACTIVE else markup.badge(row))

    @admin.display(description=_("state"))
    def state_in_full(self, row: ScheduleExec) -> SafeString:
        notes = schedule_notes.notes(row, current_moment())
        boxes = ((markup.note(one.fact, one.cure, bad=one.bad),) for one in notes)
        # To a paused one it matters no more that it is active.
        badge = "" if row.paused is not None and row.state == ACTIVE else markup.badge(row)
        paused = markup.paused() if row.paused is not None else ""
        return format_html("{} {}{}", badge, paused, format_html_join("", "{}", boxes))

    @admin.display(description=_("task"))
    def definition(self, row: ScheduleExec) -> SafeString:
        schedule = row.schedule
        if schedule is None:
            return markup.warning(gettext("not defined in the code"))
        return format_html("{} {}", schedule.task.name, markup.quiet(schedule.location))

    @admin.display(description=_("call"))
    def call(self, row: ScheduleExec) -> SafeString | str:
        schedule = row.schedule
        if schedule is None:
            return markup.NOTHING
        return markup.call(schedule.task.name, *schedule.shown_arguments(OCCURRENCE))

    @admin.display(description=_("queue"))
    def queue(self, row: ScheduleExec) -> str:
        return row.schedule.queue_name if row.schedule else markup.NOTHING

    @admin.display(description=_("cron"))
    def cron(self, row: ScheduleExec) -> SafeString | str:
        text = row.schedule.cron if row.schedule else former(row)[0]
        return format_html('<code class="tsq-cron">{}</code>', text) if text else markup.NOTHING

    @admin.display(description=_("cron"))
    def cron_in_full(self, row: ScheduleExec) -> SafeString | str:
        words = cron_words(row.schedule.expression) if row.schedule else ""
        if not words:
            return self.cron(row)
        return format_html('{} <span class="tsq-words">{}</span>', self.cron(row), words)

    @admin.display(description=_("cron"))
    def cron_and_zone(self, row: ScheduleExec) -> SafeString:
        words = cron_words(row.schedule.expression) if row.schedule else ""
        zone = self.zone(row)
        below = [(one,) for one in (words, zone) if one not in ("", markup.NOTHING)]
        return markup.stack(self.cron(row), format_html_join(SafeString("<br>"), "{}", below))

    @admin.display(description=_("time zone"))
    def zone(self, row: ScheduleExec) -> str:
        return zone_name(row.schedule) if row.schedule else former(row)[1] or markup.NOTHING

    @admin.display(description=_("catch up"), boolean=True)
    def catch_up(self, row: ScheduleExec) -> bool | None:
        return row.schedule.catch_up if row.schedule else None

    @admin.display(description=_("next"))
    def next_away(self, row: ScheduleExec) -> SafeString | str:
        if row.paused is not None:
            return markup.NOTHING
        now = current_moment()
        dues = schedule_notes.dues(row.schedule, now, 1)
        if dues.reason:
            return markup.warning(gettext("cannot be computed"))
        return markup.moment(dues.moments[0], now) if dues.moments else markup.NOTHING

    @admin.display(description=_("next occurrences"))
    def next_occurrences(self, row: ScheduleExec) -> SafeString | str:
        schedule, now = row.schedule, current_moment()
        if schedule is None:
            return markup.NOTHING
        if schedule.expression.manual:
            return gettext("none, it only runs by hand")
        dues = schedule_notes.dues(schedule, now, OCCURRENCES_SHOWN)
        if dues.reason:
            return markup.warning(gettext("cannot be computed"))
        if not dues.moments:
            return gettext("none, its expression names no later moment")
        former = now.astimezone(schedule.expression.timezone).utcoffset()
        lines = []
        for moment in dues.moments:
            shown = moment.astimezone(schedule.expression.timezone)
            changed = gettext("the clocks have changed") if shown.utcoffset() != former else ""
            former = shown.utcoffset()
            lines.append((markup.exact(shown), markup.away(moment, now), changed))
        items = format_html_join(
            "", '<li>{} <span class="tsq-quiet">{}</span> <em>{}</em></li>', lines
        )
        listed = format_html('<ol class="tsq-occurrences">{}</ol>', items)
        note = markup.quiet(gettext("None of these is queued while it is paused."))
        return listed if row.paused is None else format_html("{}{}", listed, note)

    @admin.display(description=_("last due"))
    def last_due_away(self, row: ScheduleExec) -> SafeString:
        return markup.moment(schedule_notes.last_due(row), current_moment())

    @admin.display(description=_("last due"))
    def last_due_in_full(self, row: ScheduleExec) -> SafeString:
        moment = schedule_notes.last_due(row, lambda: last_runs(row))
        if moment is None:
            return markup.NOTHING
        shown = aware(moment).astimezone(zone_of(row))
        return markup.and_away(shown, current_moment())

    @admin.display(description=_("runs"))
    def runs(self, row: ScheduleExec) -> SafeString:
        found = last_runs(row)
        if not found and row.last_task is not None:  # an older release has queued it
            found = [Run(row.last_task, row.last_task)]
        if not found:
            return markup.NOTHING
        zone = zone_of(row)
        lines = [
            (
                markup.exact(aware(run.first.due).astimezone(zone)),
                markup.task_link(run.last, self.admin_site.name),
                course(run),
            )
            for run in found
        ]
        items = format_html_join(
            "", '<li>{} <span>{}</span> <span class="tsq-quiet">{}</span></li>', lines
        )
        return format_html('<ul class="tsq-runs">{}</ul>', items)

    @admin.display(description=_("last task"))
    def last_task_link(self, row: ScheduleExec) -> SafeString | str:
        if row.last_task is None:
            return markup.NOTHING
        return markup.task_link(row.last_task, self.admin_site.name)


def force(row: ScheduleExec) -> TaskExec:
    """Queue a schedule's task now. Raises `InvalidDefinition` if the code does not define it."""
    if row.schedule is None:
        raise InvalidDefinition(
            gettext(
                "The code does not define this schedule, so it cannot run. Restore its definition."
            )
        )
    try:
        return schedule_execs.force(row.schedule, current_moment())
    except (ToosimpleQError, DatabaseError):
        raise
    except (Exception, SystemExit) as error:  # user code: unique_by
        text = gettext("Its call cannot be queued: %(error)s") % {"error": said(error)}
        raise InvalidArguments(text) from error


def course(run: Run) -> str:
    """Return how late a call began, how often it was tried, and how long it took."""
    parts = []
    if run.first.started is not None:
        late = aware(run.first.started) - aware(run.first.due)
        parts.append(gettext("began %s late") % span(max(late, timedelta(0)), units=1))
    elif run.first.finished is None:
        late = current_moment() - aware(run.first.due)
        parts.append(gettext("has waited for %s") % span(max(late, timedelta(0)), units=1))
    if run.last.attempt > 1:
        parts.append(gettext("attempt %s") % run.last.attempt)
    if run.last.started is not None and run.last.finished is not None:
        took = aware(run.last.finished) - aware(run.last.started)
        parts.append(gettext("took %s") % span(took))
    return ", ".join(parts)


def former(row: ScheduleExec) -> tuple[str, str]:
    """Return the expression and the time zone that a schedule without a definition had."""
    text, _space, zone = markup.cut(row.expression, markup.PREVIEW_LENGTH).rpartition(" ")
    return printable(text), printable(zone)


def zone_of(row: ScheduleExec) -> tzinfo:
    """Return the zone in which the moments of a schedule are shown."""
    schedule = row.schedule
    return schedule.expression.timezone if schedule else timezone.get_current_timezone()


def zone_name(schedule: Schedule) -> str:
    """Return the name of the time zone of a schedule's expression."""
    return schedule.timezone or conf.cron_timezone()
