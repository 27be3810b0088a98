"""Calls in the admin: which wait, run, succeeded or failed, and why."""

from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.actions import delete_selected
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_toosimple_q import stand_ins
from django_toosimple_q.admin import columns, history, log_lines, markup, tracebacks
from django_toosimple_q.admin.bulk import ask as bulk
from django_toosimple_q.admin.buttons import Allowed, Press, drawn, press_of
from django_toosimple_q.admin.course import course_of, spans_of
from django_toosimple_q.admin.dashboard.actions import act
from django_toosimple_q.admin.lists import QueueFilter, TaskFilter
from django_toosimple_q.admin.other_arguments import run_with
from django_toosimple_q.admin.read_only import ReadOnlyAdmin
from django_toosimple_q.admin.rescheduling import ask, reschedule
from django_toosimple_q.admin.task_list import (
    AttemptsFilter,
    ErrorTypeFilter,
    TaskChangeList,
    TimeFilter,
    WorkerFilter,
    is_id,
    search,
)
from django_toosimple_q.masking import arguments_of
from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.moments import current_moment
from django_toosimple_q.overview.spans import span
from django_toosimple_q.store import task_execs

States = TaskExec.States
FAILURES = (States.FAILED, States.INTERRUPTED)


@admin.register(TaskExec)
class TaskExecAdmin(ReadOnlyAdmin):
    """Lists calls, shows their arguments, results and output, and queues them again."""

    actions = ("action_requeue", "action_reschedule", "action_cancel", "delete_selected")
    unbounded_actions = ("action_requeue", "action_cancel", "delete_selected")
    list_display = ("call_and_queue", "state_and_attempt", "when_and_where", "preview")
    list_columns = (
        *("task_name", "state", "queue", "due", "started", "finished", "attempt", "retries"),
        *("arguments_preview", "priority", "root", "replaced_by", "hold", "created"),
        *("result_preview", "error_type", "worker", "cancelled"),
        *("progress_done", "progress_total", "progress_message"),
    )
    # These texts may be long, so the list loads only their beginning.
    list_extras = {
        "message_start": Left("error_message", markup.PREVIEW_LENGTH),
        "error_start": Left("error", markup.PREVIEW_LENGTH),
    }
    list_filter = (
        *(TimeFilter, TaskFilter, QueueFilter, WorkerFilter, ErrorTypeFilter, AttemptsFilter),
    )
    search_fields = ("task_name", "error_type", "arguments_preview")
    search_help_text = _("Task, error type or arguments; #12 finds one call.")

    state_badge = columns.state
    queue_text = columns.text("queue", _("queue"))
    due_in_full = columns.moment_in_full("due", _("due"))
    created_in_full = columns.moment_in_full("created", _("created"))
    started_in_full = columns.moment_in_full("started", _("started"))
    finished_in_full = columns.moment_in_full("finished", _("finished"))
    cancelled_in_full = columns.moment_in_full("cancelled", _("asked to stop"))
    expires_in_full = columns.moment_in_full("expires", _("expires"))
    log_text = columns.output("log_records", _("log"), log_lines.shown)
    tail_text = columns.output("output_tail", _("last output"), markup.tail)
    stdout_text = columns.output("stdout", _("stdout"))
    stderr_text = columns.output("stderr", _("stderr"))

    def get_fieldsets(self, request: HttpRequest, obj: TaskExec | None = None) -> Any:
        row = obj or TaskExec()
        outcome = {
            "result_value": row.state == States.SUCCEEDED or row.__dict__.get("result") is not None,
            "error_text": row.error,
            "tail_text": row.output_tail and not (row.stdout or row.stderr),
            "log_text": row.log_records,
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
        some = {
            "progress": row.progress_done is not None,
            "replacement": row.replaced_by_id,
            "crash_count": row.crash_count,
        }
        return [
            *("state_badge", "definition", "call", "queue_text", "priority_text", "worker_link"),
            "attempt_in_full",
            *(name for name, is_there in some.items() if is_there),
        ]

    def _time_fields(self, row: TaskExec) -> list[str]:
        limits = {
            "cancelled_in_full": row.cancelled,
            "expires_in_full": row.expires,
            "timeout_text": row.timeout,
        }
        return [
            *("due_in_full", "created_in_full", "started_in_full", "finished_in_full"),
            *("waited", "ran"),
            *(name for name, limit in limits.items() if limit is not None),
        ]

    def get_urls(self) -> list[Any]:
        views = {"act": act, "reschedule": reschedule, "run_with": run_with}
        return [
            *(
                path(
                    f"{name}/",
                    self.admin_site.admin_view(partial(view, self)),
                    name=f"toosimpleq_taskexec_{name}",
                )
                for name, view in views.items()
            ),
            *super().get_urls(),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[TaskChangeList]:
        return TaskChangeList

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        return (*self.list_display, *(("buttons",) if Allowed.to(request).anything else ()))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[TaskExec], search_term: str
    ) -> tuple[QuerySet[TaskExec], bool]:
        if is_id(search_term):
            return search(queryset, search_term), False
        return super().get_search_results(request, queryset, search_term)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: TaskExec | None = None,
    ) -> HttpResponse:
        if obj is not None:
            context["course"] = course_of(obj, self.admin_site.name, current_moment())
            context["goes_on"] = obj.state in States.todo()
        return super().render_change_form(request, context, add, change, form_url, obj)

    def press(self, request: HttpRequest, row: TaskExec) -> Press:
        return press_of(row, Allowed.to(request), self.admin_site.name)

    def has_reschedule_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may change when, where and how urgently tasks run."""
        return request.user.has_perm("toosimpleq.reschedule_taskexec")

    def has_requeue_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may queue tasks again."""
        return request.user.has_perm("toosimpleq.requeue_taskexec")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may cancel tasks."""
        return request.user.has_perm("toosimpleq.cancel_taskexec")

    def has_delete_selected_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may delete, and the site has this action."""
        offered = "delete_selected" in [name for name, *_rest in self.admin_site.actions]
        return offered and self.has_delete_permission(request)

    def delete_model(self, request: HttpRequest, obj: TaskExec) -> None:
        task_execs.delete([obj.pk])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[TaskExec]) -> None:
        task_execs.delete(list(queryset.values_list("pk", flat=True)))

    @admin.action(permissions=["requeue"], description=_("Queue again"))
    def action_requeue(
        self, request: HttpRequest, queryset: QuerySet[TaskExec]
    ) -> HttpResponse | None:
        """Queue the same calls again, as new rows."""
        return bulk.act(self, request, queryset, "requeue")

    @admin.action(permissions=["cancel"], description=_("Cancel"))
    def action_cancel(
        self, request: HttpRequest, queryset: QuerySet[TaskExec]
    ) -> HttpResponse | None:
        """Cancel the calls that wait, and ask those that run to stop."""
        return bulk.act(self, request, queryset, "cancel")

    @admin.action(
        permissions=["delete_selected"],
        description=getattr(delete_selected, "short_description"),  # noqa: B009
    )
    def delete_selected(
        self, request: HttpRequest, queryset: QuerySet[TaskExec]
    ) -> HttpResponse | None:
        """Delete the calls after a question."""
        return bulk.act(self, request, queryset, "delete")

    def queue_again(self, request: HttpRequest, queryset: QuerySet[TaskExec]) -> None:
        """Queue the same calls again, and say so; for the action and for the buttons."""
        self.queue_for_each(
            request,
            queryset,
            lambda row: task_execs.requeue(row, current_moment()),
            history.QUEUED_AGAIN,
        )

    @admin.action(permissions=["reschedule"], description=_("Change priority, queue or due date"))
    def action_reschedule(self, request: HttpRequest, queryset: QuerySet[TaskExec]) -> HttpResponse:
        """Lead to the page that asks for the change."""
        return ask(self, queryset)

    @admin.display(description=_("call"))
    def call_and_queue(self, row: TaskExec) -> SafeString:
        queue = markup.name(row.queue)
        if row.priority and row.state in States.todo():
            texts = {"queue": queue, "priority": row.priority}
            queue = gettext("%(queue)s, priority %(priority)s") % texts
        call = markup.call_in_list(markup.name(row.task_name), markup.name(row.arguments_preview))
        return markup.lines(call, f"#{row.pk} · {queue}")

    @admin.display(description=_("state"))
    def state_and_attempt(self, row: TaskExec) -> SafeString:
        texts = [self._attempt_link(row)]
        if row.state == States.PROCESSING and row.cancelled:
            # It was claimed when it was cancelled, so it may run to its end.
            texts.append(gettext("asked to stop"))
        if row.state == States.INTERRUPTED and row.hold and row.started and not row.replaced_by_id:
            texts.append(gettext("held for a person"))
        progress = self.progress(row) if row.state == States.PROCESSING else ""
        below = format_html_join(", ", "{}", ((text,) for text in texts if text))
        return markup.stack(markup.stack(markup.badge(row), below), progress)

    def _attempt_link(self, row: TaskExec) -> SafeString | str:
        """Return which attempt a row is, linked to all attempts; "" for the only one."""
        # The number of a first attempt matters only if another attempt follows, or should have.
        if row.attempt == 1 and not (row.retries and row.state in FAILURES):
            return ""
        text = gettext("attempt %s") % self.attempt_of(row)
        if row.attempt == 1 and row.replaced_by_id is None:
            return text
        query = urlencode({"q": f"#{row.root_id or row.pk}"})
        return format_html('<a href="?{}">{}</a>', query, text)

    @admin.display(description=_("when"))
    def when_and_where(self, row: Any) -> SafeString:
        now = current_moment()
        ran = spans_of(row, now).ran if row.finished else None
        texts = (
            gettext("took %s") % span(ran) if ran is not None else "",
            gettext("on %s") % markup.name(row.worker_label) if row.worker_label else "",
        )
        for label, moment in ((_("ended"), row.finished), (_("started"), row.started)):
            if moment is not None:
                return markup.lines(markup.labelled(label, moment, now), *texts)
        return markup.lines(markup.labelled(_("due"), row.due, now), *texts)

    @admin.display(description="")
    def buttons(self, row: Any) -> SafeString:
        # Not "", for which the admin shows that there is no value.
        return drawn(row, row.buttons, self.admin_site.name) or SafeString("<wbr>")

    @admin.display(description=_("progress"))
    def progress(self, row: TaskExec) -> SafeString:
        return markup.progress(row.progress_done, row.progress_total, row.progress_message)

    @admin.display(description=_("waited"))
    def waited(self, row: TaskExec) -> str:
        goes_on = row.started is None and row.state in States.todo()
        return markup.duration(spans_of(row, current_moment()).waited, goes_on=goes_on)

    @admin.display(description=_("ran"))
    def ran(self, row: TaskExec) -> str:
        goes_on = row.state == States.PROCESSING
        return markup.duration(spans_of(row, current_moment()).ran, goes_on=goes_on)

    @admin.display(description=_("attempt"))
    def attempt_of(self, row: TaskExec) -> str:
        if row.retries < 0:
            return gettext("%(number)s, without end") % {"number": row.attempt}
        total = row.attempt + row.retries
        texts = {"number": row.attempt, "total": total}
        return gettext("%(number)s of %(total)s") % texts if total > 1 else str(row.attempt)

    @admin.display(description=_("attempt"))
    def attempt_in_full(self, row: TaskExec) -> SafeString | str:
        if not row.retries or row.state in States.done():
            return self.attempt_of(row)
        delay = span(timedelta(seconds=row.retry_delay))
        note = markup.quiet(gettext("next attempt %s after a failure") % delay)
        return format_html("{} {}", self.attempt_of(row), note)

    @admin.display(description=_("priority"))
    def priority_text(self, row: TaskExec) -> SafeString:
        return format_html("{} {}", row.priority, markup.quiet(gettext("larger numbers run first")))

    @admin.display(description=_("timeout"))
    def timeout_text(self, row: TaskExec) -> str:
        return span(timedelta(seconds=row.timeout or 0))

    @admin.display(description=_("result"))
    def preview(self, row: Any) -> SafeString:
        if row.error_type:
            kind = row.error_type.removeprefix("builtins.")
            return markup.failure(row.error_type, f"{kind}: {row.message_start}")
        return markup.preview(row.result_preview or row.error_start)

    @admin.display(description=_("worker"))
    def worker_link(self, row: TaskExec) -> SafeString | str:
        # This foreign key has no constraint in the database, so the worker's row may be gone.
        workers = WorkerStatus.objects.filter(pk__in=[row.worker_id])
        worker = workers.only("label").first()
        return markup.link(worker, worker.label, self.admin_site.name) if worker else markup.NOTHING

    @admin.display(description=_("task"))
    def definition(self, row: TaskExec) -> SafeString:
        task = row.task
        note = (
            markup.warning(gettext("not defined in the code"))
            if task is None
            else markup.quiet(task.location)
        )
        return format_html("{} {}", row.task_name, note)

    @admin.display(description=_("call"))
    def call(self, row: TaskExec) -> SafeString:
        return markup.call(row.task_name, *arguments_of(row, stand_ins.read))

    @admin.display(description=_("error"))
    def error_text(self, row: TaskExec) -> SafeString:
        own = row.task.func.__module__.partition(".")[0] if row.task else ""
        return tracebacks.folded(row.error, own)

    @admin.display(description=_("result"))
    def result_value(self, row: TaskExec) -> SafeString | str:
        result = stand_ins.read(row, "result")
        if result is None and row.state != States.SUCCEEDED:
            return markup.NOTHING
        return markup.value(result)

    @admin.display(description=_("replaced by"))
    def replacement(self, row: TaskExec) -> SafeString | str:
        rows = TaskExec.objects.filter(pk__in=[row.replaced_by_id])
        new = rows.only("state", "replaced_by").first()
        return markup.task_link(new, self.admin_site.name) if new else markup.NOTHING
