"""How much memory this process holds."""

import os
import resource
import sys
from pathlib import Path

MEGABYTE = 1024 * 1024


def resident_megabytes() -> float:
    """Return what is resident now; where the system does not tell, the most there ever was."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / MEGABYTE if sys.platform == "darwin" else peak / 1024
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE
