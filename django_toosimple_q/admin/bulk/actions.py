"""What can be done to very many calls: the permission that it needs, and what people read of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop, ngettext_lazy


@dataclass(frozen=True)
class Action:
    """An action. `permission` is the word in `has_…_permission` of the ModelAdmin.

    question: asks before it begins. begun: says that a task does it. now: is shown beside the bar.
    ended: is noted in the history, in English; `admin/history.py` translates it.
    """

    permission: str
    question: Any
    begun: Any
    now: Any
    ended: str


ACTIONS: Mapping[str, Action] = {
    "requeue": Action(
        "requeue",
        ngettext_lazy("Queue %(count)s call again?", "Queue %(count)s calls again?", "number"),
        ngettext_lazy(
            "A task queues %(count)s call again, and shows how far it is:",
            "A task queues %(count)s calls again, and shows how far it is:",
            "number",
        ),
        _("%(changed)s queued again"),
        gettext_noop("%(changed)s of %(reached)s calls queued again by task #%(task)s."),
    ),
    "cancel": Action(
        "cancel",
        ngettext_lazy("Cancel %(count)s call?", "Cancel %(count)s calls?", "number"),
        ngettext_lazy(
            "A task cancels %(count)s call, and shows how far it is:",
            "A task cancels %(count)s calls, and shows how far it is:",
            "number",
        ),
        _("%(changed)s cancelled"),
        gettext_noop("%(changed)s of %(reached)s calls cancelled by task #%(task)s."),
    ),
    "delete": Action(
        "delete",
        ngettext_lazy(
            "Delete %(count)s call, with its earlier attempts?",
            "Delete %(count)s calls, with their earlier attempts?",
            "number",
        ),
        ngettext_lazy(
            "A task deletes %(count)s call, and shows how far it is:",
            "A task deletes %(count)s calls, and shows how far it is:",
            "number",
        ),
        _("%(changed)s deleted"),
        gettext_noop("%(changed)s of %(reached)s calls deleted by task #%(task)s."),
    ),
}
