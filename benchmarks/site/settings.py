"""The same small site for every peer; what differs comes from the environment."""

import os

SECRET_KEY = "only for the benchmarks"
USE_TZ = True
DEBUG = False
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    *os.environ["BENCH_APPS"].split(","),
    "bench",
]
if os.environ["BENCH_DATABASE"] == "postgresql":
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["BENCH_NAME"],
            "HOST": os.environ.get("PGHOST", "127.0.0.1"),
            "USER": os.environ.get("PGUSER", "postgres"),
        }
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["BENCH_NAME"],
            "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL", "timeout": 20},
        }
    }
TASKS = {"default": {"BACKEND": os.environ.get("BENCH_BACKEND", "")}}
if not TASKS["default"]["BACKEND"]:
    del TASKS
