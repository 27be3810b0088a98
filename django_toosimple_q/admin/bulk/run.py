"""What the task does that acts on very many calls: page by page, and each row once."""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, transaction
from django.utils import translation

from django_toosimple_q.admin.bulk.actions import ACTIONS
from django_toosimple_q.admin.bulk.selection import Opened, Selection
from django_toosimple_q.exceptions import Cancel, Retry, shown
from django_toosimple_q.execution import Claimed, current_task
from django_toosimple_q.models import BulkRun, TaskExec
from django_toosimple_q.moments import current_moment
from django_toosimple_q.store import bulk as store
from django_toosimple_q.store import task_execs
from django_toosimple_q.store.transaction import is_locked, queue_connection

# How many ids are read at a time. Before each page the permission is looked at again.
PAGE = 2000


def run(
    action: str, selection: dict[str, Any], user_pk: Any, language: str | None
) -> dict[str, Any]:
    """Act on the selected calls and return how many were changed.

    A run of the same call that was cut off is continued.
    """
    claimed = current_task()
    if claimed is None or action not in ACTIONS:
        raise Cancel(
            f"only a worker can do {shown(action)}, and only one of {', '.join(ACTIONS)}. "
            "Use the actions of the admin."
        )
    with translation.override(language):
        try:
            return BulkAction(claimed, action, Selection.read(selection), user_pk).run()
        except store.Overtaken as error:
            raise Cancel(f"task {claimed.root_id or claimed.pk} runs elsewhere as well") from error


class BulkAction:
    """An action on a selection, on behalf of a user, by the call that is running."""

    def __init__(self, claimed: Claimed, action: str, selection: Selection, user_pk: Any) -> None:
        self.claimed = claimed
        self.action = action
        self.selection = selection
        self.user_pk = user_pk
        self.opened = self.open()
        # Attempts of a call continue each other.
        call = claimed.root_id or claimed.pk
        self.come = store.find(call) or store.begin(
            call, self.opened.rows.count(), current_moment()
        )

    def open(self) -> Opened:
        try:
            return self.selection.open(self.user_pk, self.action)
        except PermissionDenied as error:
            raise Cancel(str(error)) from error

    def run(self) -> dict[str, Any]:
        self.report()
        while ids := self.opened.ids(self.come.last, PAGE):
            for start in range(0, len(ids), store.AT_ONCE):
                self.check()
                self.come = self.act_past_locks(ids[start : start + store.AT_ONCE])
                self.report()
            self.reopen()
        # What no longer matched when its turn came is not missing.
        self.claimed.progress(self.come.reached, self.come.reached, self.message())
        with transaction.atomic(using=queue_connection().alias):
            if store.end(self.come, current_moment()):
                self.note()
        return {
            "changed": self.come.changed,
            "passed_over": self.come.reached - self.come.changed,
            "first_refused": self.come.refused or None,
        }

    def act_past_locks(self, ids: Sequence[int]) -> BulkRun:
        """Act on rows. One that another session keeps locked is passed over, but no other."""
        try:
            return self.act(self.action, ids)
        except DatabaseError as error:
            if not is_locked(error):
                raise
        if len(ids) == 1:
            return self.act(store.PASS_OVER, ids)
        self.check()
        half = len(ids) // 2
        self.come = self.act_past_locks(ids[:half])
        return self.act_past_locks(ids[half:])

    def act(self, action: str, ids: Sequence[int]) -> BulkRun:
        return store.act(self.come, action, ids, current_moment(), "cancelled in the admin")

    def check(self) -> None:
        """End here if the worker stops, or if a person has cancelled this."""
        if not self.claimed.interrupted:
            return
        if not task_execs.cancelled([self.claimed.pk]):
            raise Retry("the worker stops", delay=0, count=False)
        self.note()
        raise Cancel(
            f"cancelled after {self.come.reached} of {self.come.total} calls. Queue it again to "
            "go on with the others."
        )

    def reopen(self) -> None:
        """Look at the permission again."""
        try:
            self.opened = self.open()
        except Cancel:
            self.note()
            raise

    def report(self) -> None:
        total = max(self.come.total, self.come.reached)
        self.claimed.progress(self.come.reached, total, self.message())

    def message(self) -> str:
        return str(ACTIONS[self.action].now % {"changed": self.come.changed})

    def note(self) -> None:
        """Write into the history what was done on behalf of the user."""
        values = {
            "changed": self.come.changed,
            "reached": self.come.reached,
            "task": self.claimed.pk,
        }
        row = TaskExec(pk=self.claimed.pk, task_name=self.claimed.task_name, state="PROCESSING")
        text = ACTIONS[self.action].ended % values
        self.opened.model_admin.log_change(self.opened.request, row, text)
