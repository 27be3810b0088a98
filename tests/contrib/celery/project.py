"""The project of the guide, written to a folder, before and after the guide's change."""

import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent.parent
GUIDE = ROOT / "docs" / "celery.md"
SCENARIOS = Path(__file__).with_name("scenarios.py")
# "`shop/tasks.py`, …:" and the block below it.
FILE = re.compile(r"^`(shop/\w+\.py)`[^\n]*:\n\n```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
# The guide's own command: sed -E 's/from celery([ .])/…\1/'
COMMAND = re.compile(r"sed -i -E 's/(.*?[^\\])/(.*?)/'")
TIMEOUT_SECONDS = 50

# What a project has besides, the same before and after.
SETTINGS = """
import logging
import os

SECRET_KEY = "only for a test"
USE_TZ = True
TIME_ZONE = "Europe/Paris"
INSTALLED_APPS = ["shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3"}}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"journal": {"format": "%(created).3f %(message)s"}},
    "handlers": {
        "journal": {
            "class": "logging.FileHandler",
            "filename": os.environ["SHOP_JOURNAL"],
            "formatter": "journal",
        },
    },
    "loggers": {"shop.tasks": {"handlers": ["journal"], "level": "INFO"}},
}
CELERY_TASK_ALWAYS_EAGER = "SHOP_EAGER" in os.environ
CELERY_TASK_EAGER_PROPAGATES = os.environ.get("SHOP_EAGER") == "propagates"
"""
# Celery's worker runs in a thread of the process whose memory is the broker.
CELERY_WORKER = """
import json
import logging

import django

django.setup()
import scenarios
from celery.contrib.testing.worker import start_worker
from shop.celery import app

app.conf.broker_transport_options = {"polling_interval": 0.02}
app.conf.worker_hijack_root_logger = False
app.conf.worker_redirect_stdouts = False
with start_worker(app, pool="threads", concurrency=2, perform_ping_check=False, loglevel="ERROR"):
    print(json.dumps(scenarios.with_worker(), indent=1))
"""


def rewritten(text):
    """Return a file after the guide's change of imports."""
    pattern, replacement = COMMAND.search(GUIDE.read_text()).groups()
    return re.sub(pattern, replacement, text)


class Project:
    """The guide's project in a folder; `changed` tells whether the guide was followed."""

    def __init__(self, folder, *, changed):
        self.folder = Path(folder)
        self.changed = changed
        files = dict(FILE.findall(GUIDE.read_text()))
        files["shop/settings.py"] = SETTINGS + files["shop/settings.py"]
        files["scenarios.py"] = SCENARIOS.read_text()
        if changed:
            files = {name: rewritten(text) for name, text in files.items()}
            files["shop/settings.py"] += 'INSTALLED_APPS += ["django_toosimple_q"]\n'
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def environment(self, **more):
        return {
            **{name: value for name, value in os.environ.items() if name != "SHOP_EAGER"},
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}",
            "SHOP_JOURNAL": str(self.folder / "journal"),
            **more,
        }

    def start(self, *arguments, **environment):
        """Start Python in the project's folder."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments, **environment):
        """Run Python in the project's folder and return what it prints."""
        return finished(self.start(*arguments, **environment))

    def migrate(self):
        self.run("-m", "django", "migrate", "-v0")

    @contextmanager
    def worker(self, *options):
        process = self.start("-m", "django", "worker", "--tick", "0.05", *options)
        try:
            yield
        finally:
            process.terminate()
            process.communicate(timeout=20)


def finished(process):
    """Wait for a process and return what it printed; raise with its errors when it failed."""
    try:
        printed, errors = process.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        printed, errors = process.communicate()
        raise AssertionError(f"not done after {TIMEOUT_SECONDS} s:\n{printed}\n{errors}") from None
    if process.returncode:
        raise AssertionError(f"exit code {process.returncode}:\n{printed}\n{errors}")
    return printed


def observations(printed):
    return json.loads(printed)
