import os
import threading
import time
from unittest import TestCase, mock, skipUnless

from django_toosimple_q.wakeups import pipe
from django_toosimple_q.wakeups.pipe import FilePipe, Readable, SocketPipe, WakeUp

# What Linux and macOS have, and what Windows has: there sockets are waited for by `select`.
SYSTEMS = [False, *([True] if pipe.HAS_POLL else [])]


class WakeUpTests(TestCase):
    def each_system(self):
        """Yield a wake-up for each kind of system, as it is made there."""
        for has_poll in SYSTEMS:
            kind = FilePipe if has_poll else SocketPipe
            with (
                self.subTest(has_poll=has_poll),
                mock.patch.object(pipe, "new_pipe", kind),
                mock.patch.object(Readable.__init__, "__kwdefaults__", {"poll": has_poll}),
                mock.patch.object(pipe, "SLICE_SECONDS", 0.02),
            ):
                wakeup = WakeUp()
                self.assertIsInstance(wakeup.pipe, kind)
                yield wakeup
                wakeup.close()

    def test_a_wait_ends_when_its_time_is_over(self):
        for wakeup in self.each_system():
            began = time.monotonic()

            self.assertFalse(wakeup.wait(0.1))

            self.assertGreaterEqual(time.monotonic() - began, 0.1)

    def test_a_wake_up_from_before_ends_the_next_wait_only(self):
        for wakeup in self.each_system():
            wakeup.set()
            wakeup.set()

            self.assertTrue(wakeup.wait(10))
            self.assertFalse(wakeup.wait(0))

    def test_another_thread_ends_a_wait_without_end(self):
        for wakeup in self.each_system():
            timer = threading.Timer(0.1, wakeup.set)
            timer.start()

            self.assertTrue(wakeup.wait(None))
            timer.join()

    def test_a_wake_up_never_blocks_and_never_fails(self):
        for wakeup in self.each_system():
            with self.assertRaises(BlockingIOError):
                while True:
                    wakeup.pipe.write()
            wakeup.set()
            self.assertTrue(wakeup.wait(0))
            self.assertFalse(wakeup.wait(0))

        wakeup = WakeUp()
        wakeup.close()
        wakeup.set()


class ReadableTests(TestCase):
    @skipUnless(pipe.HAS_POLL, "this system has no bound on the numbers")
    def test_numbers_beyond_those_of_select_are_waited_for(self):
        made = FilePipe()
        self.addCleanup(made.close)
        number = 1500
        try:
            os.dup2(made.read_end, number)
        except OSError as error:
            self.skipTest(f"this process may not have so many files: {error}")
        self.addCleanup(os.close, number)
        readable = Readable(number)
        self.assertEqual(readable.wait(0), [])

        made.write()

        self.assertEqual(readable.wait(10), [number])

    def test_a_file_that_breaks_ends_the_wait(self):
        made = FilePipe()
        self.addCleanup(os.close, made.read_end)
        readable = Readable(made.read_end)

        os.close(made.write_end)

        self.assertEqual(readable.wait(10), [made.read_end])
