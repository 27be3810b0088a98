"""What a run records about the machine, without anything that identifies it."""

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
        # A load above the number of cores means that other programs ran. The ratios are still
        # valid, but the rates are not.
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
