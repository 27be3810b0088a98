"""Rows that django-toosimple-q 1.x queued: pickled messages of Django 5.2, on any Django."""

from django.core import mail
from django.test import TestCase

from django_toosimple_q import payload
from django_toosimple_q.fields import Stored
from django_toosimple_q.models import TaskExec
from tests.contrib.mail import drain, installed, queueing, rows, subjects

NAME = "django_toosimple_q.contrib.mail.tasks.send_email"
# The column `args` as release 1.2.1 wrote it under Django 5.2.
ONE_MESSAGE = (
    "gAJdcQBjZGphbmdvLmNvcmUubWFpbC5tZXNzYWdlCkVtYWlsTXVsdGlBbHRlcm5hdGl2ZXMKcQEpgXECfXEDKFgCAAAA"
    "dG9xBF1xBVgFAAAAZEBlLmZxBmFYAgAAAGNjcQddcQhYAwAAAGJjY3EJXXEKWAgAAAByZXBseV90b3ELXXEMWAoAAABm"
    "cm9tX2VtYWlscQ1YBQAAAGFAYi5jcQ5YBwAAAHN1YmplY3RxD1gBAAAAU3EQWAQAAABib2R5cRFYAQAAAGJxElgLAAAA"
    "YXR0YWNobWVudHNxE11xFChjZGphbmdvLmNvcmUubWFpbC5tZXNzYWdlCkVtYWlsQXR0YWNobWVudApxFVgFAAAAbi50"
    "eHRxFlgFAAAAaGVsbG9xF1gKAAAAdGV4dC9wbGFpbnEYh3EZgXEaaBVYBQAAAG4uYmlucRtjX2NvZGVjcwplbmNvZGUK"
    "cRxYAgAAAAABcR1YBgAAAGxhdGluMXEehnEfUnEgWBEAAABhcHBsaWNhdGlvbi94LWZvb3Ehh3EigXEjZVgNAAAAZXh0"
    "cmFfaGVhZGVyc3EkfXElWAMAAABYLUFxJlgBAAAAMXEnc1gKAAAAY29ubmVjdGlvbnEoY2RqYW5nb190b29zaW1wbGVf"
    "cS5jb250cmliLm1haWwuYmFja2VuZApRdWV1ZUJhY2tlbmQKcSkpgXEqfXErWA0AAABmYWlsX3NpbGVudGx5cSx9cS1Y"
    "DQAAAGZhaWxfc2lsZW50bHlxLolzc2JYDAAAAGFsdGVybmF0aXZlc3EvXXEwY2RqYW5nby5jb3JlLm1haWwubWVzc2Fn"
    "ZQpFbWFpbEFsdGVybmF0aXZlCnExWAMAAAA8Yj5xMlgJAAAAdGV4dC9odG1scTOGcTSBcTVhdWJhhXE2Lg=="
)
MASS_MAIL = (
    "gAJdcQAoY2RqYW5nby5jb3JlLm1haWwubWVzc2FnZQpFbWFpbE1lc3NhZ2UKcQEpgXECfXEDKFgCAAAAdG9xBF1xBVgF"
    "AAAAZEBlLmZxBmFYAgAAAGNjcQddcQhYAwAAAGJjY3EJXXEKWAgAAAByZXBseV90b3ELXXEMWAoAAABmcm9tX2VtYWls"
    "cQ1YEwAAAHdlYm1hc3RlckBsb2NhbGhvc3RxDlgHAAAAc3ViamVjdHEPWAIAAABzMXEQWAQAAABib2R5cRFYAQAAAGJx"
    "ElgLAAAAYXR0YWNobWVudHNxE11xFFgNAAAAZXh0cmFfaGVhZGVyc3EVfXEWWAoAAABjb25uZWN0aW9ucRdjZGphbmdv"
    "X3Rvb3NpbXBsZV9xLmNvbnRyaWIubWFpbC5iYWNrZW5kClF1ZXVlQmFja2VuZApxGCmBcRl9cRpYDQAAAGZhaWxfc2ls"
    "ZW50bHlxG31xHChYDQAAAGZhaWxfc2lsZW50bHlxHYlYCAAAAHVzZXJuYW1lcR5OWAgAAABwYXNzd29yZHEfTnVzYnVi"
    "aAEpgXEgfXEhKGgEXXEiaAZhaAddcSNoCV1xJGgLXXElaA1oDmgPWAIAAABzMnEmaBFoEmgTXXEnaBV9cShoF2gZdWJl"
    "hXEpLg=="
)


def queued_by_1x(args):
    """Make the row as the upgrade leaves it: the same pickle, signed."""
    sealed = {
        "args": Stored(payload.seal_unsigned(args, "args", NAME)),
        "kwargs": Stored(payload.seal_unsigned("gAJ9cQAu", "kwargs", NAME)),
    }
    return TaskExec.objects.create(task_name=NAME, retries=10, retry_delay=3, **sealed)


@installed
class LegacyTests(TestCase):
    def setUp(self):
        override = queueing()
        override.enable()
        self.addCleanup(override.disable)

    def test_a_pickled_message_goes_out_whole(self):
        queued_by_1x(ONE_MESSAGE)

        drain()

        [message] = mail.outbox
        self.assertEqual((message.subject, message.body, message.to), ("S", "b", ["d@e.f"]))
        self.assertEqual(message.extra_headers["X-A"], "1")
        self.assertEqual(tuple(message.alternatives[0]), ("<b>", "text/html"))
        self.assertEqual(
            [tuple(attachment) for attachment in message.attachments],
            [("n.txt", "hello", "text/plain"), ("n.bin", b"\x00\x01", "application/x-foo")],
        )

    def test_pickled_messages_of_one_call_all_go_out(self):
        queued_by_1x(MASS_MAIL)

        drain()

        self.assertEqual(subjects(), ["s1", "s2"])
        self.assertEqual([row.state for row in rows()], ["SUCCEEDED", "SUCCEEDED"])

    def test_what_follows_is_plain_data_with_the_retries_of_today(self):
        old = queued_by_1x(ONE_MESSAGE)

        drain()

        new = rows()[-1]
        self.assertEqual(TaskExec.objects.get(pk=old.pk).result, "1 of 1 passed on")
        self.assertEqual(new.task_name, "django_toosimple_q.contrib.mail.send_messages")
        self.assertIs(type(new.args[0][0]), dict)
