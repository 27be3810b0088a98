"""This repository's queue."""

import os

from peers.base import *  # noqa: F403
from peers.base import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "django_toosimple_q", "peers.ours"]

if os.environ.get("BENCH_WAKE_BY_REDIS"):
    TOOSIMPLEQ_REDIS_URL = os.environ["BENCH_REDIS_URL"]

if os.environ.get("BENCH_ADMIN"):
    INSTALLED_APPS = [
        *INSTALLED_APPS,
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.messages",
        "django.contrib.sessions",
        "django.contrib.staticfiles",
    ]
    MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
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
    ROOT_URLCONF = "peers.ours.urls"
    STATIC_URL = "/static/"
    ALLOWED_HOSTS = ["testserver"]
