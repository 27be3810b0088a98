"""What was found, as a table and as a file."""

import json
import statistics
from pathlib import Path
from typing import Any

from harness.contestants import NOTES

Found = dict[str, dict[str, Any]]


def table(found: Found) -> str:
    """Return medians with their range, and how many times ours is as fast, by rounds."""
    lines = [
        "| queue | version | drained/s: median (min to max) | ours ÷ it | queued/s | peak MB |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for name, one in found.items():
        drained, queued = one.get("drained", []), one.get("queued", [])
        cells = [
            name,
            one["version"],
            spread(drained),
            ratio(found, name, "drained"),
            spread(queued).split(" ")[0],
            f"{max(one['peak_megabytes']):.0f}" if one.get("peak_megabytes") else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    notes = [f"- {name}: {NOTES[name]}" for name in found if name in NOTES]
    problems = [
        f"- {name} FAILED: {one['problem']}" for name, one in found.items() if "problem" in one
    ]
    return "\n".join([*lines, "", *notes, *problems])


def spread(rates: list[float]) -> str:
    """Return the median of some rates and their range."""
    if not rates:
        return ""
    if len(rates) == 1:
        return f"{rates[0]:,.0f}"
    return f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


def ratio(found: Found, name: str, what: str) -> str:
    """Return the median over rounds of ours divided by another, both of the same round."""
    ours, other = found.get("ours", {}).get(what, []), found[name].get(what, [])
    if not ours or len(ours) != len(other):
        return ""
    return f"{statistics.median(a / b for a, b in zip(ours, other, strict=True)):.2f}"


def conditions(settings: dict[str, str]) -> str:
    """Return what the figures were measured with, in one line."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def write(path: Path, settings: dict[str, str], found: Found) -> None:
    """Write everything to a JSON file."""
    path.write_text(json.dumps({"settings": settings, "found": found}, indent=1) + "\n")
