"""The migration guide, executed: the same project with Celery and after the change of import."""

import json
import tempfile
from unittest import TestCase

import pytest

from tests.contrib.celery.project import CELERY_WORKER, GUIDE, Project, finished, observations

pytest.importorskip("celery", reason="compares with the real Celery")


class GuideTests(TestCase):
    maxDiff = None

    def project(self, *, changed):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return Project(folder.name, changed=changed)

    def test_with_a_worker_the_project_does_the_same_after_the_change(self):
        before, after = self.project(changed=False), self.project(changed=True)
        celery = before.start("-c", CELERY_WORKER)
        after.migrate()
        with after.worker():
            ours = observations(after.run("scenarios.py"))
        theirs = observations(finished(celery))

        self.assertEqual(ours, theirs)
        self.assertEqual(ours["backed off"], [1, 2])
        self.assertEqual(ours["ended"]["retry"]["value"], {"order": 7, "retries": 2})

    def test_in_eager_mode_the_project_does_the_same_after_the_change(self):
        for mode in ("keeps", "propagates"):
            projects = [self.project(changed=changed) for changed in (False, True)]
            running = [one.start("scenarios.py", "eager", SHOP_EAGER=mode) for one in projects]
            theirs, ours = (observations(finished(process)) for process in running)

            with self.subTest(mode=mode):
                self.assertEqual(ours, theirs)

    def test_the_beat_schedule_is_taken_over(self):
        code = (
            "import django, json; django.setup()\n"
            "from django_toosimple_q.registry import schedules_registry\n"
            "every = schedules_registry.items()\n"
            "print(json.dumps({name: [one.cron, one.task.name] for name, one in every}))"
        )

        printed = self.project(changed=True).run("-c", code)

        self.assertEqual(
            json.loads(printed),
            {
                "rates": ["every 3600 s", "shop.tasks.fetch_rates"],
                "reminders": ["30 7 * * 1-5", "shop.tasks.remind"],
            },
        )

    def test_the_checks_name_what_is_lost(self):
        project = self.project(changed=True)

        process = project.start("-m", "django", "check")
        _, errors = process.communicate(timeout=50)

        self.assertEqual(process.returncode, 0)
        self.assertIn("CELERY_BROKER_URL, CELERY_RESULT_BACKEND", errors)

    def test_every_setting_with_an_effect_is_in_the_guide(self):
        from django_toosimple_q.contrib.celery import conf, definition, options

        text = GUIDE.read_text()
        names = (*conf.DEFAULTS, *definition.NAMES, *options.USED, *options.REFUSED)

        self.assertEqual([name for name in names if f"`{name}" not in text], [])
