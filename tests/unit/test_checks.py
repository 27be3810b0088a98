from django.core.checks import run_checks
from django.test import TestCase, override_settings

from django_toosimple_q.decorators import schedule_task
from tests.support import isolate_registries, make_task


class CheckTests(TestCase):  # Django's own checks ask the database what it can
    def setUp(self):
        isolate_registries(self)

    def found(self):
        """Return our messages by id."""
        messages = [one for one in run_checks() if str(one.id).startswith("toosimpleq.")]
        for message in messages:
            self.assertTrue(message.hint, message)
        return {one.id: one for one in messages}

    def test_a_sound_project_has_none(self):
        schedule_task(cron="30 8 * * *")(make_task())

        self.assertEqual(self.found(), {})

    @override_settings(TOOSIMPLEQ_RETENTON={})
    def test_an_unknown_setting_gets_a_suggestion(self):
        message = self.found()["toosimpleq.E001"]

        self.assertIn("TOOSIMPLEQ_RETENTON", message.msg)
        self.assertEqual(message.hint, "Did you mean TOOSIMPLEQ_RETENTION?")

    def test_a_log_level_that_does_not_exist(self):
        for level in ("LOUD", True, 3.5, []):
            with override_settings(TOOSIMPLEQ_TASK_LOG_LEVEL=level):
                self.assertIn(repr(level), self.found()["toosimpleq.E011"].msg)
        for level in ("info", "ERROR", 25, 0, None):
            with override_settings(TOOSIMPLEQ_TASK_LOG_LEVEL=level):
                self.assertEqual(self.found(), {})

    @override_settings(TOOSIMPLEQ_EMAIL_BACKEND="no.such.Backend")
    def test_an_unknown_email_backend(self):
        self.assertIn("no.such.Backend", self.found()["toosimpleq.E002"].msg)

    @override_settings(
        TOOSIMPLEQ_EMAIL_BACKEND="django_toosimple_q.contrib.mail.backends.QueueBackend"
    )
    def test_an_email_backend_that_would_queue_for_ever(self):
        self.assertIn("toosimpleq.E003", self.found())

    def test_a_schedule_whose_arguments_do_not_fit(self):
        task = make_task(func=lambda a: None)
        schedule_task(cron="@daily", name="too few")(task)
        schedule_task(cron="@daily", name="fits", args=[1])(task)
        schedule_task(cron="@daily", name="wrong moment", args=[1], datetime_kwarg="at")(task)

        messages = [one.msg for one in run_checks() if one.id == "toosimpleq.E004"]

        self.assertEqual(len(messages), 2)
        self.assertIn("schedule 'too few': task 't' cannot be called", messages[0])

    def test_a_cron_that_is_probably_a_mistake(self):
        schedule_task(cron="*/15 * * * * *", name="s")(make_task())

        self.assertIn("every second", self.found()["toosimpleq.W001"].msg)

    def test_settings_whose_value_cannot_be_right(self):
        with override_settings(TOOSIMPLEQ_MAX_RESULT="big"):
            self.assertIn("'big'", self.found()["toosimpleq.E005"].msg)
        with override_settings(TOOSIMPLEQ_ACCEPT_UNSIGNED_UNTIL="tomorrow"):
            self.assertIn("'tomorrow'", self.found()["toosimpleq.E006"].msg)
        for version in (3, "", "a,b", "a b", "x" * 33):
            with override_settings(TOOSIMPLEQ_CODE_VERSION=version):
                self.assertIn(repr(version), self.found()["toosimpleq.E010"].msg)
        for retention in ("30 days", {"DONE": None}, {"SUCCEEDED": 30}):
            with override_settings(TOOSIMPLEQ_RETENTION=retention):
                self.assertIn(repr(retention), self.found()["toosimpleq.E008"].msg)
