"""Shows on a terminal how far `manage.py worker --until_done` is."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django_toosimple_q import signals
from django_toosimple_q.management import terminal
from django_toosimple_q.management.terminal import Draw
from django_toosimple_q.moments import current_moment
from django_toosimple_q.store import queues, task_execs
from django_toosimple_q.text import printable

DRAW_SECONDS = 0.1
COUNT_SECONDS = 2.0


class Drain:
    """Counts what has ended, and what still waits in the queues that a worker takes."""

    def __init__(self, draw: Draw, takes: Callable[[str], bool]) -> None:
        self.draw = draw
        self.takes = takes
        self.done = 0
        self.waiting = 0
        self.text = ""
        self.counted_at = self.drawn_at = float("-inf")

    def start(self, **kwargs: Any) -> None:
        """Show what waits, once the worker has begun."""
        self.show()

    def end(self, claimed: Any, **kwargs: Any) -> None:
        """Count a call that has ended."""
        self.done += 1
        self.waiting = max(self.waiting - 1, 0)
        self.text = printable(claimed.task_name)
        if time.monotonic() - self.drawn_at >= DRAW_SECONDS:
            self.show()

    def show(self) -> None:
        """Draw the bar. Count again now and then: tasks queue others, and others do as well."""
        self.drawn_at = time.monotonic()
        if self.drawn_at - self.counted_at >= COUNT_SECONDS:
            self.counted_at = self.drawn_at
            buckets = task_execs.backlog(current_moment()).buckets
            names = {bucket.queue for bucket in buckets if self.takes(bucket.queue)}
            self.waiting = sum(map(queues.waiting, names))
        self.draw(self.done, self.done + self.waiting, self.text)

    def finish(self) -> None:
        """Draw the bar a last time."""
        self.draw(self.done, self.done + self.waiting, self.text)


@contextmanager
def shown(takes: Callable[[str], bool]) -> Iterator[None]:
    """Draw a progress bar for the worker that the block runs."""
    with terminal.progress_bar() as draw:
        drain = Drain(draw, takes)
        signals.worker_started.connect(drain.start)
        signals.task_finished.connect(drain.end)
        try:
            yield
        finally:
            signals.worker_started.disconnect(drain.start)
            signals.task_finished.disconnect(drain.end)
            drain.finish()
