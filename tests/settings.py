"""Settings of the test suite: one database for the whole run, chosen by the environment.

TOOSIMPLEQ_TEST_DATABASE       sqlite (default), postgresql or mariadb
TOOSIMPLEQ_TEST_DATABASE_NAME  the database to make and destroy (":memory:" keeps SQLite in memory);
                               processes started by a test find the database of the run here
PGHOST PGPORT PGUSER PGPASSWORD, MYSQL_HOST MYSQL_PORT MYSQL_USER MYSQL_PASSWORD
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

POOLED = os.environ.get("TOOSIMPLEQ_TEST_POOL") == "on"
PREPARED = os.environ.get("TOOSIMPLEQ_TEST_PREPARED") == "on"
KIND = os.environ.get("TOOSIMPLEQ_TEST_DATABASE") or "sqlite"


def _name(default: str) -> str:
    return os.environ.get("TOOSIMPLEQ_TEST_DATABASE_NAME") or default


def _sqlite() -> dict[str, Any]:
    # A file, not memory: worker processes of the tests open it too.
    path = Path(tempfile.gettempdir()) / f"test_toosimpleq_{os.getpid()}.sqlite3"
    name = _name(str(path))
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "TEST": {"NAME": name}}


def _postgresql() -> dict[str, Any]:
    name = _name(f"test_toosimpleq_{os.getpid()}")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("PGHOST", "127.0.0.1"),
        "PORT": os.environ.get("PGPORT", "5432"),
        "USER": os.environ.get("PGUSER", "postgres"),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        # For processes that a test starts: the smallest pool there is, and prepared statements.
        "OPTIONS": {
            **({"pool": {"min_size": 1, "max_size": 1}} if POOLED else {}),
            **({"server_side_binding": True, "prepare_threshold": 0} if PREPARED else {}),
        },
        "NAME": name,
        "TEST": {"NAME": name},
    }


def _mariadb() -> dict[str, Any]:
    name = _name(f"test_toosimpleq_{os.getpid()}")
    return {
        "ENGINE": "django.db.backends.mysql",
        "HOST": os.environ.get("MYSQL_HOST", "127.0.0.1"),
        "PORT": os.environ.get("MYSQL_PORT", "3306"),
        "USER": os.environ.get("MYSQL_USER", "root"),
        "PASSWORD": os.environ.get("MYSQL_PASSWORD", ""),
        "OPTIONS": {"charset": "utf8mb4"},
        "NAME": name,
        "TEST": {"NAME": name, "CHARSET": "utf8mb4"},
    }


DATABASE_SETTINGS = {"sqlite": _sqlite, "postgresql": _postgresql, "mariadb": _mariadb}

if KIND not in DATABASE_SETTINGS:
    raise ImproperlyConfigured(
        f"TOOSIMPLEQ_TEST_DATABASE is {KIND!r}. Set it to one of {', '.join(DATABASE_SETTINGS)}."
    )

DATABASES = {"default": DATABASE_SETTINGS[KIND]()}
if os.environ.get("TOOSIMPLEQ_TEST_AUTOCOMMIT") == "off":
    # For processes that a test starts.
    DATABASES["default"]["AUTOCOMMIT"] = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

SECRET_KEY = "only for the tests of django-toosimple-q"
ALLOWED_HOSTS = ["testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "tests.app.urls"
STATIC_URL = "/static/"
USE_TZ = True
# A zone with clock changes, so that no test passes only because local time is UTC.
TIME_ZONE = "Europe/Paris"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_toosimple_q",
    "django_toosimple_q.contrib.mail",
    "tests.app",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# For worker processes that a test starts.
TOOSIMPLEQ_REDIS_URL = os.environ.get("TOOSIMPLEQ_TEST_REDIS_URL")
TOOSIMPLEQ_NOTIFY = os.environ.get("TOOSIMPLEQ_TEST_NOTIFY") != "off"
