"""One event, one signal, many receivers: logging, metrics and tests listen here.

Receivers are called through `send_robust`: an error in one never changes what happens to a task.
"""

from contextlib import suppress
from typing import Any

from django.dispatch import Signal


class Quiet(Signal):
    """A signal whose receivers' errors are logged, whatever the project's log handlers raise."""

    def _log_robust_failure(self, receiver: Any, err: Any) -> None:
        with suppress(Exception):
            super()._log_robust_failure(receiver, err)  # type: ignore[misc]


# sender=Task; claimed: the row in hand, outcome: what came of it, worker: its label. Both are sent
# for each task, so cached, and in the context that the task runs in.
task_started = Quiet(use_caching=True)  # claimed, worker
task_finished = Quiet(use_caching=True)  # claimed, outcome, worker
outcome_refused = Quiet()  # sender=TaskExec; claimed, outcome: what is stored now, error
outcome_dropped = Quiet()  # sender=worker label; claimed, replaced_by
task_stuck = Quiet()  # sender=worker label; claimed, error, stack
task_forked = Quiet()  # sender=Task; claimed, parent_pid
task_rescued = Quiet()  # sender=worker label; rescue, label
row_set_aside = Quiet()  # sender=TaskExec; pk, error
tasks_released = Quiet()  # sender=label; label, count
stray_claims_released = Quiet()  # sender=worker label; count
schedule_advanced = Quiet()  # sender=Schedule; schedule, occurrences, skipped, more, continued
schedule_broken = Quiet()  # sender=Schedule; schedule, error, again
schedule_changed = Quiet()  # sender=Schedule; schedule, former (its expression), since
schedule_set_back = Quiet()  # sender=Schedule; schedule, before, after: aware datetimes
schedule_gone = Quiet()  # sender=Schedule; name
task_not_begun = Quiet()  # sender=worker label; claimed, outcome, left
worker_started = Quiet()  # sender=worker label; options, limits
worker_restored = Quiet()  # sender=worker label
worker_silent = Quiet()  # sender=worker label; seconds
old_worker_seen = Quiet()  # sender=worker label; labels: workers of 1.x that may be alive
worker_stopping = Quiet()  # sender=worker label; reason, running
worker_stopped = Quiet()  # sender=worker label; exit_code, exit_log
database_lost = Quiet()  # sender=worker label; error
hint_failed = Quiet()  # sender=channel; error
listening_failed = Quiet()  # sender=what listens; error
listening_restored = Quiet()  # sender=what listens
pooler_found = Quiet()  # sender=family
database_busy = Quiet()  # sender=family; error, failures, seconds
database_unresponsive = Quiet()  # sender=worker label; seconds
database_refused = Quiet()  # sender=worker label; error
database_back = Quiet()  # sender=worker label; seconds
child_hung = Quiet()  # sender=label; pid
clock_jumped = Quiet()  # sender=worker label; step (timedelta)
moments_set_back = Quiet()  # sender=worker label; count
pruning_deferred = Quiet()  # sender=worker label; expired, kept
clock_set = Quiet()  # sender=worker label; difference (timedelta), off
leftovers_found = Quiet()  # sender=process id; leftovers (names), seconds
code_broken = Quiet()  # sender=process id; exit_code
child_died = Quiet()  # sender=label; pid, code, again_in
