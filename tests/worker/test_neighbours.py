"""Whatever a task raises, returns or asks for, its neighbours' outcomes are stored."""

import enum
from datetime import timedelta
from functools import partial
from unittest import mock

from django.core.management import call_command
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TransactionTestCase

from django_toosimple_q.exceptions import Cancel, Retry, TaskTimeout
from django_toosimple_q.registry import tasks_registry
from tests.support import isolate_registries, make_task

PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.timedeltas()
)
DELAYS = st.one_of(
    PLAIN,
    st.sampled_from([1e308, -1e308, float("inf"), float("nan"), 10**400, timedelta.max, object()]),
)


class Shy(Exception):
    """Has no text."""

    def __str__(self):
        raise SystemExit

    __repr__ = __str__


class Liar(Exception):
    """Has no class."""

    @property
    def __class__(self):
        raise RuntimeError("which class?")


class NamelessType(type):
    @property
    def __name__(cls):
        raise RuntimeError("which name?")


class Nameless(Exception, metaclass=NamelessType):
    """Has no name."""


class Text(str):
    """Has slices of its own."""

    __slots__ = ()

    def __getitem__(self, index):
        raise RuntimeError("which part?")

    def __len__(self):
        return -5

    def isascii(self):
        raise RuntimeError("which letters?")


class Returned:
    """Is shown as a text of a class of its own."""

    def __str__(self):
        return Text("x" * 1000)


class Unshown:
    def __str__(self):
        raise Shy

    def __reduce__(self):
        raise Shy


class LateRetry(Retry):
    """Asks for something else than what it was made with."""

    def __init__(self, delay, count):
        super().__init__()
        self.delay_seconds, self.count = delay, count


class Undecided:
    def __bool__(self):
        raise Shy


class PickyType(type):
    def __subclasscheck__(cls, other):
        raise Shy

    __instancecheck__ = __subclasscheck__


class Picky(Exception, metaclass=PickyType):
    """Is asked about in vain."""


class Color(enum.Enum):
    RED = Unshown


def made(kind):
    """Return a strategy for how to make an error: Hypothesis would look into the error itself."""
    return lambda *values: partial(kind, *values)


ERRORS = st.one_of(
    st.builds(made(LateRetry), DELAYS, st.sampled_from([True, 1, "yes", Undecided()])),
    st.builds(made(ValueError), PLAIN),
    st.builds(made(Cancel), PLAIN),
    st.sampled_from(
        [
            *(Shy, Liar, Nameless, TaskTimeout, SystemExit, GeneratorExit, MemoryError),
            partial(UnicodeDecodeError, "x", b"\xff", 0, 1, "\udcff\x00"),
        ]
    ),
)
VALUES = st.one_of(
    st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(PLAIN, inner)),
    st.builds(Returned),
    st.builds(Unshown),
    st.builds(lambda: Color.RED),
    st.builds(lambda: Text("x" * 300)),
    st.builds(lambda: (one for one in "abc")),
)


class Hostile:
    """What the task in the middle does in this example."""

    act = staticmethod(lambda: None)


def raising(make_error):
    def act():
        raise make_error()

    return act


class NeighbourTests(TransactionTestCase):
    def setup_example(self):
        super().setup_example()
        isolate_registries(self)
        make_task("good", func=lambda number: number)
        for name, options in (
            ("plain", {"retries": 2}),
            ("picky", {"retries": 3, "retry_for": (Picky,)}),
            ("late", {"retries": 1, "retry_not_for": (Picky,)}),
        ):
            make_task(name, func=lambda: Hostile.act(), **options)

    def check(self, name, act):
        before = tasks_registry["good"].queue_many(range(3))
        hostile = tasks_registry[name].queue()
        after = tasks_registry["good"].queue_many(range(3))
        with mock.patch.object(Hostile, "act", staticmethod(act)):
            call_command("worker", "--until_done", "--no_schedules", "-v0")
        for row in (*before, *after):
            row.refresh_from_db()
            self.assertEqual((row.state, row.attempt), ("SUCCEEDED", 1), act)
        hostile.refresh_from_db()
        self.assertIn(hostile.state, ("SUCCEEDED", "FAILED", "INTERRUPTED"))
        self.assertTrue(hostile.error or hostile.state == "SUCCEEDED")
        return hostile

    @settings(max_examples=12, suppress_health_check=list(HealthCheck))
    @given(error=ERRORS, name=st.sampled_from(["plain", "picky", "late"]))
    @example(error=partial(LateRetry, "soon", True), name="plain")
    @example(error=partial(LateRetry, 1e12, True), name="plain")
    @example(error=partial(LateRetry, float("inf"), True), name="plain")
    @example(error=partial(LateRetry, float("nan"), True), name="plain")
    @example(error=partial(LateRetry, 5, Undecided()), name="plain")
    @example(error=partial(ValueError), name="picky")
    @example(error=partial(ValueError), name="late")
    def test_whatever_it_raises(self, error, name):
        self.check(name, raising(error))

    @settings(max_examples=12, suppress_health_check=list(HealthCheck))
    @given(value=VALUES)
    def test_whatever_it_returns(self, value):
        self.check("plain", lambda: value)
