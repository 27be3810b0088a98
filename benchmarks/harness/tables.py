"""The tables of the page, each from the figures of one part."""

import statistics
from collections.abc import Iterable
from typing import Any

from harness.figures import Found, percentile, ratio

Parts = dict[str, Any]
TITLES = {"postgresql": "PostgreSQL", "mariadb": "MariaDB", "sqlite": "SQLite"}
NOTES = {
    "ours-atomic": "`atomic=True`: effects and outcome in one commit, task by task",
    "dj-queue": "one thread; -3-threads is its default",
    "steady-queue": "one thread; -3-threads is its default",
    "procrastinate": "the task is a coroutine; -plain is a plain function, run in a thread",
    "huey-database": "keeps no row of what succeeded",
    "taskq": "deletes what succeeded",
    "celery": "keeps nothing on disk; -late acknowledges after the run; -solo does not fork",
    "raw": "psycopg alone, batches of 50, one statement and one commit each, on our table",
}


def table(header: Iterable[str], rows: Iterable[Iterable[str]], numbers_from: int = 1) -> str:
    """Return a Markdown table, right-aligned from the column `numbers_from` on."""
    header = list(header)
    marks = ["---" if column < numbers_from else "--:" for column in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, marks, *rows))


def spread(rates: list[float]) -> str:
    """Return the median of some rates and their range."""
    if not rates:
        return ""
    middle = f"{statistics.median(rates):,.0f}"
    return middle if len(rates) == 1 else f"{middle} ({min(rates):,.0f} to {max(rates):,.0f})"


def contest(found: Found) -> str:
    """Return the results of every queue, and the ratio of ours to each."""
    header = [
        *("queue", "release", "drained/s: median (min to max)", "ours ÷ it"),
        *("queued/s one by one", "peak MB"),
    ]
    rows = []
    for name, one in found.items():
        drained, ours = one.get("drained", []), found.get("ours", {}).get("drained", [])
        paired = drained and len(drained) == len(ours)
        queued = one.get("queued", [])
        peak = one.get("peak_megabytes", [])
        rows.append(
            [
                name,
                one["version"],
                "left out" if "problem" in one else spread(drained),
                f"{ratio(ours, drained):.2f}" if paired else "",
                f"{statistics.median(queued):,.0f}" if queued else "",
                f"{max(peak):.0f}" if peak else "",
            ]
        )
    notes = [f"* {name}: {NOTES[name]}" for name in found if name in NOTES]
    return "\n".join([table(header, rows, 2), "", *notes])


def drain(parts: Parts) -> str:
    return contest(parts["drain"])


def sqlite(parts: Parts) -> str:
    return contest(parts["sqlite"])


def processes(parts: Parts) -> str:
    found = parts["processes"]
    rates = found["rates"]
    rows = [[number, spread(of), f"{ratio(of, rates['1']):.2f}"] for number, of in rates.items()]
    return table(["processes", "drained/s", "against one"], rows)


def enqueue(parts: Parts) -> str:
    found = parts["enqueue"]
    header = [
        *("", "`queue()`/s", "`create`/s", "`queue()` ÷ `create`"),
        *(f"`queue_many` of {found['at_once']:,}, calls/s", "`queue_many` ÷ `queue()`"),
    ]
    rows = [
        [
            TITLES[kind],
            spread(one["queue"]),
            spread(one["create"]),
            f"{statistics.median(one['queue_to_create']):.2f}",
            spread(one["queue_many"]),
            f"{ratio(one['queue_many'], one['queue']):.1f}",
        ]
        for kind, one in found["databases"].items()
    ]
    return table(header, rows)


def latency(parts: Parts) -> str:
    rows = [timing(way, values) for way, values in parts["latency"].items()]
    return table(["ms", "p50", "p90", "p99", "most", "calls"], rows)


def mixed(parts: Parts) -> str:
    rows = [
        timing(name, one["milliseconds"])
        for name, one in parts["mixed"].items()
        if "problem" not in one
    ]
    return table(["ms", "p50", "p90", "p99", "most", "calls"], rows)


def cron(parts: Parts) -> str:
    rows = [timing("`* * * * * *`", parts["cron"]["late_milliseconds"])]
    return table(["ms", "p50", "p90", "p99", "most", "seconds"], rows)


def timing(name: str, values: list[float]) -> list[str]:
    """Return the percentiles of times in milliseconds, as cells."""
    shares = [percentile(values, share) for share in (0.5, 0.9, 0.99, 1.0)]
    return [name, *(f"{value:.1f}" for value in shares), str(len(values))]


def growth(parts: Parts) -> str:
    rates = parts["growth"]["rates"]
    rows = [
        [f"{int(size):,} {kind}", spread(of), f"{ratio(of, by_size['0']):.2f}"]
        for kind, by_size in rates.items()
        for size, of in by_size.items()
    ]
    return table(["other rows", "drained/s", "against an empty table"], rows)


def snapshot(parts: Parts) -> str:
    found = parts["snapshot"]
    rows = [
        ["before", f"{found['before']:,.0f}", ""],
        *(
            [name, f"{found[key]:,.0f}", f"{found[key] / found['before']:.2f}"]
            for name, key in (
                (f"during its {found['held_seconds']:.0f} s", "during"),
                ("in the last fifth of them", "last_fifth"),
            )
        ),
    ]
    return table(["long transaction", "drained/s", "against before"], rows)


def memory(parts: Parts) -> str:
    found = parts["memory"]
    rows = [
        ["`manage.py shell -c pass`", f"{statistics.median(found['shell']):.1f}"],
        [
            f"`manage.py worker`, {found['tasks']:,} tasks drained",
            f"{statistics.median(found['worker']):.1f}",
        ],
    ]
    alone, together = statistics.median(found["alone"]), statistics.median(found["together"])
    each = (together - alone) / found["processes"]
    held = [
        ["`manage.py worker`", f"{alone:.1f}"],
        [f"`manage.py worker --processes={found['processes']}`", f"{together:.1f}"],
        ["each of these, beyond what all share", f"{each:.1f}"],
    ]
    return "\n\n".join([table(["", "peak MB"], rows), table(["", "MB held, shared once"], held)])


def idle(parts: Parts) -> str:
    found = parts["idle"]
    rows = [
        ["queries for each tick", f"{found['queries_for_each_tick']:.2f}"],
        ["transactions, heartbeats and upkeep included", f"{found['transactions']}"],
        ["share of one core", f"{found['cpu_share']:.2%}"],
    ]
    return table([f"in {found['seconds']} s", ""], rows)


def hotspots(parts: Parts) -> str:
    blocks = []
    for kind, found in parts["hotspots"].items():
        header = f"{TITLES[kind]}: {found['samples']:,} samples, {found['drained']:,.0f} tasks/s"
        places = [[name, f"{share:.1%}"] for name, share in found["places"].items()]
        functions = [[f"`{name}`", f"{share:.1%}"] for name, share in found["functions"].items()]
        blocks.append(table([header, "share of the time"], places))
        blocks.append(table(["innermost Python function", "share"], functions))
    return "\n\n".join(blocks)


def admin(parts: Parts) -> str:
    rows = [
        [
            name,
            *(f"{percentile(one['ms'], share):.0f}" for share in (0.5, 0.95)),
            f"{percentile(one['sql_ms'], 0.5):.0f}",
            str(one["queries"]),
        ]
        for name, one in parts["admin"]["pages"].items()
    ]
    header = ["page", "p50 ms", "p95 ms", "of which queries, p50 ms", "queries"]
    return table(header, rows)
