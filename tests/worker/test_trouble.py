"""How a database that is out of reach is waited for, and what is told of one that is silent."""

from django.db import OperationalError
from django.test import SimpleTestCase

from django_toosimple_q import log
from django_toosimple_q.worker.trouble import SILENT_SECONDS, Silence, Trouble


class TroubleTests(SimpleTestCase):
    def test_the_waits_double_up_to_ten_seconds_each_somewhere_in_its_upper_half(self):
        trouble = Trouble("w")

        waits = [trouble.lost(OperationalError("gone")) for _ in range(12)]

        for number, seconds in enumerate(waits, 1):
            longest = min(0.1 * 2**number, 10)
            self.assertTrue(longest / 2 <= seconds <= longest, (number, seconds))
        self.assertEqual(len(set(waits)), 12)

    def test_after_a_success_they_begin_anew(self):
        trouble = Trouble("w")
        for _ in range(12):
            trouble.lost(OperationalError("gone"))

        trouble.back()

        self.assertLessEqual(trouble.lost(OperationalError("gone")), 0.2)


class SilenceTests(SimpleTestCase):
    def told(self, *looks):
        """Return what is told while these looks are taken: since when is asked, and when."""
        log.connect()
        silence = Silence()
        with self.assertLogs("toosimpleq", "INFO") as logs:
            log.logger.info("begin")
            for asked, now in looks:
                silence.look(asked, now)
        return [record.getMessage().split(":")[0] for record in logs.records[1:]]

    def test_answers_that_come_are_not_told_of(self):
        self.assertEqual(self.told((None, 0), (1, 1), (1, SILENT_SECONDS), (None, 99)), [])

    def test_silence_is_told_once_and_so_is_its_end(self):
        looks = [(0, 5), (0, 11), (0, 12), (None, 13), (14, 14)]

        self.assertEqual(self.told(*looks), ["database does not answer, waiting", "database back"])

    def test_another_question_is_an_answer_to_the_one_before(self):
        self.assertEqual(len(self.told((0, 11), (12, 12), (12, 23), (24, 24))), 4)
