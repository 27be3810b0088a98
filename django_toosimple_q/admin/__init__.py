"""The queue's tables in Django's admin: read-only, each with the actions that a user may run."""

from django_toosimple_q.admin.queue_statuses import QueueStatusAdmin
from django_toosimple_q.admin.schedule_execs import ScheduleExecAdmin
from django_toosimple_q.admin.task_execs import TaskExecAdmin
from django_toosimple_q.admin.worker_statuses import WorkerStatusAdmin

__all__ = ["QueueStatusAdmin", "ScheduleExecAdmin", "TaskExecAdmin", "WorkerStatusAdmin"]
