"""What the mail tests share: settings for either generation of Django, a mail server, draining."""

import socket
import warnings
from contextlib import contextmanager
from datetime import timedelta
from email import message_from_bytes, policy

from aiosmtpd.controller import Controller
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend
from django.core.management import call_command
from django.test import modify_settings, override_settings
from django.utils import timezone

from django_toosimple_q.exceptions import TaskInterrupted
from django_toosimple_q.models import TaskExec

QUEUE = "django_toosimple_q.contrib.mail.backends.QueueBackend"
LOCMEM = "django.core.mail.backends.locmem.EmailBackend"
SMTP = "django.core.mail.backends.smtp.EmailBackend"
HAS_MAILERS = hasattr(mail, "mailers")
installed = modify_settings(INSTALLED_APPS={"append": "django_toosimple_q.contrib.mail"})


def queueing(sender=LOCMEM, options=None):
    """Return the settings of a project that queues its mail and sends it through `sender`."""
    if not HAS_MAILERS:
        smtp = {f"EMAIL_{name.upper()}": value for name, value in (options or {}).items()}
        return override_settings(EMAIL_BACKEND=QUEUE, TOOSIMPLEQ_EMAIL_BACKEND=sender, **smtp)
    mailers = {
        "default": {"BACKEND": QUEUE, "OPTIONS": {"mailer": "sender"}},
        "sender": {"BACKEND": sender, "OPTIONS": options or {}},
    }
    return override_settings(MAILERS=mailers)


@contextmanager
def queueing_without_mailers(sender=LOCMEM, **settings):
    """Apply the settings that Django 5.2 has, on any Django."""
    override = override_settings(EMAIL_BACKEND=QUEUE, TOOSIMPLEQ_EMAIL_BACKEND=sender, **settings)
    with without_deprecations():
        override.enable()
    try:
        yield
    finally:
        with without_deprecations():
            override.disable()


@contextmanager
def without_deprecations():
    """Let the project do what Django 6.1 deprecates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        yield


def drain():
    call_command("worker", "--until_done", "--no_schedules")


def drain_later():
    """Run what sleeps, as if its time had come."""
    past = timezone.now() - timedelta(seconds=1)
    TaskExec.objects.filter(state="SLEEPING").update(due=past)
    drain()


def rows():
    return list(TaskExec.objects.order_by("pk"))


def subjects():
    return [message.subject for message in mail.outbox]


class Interrupting(BaseEmailBackend):
    """Sends to the outbox until a message says that the worker must go."""

    def send_messages(self, messages):
        for message in messages:
            if message.subject == "cut off" and not Interrupting.done:
                Interrupting.done = True
                raise TaskInterrupted.cut_off("cut off")
            mail.outbox.append(message)
        return len(messages)

    done = False


class SilentSMTP(EmailBackend):
    """The SMTP backend as a project configures it that wants no errors of it."""

    def __init__(self, **options):
        super().__init__(**{**options, "fail_silently": True})


class NeedsRequest(mail.EmailMessage):
    """A message that renders itself from what no other process has."""

    def message(self, **kwargs):
        message = super().message(**kwargs)
        message["X-Path"] = self.request.path
        return message


class MailServer:
    """A real SMTP server in a thread; `replies` maps an address to what it is refused with.

    A reply is a text such as "550 no such user", or "drop" to drop the connection at the data,
    or "busy" to say 421 and close. A list is used up, one reply for each attempt.
    """

    def __init__(self):
        self.replies = {}
        self.senders = {}
        self.data_replies = {}
        self.messages = []
        self.connections = 0
        self.attempts = []

    def __enter__(self):
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port())
        self.controller.start()
        self.connections = 0  # the controller made one itself
        return self

    def __exit__(self, *error):
        self.controller.stop()

    @property
    def options(self):
        return {"host": "127.0.0.1", "port": self.controller.port, "timeout": 5}

    @property
    def subjects(self):
        return [message["Subject"] for message in self.messages]

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(self, server, session, envelope, address, options):
        refusal = self.senders.get(address)
        if refusal:
            return refusal
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        refusal = next_reply(self.replies, address)
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.attempts.append(envelope.rcpt_tos)
        reply = next_reply(self.data_replies, envelope.rcpt_tos[0])
        if reply == "drop":
            server.transport.abort()
            return "250 too late"
        if reply and reply.startswith("421"):
            await server.push(reply)
            server.transport.close()
            return "421 closing"
        if reply:
            return reply
        message = message_from_bytes(envelope.content, policy=policy.default)
        message.envelope = envelope
        self.messages.append(message)
        return "250 OK"


def next_reply(replies, address):
    found = replies.get(address)
    if isinstance(found, list):
        return found.pop(0) if found else None
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
