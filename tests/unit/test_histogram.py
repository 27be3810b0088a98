"""Durations in fixed bins, and what they tell of the half and of the slowest."""

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from django_toosimple_q.histogram import BINS, BOUNDS, bin_of, quantile


def counted(*seconds):
    counts = [0] * BINS
    for one in seconds:
        counts[bin_of(one)] += 1
    return counts


class HistogramTests(TestCase):
    def test_a_bin_holds_its_upper_end(self):
        for number, bound in enumerate(BOUNDS):
            self.assertEqual(bin_of(bound), number)
            self.assertEqual(bin_of(bound * 1.001), number + 1)

    def test_what_is_below_zero_counts_as_zero(self):
        self.assertEqual(bin_of(-5), 0)

    def test_no_counts_have_no_quantile(self):
        self.assertIsNone(quantile([0] * BINS, 0.5))

    def test_what_is_beyond_the_bins_has_the_last_bound(self):
        self.assertEqual(quantile(counted(10**6), 0.5), 10_000)

    def test_the_slow_ones_are_found(self):
        counts = counted(*[0.015] * 90, *[3] * 10)

        self.assertLess(quantile(counts, 0.5), 0.02)
        self.assertGreater(quantile(counts, 0.95), 2)

    @given(st.lists(st.floats(0.001, 9999), min_size=1), st.sampled_from([0.5, 0.95, 1.0]))
    def test_a_quantile_lies_in_the_bin_of_the_true_one(self, seconds, share):
        wanted = share * len(seconds)
        true = next(one for n, one in enumerate(sorted(seconds), 1) if n >= wanted)

        found = quantile(counted(*seconds), share)

        self.assertEqual(bin_of(found), bin_of(true))
