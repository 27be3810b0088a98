from unittest import TestCase

from django_toosimple_q.worker.batch_size import BUDGET_SECONDS, LARGEST, BatchSize


def sized(*, slots=1, **seconds):
    size = BatchSize(slots)
    size.seconds.update(seconds)
    return size


class BatchSizeTests(TestCase):
    def claim(self, size, name, times=1):
        """Claim as many as it allows, so many times, and return its limits."""
        limits = []
        for _ in range(times):
            size.fit([name] * size.limit)
            limits.append(size.limit)
        return limits

    def test_it_starts_with_one_row_for_each_slot(self):
        self.assertEqual((BatchSize().limit, BatchSize(4).limit), (1, 4))

    def test_short_tasks_let_it_double_up_to_the_largest(self):
        limits = self.claim(sized(quick=1e-5), "quick", 12)

        self.assertEqual(limits[:4], [2, 4, 8, 16])
        self.assertEqual(limits[-1], LARGEST)

    def test_it_stays_at_what_the_budget_holds(self):
        limits = self.claim(sized(some=BUDGET_SECONDS / 10), "some", 20)

        self.assertEqual(limits[-10:], [10] * 10)

    def test_of_a_task_that_never_ran_it_claims_few(self):
        self.assertEqual(self.claim(BatchSize(), "new", 10)[-1], 5)

    def test_a_long_task_brings_it_down_to_one(self):
        size = sized(quick=1e-5, long=10)
        self.claim(size, "quick", 10)

        self.assertEqual(size.fit(["long"] * 500), 1)
        self.assertEqual(size.limit, 1)

    def test_of_a_mixed_batch_it_keeps_what_begins_before_the_first_long_one_ends(self):
        size = sized(quick=1e-5, long=10)

        self.assertEqual(size.fit(["quick"] * 7 + ["long"] + ["quick"] * 9), 8)

    def test_each_slot_gets_a_row_however_long_its_task(self):
        self.assertEqual(sized(slots=4, long=10).fit(["long"] * 9), 4)

    def test_the_mean_of_a_task_follows_what_it_takes_now(self):
        size = BatchSize()
        for seconds in (10.0, *([0.001] * 40)):
            size.observe("t", seconds)

        self.assertAlmostEqual(size.seconds["t"], 0.001, places=4)

    def test_a_claim_that_got_less_than_it_asked_for_does_not_let_it_grow(self):
        size = sized(quick=1e-5)
        self.claim(size, "quick", 3)

        size.fit(["quick"])

        self.assertEqual(size.limit, 8)
