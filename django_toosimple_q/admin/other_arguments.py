"""The page that queues a call of the same task with other arguments, which are given as JSON."""

import json
from collections.abc import Mapping
from inspect import Parameter
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_toosimple_q import stand_ins
from django_toosimple_q.admin import history, markup
from django_toosimple_q.admin.buttons import takes_arguments
from django_toosimple_q.exceptions import ToosimpleQError, kind_of, said
from django_toosimple_q.masking import MASK, arguments_of, hiding_variables, signature_of
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store import task_execs
from django_toosimple_q.store.lookup import row_id
from django_toosimple_q.task import Task
from django_toosimple_q.text import printable, shortened

# Of either field, in characters.
LARGEST = 100_000
ERROR_LENGTH = 1000
ENCODER = json.JSONEncoder(indent=2, ensure_ascii=False, allow_nan=False)
KINDS: dict[str, Any] = {"args": list, "kwargs": dict}
HELP = {
    "args": gettext_lazy('A JSON list, such as [1, "a"].'),
    "kwargs": gettext_lazy('A JSON object, such as {"n": 1}.'),
}


class ArgumentsForm(forms.Form):
    """The arguments of a call. An empty field stands for none."""

    args = forms.CharField(
        label=gettext_lazy("Positional arguments"),
        required=False,
        max_length=LARGEST,
        widget=forms.Textarea({"rows": 6, "spellcheck": "false"}),
        help_text=HELP["args"],
    )
    kwargs = forms.CharField(
        label=gettext_lazy("Keyword arguments"),
        required=False,
        max_length=LARGEST,
        widget=forms.Textarea({"rows": 6, "spellcheck": "false"}),
        help_text=HELP["kwargs"],
    )

    def clean_args(self) -> Any:
        return self._read("args")

    def clean_kwargs(self) -> Any:
        return self._read("kwargs")

    def _read(self, name: str) -> Any:
        text, kind = self.cleaned_data[name], KINDS[name]
        try:
            value = json.loads(text) if text else kind()
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, kind):
            raise ValidationError(HELP[name])
        return value


@hiding_variables
def run_with(model_admin: ModelAdmin, request: HttpRequest) -> HttpResponse:
    """Show the form, or queue the call and return to the page of the row that it came from."""
    may_run = request.user.has_perm("toosimpleq.run_taskexec")
    # The form shows the arguments that the call had.
    if not may_run or not model_admin.has_view_permission(request):
        raise PermissionDenied
    # As @sensitive_post_parameters does, which takes the request for the first argument.
    request.sensitive_post_parameters = ["args", "kwargs"]  # type: ignore[attr-defined]
    posted = request.method == "POST"
    pk = row_id((request.POST if posted else request.GET).get("pk"))
    row = TaskExec.objects.filter(pk=pk).first() if pk else None
    site = model_admin.admin_site
    if row is None:
        model_admin.message_user(request, _("It is not there any more."), messages.WARNING)
        url = reverse("admin:toosimpleq_taskexec_changelist", current_app=site.name)
        return HttpResponseRedirect(url)
    back = reverse("admin:toosimpleq_taskexec_change", args=[row.pk], current_app=site.name)
    task = row.task
    if task is None or not takes_arguments(task):
        text = (
            _("The code does not define this task. Restore its definition.")
            if task is None
            else _("Only the actions of the admin can give the arguments of this task.")
        )
        model_admin.message_user(request, text, messages.ERROR)
        return HttpResponseRedirect(back)
    given, notes = prefilled(row, task)
    form = ArgumentsForm(request.POST if posted else None, initial=given)
    if form.is_valid() and _queued(model_admin, request, row, task, form):
        return HttpResponseRedirect(back)
    context = {
        **site.each_context(request),
        "title": _("Run with other arguments"),
        "opts": model_admin.opts,
        "form": form,
        "pk": row.pk,
        "call": shortened(printable(f"{task.name}{signature_of(task)}"), ERROR_LENGTH),
        "notes": notes,
        "back": back,
        "media": model_admin.media,
    }
    return TemplateResponse(request, "admin/toosimpleq/taskexec/run_with.html", context)


def prefilled(row: TaskExec, task: Task[Any, Any]) -> tuple[dict[str, str], list[str]]:
    """Return the arguments of a call as JSON, and notes on what is left out of them.

    A sensitive argument is left out, so those behind it are given by their names.
    """
    args, kwargs = arguments_of(row, stand_ins.read)
    if not isinstance(args, list | tuple) or not isinstance(kwargs, Mapping):
        return {}, [_("Its arguments cannot be read.")]
    notes = []
    hidden = [*args, *kwargs.values()].count(MASK)
    if hidden:
        notes.append(_("Sensitive arguments are not shown. Give them again."))
        args, kwargs = _without_masked(task, args, kwargs)
    given = {}
    for name, value in (("args", list(args)), ("kwargs", dict(kwargs))):
        text = as_json(value)
        given[name] = text or ""
        if text is None:
            label = ArgumentsForm.base_fields[name].label
            notes.append(_("%(what)s: they cannot be shown as JSON.") % {"what": label})
    return given, notes


def as_json(value: Any) -> str | None:
    """Return a value as JSON that reads as the same value again, or None if there is none.

    There is none either for one that is too long for the form.
    """
    parts, length = [], 0
    try:
        # Piece by piece, since a value may be far too long.
        for part in json.JSONEncoder(indent=2, ensure_ascii=False, allow_nan=False).iterencode(
            value
        ):
            parts.append(part)
            length += len(part)
            if length > LARGEST:
                return None
        text = "".join(parts)
        text.encode()
        return text if json.loads(text) == value else None
    except (TypeError, ValueError, RecursionError):  # a lone surrogate is a ValueError
        return None


def _without_masked(
    task: Task[Any, Any], args: Any, kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    parameters = list(task.signature.parameters.values())
    first = next((number for number, one in enumerate(args) if one is MASK), len(args))
    behind = {
        one.name: value
        for one, value in zip(parameters[first:], args[first:], strict=False)
        if one.kind is Parameter.POSITIONAL_OR_KEYWORD
    }
    named = {**behind, **kwargs}
    return list(args[:first]), {name: one for name, one in named.items() if one is not MASK}


def _queued(
    model_admin: ModelAdmin,
    request: HttpRequest,
    row: TaskExec,
    task: Task[Any, Any],
    form: ArgumentsForm,
) -> bool:
    """Queue the call where the row was; False if it is refused, for a reason that the form has."""
    given = form.cleaned_data
    try:
        chosen = task.using(queue=row.queue, priority=row.priority)
        # Not by queue(), which takes a keyword argument "due" for itself.
        new = task_execs.enqueue(chosen, given["args"], given["kwargs"])
    except ToosimpleQError as error:
        form.add_error(None, shortened(printable(str(error)), ERROR_LENGTH))
        return False
    except DatabaseError:
        raise
    except (Exception, SystemExit) as error:  # user code: unique_by
        # Its text may quote an argument.
        reason = kind_of(error) if task.sensitive else printable(said(error))
        form.add_error(None, _("It cannot be queued: %s") % shortened(reason, ERROR_LENGTH))
        return False
    model_admin.log_change(request, row, history.RUN_WITH_OTHERS % {"task": new.pk})
    link = markup.link(new, f"#{new.pk}", model_admin.admin_site.name)
    text = format_html("{} {}", _("Queued with these arguments:"), link)
    model_admin.message_user(request, text, messages.SUCCESS)
    return True
