"""Where a drain spends its time: samples of the worker's main thread, by processor time."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from harness.bench import Bench
from harness.contestants import CONTESTANTS
from harness.environments import Unmeasurable

# A part of a frame's path, and its name in the table. The first match counts.
PLACES = (
    ("/peers/ledger.py:", "the task itself: a write into a file"),
    ("/django_toosimple_q/payload.py:", "payloads: signing, pickling, opening"),
    ("/picklefield/", "payloads: signing, pickling, opening"),
    ("/pickle.py:", "payloads: signing, pickling, opening"),
    ("/json/", "rows to JSON, as one parameter"),
    (
        "/django_toosimple_q/worker/execution/executor.py:",
        "running a task: capture, time limit, outcome",
    ),
    (
        "/django_toosimple_q/worker/execution/output.py:",
        "running a task: capture, time limit, outcome",
    ),
    (
        "/django_toosimple_q/worker/execution/isolation.py:",
        "running a task: capture, time limit, outcome",
    ),
    (
        "/django_toosimple_q/worker/execution/deadline.py:",
        "running a task: capture, time limit, outcome",
    ),
    ("/django_toosimple_q/text.py:", "running a task: capture, time limit, outcome"),
    ("/django_toosimple_q/failure.py:", "running a task: capture, time limit, outcome"),
    ("/django_toosimple_q/worker/execution/", "running a task: output, time limit, outcome"),
    ("/django_toosimple_q/worker/", "the worker's own loop: in flight, batches, backlog"),
    ("/django_toosimple_q/store/", "the store: SQL, rows to values"),
    ("/django_toosimple_q/databases/", "the store: SQL, rows to values"),
    ("/django_toosimple_q/wakeups/", "waiting for hints"),
    ("/django_toosimple_q/", "the rest of this package"),
    ("/psycopg", "psycopg: sending, receiving, converting"),
    ("/backends/sqlite3/", "SQLite: its statements and commits"),
    ("/django/db/", "Django's database layer"),
    ("/django/", "the rest of Django"),
)
MOST_FUNCTIONS = 12


def measure(bench: Bench) -> dict[str, Any]:
    """Return where the time is spent, by kind of database."""
    return {kind: sampled(bench, kind) for kind in ("postgresql", "sqlite")}


def sampled(bench: Bench, kind: str) -> dict[str, Any]:
    """Return the shares of time by part of the code, and the functions that take most time."""
    count = bench.extent.sampled_tasks
    samples_file = bench.folder / f"samples-{kind}.json"
    worker = ("-m", "peers.ours.sampled", str(samples_file), "worker", "-v0")
    site = bench.site(replace(CONTESTANTS["ours"], worker=worker), kind)
    bench.log(f"hotspots: {count:,} tasks on {kind} under a sampler")
    site.ask("fill", 0, count)
    bench.server(kind).settle()
    drained = site.drain(count)
    samples = json.loads(samples_file.read_text())
    stacks, waiting = within(site.records(), samples)
    busy = (1 - waiting) / len(stacks)
    places = Counter(place(stack) for stack in stacks)
    functions = Counter(shortened(stack[0]) for stack in stacks)
    return {
        "tasks": count,
        "drained": drained.rate,
        "samples": len(stacks),
        "places": {
            "waiting, nearly all for the database": waiting,
            **{name: times * busy for name, times in places.most_common()},
        },
        "functions": {name: times * busy for name, times in functions.most_common(MOST_FUNCTIONS)},
    }


def within(
    records: list[tuple[int, int, int]], samples: list[tuple[int, float, list[str]]]
) -> tuple[list[list[str]], float]:
    """Return the stacks of the drain, and the share of its time without processor use."""
    moments = [at for _, at, _ in records]
    during = [one for one in samples if min(moments) <= one[0] <= max(moments)]
    if len(during) < 2:
        raise Unmeasurable("the sampler has no samples of the drain.")
    (began, used_before, _), (ended, used, _) = during[0], during[-1]
    waiting = 1 - (used - used_before) / ((ended - began) / 1e9)
    return [stack for _, _, stack in during], max(waiting, 0.0)


def place(stack: list[str]) -> str:
    """Return the name of the part of the code with the innermost known frame."""
    for frame in stack:
        for part, name in PLACES:
            if part in frame:
                return name
    return "elsewhere"


def shortened(frame: str) -> str:
    """Return a frame without the directories of this machine."""
    path, _, function = frame.rpartition(":")
    inside = path.rpartition("/site-packages/")[2]
    return f"{'/'.join(inside.split('/')[-3:])}: {function}"
