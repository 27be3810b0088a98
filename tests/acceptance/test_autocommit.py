"""A project that commits by hand: `AUTOCOMMIT: False` in DATABASES."""

import os
import subprocess
import sys
from unittest import mock

from django.db import connection

from django_toosimple_q.checks import check_database
from django_toosimple_q.models import TaskExec
from tests.acceptance.processes import ROOT, ProcessTests, environment
from tests.app.tasks import echo

OFF = {"TOOSIMPLEQ_TEST_AUTOCOMMIT": "off"}
BEGIN = """
import django; django.setup()
from datetime import timedelta
from django.db import connection
from django.utils import timezone
from django_toosimple_q import Cancellation, queues
from django_toosimple_q.models import TaskExec
from tests.app.tasks import echo, unique
assert not connection.get_autocommit()
"""


class WorkerTests(ProcessTests):
    def test_no_worker_starts(self):
        row = echo.queue(1)
        for options in ((), ("--processes=2",), ("--until_done",)):
            with self.subTest(options=options), mock.patch.dict(os.environ, OFF):
                worker = self.worker("--no_schedules", *options, online=False)

                self.assertEqual(worker.wait(), 99)

                self.assertIn("DATABASES['default'] has AUTOCOMMIT = False", worker.log())
                self.assertIn("Remove it from the settings that the worker", worker.log())
        row.refresh_from_db()
        self.assertEqual(row.state, "QUEUED")

    def test_a_check_says_so(self):
        self.assertEqual(check_database(None, databases=["default"]), [])
        with mock.patch.dict(connection.settings_dict, AUTOCOMMIT=False):
            [warning] = check_database(None, databases=["default"])

        self.assertIn("Workers refuse to start", warning.msg)


class CallerTests(ProcessTests):
    def call(self, code):
        """Run code in a process with autocommit off; return what it prints."""
        done = subprocess.run(
            [sys.executable, "-c", BEGIN + code],
            cwd=ROOT,
            env={**environment(), **OFF},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_a_call_is_queued_by_their_commit(self):
        self.call(
            "echo.queue('kept'); echo.queue_many(['many', 'more'])\n"
            "assert unique.queue('k').pk == unique.queue('k').pk\n"
            "connection.commit()\n"
            "echo.queue('undone'); echo.queue_many(['undone'])\n"
            "connection.rollback()"
        )

        rows = TaskExec.objects.order_by("pk")
        self.assertEqual([row.args[0] for row in rows], ["kept", "many", "more", "k"])

    def test_they_can_cancel_and_pause(self):
        self.call(
            "row = echo.queue(1)\n"
            "assert row.cancel() is Cancellation.CANCELLED\n"
            "queues.pause('mail')\n"
            "connection.commit()\n"
            "row = echo.queue(1)\n"
            "TaskExec.objects.update(state='PROCESSING')\n"
            "assert row.cancel() is Cancellation.ASKED\n"
            "assert 'mail' in queues.paused()"
        )

    def test_they_can_wait_without_keeping_the_worker_out(self):
        self.worker("--no_schedules")

        said = self.call(
            "row = echo.queue('done'); connection.commit()\n"
            "print(row.wait_done(30).result)\n"
            "row = echo.queue_many(['again'])[0]; connection.commit()\n"
            "print(row.wait_done(30).result)"
        )

        self.assertEqual(said.split(), ["done", "again"])


OTHER = """
import django; django.setup()
from django.db import connection, connections
settings = {**connection.settings_dict, "AUTOCOMMIT": False}
connections.settings["other"] = settings
from django_toosimple_q.worker.execution.isolation import Isolation
from tests.app.models import Effect
effects = Effect.objects.using("other")
with Isolation() as isolation:
    for _ in range(2):
        effects.create(key="undone")
        assert not isolation.restore()
        assert not Effect.objects.exists()
with Isolation() as isolation:
    effects.create(key="kept")
    connections["other"].commit()
    assert not isolation.restore()
    effects.exists()
    assert not isolation.restore()
assert Effect.objects.get().key == "kept"
"""


class TaskTests(ProcessTests):
    def test_what_a_task_does_not_commit_in_such_a_database_is_undone_and_no_failure(self):
        done = subprocess.run(
            [sys.executable, "-c", OTHER], cwd=ROOT, env=environment(), stderr=subprocess.PIPE
        )

        self.assertEqual(done.returncode, 0, done.stderr.decode())
