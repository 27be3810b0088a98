"""The goals, and the verdict of a run on each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.figures import CELERY, DATABASE_BACKED, best, measured, percentile, ratio

Parts = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """A figure as a text, and whether it reaches the goal."""

    shown: str
    reached: bool


@dataclass(frozen=True)
class Goal:
    """One line of the table. `read` returns None if its part was not measured."""

    what: str
    wanted: str
    read: Callable[[Parts], Verdict | None]


def at_least(least: float, value: float, shown: str) -> Verdict:
    return Verdict(shown, value >= least)


def beside_best(part: str, ours: str, names: tuple[str, ...], least: float) -> Any:
    """Return a function that compares our drain with the fastest of some queues."""

    def read(parts: Parts) -> Verdict | None:
        found = parts.get(part, {})
        other = best(found, names)
        if other is None or not measured(found, [ours]):
            return None
        times = ratio(found[ours]["drained"], found[other]["drained"])
        return at_least(least, times, f"{times:.1f}× {other}")

    return read


def beside_raw(parts: Parts) -> Verdict | None:
    found = parts.get("drain", {})
    if len(measured(found, ["ours", "raw"])) < 2:
        return None
    share = ratio(found["ours"]["drained"], found["raw"]["drained"])
    return at_least(0.4, share, f"{share:.2f}")


def two_processes(parts: Parts) -> Verdict | None:
    rates = parts.get("processes", {}).get("rates", {})
    if not {"1", "2"} <= set(rates):
        return None
    times = ratio(rates["2"], rates["1"])
    return at_least(1.5, times, f"{times:.2f}×")


def one_by_one(parts: Parts) -> Verdict | None:
    figures = parts.get("enqueue", {}).get("databases", {}).get("postgresql")
    if not figures:
        return None
    share = ratio(figures["queue_to_create"], [1.0] * len(figures["queue_to_create"]))
    return at_least(0.9, share, f"{share:.2f}")


def at_once(parts: Parts) -> Verdict | None:
    figures = parts.get("enqueue", {}).get("databases", {}).get("postgresql")
    if not figures:
        return None
    times = ratio(figures["queue_many"], figures["queue"])
    return at_least(10, times, f"{times:.1f}×")


def picked_up(way: str, middle: float | None, late: float) -> Any:
    """Return a function that judges the latency on one database, with limits in milliseconds."""

    def read(parts: Parts) -> Verdict | None:
        values = parts.get("latency", {}).get(way)
        if not values:
            return None
        half, most = percentile(values, 0.5), percentile(values, 0.99)
        reached = most <= late and (middle is None or half <= middle)
        return Verdict(f"p50 {half:.1f} ms, p99 {most:.1f} ms", reached)

    return read


def behind_mixed_work(parts: Parts) -> Verdict | None:
    found = {
        name: percentile(one["milliseconds"], 0.99)
        for name, one in parts.get("mixed", {}).items()
        if "problem" not in one
    }
    ours = found.pop("ours", None)
    if ours is None:
        return None
    beside = min(found, key=lambda name: found[name], default=None)
    other = f", {beside} {found[beside]:.0f} ms" if beside else ""
    return Verdict(f"p99 {ours:.0f} ms{other}", ours <= 300)


def cron(parts: Parts) -> Verdict | None:
    values = parts.get("cron", {}).get("late_milliseconds")
    if not values:
        return None
    half, most = percentile(values, 0.5), percentile(values, 0.99)
    return Verdict(f"p50 {half:.1f} ms, p99 {most:.1f} ms", most <= 50)


def in_a_large_table(kind: str) -> Any:
    """Return a function that judges the drain in a table with a million other rows."""

    def read(parts: Parts) -> Verdict | None:
        rates = parts.get("growth", {}).get("rates", {}).get(kind)
        if not rates:
            return None
        largest = max(map(int, rates))
        share = ratio(rates[str(largest)], rates["0"])
        of = "" if largest >= 1_000_000 else f" with {largest:,} rows"
        return Verdict(f"{share:.2f}{of}", share >= 0.9 and not of)

    return read


def memory(parts: Parts) -> Verdict | None:
    found = parts.get("memory")
    if not found:
        return None
    pairs = zip(found["worker"], found["shell"], strict=True)
    more = percentile([worker - shell for worker, shell in pairs], 0.5)
    return Verdict(f"{more:+.1f} MB", more <= 15)


def idle_queries(parts: Parts) -> Verdict | None:
    found = parts.get("idle")
    if not found:
        return None
    queries = found["queries_for_each_tick"]
    return Verdict(f"{queries:.2f}", queries <= 1.005)


def idle_share(parts: Parts) -> Verdict | None:
    found = parts.get("idle")
    if not found:
        return None
    return Verdict(f"{found['cpu_share']:.2%}", found["cpu_share"] < 0.005)


def pages(kinds: tuple[str, ...], most: float) -> Any:
    """Return a function that judges the slowest page of these kinds, by milliseconds."""

    def read(parts: Parts) -> Verdict | None:
        found = parts.get("admin")
        if not found:
            return None
        late = {
            name: percentile(one["ms"], 0.95)
            for name, one in found["pages"].items()
            if one["kind"] in kinds
        }
        slowest = max(late, key=lambda name: late[name])
        of = "" if found["rows"] >= 1_000_000 else f" with {found['rows']:,} rows"
        shown = f"{late[slowest]:.0f} ms: {slowest}{of}"
        return Verdict(shown, late[slowest] < most and not of)

    return read


def page_queries(parts: Parts) -> Verdict | None:
    found = parts.get("admin")
    if not found:
        return None
    most = max(one["queries"] for one in found["pages"].values())
    return Verdict(str(most), most <= 25)


def goal_of_drain(part: str, ours: str, names: tuple[str, ...], least: float, what: str) -> Goal:
    return Goal(what, f"≥ {least:g}×", beside_best(part, ours, names, least))


# What wakes an idle worker besides a caller, as `parts/latency.py` names it.
OTHERS_THAN_CALLERS = (
    "PostgreSQL, an occurrence that another worker queues",
    "PostgreSQL, a schedule run by hand in the admin",
    "PostgreSQL, the replacement of a killed worker's task",
)
WAITED = "idle worker, from the caller's commit to the start of the task"

GOALS = (
    goal_of_drain(
        *("drain", "ours", DATABASE_BACKED, 20),
        "drain, one process, against the best database-backed peer",
    ),
    goal_of_drain(
        *("drain", "ours", CELERY, 8),
        "drain, one process, against Celery on Redis with one process",
    ),
    Goal("drain, one process, against raw psycopg batches of 50", "≥ 0.4", beside_raw),
    goal_of_drain(
        *("drain", "ours-atomic", DATABASE_BACKED, 1.5),
        "drain of `atomic=True` tasks, one process, against the best database-backed peer",
    ),
    Goal("drain, two processes against one", "≥ 1.5×", two_processes),
    goal_of_drain(
        *("sqlite", "ours", DATABASE_BACKED, 5),
        "drain on SQLite, one process, against the best peer on SQLite",
    ),
    Goal(
        "enqueue one by one against Django's own `Model.objects.create` on an equal table",
        "≥ 0.9",
        one_by_one,
    ),
    Goal("`queue_many` of 10,000 against one by one", "≥ 10×", at_once),
    Goal(
        f"pick-up on PostgreSQL: {WAITED}",
        "p50 ≤ 5 ms, p99 ≤ 20 ms",
        picked_up("PostgreSQL", 5, 20),
    ),
    *(
        Goal(f"pick-up on {way}", "p99 ≤ 20 ms", picked_up(way, None, 20))
        for way in OTHERS_THAN_CALLERS
    ),
    Goal(
        "pick-up on MariaDB with Redis",
        "p50 ≤ 5 ms, p99 ≤ 20 ms",
        picked_up("MariaDB with Redis", 5, 20),
    ),
    Goal("pick-up on SQLite", "p99 ≤ 60 ms", picked_up("SQLite", None, 60)),
    Goal("urgent call behind mixed work of 1 and 200 ms", "p99 ≤ 300 ms", behind_mixed_work),
    Goal("lateness of a cron by the second", "p99 ≤ 50 ms", cron),
    Goal(
        "drain with 1,000,000 finished rows against an empty table",
        "≥ 0.9",
        in_a_large_table("finished"),
    ),
    Goal(
        "drain with 1,000,000 waiting rows against an empty table",
        "≥ 0.9",
        in_a_large_table("waiting"),
    ),
    Goal("peak memory of one worker over `manage.py shell -c pass`", "≤ +15 MB", memory),
    Goal("idle worker: queries for each tick", "≤ 1", idle_queries),
    Goal("idle worker: share of one core", "< 0.5 %", idle_share),
    Goal(
        "admin with 1,000,000 rows of 30 days, dashboard: p95 of the slowest",
        "< 150 ms",
        pages(("dashboard",), 150),
    ),
    Goal(
        "admin with 1,000,000 rows of 30 days, lists, searches and pages: p95 of the slowest",
        "< 300 ms",
        pages(("list", "search", "page"), 300),
    ),
    Goal("admin: queries of a page", "≤ 25", page_queries),
)
