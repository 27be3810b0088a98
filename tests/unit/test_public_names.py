"""What `from django_toosimple_q import …` gives, and what it must not load."""

import os
import subprocess
import sys
from unittest import TestCase

import django_toosimple_q
from django_toosimple_q import decorators, exceptions, execution


def in_a_new_process(code):
    """Run code in a process without Django's settings, and return what it prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, env={"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout.split()


class PublicNameTests(TestCase):
    def test_each_is_the_one_that_its_module_has(self):
        for name in django_toosimple_q.__all__:
            found = getattr(django_toosimple_q, name)
            homes = [one for one in (decorators, exceptions, execution) if hasattr(one, name)]
            with self.subTest(name=name):
                if name == "queues":
                    self.assertTrue(callable(found.pause))
                else:
                    self.assertIs(found, getattr(homes[0], name))

    def test_dir_lists_them(self):
        self.assertLessEqual(set(django_toosimple_q.__all__), set(dir(django_toosimple_q)))

    def test_any_other_name_is_an_attribute_error(self):
        with self.assertRaisesRegex(AttributeError, "'django_toosimple_q' has no attribute 'x'"):
            django_toosimple_q.x  # noqa: B018

    def test_the_package_alone_loads_nothing(self):
        loaded = in_a_new_process(
            "import sys, django_toosimple_q\n"
            "print(*[name for name in sys.modules if name.startswith(('django.', 'django_too'))])"
        )

        self.assertEqual(loaded, ["django_toosimple_q"])

    def test_all_of_them_work_before_the_apps_are_ready_and_without_settings(self):
        names = in_a_new_process(
            "import sys\n"
            "from django_toosimple_q import *\n"
            "@register_task(name='t', retries=1)\n"
            "def task(x): return x\n"
            "assert task(1) == 1 and current_task() is None and queues.pause\n"
            "print(*[name for name in sys.modules if name.startswith('django_toosimple_q.')])"
        )

        for heavy in ("models", "store", "worker", "admin", "contrib", "notify"):
            self.assertNotIn(f"django_toosimple_q.{heavy}", names)
