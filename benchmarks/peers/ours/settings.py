"""This repository's queue."""

import os

from peers.base import *  # noqa: F403
from peers.base import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "django_toosimple_q", "peers.ours"]

if os.environ.get("BENCH_WAKE_BY_REDIS"):
    TOOSIMPLEQ_REDIS_URL = os.environ["BENCH_REDIS_URL"]
