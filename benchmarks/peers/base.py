"""The settings that all peers share. Environment variables set what differs between runs."""

import os

SECRET_KEY = "only for the benchmarks"
USE_TZ = True
DEBUG = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes"]
REDIS_URL = os.environ.get("BENCH_REDIS_URL", "")

_DATABASES = {
    # libpq finds the server, the user and the password in the usual PG… variables.
    "postgresql": {"ENGINE": "django.db.backends.postgresql"},
    "mariadb": {
        "ENGINE": "django.db.backends.mysql",
        "HOST": os.environ.get("MYSQL_HOST", ""),
        "PORT": os.environ.get("MYSQL_PORT", ""),
        "USER": os.environ.get("MYSQL_USER", ""),
        "PASSWORD": os.environ.get("MYSQL_PASSWORD", ""),
        "OPTIONS": {"charset": "utf8mb4"},
    },
    "sqlite": {
        "ENGINE": "django.db.backends.sqlite3",
        "OPTIONS": {
            "init_command": "PRAGMA journal_mode=WAL",
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
        },
    },
}
DATABASES = {
    "default": {
        **_DATABASES[os.environ.get("BENCH_DATABASE", "postgresql")],
        "NAME": os.environ["BENCH_NAME"],
        # Some workers close "old" connections around each task. None avoids the reconnection.
        "CONN_MAX_AGE": None,
    }
}
