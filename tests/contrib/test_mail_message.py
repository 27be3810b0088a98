"""Messages as plain data: what comes back renders as what went in."""

import email
import pickle
from datetime import UTC, datetime
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from types import SimpleNamespace

import django
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.test import SimpleTestCase
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from django_toosimple_q.contrib.mail.message import from_plain, identity, to_plain
from django_toosimple_q.unique import canonical
from tests.contrib.mail import NeedsRequest

FIXED = {"Message-ID": "<1@example.com>", "Date": "Fri, 01 May 2026 12:00:00 +0000"}
PLAIN_TYPES = {dict, list, str, bytes, type(None), datetime}
MODERN = django.VERSION >= (6, 0)


def message(subject="Hello", body="How are you?", to=("you@example.com",), **options):
    options.setdefault("headers", dict(FIXED))
    return EmailMultiAlternatives(subject, body, "me@example.com", list(to), **options)


def stored(plain):
    """Return plain data as another process reads it."""
    return pickle.loads(pickle.dumps(plain))


def rendered(message):
    """Return a rendered message, its boundaries replaced."""
    raw = message.message().as_bytes()
    for number, part in enumerate(email.message_from_bytes(raw).walk()):
        if part.get_boundary():
            raw = raw.replace(part.get_boundary().encode(), b"boundary-%d" % number)
    return raw


def plain_types(value):
    """Yield the types that plain data is made of."""
    yield type(value)
    if isinstance(value, dict):
        for key, item in value.items():
            yield from plain_types(key)
            yield from plain_types(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from plain_types(item)


class PlainTests(SimpleTestCase):
    def assert_survives(self, original):
        expected = rendered(original)

        plain = stored(to_plain(original))
        rebuilt = from_plain(plain)

        self.assertEqual(rendered(rebuilt), expected)
        self.assertEqual(rebuilt.recipients(), original.recipients())
        self.assertLessEqual(set(plain_types(plain)), PLAIN_TYPES)
        return rebuilt

    def test_a_simple_message_survives(self):
        rebuilt = self.assert_survives(message())

        self.assertEqual(rebuilt.subject, "Hello")
        self.assertEqual(rebuilt.from_email, "me@example.com")

    def test_every_kind_of_recipient_survives(self):
        original = message(cc=["c@example.com"], bcc=["b@example.com"], reply_to=["r@example.com"])

        rebuilt = self.assert_survives(original)

        self.assertEqual(
            rebuilt.recipients(), ["you@example.com", "c@example.com", "b@example.com"]
        )

    def test_headers_survive(self):
        self.assert_survives(
            message(headers={**FIXED, "X-Campaign": "7", "List-Id": "<l.example>"})
        )

    def test_texts_beyond_ascii_survive(self):
        self.assert_survives(
            message("Grüße ☀", "Schöne Grüße\n" * 100, to=["Jürgen <j@bücher.example>"])
        )

    def test_html_with_an_alternative_and_an_encoding_survives(self):
        original = message("Olá", "ação")
        original.encoding = "iso-8859-1"
        original.attach_alternative("<p>ação</p>", "text/html")

        self.assert_survives(original)

    def test_a_content_subtype_survives(self):
        original = EmailMessage("s", "<p>hi</p>", to=["you@example.com"], headers=dict(FIXED))
        original.content_subtype = "html"

        self.assert_survives(original)

    def test_attachments_survive(self):
        original = message()
        original.attach("a.txt", "text", "text/plain")
        original.attach("a.bin", b"\x00\xff", "application/octet-stream")
        original.attach("guessed.png", b"\x89PNG")
        original.attachments.append(("tuple.csv", "a,b", "text/csv"))

        self.assert_survives(original)

    def test_an_attached_message_survives(self):
        original = message()
        original.attach("inner.eml", message("inner").message().as_bytes(), "message/rfc822")
        self.assert_survives(original)

        original = message()
        original.attach(None, message("inner"), "message/rfc822")
        self.assert_survives(original)

    def test_parts_that_are_mime_survive(self):
        original = message()
        part = MIMEApplication(b"\x00\x01", "x-foo")
        part.add_header("Content-ID", "<logo>")
        original.attachments.append(part)
        both = MIMEMultipart("related", boundary="fixed")
        both.attach(MIMEText("inner text"))
        original.attachments.append(both)

        self.assert_survives(original)

    def test_parts_of_the_modern_kind_survive(self):
        if not MODERN:
            self.skipTest("Django takes them from 6.0 on")
        from email.message import MIMEPart

        part = MIMEPart()
        part.set_content(b"\x89PNG", "image", "png", disposition="inline", cid="<logo>")
        original = message()
        original.attach(part)

        self.assert_survives(original)

    def test_texts_of_templates_and_translations_become_plain(self):
        self.assert_survives(
            message(mark_safe("safe"), mark_safe("safe body"), to=[gettext_lazy("a@example.com")])
        )

    def test_message_id_and_date_are_made_up_once(self):
        plain = to_plain(message(headers={}))

        first, second = (from_plain(stored(plain)).message() for _ in range(2))

        self.assertEqual(first["Message-ID"], second["Message-ID"])
        self.assertEqual(first["Date"], second["Date"])
        self.assertIn("+0000", first["Date"])

    def test_a_date_in_local_time_is_written_when_the_project_wants_it(self):
        with self.settings(EMAIL_USE_LOCALTIME=True, TIME_ZONE="Asia/Tokyo"):
            plain = to_plain(message(headers={}))

        self.assertIn("+0900", plain["stamp"]["Date"])

    def test_headers_of_the_caller_win_in_any_case(self):
        rebuilt = from_plain(to_plain(message(headers={"message-id": "<mine@example.com>"})))

        self.assertEqual(rebuilt.message().get_all("Message-ID"), ["<mine@example.com>"])

    def test_the_message_of_the_caller_is_left_as_it_was(self):
        original = message(headers={})
        before = dict(vars(original))

        to_plain(original)

        self.assertEqual(vars(original), before)
        self.assertEqual(original.extra_headers, {})

    def test_attributes_that_other_packages_read_come_along(self):
        original = message()
        original.tags = ["welcome"]
        original.merge_data = {"you@example.com": {"since": datetime(2026, 5, 1, tzinfo=UTC)}}
        original.request = SimpleNamespace(path="/")

        rebuilt = self.assert_survives(original)

        self.assertEqual(rebuilt.tags, ["welcome"])
        self.assertEqual(rebuilt.merge_data, original.merge_data)
        self.assertFalse(hasattr(rebuilt, "request"))

    def test_what_cannot_be_rendered_is_refused_at_once(self):
        with self.assertRaises(ValueError):
            to_plain(message("two\nlines"))


class RenderedTests(SimpleTestCase):
    def special(self, **options):
        options.setdefault("headers", dict(FIXED))
        special = NeedsRequest(
            "Hello",
            "How are you?",
            "me@example.com",
            ["you@example.com"],
            bcc=["b@example.com"],
            **options,
        )
        special.request = SimpleNamespace(path="/contact/")
        return special

    def test_a_subclass_is_sent_as_it_renders_itself(self):
        special = self.special()

        rebuilt = from_plain(stored(to_plain(special)))

        self.assertEqual(rebuilt.message().as_bytes(), special.message().as_bytes())
        self.assertEqual(rebuilt.message()["X-Path"], "/contact/")

    def test_the_envelope_is_kept_beside_it(self):
        rebuilt = from_plain(stored(to_plain(self.special())))

        self.assertEqual(rebuilt.recipients(), ["you@example.com", "b@example.com"])
        self.assertEqual(rebuilt.from_email, "me@example.com")
        self.assertNotIn(b"b@example.com", rebuilt.message().as_bytes())

    def test_lines_end_as_smtp_wants_them(self):
        rebuilt = from_plain(stored(to_plain(self.special())))

        if MODERN:
            wire = rebuilt.message(policy=email.policy.SMTP).as_bytes()
        else:
            wire = rebuilt.message().as_bytes(linesep="\r\n")

        self.assertEqual(wire.count(b"\n"), wire.count(b"\r\n"))

    def test_queued_once_more_it_stays_the_same(self):
        once = to_plain(self.special())

        twice = to_plain(from_plain(stored(once)))

        self.assertEqual(twice["rendered"], once["rendered"])
        self.assertEqual(twice["extra"], {})


class IdentityTests(SimpleTestCase):
    def same(self, one, other):
        return canonical(identity([to_plain(one)])) == canonical(identity([to_plain(other)]))

    def test_equal_messages_are_one(self):
        self.assertTrue(self.same(message(headers={}), message(headers={})))

    def test_any_difference_counts(self):
        plain = message(headers={})
        for other in (
            message("other", headers={}),
            message(body="other", headers={}),
            message(to=["other@example.com"], headers={}),
            message(bcc=["other@example.com"], headers={}),
            message(headers={"X-Other": "1"}),
            message(headers={}, attachments=[("a.txt", "a", "text/plain")]),
        ):
            self.assertFalse(self.same(plain, other))

    def test_a_message_id_of_the_caller_counts(self):
        one, two = (message(headers={"Message-ID": f"<{n}@example.com>"}) for n in range(2))

        self.assertFalse(self.same(one, two))

    def test_rendered_messages_are_compared_without_what_chance_made(self):
        def special(body):
            special = NeedsRequest("s", body, to=["you@example.com"])
            special.request = SimpleNamespace(path="/")
            special.attach("a.bin", b"1", "application/x-foo")
            return special

        self.assertTrue(self.same(special("one"), special("one")))
        self.assertFalse(self.same(special("one"), special("two")))

    def test_parts_are_compared_without_their_boundaries(self):
        def with_part():
            part = MIMEMultipart()
            part.attach(MIMEText("inner"))
            outer = message(headers={})
            outer.attachments.append(part)
            return outer

        self.assertTrue(self.same(with_part(), with_part()))

    def test_the_mailer_counts(self):
        plain = to_plain(message())

        self.assertNotEqual(identity([plain], "one"), identity([plain], "two"))
