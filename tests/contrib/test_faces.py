"""What a project's settings and imports load of contrib, each in a fresh process."""

import tempfile
from importlib.util import find_spec
from unittest import TestCase, skipUnless

from tests.site import Site

BACKEND = "django_toosimple_q.contrib.tasks.ToosimpleQBackend"
TASKS = f'TASKS = {{"default": {{"BACKEND": "{BACKEND}", "QUEUES": []}}}}\n'
FRAMEWORK = "django.tasks" if find_spec("django.tasks") else "django_tasks"
HAS_BOTH = bool(find_spec("django.tasks") and find_spec("django_tasks"))

LOADED = """
import sys
ours = [name for name in sys.modules if name.startswith("django_toosimple_q.")]
show(sorted({".".join(name.split(".")[1:3]) for name in ours
             if name.startswith(("django_toosimple_q.contrib.", "django_toosimple_q.worker"))}))
"""
CONNECTED = """
from django_toosimple_q.registry import tasks_registry
show([finder.__module__ for finder in tasks_registry.finders])
"""
A_TASK = f"""
from {FRAMEWORK} import task

@task
def double(number):
    return 2 * number
"""
ENQUEUE = "import jobs; show(jobs.double.enqueue(21).id)"
RESULT = """
from django_toosimple_q.models import TaskExec
row = TaskExec.objects.get()
show([row.state, row.result])
"""
A_CELERY_TASK = """
from django_toosimple_q.contrib.celery import shared_task

@shared_task(name="shop.report")
def report():
    return "reported"
"""
BEAT = """
CELERY_BEAT_SCHEDULE = {
    "daily": {"task": "shop.report", "schedule": 60},
    "wrong": {"task": "shop.report"},
}
"""
# The backport has its checks as an app, Django always.
CHECKED = 'INSTALLED_APPS += ["django_tasks"]\n' if FRAMEWORK == "django_tasks" else ""
WITH_SHOP = 'INSTALLED_APPS += ["shop"]\n'
A_CELERY_APP = """
from django_toosimple_q.contrib.celery import Celery

app = Celery("shop")
app.autodiscover_tasks(["shop"], "jobs")
"""
SHOP = {"shop/tasks.py": A_CELERY_TASK}
OWN_BACKEND = f"""
from {BACKEND.rpartition(".")[0]} import ToosimpleQBackend

class Backend(ToosimpleQBackend):
    pass
"""
URLS = """
from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
"""
USING_OLD = '@task(backend="old")'
SCHEDULES = """
from django.core.checks import run_checks
from django_toosimple_q.registry import schedules_registry
show([sorted(schedules_registry), [one.id for one in run_checks()]])
"""


class FaceTests(TestCase):
    def site(self, settings="", files=None):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return Site(folder.name, settings, files)

    def drained(self, site):
        """Return the row of a call whose module only the process that queued it imports."""
        self.assertEqual(site.manage("migrate", "-v0")[0], 0)
        site.run(ENQUEUE)
        # Checks import the backend too; a worker may run without them.
        code, printed = site.manage("worker", "--until_done", "--skip-checks")
        self.assertEqual(code, 0, printed)
        return site.run(RESULT)


class SetUpTests(FaceTests):
    def test_a_project_that_names_no_part_loads_none_and_nothing_of_the_worker(self):
        self.assertEqual(self.site().run(LOADED), [])

    def test_a_backend_in_tasks_loads_that_part_alone(self):
        self.assertEqual(self.site(TASKS).run(LOADED), ["contrib.tasks"])

    def test_the_mail_app_loads_that_part_alone(self):
        site = self.site('INSTALLED_APPS += ["django_toosimple_q.contrib.mail"]')

        self.assertEqual(site.run(LOADED), ["contrib.mail"])

    def test_an_import_of_the_celery_part_loads_that_part_alone(self):
        site = self.site(WITH_SHOP, SHOP)

        self.assertEqual(site.run(LOADED), ["contrib.celery"])

    def test_settings_of_celery_alone_load_nothing(self):
        self.assertEqual(self.site(BEAT).run(LOADED), [])

    def test_a_web_process_loads_nothing_of_the_worker(self):
        site = self.site(
            f"""
{TASKS}
INSTALLED_APPS += ["django.contrib.admin", "django.contrib.messages", "django.contrib.sessions"]
INSTALLED_APPS += ["django_toosimple_q.contrib.mail", "shop"]
ROOT_URLCONF = "urls"
""",
            {**SHOP, "urls.py": URLS, "jobs.py": A_TASK},
        )

        loaded = site.run(
            "from django.core.checks import run_checks\n"
            "run_checks()\n"
            "from django.urls import reverse\n"
            'reverse("admin:toosimpleq_taskexec_changelist")\n'
            "import jobs, django_toosimple_q.testing, django_toosimple_q.waiting\n"
            "from shop.tasks import report\n"
            "report.apply()\n" + LOADED
        )

        self.assertEqual(loaded, ["contrib.celery", "contrib.mail", "contrib.tasks"])


class TasksTests(FaceTests):
    def test_the_settings_are_enough_for_a_worker_to_find_a_task(self):
        site = self.site(TASKS, {"jobs.py": A_TASK})

        self.assertEqual(self.drained(site), ["SUCCEEDED", 42])

    def test_a_backend_of_the_projects_own_is_enough_too(self):
        site = self.site(
            TASKS.replace(BACKEND, "own.Backend"),
            {"own.py": OWN_BACKEND, "jobs.py": A_TASK},
        )

        self.assertEqual(self.drained(site), ["SUCCEEDED", 42])

    def test_the_app_connects_where_tasks_names_no_backend_yet(self):
        site = self.site('INSTALLED_APPS += ["django_toosimple_q.contrib.tasks"]')

        self.assertEqual(site.run(CONNECTED), ["django_toosimple_q.contrib.tasks.finder"])

    def test_it_connects_once_however_often_it_is_named(self):
        for order in (
            'INSTALLED_APPS += ["django_toosimple_q.contrib.tasks"]',
            'INSTALLED_APPS = ["django_toosimple_q.contrib.tasks", *INSTALLED_APPS]',
        ):
            with self.subTest(order=order):
                site = self.site(TASKS + order, {"jobs.py": A_TASK})
                found = site.run("import jobs\n" + CONNECTED)
                self.assertEqual(found, ["django_toosimple_q.contrib.tasks.finder"])

    def test_a_backend_that_is_imported_after_the_setup_connects_at_once(self):
        found = self.site().run(f"import {BACKEND.rpartition('.')[0]}.backend\n" + CONNECTED)

        self.assertEqual(found, ["django_toosimple_q.contrib.tasks.finder"])

    def test_the_framework_in_tasks_is_checked_without_any_task(self):
        site = self.site(TASKS.replace("QUEUES", "QUEUE") + CHECKED)

        code, printed = site.manage("check")

        self.assertEqual(code, 0)
        self.assertIn("toosimpleq.W050", printed)

    def test_a_path_of_ours_that_does_not_exist_is_found_and_stops_no_setup(self):
        site = self.site(TASKS.replace("ToosimpleQBackend", "ToosimpleBackend"))

        self.assertEqual(site.run("show(1)"), 1)
        code, printed = site.manage("check")
        self.assertEqual(code, 1)
        self.assertIn("toosimpleq.E009", printed)
        self.assertIn("ToosimpleBackend", printed)

    def test_a_path_of_another_package_that_cannot_be_imported_is_not_our_matter(self):
        site = self.site('TASKS = {"other": {"BACKEND": "no.such.Backend"}}')

        self.assertEqual(
            site.run(
                "from django.core.checks import run_checks\n"
                "show([one.id for one in run_checks() if one.id.startswith('toosimpleq')])"
            ),
            [],
        )

    def test_settings_of_another_shape_stop_no_setup(self):
        for tasks in ("None", "[]", '{"default": None}', '{"default": {}}'):
            with self.subTest(tasks=tasks):
                self.assertEqual(self.site(f"TASKS = {tasks}").run("show(1)"), 1)

    def test_the_missing_app_is_found_where_it_is_missing(self):
        site = self.site(
            f'{TASKS}{CHECKED}INSTALLED_APPS.remove("django_toosimple_q")\n{WITH_SHOP}',
            {"shop/models.py": A_TASK},
        )

        code, printed = site.manage("check")

        self.assertEqual(code, 1, printed)
        self.assertIn("toosimpleq.E050", printed)
        self.assertNotIn("Traceback", printed)


@skipUnless(HAS_BOTH, "there is one line of the framework")
class TwoLinesTests(FaceTests):
    BOTH = """
import sys
from django.core.checks import run_checks
import django.tasks, django_tasks, django_tasks.checks
show([one.id for one in run_checks() if str(one.id).startswith("toosimpleq")])
"""

    def test_the_path_that_serves_one_is_found_where_both_are_used(self):
        self.assertIn("toosimpleq.W053", self.site(TASKS).run(self.BOTH))

    def test_a_path_for_each_is_sound(self):
        core = TASKS.replace("tasks.Toosimple", "tasks.core.Toosimple")
        backport = BACKEND.replace("tasks.Toosimple", "tasks.backport.Toosimple")
        site = self.site(
            core + f'TASKS["old"] = {{"BACKEND": "{backport}", "QUEUES": []}}\n',
            {"jobs.py": A_TASK.replace("django.tasks", "django_tasks").replace("@task", USING_OLD)},
        )

        self.assertEqual(site.run(self.BOTH), [])
        self.assertEqual(self.drained(site), ["SUCCEEDED", 42])


class CeleryTests(FaceTests):
    def test_a_schedule_of_its_settings_is_registered_and_checked(self):
        site = self.site(WITH_SHOP + BEAT, SHOP)

        schedules, messages = site.run(SCHEDULES)

        self.assertEqual(schedules, ["daily"])
        self.assertIn("toosimpleq.E150", messages)

    def test_an_import_before_the_setup_is_early_enough(self):
        files = {"shop/__init__.py": A_CELERY_APP, "shop/jobs.py": A_CELERY_TASK}

        self.assertEqual(self.site(WITH_SHOP + BEAT, files).run(SCHEDULES)[0], ["daily"])

    def test_settings_may_use_its_crontab(self):
        site = self.site(
            WITH_SHOP + "from django_toosimple_q.contrib.celery.schedules import crontab\n"
            'CELERY_BEAT_SCHEDULE = {"daily": {"task": "shop.report", "schedule": crontab()}}\n',
            SHOP,
        )

        self.assertEqual(site.run(SCHEDULES)[0], ["daily"])

    def test_a_project_whose_celery_is_the_real_one_is_left_alone(self):
        self.assertEqual(self.site(BEAT).run(SCHEDULES), [[], []])


class MailTests(FaceTests):
    WRONG = 'TOOSIMPLEQ_EMAIL_BACKEND = "no.such.Backend"\n'

    def test_the_backend_that_sends_is_checked_where_mail_is_queued(self):
        site = self.site(self.WRONG + 'INSTALLED_APPS += ["django_toosimple_q.contrib.mail"]')

        self.assertIn("toosimpleq.E002", site.run(SCHEDULES)[1])
