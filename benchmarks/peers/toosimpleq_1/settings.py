"""django-toosimple-q 1.x, which has the import name of this repository's queue."""

from peers.base import *  # noqa: F403
from peers.base import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "django_toosimple_q", "peers.toosimpleq_1"]
