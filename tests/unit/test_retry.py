from unittest import TestCase

from django_toosimple_q.retry import LONGEST_DELAY_SECONDS, NextAttempt, next_attempt


class NextAttemptTests(TestCase):
    def test_there_is_none_without_retries_left(self):
        self.assertIsNone(next_attempt(0, 60))

    def test_delay_doubles_with_each_attempt(self):
        first = next_attempt(3, 60)
        second = next_attempt(first.retries, first.retry_delay)
        third = next_attempt(second.retries, second.retry_delay)

        self.assertEqual(
            [first.delay_seconds, second.delay_seconds, third.delay_seconds], [60, 120, 240]
        )
        self.assertEqual([first.retries, second.retries, third.retries], [2, 1, 0])

    def test_minus_one_retries_for_ever(self):
        attempt = NextAttempt(0, -1, 1)
        for _ in range(100):
            attempt = next_attempt(attempt.retries, attempt.retry_delay)

        self.assertEqual(attempt.retries, -1)
        self.assertEqual(attempt.delay_seconds, LONGEST_DELAY_SECONDS)

    def test_the_cap_holds_while_the_delay_goes_on_doubling(self):
        self.assertEqual(next_attempt(5, 100, delay_max=90), NextAttempt(90, 4, 200))

    def test_jitter_takes_a_share_of_the_capped_delay(self):
        attempt = next_attempt(5, 100, delay_max=90, jitter=True, draw=lambda: 0.5)

        self.assertEqual(attempt.delay_seconds, 45)

    def test_a_delay_the_task_asked_for_leaves_the_doubling_alone(self):
        self.assertEqual(next_attempt(5, 100, asked_delay=7), NextAttempt(7, 4, 100))

    def test_a_retry_that_does_not_count_uses_up_none(self):
        self.assertEqual(next_attempt(0, 10, asked_delay=7, count=False), NextAttempt(7, 0, 10))
