"""A site that runs django-toosimple-q 1.x, and then this package, on one SQLite file."""

import os

SECRET_KEY = "the site's own"
USE_TZ = True
TIME_ZONE = "Europe/Paris"
DEBUG = False
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django_toosimple_q",
    "shop",
]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["UPGRADE_DATABASE"]}
}
