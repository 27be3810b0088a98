"""Drain every queue on one kind of database, in turn, round by round."""

from typing import Any

from harness import environments
from harness.bench import Bench
from harness.contestants import CONTESTANTS, LIMIT, Contestant
from harness.environments import Unmeasurable

FEWEST_TASKS = 200


def contest(bench: Bench, part: str, kind: str, tasks: int) -> dict[str, Any]:
    """Return the results of each round, by queue. Ours gets `tasks` tasks, slower queues fewer."""
    names = [
        name
        for name, one in CONTESTANTS.items()
        if kind in one.databases and (bench.peers is None or name in bench.peers)
    ]
    bench.server(kind)
    found: dict[str, dict[str, Any]] = {
        name: {"version": environments.pinned(CONTESTANTS[name].venv)} for name in names
    }
    for name in bench.turns(part, names):
        if "problem" in found[name]:
            continue
        try:
            figures = measured(bench, CONTESTANTS[name], kind, tasks)
        except Unmeasurable as problem:
            found[name]["problem"] = str(problem)
            bench.leave_out(f"{name} ({part})", problem)
            continue
        for what, figure in figures.items():
            found[name].setdefault(what, []).append(figure)
    return found


def measured(bench: Bench, contestant: Contestant, kind: str, tasks: int) -> dict[str, float]:
    """Return the results of one contestant in one round, on empty tables."""
    site = bench.site(contestant, kind)
    count = max(int(tasks * contestant.share), FEWEST_TASKS)
    if contestant is LIMIT:
        site.ask("fill", 0, count)
        bench.server(kind).settle()
        return {"drained": count / float(site.ask("run", "raw", count))}
    timed = min(count // 2, bench.extent.queued)
    queued = timed / float(site.ask("enqueue", 0, timed))
    site.ask("fill", timed, count)
    bench.server(kind).settle()
    drained = site.drain(count)
    return {"drained": drained.rate, "queued": queued, "peak_megabytes": drained.peak_megabytes}
