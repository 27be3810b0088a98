"""Huey with its Django integration, on Redis, on PostgreSQL, or on its own SQLite file."""

import os

from peers.base import *  # noqa: F403
from peers.base import INSTALLED_APPS, REDIS_URL

INSTALLED_APPS = [*INSTALLED_APPS, "huey.contrib.djhuey", "peers.huey_django"]

_NAME = os.environ["BENCH_NAME"]
_STORAGES = {
    "redis": {"huey_class": "huey.RedisHuey", "connection": {"url": REDIS_URL}},
    "postgresql": {
        "huey_class": "huey.contrib.sql_huey.SqlHuey",
        # No host: libpq finds the server, the user and the password in its own variables.
        "connection": {"database": f"psycopg3:///{_NAME}"},
    },
    "sqlite": {
        "huey_class": "huey.SqliteHuey",
        "connection": {"filename": f"{_NAME}.huey", "fsync": True},
    },
}
HUEY = {
    "name": "benchmark",
    "immediate": False,
    "consumer": {"workers": 1, "worker_type": "thread"},
    **_STORAGES[os.environ.get("BENCH_HUEY_STORAGE") or os.environ["BENCH_DATABASE"]],
}
