"""Databases whose encoding lacks characters: what they cannot hold costs nothing but itself."""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import SkipTest, skipUnless

from django.db import DatabaseError, connection
from django.test import TransactionTestCase

from tests.acceptance.processes import ROOT, environment

SETTINGS = """
from tests.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "shop"]
if "mysql" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"]["OPTIONS"]["charset"] = "utf8mb4"
"""
TASKS = r"""
from django_toosimple_q.decorators import register_task, schedule_task

@register_task(name="shop.party")
def party(what="\U0001f389"):
    print("out \U0001f389")
    return what

@register_task(name="shop.fail", retries=0)
def fail():
    raise ValueError("broken \U0001f389 caf\xe9")

@register_task(name="shop.\U0001f389")
def unstorable():
    pass

@register_task(name="shop.elsewhere", queue="\U0001f389")
def elsewhere():
    pass

@schedule_task(cron="* * * * * *", run_on_creation=True)
@register_task(name="shop.often")
def often():
    pass

@schedule_task(cron="* * * * *", name="sched \U0001f389", run_on_creation=True)
@register_task(name="shop.never")
def never():
    pass
"""
# What callers and a worker do, and what the rows say then.
RUN = r"""
import json, django; django.setup()
from django.core.checks import run_checks
from django.core.management import call_command
from django_toosimple_q import queues
from django_toosimple_q.exceptions import UnstorableName
from django_toosimple_q.models import QueueStatus, TaskExec, WorkerStatus
from shop.tasks import elsewhere, fail, party, unstorable

def refused(call):
    try:
        call()
    except UnstorableName as error:
        return str(error)

ran, long = party.queue(), party.queue("\U0001f389" * 300)
failed, dropped = fail.queue(), party.queue()
dropped.cancel("no \U0001f389")
found = run_checks(databases=["default"])
checked = sorted(one.msg for one in found if one.id == "toosimpleq.W004")
call_command("worker", "--until_done", "--label", "w\U0001f389", "--queue", "default")
fields = "state", "result", "result_preview", "error", "error_message", "stdout"
told = {
    name: {field: getattr(TaskExec.objects.get(pk=row.pk), field) for field in fields}
    for name, row in {"ran": ran, "long": long, "failed": failed, "dropped": dropped}.items()
}
told["checked"] = checked
told["refused"] = [refused(unstorable.queue), refused(elsewhere.queue)]
told["paused"] = refused(lambda: queues.pause("\U0001f389"))
told["workers"] = [[one.label, one.stopped is not None] for one in WorkerStatus.objects.all()]
told["scheduled"] = TaskExec.objects.filter(task_name="shop.often", state="SUCCEEDED").count()
told["queues"] = sorted(QueueStatus.objects.values_list("name", flat=True))
print("\nTOLD " + json.dumps(told))
"""


class CharsetTests(TransactionTestCase):
    def make_database(self, create, drop, name):
        try:
            with connection.cursor() as cursor:
                cursor.execute(drop)
                cursor.execute(create)
        except DatabaseError as error:
            raise SkipTest(f"the server makes no such database: {error}") from error

        def remove():
            with connection.cursor() as cursor:
                cursor.execute(drop)

        self.addCleanup(remove)
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name)
        (self.path / "shop").mkdir()
        (self.path / "shop" / "__init__.py").touch()
        (self.path / "shop" / "tasks.py").write_text(TASKS)
        (self.path / "site_settings.py").write_text(SETTINGS)
        self.name = name

    def run_python(self, *arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            env={
                **environment(),
                "DJANGO_SETTINGS_MODULE": "site_settings",
                "TOOSIMPLEQ_TEST_DATABASE_NAME": self.name,
                "PYTHONPATH": f"{self.path}:{ROOT}",
                "PYTHONIOENCODING": "utf-8",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def check(self, *, latin):
        """Migrate and work; `latin`: whether the database holds an accented letter."""
        self.run_python("-m", "django", "migrate", "-v0")
        output = self.run_python("-c", RUN)
        told = json.loads(output.partition("\nTOLD ")[2].splitlines()[0])

        party, accent = r"\U0001f389", "é" if latin else r"\xe9"
        ran = told["ran"]
        self.assertEqual((ran["state"], ran["result"]), ("SUCCEEDED", "\U0001f389"))
        self.assertEqual((ran["result_preview"], ran["stdout"]), (party, f"out {party}\n"))
        long = told["long"]
        self.assertEqual((long["state"], long["result"]), ("SUCCEEDED", "\U0001f389" * 300))
        self.assertEqual(len(long["result_preview"]), 255)
        failed = told["failed"]
        self.assertEqual(failed["state"], "FAILED")
        self.assertEqual(failed["error_message"], f"broken {party} caf{accent}")
        self.assertIn("Traceback", failed["error"])
        self.assertIn(f"ValueError: broken {party} caf{accent}", failed["error"])
        self.assertEqual(told["dropped"]["error"], f"no {party}")
        self.assertEqual(told["workers"], [[rf"w{party}", True]])
        self.assertGreaterEqual(told["scheduled"], 1)
        return told

    def check_names(self, told, *, queues_too):
        self.assertIn(r"'shop.\U0001f389'", told["refused"][0])
        self.assertIn(r"name of the task 'shop.\U0001f389'", "\n".join(told["checked"]))
        if queues_too:
            self.assertIn(r"'\U0001f389'", told["refused"][1])
            self.assertIn(r"'\U0001f389'", told["paused"])
            self.assertNotIn("\U0001f389", told["queues"])
            self.assertEqual(len(told["checked"]), 3)

    @skipUnless(connection.vendor == "postgresql", "an encoding of PostgreSQL")
    def test_latin1_on_postgresql(self):
        self.make_postgresql("LATIN1")

        self.check_names(self.check(latin=True), queues_too=True)

    @skipUnless(connection.vendor == "postgresql", "an encoding of PostgreSQL")
    def test_no_encoding_on_postgresql(self):
        self.make_postgresql("SQL_ASCII")

        self.check_names(self.check(latin=False), queues_too=True)

    @skipUnless(connection.vendor == "mysql", "an encoding of MariaDB and MySQL")
    def test_three_bytes_on_mariadb(self):
        name = f"{connection.settings_dict['NAME']}_three"
        self.make_database(
            f"CREATE DATABASE {name} CHARACTER SET utf8mb3", f"DROP DATABASE IF EXISTS {name}", name
        )

        self.check_names(self.check(latin=True), queues_too=False)

    @skipUnless(connection.vendor == "mysql", "an encoding of MariaDB and MySQL")
    def test_latin1_on_mariadb(self):
        name = f"{connection.settings_dict['NAME']}_latin"
        self.make_database(
            f"CREATE DATABASE {name} CHARACTER SET latin1", f"DROP DATABASE IF EXISTS {name}", name
        )

        self.check_names(self.check(latin=True), queues_too=False)

    def make_postgresql(self, encoding):
        name = f"{connection.settings_dict['NAME']}_{encoding.lower()}"
        self.make_database(
            f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'",
            f"DROP DATABASE IF EXISTS {name}",
            name,
        )
