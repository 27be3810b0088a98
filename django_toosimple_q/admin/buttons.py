"""The buttons of a row, by its state and by what the user may do, and the form that they post."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from django_toosimple_q.bulk_task import act_on_many
from django_toosimple_q.models import TaskExec
from django_toosimple_q.task import Task
from django_toosimple_q.text import printable, shortened

States = TaskExec.States
NAME_LENGTH = 80
# The form that they belong to stands outside of the form of the list or of the row.
FORM = "tsq-press"


class Press(NamedTuple):
    """The buttons of a row's page, where their form is posted to, and what it has besides."""

    buttons: SafeString
    url: str
    fields: Sequence[tuple[str, Any]]


class Button(NamedTuple):
    """What a button does, and what it says. One with a `page` leads to that page with a form."""

    action: str
    label: Any
    page: str = ""


CANCEL = Button("cancel", _("Cancel"))
RUN_NOW = Button("run_now", _("Run now"))
QUEUE_AGAIN = Button("again", _("Queue again"))
CHANGE = Button("", _("Change"), "reschedule")
WITH_OTHERS = Button("", _("Run with other arguments"), "run_with")


@dataclass(frozen=True)
class Allowed:
    """What a user may do with calls."""

    cancel: bool
    reschedule: bool
    requeue: bool
    run: bool

    @classmethod
    def to(cls, request: HttpRequest) -> "Allowed":
        """Return what the user of a request may do."""
        names = ("cancel", "reschedule", "requeue", "run")
        return cls(*(request.user.has_perm(f"toosimpleq.{name}_taskexec") for name in names))

    @property
    def anything(self) -> bool:
        return self.cancel or self.reschedule or self.requeue


def buttons(row: TaskExec, allowed: Allowed) -> list[Button]:
    """Return the buttons of a row in a list."""
    waits = row.state in (States.SLEEPING, States.QUEUED)
    goes_on = waits or (row.state == States.PROCESSING and row.cancelled is None)
    ended = row.state in States.done() and row.replaced_by_id is None
    offered = {
        RUN_NOW: allowed.reschedule and row.state == States.SLEEPING,
        CHANGE: allowed.reschedule and waits,
        CANCEL: allowed.cancel and goes_on,
        QUEUE_AGAIN: allowed.requeue and ended,
    }
    return [button for button, is_offered in offered.items() if is_offered]


def press_of(row: TaskExec, allowed: Allowed, site: str) -> Press:
    """Return the buttons of a call for its page."""
    offered = buttons(row, allowed)
    if allowed.run and takes_arguments(row.task):
        offered.append(WITH_OTHERS)
    url = reverse("admin:toosimpleq_taskexec_act", current_app=site)
    return Press(drawn(row, offered, site), url, [("row", 1)])


def press_actions(row: Model, actions: Iterable[tuple[str, Any]], site: str) -> Press:
    """Return buttons for the page of a row that do what actions of its list do, by their names."""
    url = reverse(
        f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist", current_app=site
    )
    pressed = [_button("action", name, str(row), text) for name, text in actions]
    fields = [("index", 0), ("row_page", 1), ("_selected_action", row.pk)]
    return Press(format_html_join("", "{}", ((one,) for one in pressed)), url, fields)


def takes_arguments(task: Task[Any, Any] | None) -> bool:
    """Return whether a person may give the arguments of a task.

    Those of a bulk action name the user on whose behalf it acts, so they come from the admin only.
    """
    return task is not None and task.name != act_on_many.task.name


def drawn(row: TaskExec, offered: list[Button], site: str) -> SafeString:
    """Return the buttons of a row as HTML."""
    of = f"#{row.pk} {row.task_name}"
    return format_html_join("", "{}", ((_drawn(row, one, of, site),) for one in offered))


def _drawn(row: TaskExec, button: Button, of: str, site: str) -> SafeString:
    if not button.page:
        return _button("press", f"{button.action}:{row.pk}", of, button.label)
    url = reverse(f"admin:toosimpleq_taskexec_{button.page}", current_app=site)
    return format_html(
        '<a class="tsq-press" href="{}?pk={}" aria-label="{}">{}</a>',
        *(url, row.pk, _spoken(of, button.label), button.label),
    )


def _button(name: str, value: str, of: str, text: Any) -> SafeString:
    return format_html(
        '<button class="tsq-press" form="{}" name="{}" value="{}" aria-label="{}">{}</button>',
        *(FORM, name, value, _spoken(of, text), text),
    )


def _spoken(of: str, text: Any) -> str:
    """Return what a screen reader says: what a button does, and to which row."""
    return f"{text}: {printable(shortened(of, NAME_LENGTH))}"
