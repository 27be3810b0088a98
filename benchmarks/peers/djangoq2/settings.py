"""django-q2 with the database as its broker and one worker process."""

from peers.base import *  # noqa: F403
from peers.base import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "django_q"]
Q_CLUSTER = {
    "name": "benchmark",
    "orm": "default",
    "workers": 1,
    "timeout": 300,
    "retry": 600,
    # Else another process takes the worker's place after 500 tasks.
    "recycle": 1_000_000,
    "log_level": "WARNING",
    # Every success is kept, so that they can be counted.
    "save_limit": 0,
}
