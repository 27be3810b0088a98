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
    # By default, another process replaces the worker after 500 tasks.
    "recycle": 1_000_000,
    "log_level": "WARNING",
    # Keep every success, so that they can be counted.
    "save_limit": 0,
}
