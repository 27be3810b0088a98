"""What the buttons of the dashboard and of the lists do.

Each needs its permission, and is kept in the history.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_toosimple_q import queues
from django_toosimple_q.admin import history
from django_toosimple_q.admin.bulk import ask as bulk
from django_toosimple_q.admin.bulk.selection import Selection
from django_toosimple_q.admin.markup import cut
from django_toosimple_q.exceptions import InvalidDefinition
from django_toosimple_q.execution import Cancellation
from django_toosimple_q.models import QueueStatus, TaskExec
from django_toosimple_q.moments import current_moment
from django_toosimple_q.overview.failures import SHOWN_FOR
from django_toosimple_q.store import overview as store
from django_toosimple_q.store import requeue_many, task_execs
from django_toosimple_q.store.dismissals import dismiss, dismissals
from django_toosimple_q.text import printable

NAME_LENGTH = 255
LARGEST_ID = 2**63 - 1

Say = Callable[[str, int], None]


def act(model_admin: ModelAdmin, request: HttpRequest) -> HttpResponse:
    """Do what a button asks for, and return to its page. Only by POST."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    permission, action = ACTIONS.get(_asked(request)[0], ("", None))
    if action is None or not request.user.has_perm(f"toosimpleq.{permission}"):
        raise PermissionDenied

    def say(text: str, level: int = messages.SUCCESS) -> None:
        model_admin.message_user(request, text, level)

    action(model_admin, request, current_moment(), say)
    return HttpResponseRedirect(_back(model_admin, request))


def _asked(request: HttpRequest) -> tuple[str, str]:
    """Return the name of an action, and the id of the call that it is about.

    In a list the buttons of all rows belong to one form, so each gives both by one value.
    """
    action, colon, pk = request.POST.get("press", "").partition(":")
    return (action, pk) if colon else (request.POST.get("action", ""), request.POST.get("pk", ""))


def _back(model_admin: ModelAdmin, request: HttpRequest) -> str:
    """Return the address of the page that a button was pressed on."""
    site, query = model_admin.admin_site.name, request.POST.get("query", "")
    if "list" in request.POST:
        url = reverse("admin:toosimpleq_taskexec_changelist", current_app=site)
    elif "row" in request.POST:
        pk = _pk(request)
        return reverse("admin:toosimpleq_taskexec_change", args=[pk], current_app=site)
    else:
        kwargs = {"app_label": model_admin.opts.app_label}
        url = reverse("admin:app_list", kwargs=kwargs, current_app=site)
    return f"{url}{query}" if query.startswith("?") else url


def cancel(model_admin: ModelAdmin, request: HttpRequest, now: datetime, say: Any) -> None:
    """Cancel a call that waits or runs."""
    row = _row(request)
    found = row and task_execs.cancel(row.pk, "cancelled in the admin", now)
    if row is None or not found:
        say(_("It had ended already."), messages.WARNING)
        return
    model_admin.log_change(request, row, history.CANCELLED)
    text = (
        _("Task #%(pk)s is cancelled. It never begins.")
        if found is Cancellation.CANCELLED
        else _("Task #%(pk)s was asked to stop. If it runs, it ends when it checks for that.")
    )
    say(text % {"pk": row.pk})


def run_now(model_admin: ModelAdmin, request: HttpRequest, now: datetime, say: Any) -> None:
    """Let a call that is due later wait for a worker now."""
    row = _row(request)
    if row is None or not task_execs.run_now(row.pk, now):
        say(_("It is not due later any more."), messages.WARNING)
        return
    model_admin.log_change(request, row, history.DUE_NOW)
    say(_("Task #%(pk)s is due now.") % {"pk": row.pk})


def again(model_admin: Any, request: HttpRequest, now: datetime, say: Any) -> None:
    """Queue one call again."""
    if _row(request) is None:
        say(_("It is not there any more."), messages.WARNING)
        return
    model_admin.queue_again(request, TaskExec.objects.filter(pk=_pk(request)))


def requeue(model_admin: ModelAdmin, request: HttpRequest, now: datetime, say: Any) -> None:
    """Queue all calls of a group of failures again: a few at once, many by a task."""
    of = _row(request)
    if of is None:
        say(_("It is not there any more."), messages.WARNING)
        return
    since = _shown_since(of, now)
    ids = _ids_of_group(of, since)
    if len(ids) > bulk.AT_ONCE:
        group = Selection.now(
            model_admin,
            task_name=of.task_name,
            error_type=of.error_type,
            state__in=list(store.FAILED),
            replaced_by__isnull=True,
            finished__gte=since,
        )
        bulk.queue(model_admin, request, group, "requeue", len(ids), bulk.shown(len(ids)))
        return
    done = requeue_many.requeue_many(ids, now) if ids else requeue_many.Requeued(0, "")
    if done.queued:
        note = history.GROUP_QUEUED_AGAIN if of.error_type else history.QUEUED_AGAIN_WITHOUT
        values = {"count": done.queued, "error": of.error_type}
        model_admin.log_change(request, of, note % values)
    text = ngettext("%d task queued again.", "%d tasks queued again.", done.queued)
    say(text % done.queued)
    if done.error:
        say(cut(printable(done.error), NAME_LENGTH), messages.ERROR)


def dismiss_group(model_admin: ModelAdmin, request: HttpRequest, now: datetime, say: Any) -> None:
    """Show a group of failures no more, until it fails again."""
    of = _row(request)
    if of is None:
        say(_("It is not there any more."), messages.WARNING)
        return
    dismiss(of.task_name, of.error_type, now, now - SHOWN_FOR)
    note = history.GROUP_DISMISSED if of.error_type else history.DISMISSED_WITHOUT
    model_admin.log_change(request, of, note % {"error": of.error_type})
    say(_("Dismissed until it fails again. The calls stay in the list."))


def pause(model_admin: ModelAdmin, request: HttpRequest, now: datetime, say: Any) -> None:
    """Pause a queue."""
    _switch(model_admin, request, say, queues.pause, history.PAUSED, _("Queue %s is paused."))


def resume(model_admin: ModelAdmin, request: HttpRequest, now: datetime, say: Any) -> None:
    """Resume a queue."""
    text = _("Queue %s is no longer paused.")
    _switch(model_admin, request, say, queues.resume, history.RESUMED, text)


def _switch(
    model_admin: ModelAdmin,
    request: HttpRequest,
    say: Any,
    switch: Callable[[str], bool],
    note: str,
    text: str,
) -> None:
    name = request.POST.get("queue", "")
    try:
        changed = switch(name)
    except InvalidDefinition as error:
        say(cut(printable(str(error)), NAME_LENGTH), messages.ERROR)
        return
    if changed:
        model_admin.log_change(request, QueueStatus(name=name), note)
        say(text % printable(name))


def _row(request: HttpRequest) -> TaskExec | None:
    """Return the call that a button is about; of a group of failures it is the last one."""
    rows = TaskExec.objects.filter(pk=_pk(request))
    return rows.only("task_name", "error_type", "state").first()


def _pk(request: HttpRequest) -> int:
    _action, given = _asked(request)
    return min(int(given[:20]), LARGEST_ID) if given.isascii() and given.isdigit() else 0


def _shown_since(of: TaskExec, now: datetime) -> datetime:
    """Return since when failures of this kind are shown."""
    dismissed = dismissals().get((of.task_name, of.error_type))
    return max(moment for moment in (now - SHOWN_FOR, dismissed) if moment is not None)


def _ids_of_group(of: TaskExec, since: datetime) -> Sequence[int]:
    """Return the failures that are shown with this one, the oldest first."""
    found = reversed(store.failures(since))
    key = (of.task_name, of.error_type)
    return [one.pk for one in found if (one.task_name, one.error_type) == key]


ACTIONS: dict[str, tuple[str, Any]] = {
    "cancel": ("cancel_taskexec", cancel),
    "run_now": ("reschedule_taskexec", run_now),
    "again": ("requeue_taskexec", again),
    "requeue": ("requeue_taskexec", requeue),
    "dismiss": ("requeue_taskexec", dismiss_group),
    "pause": ("pause_queuestatus", pause),
    "resume": ("pause_queuestatus", resume),
}
