"""The Celery application of the benchmark's site."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "peers.celery_redis.settings")

app = Celery("benchmark")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
