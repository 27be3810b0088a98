"""What JSON makes of values."""

import json

import pytest
from django.test import SimpleTestCase
from hypothesis import given
from hypothesis import strategies as st

from django_toosimple_q.contrib.tasks.json_values import is_plain, normal

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.none(), inner)
    ),
)


def same(value):
    return value


class NormalTests(SimpleTestCase):
    @given(VALUES)
    def test_what_counts_as_plain_comes_back_from_json_as_it_is(self, value):
        if is_plain(value):
            self.assertEqual(json.loads(json.dumps(value, allow_nan=False)), value)

    def test_deep_and_circular_values_are_no_plain_ones(self):
        circular = []
        circular.append(circular)

        self.assertFalse(is_plain(circular))

    def test_integers_that_python_does_not_write_are_refused(self):
        with pytest.raises(ValueError, match="digits"):
            normal(10**5000, same)
