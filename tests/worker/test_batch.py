from unittest import TestCase

from django_toosimple_q.worker.batch import BUDGET_SECONDS, LARGEST, BatchSize


class BatchSizeTests(TestCase):
    def test_it_starts_with_one_row_for_each_slot(self):
        self.assertEqual((BatchSize().limit, BatchSize(4).limit), (1, 4))

    def test_short_tasks_let_it_double_up_to_the_largest(self):
        size, limits = BatchSize(), []
        for _ in range(12):
            size.observe(size.limit, size.limit * 1e-5)
            limits.append(size.limit)

        self.assertEqual(limits[:4], [2, 4, 8, 16])
        self.assertEqual(limits[-1], LARGEST)

    def test_it_settles_at_what_the_budget_holds(self):
        size = BatchSize()
        for _ in range(20):
            size.observe(size.limit, size.limit * BUDGET_SECONDS / 10)

        self.assertEqual(size.limit, 10)

    def test_a_long_task_brings_it_down_to_one(self):
        size = BatchSize()
        for _ in range(10):
            size.observe(size.limit, size.limit * 1e-5)

        size.observe(1, 10)

        self.assertEqual(size.limit, 1)

    def test_an_empty_batch_says_nothing(self):
        size = BatchSize()
        size.observe(0, 5)

        self.assertEqual(size.limit, 1)
