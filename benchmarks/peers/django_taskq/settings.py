"""django-taskq."""

from peers.base import *  # noqa: F403
from peers.base import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "django_taskq"]
