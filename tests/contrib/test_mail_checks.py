"""What the system checks find in the configuration of mail."""

import ast
import re
from pathlib import Path
from unittest import skipUnless

from django.test import SimpleTestCase, modify_settings, override_settings

from django_toosimple_q.contrib.mail import checks
from django_toosimple_q.contrib.mail.backends import QueueBackend
from tests.contrib.mail import HAS_MAILERS, LOCMEM, QUEUE, queueing

SMTP_ALIAS = {"OPTIONS": {"host": "mail.example.com"}}


class OurBackend(QueueBackend):
    """A project's own subclass."""


def queue(**options):
    return {"BACKEND": QUEUE, "OPTIONS": options}


def found(check):
    """Return the ids of what a check finds, each with a hint."""
    messages = check(app_configs=None)
    assert all(message.hint for message in messages)
    return [message.id for message in messages]


class CheckTests(SimpleTestCase):
    def test_a_sound_configuration_passes(self):
        with queueing():
            for check in (
                checks.check_queue_is_installed,
                checks.check_sending_backend,
                checks.check_mailers,
            ):
                self.assertEqual(found(check), [])

    @modify_settings(INSTALLED_APPS={"remove": "django_toosimple_q"})
    def test_the_queue_must_be_installed(self):
        self.assertEqual(found(checks.check_queue_is_installed), ["toosimpleq.E101"])

    def test_a_sending_backend_that_queues_under_another_name_is_found(self):
        with override_settings(TOOSIMPLEQ_EMAIL_BACKEND=f"{__name__}.OurBackend"):
            self.assertEqual(found(checks.check_sending_backend), ["toosimpleq.E102"])

    def test_paths_that_the_core_reports_are_not_reported_twice(self):
        for path in (QUEUE, "no.such.backend", None):
            with override_settings(TOOSIMPLEQ_EMAIL_BACKEND=path):
                self.assertEqual(found(checks.check_sending_backend), [])


@skipUnless(HAS_MAILERS, "MAILERS came with Django 6.1")
class MailersCheckTests(SimpleTestCase):
    def mailers(self, sender=None, **mailers):
        settings = {"TOOSIMPLEQ_EMAIL_BACKEND": sender} if sender else {}
        with override_settings(MAILERS=mailers, **settings):
            return found(checks.check_mailers)

    def test_a_mailer_that_sends_passes(self):
        self.assertEqual(self.mailers(default=queue(mailer="smtp"), smtp=SMTP_ALIAS), [])

    def test_the_mailers_of_the_readme_pass(self):
        readme = (Path(__file__).parent.parent.parent / "README.md").read_text()
        found = re.search(r"^MAILERS = (\{\n.*?^\})", readme, re.MULTILINE | re.DOTALL)

        self.assertEqual(self.mailers(**ast.literal_eval(found[1])), [])

    def test_a_mailer_that_does_not_exist_is_found(self):
        self.assertEqual(self.mailers(default=queue(mailer="smtp")), ["toosimpleq.E103"])

    def test_a_mailer_that_names_itself_is_found(self):
        self.assertEqual(self.mailers(default=queue(mailer="default")), ["toosimpleq.E104"])

    def test_a_mailer_that_queues_is_found(self):
        mailers = {"other": queue(mailer="smtp"), "smtp": SMTP_ALIAS}

        self.assertEqual(
            self.mailers(default=queue(mailer="other"), **mailers), ["toosimpleq.E104"]
        )

    def test_smtp_without_a_mailer_has_no_host(self):
        self.assertEqual(self.mailers(default=queue()), ["toosimpleq.E105"])

    def test_without_a_mailer_another_backend_may_send(self):
        self.assertEqual(self.mailers(LOCMEM, default=queue()), [])
