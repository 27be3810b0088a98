"""What rich draws on a terminal. Without rich, the extra `cli`, nothing is drawn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

# Gets how many are done, of how many, and what was done last.
Draw = Callable[[int, int, str], None]
# Gets lines, and whether each is to be red.
DrawLines = Callable[[Sequence[tuple[str, bool]]], None]


def can_draw(stream: Any) -> bool:
    """Return whether a stream is a terminal, and rich is installed."""
    return bool(stream is not None and stream.isatty() and find_spec("rich"))


@contextmanager
def progress_bar(stream: Any = None) -> Iterator[Draw]:
    """Draw a progress bar at the bottom of a terminal, by default that of standard error.

    What the block prints meanwhile stands above it. No thread: it moves when it is drawn.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        *(BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()),
        # Not markup: a task may be called "[bold]".
        TextColumn("{task.description}", markup=False),
    )
    console = Console(file=stream or sys.stderr)
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        bar = progress.add_task("", total=None)

        def draw(done: int, total: int, text: str) -> None:
            progress.update(bar, completed=done, total=total, description=text, refresh=True)

        yield draw


@contextmanager
def screen() -> Iterator[DrawLines]:
    """Draw lines on a screen of their own, until the block ends."""
    from rich.live import Live
    from rich.text import Text

    with Live(screen=True, auto_refresh=False) as live:

        def draw(lines: Sequence[tuple[str, bool]]) -> None:
            # Not markup: a queue may be called "[bold]".
            texts = [Text(f"{line}\n", style="bold red" if red else "") for line, red in lines]
            live.update(Text.assemble(*texts), refresh=True)

        yield draw
