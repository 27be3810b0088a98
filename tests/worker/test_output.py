import io
import sys
import threading
from unittest import TestCase, mock

from django_toosimple_q.text import BoundedText, clean, cut_middle
from django_toosimple_q.worker.execution import output
from django_toosimple_q.worker.execution.output import captured


class BoundedTextTests(TestCase):
    def test_short_texts_stay_whole(self):
        text = BoundedText(10)
        for piece in ("abc", "", "def"):
            text.write(piece)

        self.assertEqual(text.text(), "abcdef")

    def test_both_ends_of_a_long_text_are_kept(self):
        for pieces in (["a" * 10 + "x" * 5000 + "b" * 10], ["a" * 10, *["x"] * 5000, "b" * 10]):
            text = BoundedText(10)
            for piece in pieces:
                text.write(piece)

            self.assertEqual(text.text(), "a" * 10 + "\n… 5000 characters cut …\n" + "b" * 10)

    def test_it_does_not_grow(self):
        text = BoundedText(1000)
        for _ in range(10_000):
            text.write("x" * 100)

        self.assertLess(sum(map(len, text.tail)) + sum(map(len, text.head)), 2200)
        self.assertIn("998000 characters cut", text.text())


class CleanTests(TestCase):
    def test_what_databases_refuse_is_escaped(self):
        self.assertEqual(clean("a\x00b\ud800é😀"), "a\\x00b\\ud800é😀")

    def test_the_middle_is_cut(self):
        self.assertEqual(
            cut_middle("a" * 5 + "b" * 90 + "c" * 5, 10), "aaaaa\n… 90 characters cut …\nccccc"
        )


class CaptureTests(TestCase):
    def setUp(self):
        self.real = io.StringIO()
        patch = mock.patch.object(sys, "stdout", self.real)
        patch.start()
        self.addCleanup(patch.stop)

    def test_only_what_the_context_prints_is_collected(self):
        with output.installed():
            print("before")
            with captured() as written:
                print("inside")
                print("error", file=sys.stderr)
            print("after")

        self.assertEqual((written.text("stdout"), written.text("stderr")), ("inside\n", "error\n"))
        self.assertEqual(self.real.getvalue(), "before\nafter\n")
        self.assertIs(sys.stdout, self.real)

    def test_two_threads_keep_apart(self):
        barrier = threading.Barrier(2)
        texts = {}

        def work(name):
            with captured() as written:
                for _ in range(100):
                    barrier.wait()
                    print(name, end="")
            texts[name] = written.text("stdout")

        with output.installed():
            threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        self.assertEqual(texts, {"a": "a" * 100, "b": "b" * 100})

    def test_the_threads_that_a_coroutine_uses_write_one_after_the_other(self):
        captured_output = output.Output()
        free = []

        def ask():
            free.append(captured_output.lock.acquire(blocking=False))

        class Sliced(str):
            def __getitem__(self, key):
                thread = threading.Thread(target=ask)
                thread.start()
                thread.join()
                return super().__getitem__(key)

        captured_output.write("stdout", Sliced("text"))

        self.assertEqual(set(free), {False})

    def test_closing_or_replacing_the_stream_does_no_harm(self):
        with output.installed():
            with captured() as written:
                sys.stdout.close()
                print("still here")
                sys.stdout = None
            print("back")

        self.assertEqual(written.text("stdout"), "still here\n")
        self.assertEqual(self.real.getvalue(), "back\n")
