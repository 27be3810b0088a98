"""What a run says of the machine; nothing that tells where it stands."""

import os
import platform
from contextlib import suppress
from pathlib import Path


def machine() -> dict[str, str]:
    """Return cores, processor, memory and system."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": str(os.cpu_count()),
        "processor": processor(),
        "memory": f"{pages / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        # Above the number of cores, others were at work: ratios hold, rates do not.
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def processor() -> str:
    """Return the model of the processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or "unknown"
