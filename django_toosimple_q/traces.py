"""The trace that a call comes from: stored with it once `contrib.opentelemetry` has asked for it.

Until then no statement names the column.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

COLUMN = "trace_context"

# Given the unsaved rows of new calls: traces their insertion, and sets `trace_context`.
Recorder = Callable[[Sequence[Any]], AbstractContextManager[None]]

_recorder: Recorder | None = None
_nothing = nullcontext()


def carry(recorder: Recorder | None) -> None:
    """Store a trace context with each new call from now on; None ends it."""
    global _recorder
    _recorder = recorder


def columns() -> tuple[str, ...]:
    """Return the columns that calls are stored and claimed with on account of this."""
    return () if _recorder is None else (COLUMN,)


def enqueuing(rows: Sequence[Any]) -> AbstractContextManager[None]:
    """Trace the block, which inserts the rows of new calls."""
    return _nothing if _recorder is None else _recorder(rows)
