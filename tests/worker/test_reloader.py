"""Whether a worker watches the code that it runs."""

from unittest import TestCase

from django_toosimple_q.worker.processes.autoreload import wants_reloader


class ReloaderTests(TestCase):
    def test_it_watches_as_it_is_asked_to_and_else_while_debugging(self):
        wanted = {
            ("always", False): True,
            ("always", True): True,
            ("never", True): False,
            (None, True): True,
            (None, False): False,
        }

        self.assertEqual({case: wants_reloader(*case) for case in wanted}, wanted)
