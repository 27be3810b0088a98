import pickle
from base64 import b64encode
from datetime import timedelta

from django.test import SimpleTestCase, override_settings
from django.utils import timezone

from django_toosimple_q import payload
from django_toosimple_q.exceptions import UnreadablePayload

opened = []


class Trap:
    def __reduce__(self):
        return opened.append, ("sprung",)


class PayloadTests(SimpleTestCase):
    def setUp(self):
        opened.clear()

    def test_what_is_sealed_opens_again(self):
        for value in (None, 1, "é", [1, {"a": (2, b"\xff")}], "x" * 100_000):
            with self.subTest(value=str(value)[:20]):
                text = payload.seal(value, "args", "t")

                self.assertEqual(payload.unseal(text, "args", "t"), value)

    def test_large_values_are_compressed(self):
        self.assertLess(len(payload.seal("x" * 100_000, "args", "t")), 5_000)

    def test_an_envelope_opens_for_its_own_field_and_task_only(self):
        text = payload.seal([1], "args", "t")

        for field, task_name in (("kwargs", "t"), ("result", "t"), ("args", "u"), ("arg", "st")):
            with (
                self.subTest(field=field, task_name=task_name),
                self.assertRaisesRegex(UnreadablePayload, "signature does not match"),
            ):
                payload.unseal(text, field, task_name)

    def test_an_altered_envelope_is_never_unpickled(self):
        text = payload.seal(Trap(), "args", "t")
        for position in range(0, len(text)):
            altered = (
                text[:position] + ("A" if text[position] != "A" else "B") + text[position + 1 :]
            )
            with self.assertRaises(UnreadablePayload):
                payload.unseal(altered, "args", "t")

        self.assertEqual(opened, [])

    def test_a_plain_pickle_is_never_unpickled(self):
        with self.assertRaisesRegex(UnreadablePayload, "args: is not signed"):
            payload.unseal(b64encode(pickle.dumps(Trap())).decode(), "args", "t")

        self.assertEqual(opened, [])

    def test_rows_without_a_signature_may_be_accepted_until_a_date(self):
        text = b64encode(pickle.dumps([1])).decode()

        with override_settings(
            TOOSIMPLEQ_ACCEPT_UNSIGNED_UNTIL=timezone.now() + timedelta(hours=1)
        ):
            self.assertEqual(payload.unseal(text, "args", "t"), [1])
        with (
            override_settings(TOOSIMPLEQ_ACCEPT_UNSIGNED_UNTIL=timezone.now() - timedelta(hours=1)),
            self.assertRaises(UnreadablePayload),
        ):
            payload.unseal(text, "args", "t")

    def test_a_rotated_key_opens_what_its_fallback_sealed(self):
        with override_settings(SECRET_KEY="old"):
            text = payload.seal([1], "args", "t")

        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["older", "old"]):
            self.assertEqual(payload.unseal(text, "args", "t"), [1])
        with (
            override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[]),
            self.assertRaisesRegex(UnreadablePayload, "SECRET_KEY_FALLBACKS"),
        ):
            payload.unseal(text, "args", "t")

    def test_a_value_whose_class_is_gone_says_so(self):
        global Gone

        class Gone:
            pass

        Gone.__qualname__ = "Gone"
        text = payload.seal(Gone(), "args", "t")
        del Gone

        with self.assertRaisesRegex(UnreadablePayload, "args: cannot be unpickled: AttributeError"):
            payload.unseal(text, "args", "t")
