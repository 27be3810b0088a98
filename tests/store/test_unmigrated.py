"""What a project sees that has not installed the queue, or not yet migrated."""

import subprocess
import sys
from contextlib import contextmanager

from django.db import connection
from django.test import SimpleTestCase, TransactionTestCase

from django_toosimple_q.exceptions import NotMigrated
from tests.acceptance.processes import ROOT, environment
from tests.support import isolate_registries, make_task

NOT_INSTALLED = """
from django.conf import settings
settings.configure(SECRET_KEY="x", DATABASES={"default": {
    "ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
import django
django.setup()
from django_toosimple_q.decorators import register_task

@register_task(name="t")
def task():
    pass

task.queue()
"""


class NotMigratedTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)
        self.task = make_task()

    @contextmanager
    def without(self, change, back):
        with connection.cursor() as cursor:
            cursor.execute(change)
            try:
                yield
            finally:
                cursor.execute(back)

    def test_a_missing_table_is_named_with_the_cure(self):
        rename = "ALTER TABLE {} RENAME TO {}"
        away, back = ("toosimpleq_taskexec", "away"), ("away", "toosimpleq_taskexec")
        with self.without(rename.format(*away), rename.format(*back)):
            for queue in (self.task.queue, lambda: self.task.queue_many([(1,), (2,)])):
                with self.subTest(queue=queue), self.assertRaises(NotMigrated) as caught:
                    queue()

                self.assertIn("toosimpleq_taskexec", str(caught.exception))
                self.assertIn("Run `manage.py migrate` first.", str(caught.exception))

    def test_a_missing_column_too(self):
        rename = "ALTER TABLE toosimpleq_taskexec RENAME COLUMN {} TO {}"
        away, back = ("priority", "away"), ("away", "priority")
        refused = self.assertRaisesRegex(NotMigrated, "Run `manage.py migrate` first.")
        with self.without(rename.format(*away), rename.format(*back)), refused:
            self.task.queue()


class NotInstalledTests(SimpleTestCase):
    def test_queueing_names_the_setting(self):
        done = subprocess.run(
            [sys.executable, "-c", NOT_INSTALLED],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
        )

        self.assertEqual(done.returncode, 1)
        self.assertEqual(
            done.stderr.splitlines()[-1],
            "django.core.exceptions.ImproperlyConfigured: django_toosimple_q is not in "
            "INSTALLED_APPS. Add it, then run `manage.py migrate`.",
        )
