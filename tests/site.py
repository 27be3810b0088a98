"""A project in a folder of its own, whose code runs in fresh processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SETTINGS = """
SECRET_KEY = "only for a test"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django_toosimple_q"]
"""


class Site:
    """Files in a folder: the smallest settings that use this package, and what a test adds."""

    def __init__(self, folder, settings="", files=None):
        self.folder = Path(folder)
        for name, text in {"site_settings.py": SETTINGS + settings, **(files or {})}.items():
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    def run(self, code, *options):
        """Return what the code, run after `django.setup()`, passes to `show`."""
        program = (
            f"import django, json; django.setup()\ndef show(it): print(json.dumps(it))\n{code}"
        )
        found = self.process(*options, "-c", program)
        if found.returncode:
            raise AssertionError(found.stderr)
        return json.loads(found.stdout)

    def manage(self, *arguments):
        """Return how `manage.py` ended and all that it printed."""
        found = self.process("-m", "django", *arguments)
        return found.returncode, found.stdout + found.stderr

    def process(self, *arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "site_settings",
                "PYTHONPATH": os.pathsep.join([str(self.folder), str(ROOT)]),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
