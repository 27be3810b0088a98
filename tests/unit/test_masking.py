"""Which arguments a task names as sensitive, and what stands in place of their values."""

import inspect
from functools import partial

from django.test import SimpleTestCase
from django.views.decorators.debug import sensitive_variables

from django_toosimple_q import payload
from django_toosimple_q.exceptions import InvalidArguments, InvalidDefinition, UnreadablePayload
from django_toosimple_q.masking import masked, signature_of
from django_toosimple_q.schedule import Schedule
from tests.support import claimed, isolate_registries, make_task

SECRET = "hunter2"


def shown(function, sensitive, *args, **kwargs):
    task = make_task(func=function, sensitive=sensitive).task
    return repr(masked(task, args, kwargs))


def log_in(user, password=None, *more, **options):
    pass


class Told:
    """Raises an error that quotes what it holds, when it is pickled or made again."""

    def __init__(self, secret):
        self.secret = secret

    def __reduce__(self):
        raise ValueError(f"cannot store {self.secret}")


class ToldAgain(Told):
    def __reduce__(self):
        return quote, (self.secret,)


def quote(secret):
    raise ValueError(f"cannot load {secret}")


class DefinitionTests(SimpleTestCase):
    def setUp(self):
        isolate_registries(self)

    def refused(self, function, sensitive):
        with self.assertRaises(InvalidDefinition) as caught:
            make_task(func=function, sensitive=sensitive)
        return str(caught.exception)

    def test_names_are_kept_as_a_tuple_and_true_as_it_is(self):
        for given, kept in (
            ("user", ("user",)),
            (["user", "user", "password"], ("user", "password")),
            ([], ()),
            (True, True),
            (False, ()),
        ):
            with self.subTest(given=given):
                task = make_task(func=lambda user, password: 0, sensitive=given).task

                self.assertEqual(task.sensitive, kept)

    def test_a_name_that_the_signature_does_not_have_is_refused(self):
        self.assertEqual(
            self.refused(lambda user, password: 0, ["pasword"]),
            "task 't': sensitive cannot be ['pasword']. The function has no parameter 'pasword'. "
            "Did you mean 'password'?",
        )
        self.assertIn("It has: user.", self.refused(lambda user: 0, ["token"]))
        self.assertIn("Remove the option.", self.refused(lambda: 0, ["token"]))

    def test_any_name_is_taken_that_keyword_arguments_can_have(self):
        self.assertEqual(
            make_task(func=lambda **options: 0, sensitive=["token"]).task.sensitive, ("token",)
        )

    def test_what_are_no_names_is_refused(self):
        for given in (1, None, b"user", {"user": 1}, [1], ["not a name"]):
            with self.subTest(given=given):
                self.assertIn(
                    'Use a list of names of parameters, such as ["password"], or True for all.',
                    self.refused(lambda user: 0, given),
                )

    def test_a_mark_of_the_function_that_lacks_a_name_is_refused(self):
        function = sensitive_variables("token")(lambda password, token: 0)

        self.assertEqual(
            self.refused(function, ["password"]),
            "task 't': sensitive has 'password', which @sensitive_variables('token') of the same "
            "function lacks, and error reports follow that. Add 'password' to it.",
        )

    def test_a_mark_of_the_function_that_has_the_names_is_taken(self):
        for mark in (sensitive_variables("local", "password"), sensitive_variables()):
            with self.subTest(mark=mark):
                make_task(func=mark(lambda password: 0), sensitive=["password"])

    def test_a_function_that_cannot_be_marked_is_refused(self):
        class Callable:
            __qualname__ = "Callable"

            def __call__(self, password):
                pass

        self.assertIn("Wrap it in a function", self.refused(Callable(), ["password"]))

    def test_a_task_without_the_option_keeps_its_function_and_methods(self):
        task = make_task(func=log_in).task

        self.assertIs(task.func, log_in)
        self.assertNotIn("queue", vars(task))

    def test_the_function_stays_what_it_is_for_its_callers(self):
        async def coroutine(password):
            return password

        for name, function in (("a", lambda password: password), ("b", coroutine)):
            with self.subTest(function=function):
                self.assertIs(make_task(name, function, sensitive=True), function)
                self.assertEqual(inspect.iscoroutinefunction(function), function.task.is_async)


class ShownTests(SimpleTestCase):
    def setUp(self):
        isolate_registries(self)

    def test_named_arguments_are_masked_by_position_and_by_name(self):
        self.assertEqual(shown(log_in, ["password"], "Ann", SECRET), "(['Ann', ********], {})")
        self.assertEqual(
            shown(log_in, ["password"], "Ann", password=SECRET),
            "(['Ann'], {'password': ********})",
        )
        self.assertEqual(
            shown(log_in, ["password"], password=SECRET, user="Ann"),
            "([], {'password': ********, 'user': 'Ann'})",
        )

    def test_arguments_without_a_parameter_are_masked_by_the_name_of_all_or_their_own(self):
        call = ("Ann", 1, 2, 3)
        self.assertEqual(
            shown(log_in, ["more"], *call, a=4),
            "(['Ann', 1, ********, ********], {'a': 4})",
        )
        self.assertEqual(
            shown(log_in, ["options"], *call, a=4), "(['Ann', 1, 2, 3], {'a': ********})"
        )
        self.assertEqual(
            shown(log_in, ["a"], *call, a=4, b=5),
            "(['Ann', 1, 2, 3], {'a': ********, 'b': 5})",
        )
        self.assertEqual(
            shown(log_in, ["options"], "Ann", password=2), "(['Ann'], {'password': 2})"
        )

    def test_all_are_masked_with_true(self):
        self.assertEqual(
            shown(log_in, True, "Ann", 1, 2, a=3),
            "([********, ********, ********], {'a': ********})",
        )

    def test_all_are_masked_in_a_call_that_does_not_fit_the_signature(self):
        # As one that was queued before the function lost its first parameter.
        self.assertEqual(
            shown(lambda password: 0, ["password"], "Ann", SECRET), "([********, ********], {})"
        )
        self.assertEqual(
            shown(lambda password: 0, ["password"], pasword=SECRET), "([], {'pasword': ********})"
        )

    def test_payloads_that_are_no_arguments_are_masked(self):
        task = make_task(func=log_in, sensitive=["password"]).task

        self.assertEqual(repr(masked(task, 5, {})), "([********], {})")
        self.assertEqual(repr(masked(task, [], [SECRET])), "([********], {})")

    def test_an_unreadable_payload_shows_its_reason(self):
        task = make_task(func=log_in, sensitive=["password"]).task
        refused = payload.Unreadable("args: is not signed")

        self.assertEqual(masked(task, refused, {}), (refused, {}))

    def test_defaults_of_sensitive_parameters_are_masked(self):
        task = make_task(func=lambda user, password=SECRET, n=1: 0, sensitive=["password"]).task

        self.assertEqual(signature_of(task), "(user, password=********, n=1)")


class ReprTests(SimpleTestCase):
    def setUp(self):
        isolate_registries(self)

    def test_a_claimed_row_does_not_show_its_envelopes(self):
        row = claimed(args=[SECRET], kwargs={"a": 1})

        self.assertNotIn(row.args, repr(row))
        self.assertNotIn(row.kwargs, repr(row))

    def test_a_schedule_does_not_show_its_arguments(self):
        task = make_task(func=log_in, sensitive=["password"]).task
        schedule = Schedule(
            task=task, name="s", cron="manual", args=["Ann"], kwargs={"password": SECRET}
        )

        self.assertNotIn(SECRET, repr(schedule))


class MessageTests(SimpleTestCase):
    """What errors say of arguments, and what they would say of any other task's."""

    def setUp(self):
        isolate_registries(self)

    def message(self, error, call):
        with self.assertRaises(error) as caught:
            call()
        seen = caught.exception
        # What reports show besides.
        while seen is not None:
            self.assertNotIn(SECRET, str(seen))
            seen = None if seen.__suppress_context__ else seen.__cause__ or seen.__context__
        return str(caught.exception)

    def test_a_call_that_does_not_fit_is_refused_without_values(self):
        for sensitive, default in ((["password"], "********"), ([], repr(SECRET))):
            function = make_task(
                func=lambda user, password=SECRET: 0, sensitive=sensitive, name=f"t{sensitive}"
            )
            with self.subTest(sensitive=sensitive), self.assertRaises(InvalidArguments) as caught:
                function.queue(SECRET, SECRET, SECRET)

            self.assertIn(f"(user, password={default})", str(caught.exception))

    def test_a_value_that_cannot_be_stored_is_not_quoted(self):
        function = make_task(func=log_in, sensitive=["password"])

        message = self.message(InvalidArguments, lambda: function.queue("Ann", Told(SECRET)))

        self.assertIn("its argument number 2, tests.unit.test_masking.Told: ValueError.", message)

    def test_a_value_that_cannot_be_compared_is_not_quoted(self):
        class Odd(str):
            def __reduce_ex__(self, protocol):
                raise ValueError(SECRET)

        for options in ({"unique": True}, {"unique_by": lambda user, password: password}):
            function = make_task(func=log_in, sensitive=["password"], **options)
            with self.subTest(options=options):
                message = self.message(InvalidArguments, partial(function.queue, "Ann", Odd("x")))

                self.assertIn("ValueError", message)

    def test_calls_that_are_no_list_are_not_quoted(self):
        function = make_task(func=log_in, sensitive=["password"])

        message = self.message(InvalidArguments, lambda: function.queue_many(SECRET))

        self.assertIn("cannot take ********.", message)

    def test_arguments_of_a_schedule_are_not_quoted(self):
        task = make_task(func=log_in, sensitive=["password"]).task
        for given in ({"args": SECRET}, {"kwargs": [SECRET]}, {"args": [raiser(SECRET)]}):
            with self.subTest(given=given):
                message = self.message(
                    InvalidDefinition,
                    partial(Schedule, task=task, name="s", cron="manual", **given),
                )

                self.assertIn("cannot be ********. Use a ", message)

    def test_a_payload_that_cannot_be_opened_is_not_quoted(self):
        text = payload.seal([ToldAgain(SECRET)], "args", "t", sensitive=True)

        message = self.message(UnreadablePayload, lambda: payload.unseal(text, "args", "t"))

        self.assertEqual(message, "args: cannot be unpickled: ValueError")


class EnvelopeTests(SimpleTestCase):
    def test_an_envelope_says_that_its_value_is_sensitive_and_is_opened_as_any_other(self):
        for value in ([SECRET], [SECRET * 10_000], {"password": SECRET}):
            for sensitive in (True, False):
                text = payload.seal(value, "args", "t", sensitive=sensitive)
                with self.subTest(sensitive=sensitive, length=len(text)):
                    self.assertIs(payload.is_sensitive(text), sensitive)
                    self.assertEqual(payload.unseal(text, "args", "t"), value)

    def test_nobody_can_take_the_note_off_an_envelope(self):
        text = payload.seal([SECRET], "args", "t", sensitive=True)

        with self.assertRaises(UnreadablePayload):
            payload.unseal(text.replace("v1s.", "v1.", 1), "args", "t")


def raiser(secret):
    """Return an object that cannot be copied, and says what it holds."""

    class Uncopied:
        def __deepcopy__(self, memo):
            raise ValueError(secret)

    return Uncopied()
