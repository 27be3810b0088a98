"""One event, one signal, many receivers: logging, metrics and tests listen here.

Receivers are called through `send_robust`: an error in one never changes what happens to a task.
"""

from django.dispatch import Signal

# sender=Task; claimed: the row in hand, outcome: what came of it. Sent for each task, so cached.
task_started = Signal(use_caching=True)  # claimed
task_finished = Signal(use_caching=True)  # claimed, outcome
outcome_dropped = Signal()  # sender=worker label; claimed, replaced_by
task_stuck = Signal()  # sender=worker label; claimed, error, stack
task_forked = Signal()  # sender=Task; claimed, parent_pid
task_rescued = Signal()  # sender=worker label; rescue, label
tasks_handed_back = Signal()  # sender=label; label, count
strays_handed_back = Signal()  # sender=worker label; count
schedule_advanced = Signal()  # sender=Schedule; schedule, occurrences, skipped, more, continued
schedule_gone = Signal()  # sender=Schedule; name
unknown_task = Signal()  # sender=worker label; name, left
worker_started = Signal()  # sender=worker label; options
worker_restored = Signal()  # sender=worker label
worker_stopping = Signal()  # sender=worker label; reason, running
worker_stopped = Signal()  # sender=worker label; exit_code
database_lost = Signal()  # sender=worker label; error
database_busy = Signal()  # sender=family; error, failures, seconds
database_silent = Signal()  # sender=worker label; seconds
database_refused = Signal()  # sender=worker label; error
database_back = Signal()  # sender=worker label; seconds
child_hung = Signal()  # sender=label; pid
clock_set = Signal()  # sender=worker label; off (timedelta), astray
child_died = Signal()  # sender=label; pid, code, again_in
