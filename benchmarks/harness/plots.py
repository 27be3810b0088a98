"""The plots of the page, one for each part that has one."""

import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
# Keep text as text, and make the same figures give the same file.
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.size": 9})

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

INCHES = (5.2, 3.0)


def draw(parts: dict[str, Any], folder: Path) -> None:
    """Draw the results into `benchmarks-….svg` files."""
    plots = {
        "processes": ("processes", processes),
        "growth": ("table-size", table_size),
        "snapshot": ("long-transaction", long_transaction),
    }
    for part, (name, plot) in plots.items():
        if part not in parts:
            continue
        figure, axes = pyplot.subplots(figsize=INCHES, layout="constrained")
        plot(axes, parts[part])
        axes.set_ylim(bottom=0)
        axes.set_ylabel("tasks a second")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.grid(alpha=0.3)
        figure.savefig(folder / f"benchmarks-{name}.svg", metadata={"Date": None})
        pyplot.close(figure)


def processes(axes: Axes, found: dict[str, Any]) -> None:
    numbers = [int(number) for number in found["rates"]]
    line(axes, numbers, list(found["rates"].values()))
    axes.set_xticks(numbers)
    axes.set_xlabel("worker processes")


def table_size(axes: Axes, found: dict[str, Any]) -> None:
    for kind, rates in found["rates"].items():
        line(axes, [int(size) for size in rates], list(rates.values()), f"{kind} rows")
    # The scale is linear up to the first size, so that it can show the empty table.
    sizes = sorted(int(size) for size in found["rates"]["finished"])
    axes.set_xscale("symlog", linthresh=sizes[1])
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("other rows in the table")
    axes.legend()


def long_transaction(axes: Axes, found: dict[str, Any]) -> None:
    opened = found["opened_at"]
    axes.plot([second + 0.5 for second in range(len(found["by_second"]))], found["by_second"])
    axes.axvspan(opened, opened + found["held_seconds"], alpha=0.15, label="snapshot held open")
    axes.set_xlabel("seconds")
    axes.legend()


def line(axes: Axes, where: list[int], rounds: list[list[float]], label: str = "") -> None:
    """Draw medians, with bars from the minimum to the maximum."""
    middles = [statistics.median(rates) for rates in rounds]
    below = [middle - min(rates) for middle, rates in zip(middles, rounds, strict=True)]
    above = [max(rates) - middle for middle, rates in zip(middles, rounds, strict=True)]
    axes.errorbar(where, middles, [below, above], marker="o", capsize=3, label=label or None)
