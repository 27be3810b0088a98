"""Tasks in the admin: what waits, runs, went well or failed, and why."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Right
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_toosimple_q.admin import columns, markup
from django_toosimple_q.admin.lists import GroupFilter, QueueFilter, TaskFilter
from django_toosimple_q.admin.read_only import ReadOnlyAdmin
from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.store import task_execs

States = TaskExec.States
FAILURES = (States.FAILED, States.INTERRUPTED)


@admin.register(TaskExec)
class TaskExecAdmin(ReadOnlyAdmin):
    """Lists tasks, shows one with its arguments, result and output, and queues it again."""

    actions = ("action_requeue",)
    row_action = "action_requeue"
    list_display = (
        *("task_and_queue", "state_and_attempt", "due_away", "started_away"),
        *("finished_and_took", "worker_label", "preview"),
    )
    list_columns = (
        *("task_name", "state", "queue", "due", "started", "finished", "attempt", "retries"),
        *("result_preview", "worker__label"),
    )
    # Of an error its end, which says what it was.
    list_extras = {"error_end": Right("error", markup.PREVIEW_LENGTH)}
    list_select_related = ("worker",)
    list_filter = (GroupFilter, "state", TaskFilter, QueueFilter)
    search_fields = ("task_name",)

    state_badge = columns.state
    due_away = columns.moment("due", _("due"))
    started_away = columns.moment("started", _("started"))
    due_in_full = columns.moment_in_full("due", _("due"))
    created_in_full = columns.moment_in_full("created", _("created"))
    started_in_full = columns.moment_in_full("started", _("started"))
    finished_in_full = columns.moment_in_full("finished", _("finished"))
    expires_in_full = columns.moment_in_full("expires", _("expires"))
    error_text = columns.output("error", _("error"))
    stdout_text = columns.output("stdout", _("stdout"))
    stderr_text = columns.output("stderr", _("stderr"))

    def get_fieldsets(self, request: HttpRequest, obj: TaskExec | None = None) -> Any:
        row = obj or TaskExec()
        outcome = {
            "result_value": row.state == States.SUCCEEDED or row.result is not None,
            "error_text": row.error,
            "stdout_text": row.stdout,
            "stderr_text": row.stderr,
        }
        sections = (
            (None, {"fields": self._task_fields(row)}),
            (_("Outcome"), {"fields": [name for name, is_there in outcome.items() if is_there]}),
            (_("Times"), {"fields": self._time_fields(row)}),
        )
        return [section for section in sections if section[1]["fields"]]

    def _task_fields(self, row: TaskExec) -> list[str]:
        links = {
            "first_attempt": row.root_id,
            "replaces": row.attempt > 1,
            "replacement": row.replaced_by_id,
            "deaths": row.deaths,
        }
        return [
            *("state_badge", "definition", "call", "queue", "priority_text", "worker_link"),
            "attempt_in_full",
            *(name for name, is_there in links.items() if is_there),
        ]

    def _time_fields(self, row: TaskExec) -> list[str]:
        limits = {"expires_in_full": row.expires, "timeout_text": row.timeout}
        return [
            *("due_in_full", "created_in_full", "started_in_full", "finished_in_full", "took"),
            *(name for name, limit in limits.items() if limit is not None),
        ]

    def has_requeue_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may queue tasks again."""
        return request.user.has_perm("toosimpleq.requeue_taskexec")

    def delete_model(self, request: HttpRequest, obj: TaskExec) -> None:
        task_execs.delete([obj.pk])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[TaskExec]) -> None:
        task_execs.delete(list(queryset.values_list("pk", flat=True)))

    @admin.action(permissions=["requeue"], description=_("Queue again"))
    def action_requeue(self, request: HttpRequest, queryset: QuerySet[TaskExec]) -> None:
        """Queue the same calls again, as new rows."""
        self.queue_for_each(request, queryset, requeue, "Queued again as task {}.")

    @admin.display(description=_("task"))
    def task_and_queue(self, row: TaskExec) -> SafeString:
        return markup.stack(row.task_name, row.queue)

    @admin.display(description=_("state"))
    def state_and_attempt(self, row: TaskExec) -> SafeString:
        # A first attempt is worth a word where another one follows, or should have.
        told = row.attempt > 1 or (row.retries and row.state in FAILURES)
        text = gettext("attempt %s") % self.attempt_of(row) if told else ""
        return markup.stack(markup.badge(row), text)

    @admin.display(description=_("finished"))
    def finished_and_took(self, row: TaskExec) -> SafeString:
        took = self.took(row)
        text = gettext("took %s") % took if row.finished and took != markup.NOTHING else ""
        return markup.stack(markup.moment(row.finished, timezone.now()), text)

    @admin.display(description=_("took"))
    def took(self, row: TaskExec) -> str:
        running = row.state == States.PROCESSING
        end = timezone.now() if running else row.finished
        if row.started is None or end is None:
            return markup.NOTHING
        return f"{markup.span(end - row.started)}{' …' if running else ''}"

    @admin.display(description=_("attempt"))
    def attempt_of(self, row: TaskExec) -> str:
        if row.retries < 0:
            return f"{row.attempt}/∞"
        total = row.attempt + row.retries
        return f"{row.attempt}/{total}" if total > 1 else str(row.attempt)

    @admin.display(description=_("attempt"))
    def attempt_in_full(self, row: TaskExec) -> SafeString | str:
        if not row.retries:
            return self.attempt_of(row)
        delay = markup.span(timedelta(seconds=row.retry_delay))
        note = markup.quiet(gettext("the next one %s after a failure") % delay)
        return format_html("{} {}", self.attempt_of(row), note)

    @admin.display(description=_("priority"))
    def priority_text(self, row: TaskExec) -> SafeString:
        return format_html("{} {}", row.priority, markup.quiet(gettext("larger runs first")))

    @admin.display(description=_("may run for"))
    def timeout_text(self, row: TaskExec) -> str:
        return markup.span(timedelta(seconds=row.timeout or 0))

    @admin.display(description=_("worker"))
    def worker_label(self, row: TaskExec) -> str:
        return row.worker.label if row.worker else markup.NOTHING

    @admin.display(description=_("result"))
    def preview(self, row: Any) -> SafeString:
        return markup.preview(row.result_preview or markup.last_line(row.error_end))

    @admin.display(description=_("worker"))
    def worker_link(self, row: TaskExec) -> SafeString | str:
        # The database keeps no constraint here: the worker's row may be gone.
        workers = WorkerStatus.objects.filter(pk__in=[row.worker_id])
        worker = workers.only("label").first()
        return markup.link(worker, worker.label, self.admin_site.name) if worker else markup.NOTHING

    @admin.display(description=_("task"))
    def definition(self, row: TaskExec) -> SafeString:
        task = row.task
        note = (
            markup.warning(gettext("not in the code")) if task is None else markup.quiet(task.place)
        )
        return format_html("{} {}", row.task_name, note)

    @admin.display(description=_("call"))
    def call(self, row: TaskExec) -> SafeString:
        return markup.call(row.task_name, row.args, row.kwargs)

    @admin.display(description=_("result"))
    def result_value(self, row: TaskExec) -> SafeString | str:
        result: Any = row.result
        if result is None and row.state != States.SUCCEEDED:
            return markup.NOTHING
        return markup.value(result)

    @admin.display(description=_("first attempt"))
    def first_attempt(self, row: TaskExec) -> SafeString | str:
        return self._link_to(row.root_id)

    @admin.display(description=_("replaced by"))
    def replacement(self, row: TaskExec) -> SafeString | str:
        return self._link_to(row.replaced_by_id)

    @admin.display(description=_("replaces"))
    def replaces(self, row: TaskExec) -> SafeString | str:
        return self._link_to(row.replaces.order_by("pk").values_list("pk", flat=True).first())

    def _link_to(self, pk: int | None) -> SafeString | str:
        if pk is None:
            return markup.NOTHING
        row = TaskExec.objects.filter(pk=pk).only("state").first()
        if row is None:  # pruned, as a first attempt may be before the last one
            return markup.quiet(gettext("#%(pk)s, no longer kept") % {"pk": pk})
        return markup.task_link(row, self.admin_site.name)


def requeue(row: TaskExec) -> TaskExec:
    """Queue a task's call again, now."""
    return task_execs.requeue(row, timezone.now())
