"""The buttons of a call, by its state and by what the user may do; each is a form that posts."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from django_toosimple_q.models import TaskExec
from django_toosimple_q.text import printable, shortened

States = TaskExec.States
NAME_LENGTH = 80
# The form that they belong to stands outside of the form of the list.
FORM = "tsq-press"


class Button(NamedTuple):
    """What a button does, and what it says."""

    action: str
    label: Any


CANCEL = Button("cancel", _("Cancel"))
RUN_NOW = Button("run_now", _("Run now"))
QUEUE_AGAIN = Button("again", _("Queue again"))
CHANGE = Button("", _("Change"))


@dataclass(frozen=True)
class Allowed:
    """What a user may do with calls."""

    cancel: bool
    reschedule: bool
    requeue: bool

    @classmethod
    def to(cls, request: HttpRequest) -> "Allowed":
        """Return what the user of a request may do."""
        names = ("cancel", "reschedule", "requeue")
        return cls(*(request.user.has_perm(f"toosimpleq.{name}_taskexec") for name in names))

    @property
    def anything(self) -> bool:
        return self.cancel or self.reschedule or self.requeue


def buttons(row: TaskExec, allowed: Allowed) -> list[Button]:
    """Return the buttons of a row."""
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


def drawn(row: TaskExec, offered: list[Button], site: str) -> SafeString:
    """Return the buttons of a row as HTML. "Change" leads to a page with a form."""
    of = f"#{row.pk} {printable(shortened(str(row.task_name), NAME_LENGTH))}"
    return format_html_join("", "{}", ((_drawn(row, one, of, site),) for one in offered))


def _drawn(row: TaskExec, button: Button, of: str, site: str) -> SafeString:
    label = format_html("{}: {}", button.label, of)
    if button is CHANGE:
        url = reverse("admin:toosimpleq_taskexec_reschedule", current_app=site)
        return format_html(
            '<a class="tsq-press" href="{}?pk={}" aria-label="{}">{}</a>',
            *(url, row.pk, label, button.label),
        )
    return format_html(
        '<button class="tsq-press" form="{}" name="press" value="{}:{}" aria-label="{}">'
        "{}</button>",
        *(FORM, button.action, row.pk, label, button.label),
    )
