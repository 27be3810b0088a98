"""Settings of a site that enqueues from async views."""

from tests.contrib.tasks.aliases import TASKS as ALIASES
from tests.settings import *  # noqa: F403

TASKS = ALIASES
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "tests.contrib.tasks.asgi_app"
MIDDLEWARE: list[str] = []
