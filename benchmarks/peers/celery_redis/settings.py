"""Celery with Redis, set up like in its guide for Django, without a result backend by default."""

import os

from peers.base import *  # noqa: F403
from peers.base import INSTALLED_APPS, REDIS_URL

INSTALLED_APPS = [*INSTALLED_APPS, "peers.celery_redis"]
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_ACKS_LATE = bool(os.environ.get("BENCH_ACKS_LATE"))
