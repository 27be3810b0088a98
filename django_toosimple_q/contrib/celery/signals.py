"""Refuse the names of `celery.signals`, and name what to use instead."""

from django_toosimple_q.contrib.celery.exceptions import absent

STARTED, FINISHED, WORKER_STARTED, WORKER_STOPPED = (
    f"Connect to django_toosimple_q.signals.{name}."
    for name in ("task_started", "task_finished", "worker_started", "worker_stopped")
)
PUBLISHED = "Put the code where the task is queued."

__getattr__ = absent(
    "celery.signals",
    {
        **dict.fromkeys(("task_prerun", "task_received"), STARTED),
        **dict.fromkeys(
            ("task_postrun", "task_success", "task_failure", "task_retry", "task_revoked"), FINISHED
        ),
        **dict.fromkeys(("before_task_publish", "after_task_publish"), PUBLISHED),
        **dict.fromkeys(
            ("celeryd_init", "worker_init", "worker_ready", "worker_process_init", "beat_init"),
            WORKER_STARTED,
        ),
        **dict.fromkeys(
            ("worker_shutdown", "worker_shutting_down", "worker_process_shutdown"), WORKER_STOPPED
        ),
        **dict.fromkeys(
            ("setup_logging", "after_setup_logger", "after_setup_task_logger"),
            "Use Django's LOGGING setting.",
        ),
    },
)
