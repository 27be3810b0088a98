"""The page that changes priority, queue and due date of calls that wait, of one or of many."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_toosimple_q.exceptions import ToosimpleQError
from django_toosimple_q.models import TaskExec
from django_toosimple_q.moments import check_moment, current_moment
from django_toosimple_q.store import task_execs
from django_toosimple_q.store.lookup import row_id
from django_toosimple_q.task_options import check_name
from django_toosimple_q.text import printable

MOST = 200
NAMED = 10
LARGEST = 2**31 - 1
LABELS = {"priority": "Priority", "queue": "Queue", "due": "Due"}


class ChangeForm(forms.Form):
    """What to change. An empty field leaves the value as it is."""

    priority = forms.IntegerField(
        label=gettext_lazy("Priority"),
        required=False,
        min_value=-LARGEST,
        max_value=LARGEST,
        help_text=gettext_lazy("Larger numbers run first."),
    )
    queue = forms.CharField(label=gettext_lazy("Queue"), required=False, max_length=255)
    due = forms.DateTimeField(
        label=gettext_lazy("Due"),
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local", "step": 1}, "%Y-%m-%dT%H:%M:%S"),
        help_text=gettext_lazy("A time that has passed is now."),
    )

    def clean_queue(self) -> str:
        name: str = self.cleaned_data["queue"]
        if name and "queue" in self.changed_data:
            _refusing(lambda: check_name(name, "the name of a queue"))
        return name

    def clean_due(self) -> Any:
        due = self.cleaned_data["due"]
        if due is not None:
            _refusing(lambda: check_moment(due, "due"))
        return due

    def changes(self) -> dict[str, Any]:
        """Return the fields that were changed, and to what."""
        return {
            name: self.cleaned_data[name]
            for name in self.changed_data
            if self.cleaned_data[name] not in (None, "")
        }


def ask(model_admin: ModelAdmin, rows: QuerySet[TaskExec]) -> HttpResponse:
    """Lead to the page, for some rows of a list."""
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[: MOST + 1])
    url = reverse("admin:toosimpleq_taskexec_reschedule", current_app=model_admin.admin_site.name)
    return HttpResponseRedirect(f"{url}?{urlencode([('pk', pk) for pk in ids])}")


def reschedule(model_admin: ModelAdmin, request: HttpRequest) -> HttpResponse:
    """Show the form, or do what it says and return to the list."""
    if not request.user.has_perm("toosimpleq.reschedule_taskexec"):
        raise PermissionDenied
    site = model_admin.admin_site
    back = reverse("admin:toosimpleq_taskexec_changelist", current_app=site.name)
    given = (request.POST if request.method == "POST" else request.GET).getlist("pk")
    rows = waiting(given)
    if not rows or len(given) > MOST:
        text = (
            _("None of them waits any more.") if not rows else _("Select %d calls at most.") % MOST
        )
        model_admin.message_user(request, text, messages.WARNING)
        return HttpResponseRedirect(back)
    one = rows[0] if len(rows) == 1 else None
    initial = {name: getattr(one, name) for name in LABELS} if one else {}
    form = ChangeForm(request.POST if request.method == "POST" else None, initial=initial)
    if form.is_valid() and _apply(model_admin, request, rows, form):
        return HttpResponseRedirect(back)
    context = {
        **site.each_context(request),
        "title": _("Change calls that wait"),
        "opts": model_admin.opts,
        "form": form,
        "rows": rows,
        "named": [(row.pk, printable(row.task_name)) for row in rows[:NAMED]],
        "more": max(len(rows) - NAMED, 0),
        "back": back,
        "media": model_admin.media,
    }
    return TemplateResponse(request, "admin/toosimpleq/taskexec/reschedule.html", context)


def waiting(given: Sequence[str]) -> list[TaskExec]:
    """Return those of the calls that wait, by the ids in an address."""
    ids = [pk for pk in map(row_id, given[: MOST + 1]) if pk is not None]
    rows = TaskExec.objects.filter(pk__in=ids, state__in=("SLEEPING", "QUEUED"))
    return list(rows.only("task_name", "state", *LABELS).order_by("pk"))


def _apply(
    model_admin: ModelAdmin, request: HttpRequest, rows: Sequence[TaskExec], form: ChangeForm
) -> bool:
    """Change the rows; False if the database refuses the change."""
    given = form.changes()
    change, now = task_execs.Change(**given), current_moment()
    # As Django writes what a form has changed: it is translated when somebody reads it.
    note: Any = [{"changed": {"fields": [LABELS[name] for name in given]}}]
    count = 0
    for row in rows if given else ():
        try:
            changed = task_execs.reschedule(row.pk, change, now)
        except ToosimpleQError as error:
            form.add_error(None, printable(str(error)))
            return False
        if changed:
            model_admin.log_change(request, row, note)
            count += 1
    text = ngettext("%d task changed.", "%d tasks changed.", count) % count
    model_admin.message_user(request, text, messages.SUCCESS)
    if given and count < len(rows):
        left = len(rows) - count
        text = ngettext("%d waits no more.", "%d wait no more.", left) % left
        model_admin.message_user(request, text, messages.WARNING)
    return True


def _refusing(check: Any) -> None:
    try:
        check()
    except ToosimpleQError as error:
        raise ValidationError(printable(str(error))) from error
