"""The demo's own tests, in a process with the demo's own settings."""

import os
import subprocess
import sys
from pathlib import Path
from unittest import TestCase

MANAGE = Path(__file__).parent.parent.parent / "demo" / "manage.py"


class DemoTests(TestCase):
    def test_the_demo_passes_its_tests(self):
        environment = dict(os.environ)
        environment.pop("DJANGO_SETTINGS_MODULE", None)

        run = subprocess.run(
            [sys.executable, str(MANAGE), "test", "shop"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stderr, r"Ran [1-9]\d* tests")
