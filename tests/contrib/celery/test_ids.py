from unittest import TestCase
from uuid import UUID, uuid4

from django.test import SimpleTestCase, override_settings

from django_toosimple_q.contrib.celery.exceptions import InvalidId
from django_toosimple_q.contrib.celery.ids import parse_id
from django_toosimple_q.public_ids import candidates, fits, make_id

CALL = ("shop.tasks.add", "v1.args.signature", "v1.kwargs.signature")
NUMBERS = [1, 2, 77, 2**31, 2**62 + 5, 2**63 - 1]


class IdTests(SimpleTestCase):
    def test_an_id_leads_back_to_its_row(self):
        for number in NUMBERS:
            with self.subTest(number=number):
                task_id = UUID(make_id(number, *CALL))

                self.assertEqual(list(candidates(task_id)), [number])
                self.assertTrue(fits(task_id, number, *CALL))

    def test_an_id_looks_like_one_of_celery(self):
        task_id = UUID(make_id(1, *CALL))

        self.assertEqual((task_id.version, task_id.variant), (4, uuid4().variant))

    def test_ids_of_neighbours_have_nothing_in_common(self):
        one, other = (UUID(make_id(number, *CALL)).int for number in (1, 2))

        self.assertGreater((one ^ other).bit_count(), 25)

    def test_an_id_does_not_fit_the_same_number_with_another_call(self):
        task_id = UUID(make_id(5, *CALL))

        self.assertFalse(fits(task_id, 5, "shop.tasks.other", *CALL[1:]))
        self.assertFalse(fits(task_id, 5, CALL[0], "v1.other.signature", CALL[2]))
        self.assertFalse(fits(task_id, 6, *CALL))

    def test_a_uuid_from_elsewhere_fits_nothing(self):
        stranger = uuid4()

        for number in candidates(stranger):
            self.assertFalse(fits(stranger, number, *CALL))

    def test_an_id_is_still_read_after_the_secret_key_has_changed(self):
        with override_settings(SECRET_KEY="old"):
            task_id = UUID(make_id(9, *CALL))

        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
            self.assertIn(9, list(candidates(task_id)))
            self.assertTrue(fits(task_id, 9, *CALL))
        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[]):
            self.assertNotIn(9, list(candidates(task_id)))


class ParsingTests(TestCase):
    def test_a_text_and_a_uuid_are_the_same_id(self):
        task_id = uuid4()

        self.assertEqual(parse_id(str(task_id)), parse_id(task_id))

    def test_what_is_no_uuid_is_refused_by_value(self):
        for wrong in ("abc", "", None, 7, b"abc"):
            with (
                self.subTest(wrong=wrong),
                self.assertRaisesRegex(InvalidId, "a task id must be a UUID"),
            ):
                parse_id(wrong)
