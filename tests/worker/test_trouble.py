"""What is told of a database that keeps silent."""

from django.test import SimpleTestCase

from django_toosimple_q import log
from django_toosimple_q.worker.trouble import SILENT_SECONDS, Silence


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
