import pickle

from django.test import SimpleTestCase

from django_toosimple_q.contrib.celery import (
    Signature,
    chain,
    chord,
    chunks,
    group,
    shared_task,
    signature,
    starmap,
    xmap,
)
from django_toosimple_q.contrib.celery.exceptions import NotSupported
from django_toosimple_q.testing import run_queued
from tests.contrib.celery.cases import CeleryTests, last_row


class SignatureTests(CeleryTests):
    def setUp(self):
        super().setUp()

        @shared_task(name="add")
        def add(*args, **kwargs):
            return args, kwargs

        self.add = add

    def test_a_signature_is_queued_like_a_call(self):
        for call in (
            lambda: self.add.s(1, y=2).delay(),
            lambda: self.add.s(1, y=2).apply_async(),
            lambda: self.add.si(1, y=2).delay(),
            lambda: self.add.signature((1,), {"y": 2}).delay(),
            lambda: signature("add", (1,), {"y": 2}).delay(),
            lambda: signature(self.add.s(1, y=2)).delay(),
        ):
            result = call()
            run_queued()

            self.assertEqual(result.get(timeout=0), ((1,), {"y": 2}))

    def test_further_arguments_go_first_and_keywords_win(self):
        call = self.add.s(1, y=2)

        self.assertEqual(call(3, y=4), ((3, 1), {"y": 4}))
        self.assertEqual(call.apply((3,), {"y": 4}).get(), ((3, 1), {"y": 4}))
        call.delay(3, z=5)
        self.assertEqual((last_row().args, last_row().kwargs), ([3, 1], {"y": 2, "z": 5}))

    def test_an_immutable_signature_takes_no_further_arguments(self):
        self.assertEqual(self.add.si(1)(3, y=4), ((1,), {}))
        self.assertEqual(self.add.s(1).set(immutable=True)(3), ((1,), {}))

    def test_options_stay_with_the_signature_and_those_of_the_call_win(self):
        call = self.add.s(1).set(queue="slow", priority=3)

        call.apply_async(priority=5)
        self.assertEqual((last_row().queue, last_row().priority), ("slow", 5))
        call.delay()
        self.assertEqual((last_row().queue, last_row().priority), ("slow", 3))

    def test_a_clone_leaves_the_signature_as_it_was(self):
        call = self.add.s(1)

        clone = call.clone((2,), queue="slow")

        self.assertEqual((repr(call), repr(clone)), ("add(1)", "add(2, 1)"))
        self.assertEqual(call.options, {})

    def test_a_signature_may_be_an_argument(self):
        call = self.add.s(1, y=2)

        again = pickle.loads(pickle.dumps(call))

        self.assertIsInstance(again, Signature)
        self.assertEqual((again.type, repr(again)), (self.add, repr(call)))

    def test_what_celery_combines_is_refused_with_the_alternative(self):
        call = self.add.s(1)
        combinations = {
            "delay\\(result\\)": lambda: chain(call, call),
            "is a chain": lambda: call | call,
            "queue_many": lambda: group([call]),
            "Count the remaining tasks": lambda: chord([call])(call),
            "each slice": lambda: chunks(call, 3),
            "each item": lambda: xmap(call, []),
            "\\*item": lambda: starmap(call, []),
            "link is not": lambda: call.link(call),
            "link_error is not": lambda: call.on_error(call),
        }
        for alternative, combine in combinations.items():
            with (
                self.subTest(alternative=alternative),
                self.assertRaisesRegex(NotSupported, alternative),
            ):
                combine()


class AbsentTests(SimpleTestCase):
    def test_what_only_celery_has_says_what_to_use_instead(self):
        for module, name, cure in (
            ("", "current_app", "Django's"),
            ("", "uuid", "makes the ids"),
            (".exceptions", "Ignore", "Cancel"),
            (".result", "GroupResult", "in a list"),
            (".signals", "task_failure", "task_finished"),
        ):
            with self.subTest(name=name), self.assertRaisesRegex(NotSupported, cure):
                exec(f"from django_toosimple_q.contrib.celery{module} import {name}")

    def test_what_celery_has_not_either_is_an_import_error(self):
        with self.assertRaises(ImportError):
            exec("from django_toosimple_q.contrib.celery import shared_tusk")
