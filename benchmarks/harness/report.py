"""Write the page of a run: its goals, its tables, and the conditions of the measurement.

It uses only the standard library, so that a test can render a page without any queue installed.
"""

import json
from pathlib import Path
from typing import Any

from harness import tables
from harness.goals import GOALS
from harness.tables import table

Results = dict[str, Any]

# Part, heading, text, and the plot below its table.
SECTIONS = (
    (
        "drain",
        "Drain on PostgreSQL",
        "One worker runs no-op tasks that are waiting. If a queue has several variants, the "
        "fastest counts.",
        "",
    ),
    (
        "sqlite",
        "Drain on SQLite",
        "SQLite runs in WAL mode, and every commit reaches the disk.",
        "",
    ),
    (
        "processes",
        "More processes",
        "`worker --processes=N`. The clock starts when every process has run a task.",
        "processes",
    ),
    (
        "enqueue",
        "Enqueue",
        "Both take turns of fifty calls, and every call has a commit of its own. Then follows "
        "`queue_many`.",
        "",
    ),
    (
        "latency",
        "Pick-up",
        "The time from the commit that queues a row to the start of its task. The worker is idle, "
        "and a row comes every 0.3 to 0.6 s: from a caller where nothing else is said.",
        "",
    ),
    (
        "mixed",
        "Urgent calls behind mixed work",
        "The time from the commit of an urgent call to its start, once a second, while one worker "
        "runs what waits: nine calls of 1 ms to one of 200 ms, shuffled. A queue that claims one "
        "call at a time waits for the running one. Queues without priorities cannot take part.",
        "",
    ),
    ("cron", "Cron by the second", "The time from the second to the start of its task.", ""),
    (
        "growth",
        "Large tables",
        "The other rows have run, or wait behind the measured ones.",
        "table-size",
    ),
    (
        "snapshot",
        "One long transaction",
        "Another session holds a `REPEATABLE READ` snapshot open. Dead rows stay in the table and "
        "in its indexes until it ends.",
        "long-transaction",
    ),
    ("memory", "Memory", "", ""),
    ("idle", "An idle worker", "NOTIFY wakes the worker. It also looks at each tick.", ""),
    (
        "hotspots",
        "Where the time of a drain goes",
        "Samples of the worker's main thread by processor time. The rest is waiting.",
        "",
    ),
    (
        "admin",
        "The admin",
        "From the request to the response, in one process, on PostgreSQL. Of the calls of 30 days, "
        "2.5 % failed for good, 4 % were tried again, 2 % wait and 2 % are due later.",
        "",
    ),
)
SHORT = {
    "full": "",
    "quick": "**A quick run: few tasks, few rounds. It shows that everything works, not how fast "
    "it is.**",
}


def render(results: Results, *others: Results) -> str:
    """Return the page of a run, in Markdown, with the verdicts of other runs on the goals."""
    parts = results["parts"]
    blocks = [
        "# Benchmarks",
        f"Written by `{results['command']}`. Ratios are medians of the ratios within a round, in "
        "which every queue takes a turn. A round in which a task is missing or ran twice is "
        "refused. [benchmarks/README.md](../benchmarks/README.md) explains how it is measured.",
        SHORT[results["extent"]],
        "## Goals",
        goals(results, *others),
        left_out(results["left_out"]),
    ]
    for part, heading, text, plot in SECTIONS:
        blocks.append(f"## {heading}")
        if part not in parts:
            blocks.append("Not measured in this run.")
            continue
        blocks += [text, getattr(tables, part)(parts)]
        if plot:
            blocks.append(f"![{heading}](benchmarks-{plot}.svg)")
    blocks += ["## Measured with", conditions(results)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def goals(*runs: Results) -> str:
    """Return the table of goals, including those that were not measured."""
    rows = []
    for goal in GOALS:
        cells = []
        for run in runs:
            verdict = goal.read(run["parts"])
            shown = verdict.shown if verdict else "not measured"
            reached = ("yes" if verdict.reached else "**no**") if verdict else ""
            cells += [shown, reached]
        rows.append([goal.what, goal.wanted, *cells])
    headings = ["measured", "reached"]
    for _ in runs[1:]:
        headings += ["another run", "reached"]
    blocks = [table(["what", "goal", *headings], rows, numbers_from=len(headings) + 2)]
    blocks += [f"The other run: {whereabouts(run)}." for run in runs[1:]]
    return "\n\n".join(blocks)


def whereabouts(run: Results) -> str:
    """Return which queue a run measured, and on which machine."""
    ours = run["environments"].get("ours", {"queue": "other queues only"})
    machine = run["machine"]
    return f"{ours['queue']}, on {machine['cores']} cores of {machine['processor']}"


def left_out(problems: dict[str, str]) -> str:
    """Return a list of what could not be measured, and why."""
    if not problems:
        return ""
    lines = [f"* {what}: {problem.splitlines()[0]}" for what, problem in problems.items()]
    return "\n".join(["Left out:", "", *lines])


def conditions(results: Results) -> str:
    """Return the machine, the servers and the versions, and how to repeat the run."""
    servers = {
        title: ", ".join(f"{name} {value}" for name, value in settings.items() if name != title)
        for title, settings in results["servers"].items()
    }
    lines = [
        *(f"* {name}: {value}" for name, value in results["machine"].items()),
        *(
            f"* {title} {results['servers'][title][title]}: {shown}"
            for title, shown in servers.items()
        ),
        *(f"* {name}: {value}" for name, value in results["settings"].items()),
    ]
    rows = [
        [one["queue"], one["Python"], one["Django"], drivers(one)]
        for one in results["environments"].values()
    ]
    again = f"```shell\n{results['command']}\n```"
    return "\n\n".join(
        ["\n".join(lines), table(["queue", "Python", "Django", "with"], rows, 4), again]
    )


def drivers(versions: dict[str, str]) -> str:
    """Return the database drivers of an environment."""
    installed = {name: versions[name] for name in ("psycopg", "mysqlclient", "redis")}
    return ", ".join(f"{name} {one}" for name, one in installed.items() if one != "none")


def read(path: Path) -> Results:
    """Return the results of a run. Raises ValueError, OSError."""
    return json.loads(path.read_text())


def write(path: Path, results: Results) -> None:
    """Write the results of a run to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
