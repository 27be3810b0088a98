"""How a worker waits for a database that is out of reach, and what it logs of it."""

from unittest import mock

from django.db import OperationalError
from django.test import SimpleTestCase

from django_toosimple_q import log, signals
from django_toosimple_q.worker.outage import UNRESPONSIVE_SECONDS, Outage, Silence, Unresponsive


class OutageTests(SimpleTestCase):
    def test_the_waits_double_up_to_ten_seconds_each_somewhere_in_its_upper_half(self):
        outage = Outage()

        waits = [outage.lost(OperationalError("gone"), "w") for _ in range(12)]

        for number, seconds in enumerate(waits, 1):
            longest = min(0.1 * 2**number, 10)
            self.assertTrue(longest / 2 <= seconds <= longest, (number, seconds))
        self.assertEqual(len(set(waits)), 12)

    def test_after_a_success_they_begin_anew(self):
        outage = Outage()
        for _ in range(12):
            outage.lost(OperationalError("gone"), "w")

        outage.back("w")

        self.assertLessEqual(outage.lost(OperationalError("gone"), "w"), 0.2)

    def test_its_end_is_reported_once_with_its_length(self):
        outage, ends = Outage(), []
        receive = lambda seconds, **kwargs: ends.append(seconds)  # noqa: E731
        signals.database_back.connect(receive)
        self.addCleanup(signals.database_back.disconnect, receive)

        for moment, act in ((100, "lost"), (103, "lost"), (107, "back"), (109, "back")):
            with mock.patch("time.monotonic", return_value=float(moment)):
                if act == "lost":
                    outage.lost(OperationalError("gone"), "w")
                else:
                    outage.back("w")

        self.assertEqual(ends, [7.0])


class UnresponsiveTests(SimpleTestCase):
    def logged(self, *checks):
        """Return what is logged while these checks are made: asked since when, and now."""
        log.connect()
        unresponsive = Unresponsive()
        with self.assertLogs("toosimpleq", "INFO") as logs:
            log.logger.info("begin")
            for asked, now in checks:
                unresponsive.check(asked, now, "w")
        return [record.getMessage().split(":")[0] for record in logs.records[1:]]

    def test_answers_that_come_in_time_are_not_logged(self):
        self.assertEqual(self.logged((None, 0), (1, 1), (1, UNRESPONSIVE_SECONDS), (None, 99)), [])

    def test_a_missing_answer_is_logged_once_and_so_is_its_end(self):
        checks = [(0, 5), (0, 11), (0, 12), (None, 13), (14, 14)]

        self.assertEqual(
            self.logged(*checks), ["database does not answer, waiting", "database back"]
        )

    def test_another_question_is_an_answer_to_the_one_before(self):
        self.assertEqual(len(self.logged((0, 11), (12, 12), (12, 23), (24, 24))), 4)


class SilenceTests(SimpleTestCase):
    """When a worker may have been declared dead: a timeout of 60 s, a beat of 10 s."""

    def silence(self):
        silence = Silence(60, 10)
        silence.heard_at = 0.0
        return silence

    def test_it_is_over_a_timeout_after_the_last_answered_heartbeat_was_sent(self):
        silence = self.silence()
        silence.ask(5)
        silence.answer(6)
        silence.ask(15)
        silence.ask(40)

        self.assertEqual([silence.is_over(now) for now in (64, 65)], [False, True])

    def test_a_process_that_was_paused_gets_a_beat_for_its_question(self):
        silence = self.silence()
        self.assertFalse(silence.is_over(500))
        silence.ask(500)

        self.assertEqual([silence.is_over(now) for now in (509, 510)], [False, True])

    def test_a_server_that_answers_anything_is_not_silent(self):
        silence = self.silence()
        silence.ask(10)
        silence.reach(59)

        self.assertEqual([silence.is_over(now) for now in (118, 119)], [False, True])

    def test_an_answer_after_more_than_a_beat_says_since_when_it_was_waited_for(self):
        silence = self.silence()
        silence.ask(10)
        self.assertIsNone(silence.answer(11))
        silence.ask(20)
        silence.ask(30)

        self.assertEqual(silence.answer(31), 20)
        self.assertFalse(silence.is_over(1000))

    def test_a_heartbeat_is_sent_anew_with_more_patience_each_time(self):
        silence = self.silence()
        silence.ask(0)

        given_up = [now for now in range(100) if silence.gives_up(0, now)]

        self.assertEqual(given_up, [20, 40, 80])
        silence.answer(100)
        self.assertEqual(silence.patience, 20)
        self.assertFalse(silence.gives_up(None, 1000))
