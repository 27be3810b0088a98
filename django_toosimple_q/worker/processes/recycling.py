"""Decide when a worker is replaced: after so many tasks, or beyond so much memory."""

import os
import sys
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    HAS_RESOURCE = False
else:
    HAS_RESOURCE = True

MEGABYTE = 1024 * 1024
STATM = Path("/proc/self/statm")


def resident_megabytes() -> float | None:
    """Return the resident memory, or its peak; None on systems that report neither."""
    with suppress(OSError, IndexError, ValueError):
        pages = int(STATM.read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE
    if not HAS_RESOURCE:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MEGABYTE if sys.platform == "darwin" else peak / 1024


def reason_to_end(count: int, max_tasks: int | None, max_memory: float | None) -> str | None:
    """Return the option by which a worker that has run `count` tasks is to end now, or None.

    A process that is too large from the start still runs one task.
    """
    if count and max_tasks is not None and count >= max_tasks:
        return f"--max_tasks={max_tasks}"
    if count and max_memory is not None and (resident_megabytes() or 0) > max_memory:
        return f"--max_memory={max_memory:g}"
    return None
