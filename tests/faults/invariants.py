"""What holds in the end, whatever faults there were."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

from django_toosimple_q.models import ScheduleExec, TaskExec
from tests.app.models import Effect
from tests.chaos.account import HELD
from tests.faults.world import FOREIGN, World

States = TaskExec.States


def broken(world: World) -> list[str]:
    """Return what must not be after a world has calmed down."""
    rows = {row.pk: row for row in TaskExec.objects.all()}
    return [
        *_stuck(rows),
        *_lost(world, rows),
        *_wrong_ends(rows),
        *_doubled(world, rows),
        *_unique_runs(world),
        *_too_many_at_once(rows),
        *_occurrences(world, rows),
        *_history(world, rows),
    ]


def _stuck(rows: dict[int, TaskExec]) -> Iterator[str]:
    for row in rows.values():
        if row.task_name == FOREIGN:
            # Unless one that had claimed it was killed: then the one that follows is.
            if (row.state, row.worker_id) != (States.QUEUED, None) and not row.replaced_by_id:
                yield f"{row.pk} is not left to the worker that knows it: {row.state}"
        elif row.state in States.todo():
            yield f"{row.pk} {row.task_name} is {row.state}"


def _lost(world: World, rows: dict[int, TaskExec]) -> Iterator[str]:
    for pk, kind in world.acknowledged.items():
        if pk not in rows:
            yield f"{pk} {kind} is gone"
            continue
        last = rows[pk]
        while last.replaced_by_id:
            last = rows[last.replaced_by_id]
        if not _may_end(last, kind, pk in world.cancelled):
            yield f"{pk} {kind} ends {last.state}: {last.error}"
    for row in rows.values():
        if row.args and row.args[0] in world.rolled_back:
            yield f"{row.pk} was rolled back and is there"


def _may_end(last: TaskExec, kind: str, cancelled: bool) -> bool:
    if last.state == States.SUCCEEDED:
        return kind != "failing"
    if last.state == States.FAILED:
        return kind == "failing"
    return cancelled or (kind == "held" and HELD in (last.error or ""))


def _wrong_ends(rows: dict[int, TaskExec]) -> Iterator[str]:
    for row in rows.values():
        if row.state == States.SUCCEEDED and row.replaced_by_id:
            yield f"{row.pk} SUCCEEDED and was replaced"
        reason = row.error or ""
        has_future = row.replaced_by_id or HELD in reason or "by chance" in reason
        if row.state == States.INTERRUPTED and not has_future and not row.cancelled:
            yield f"{row.pk} {row.task_name} is INTERRUPTED for nothing: {row.error}"
    plain = [row for row in rows.values() if not row.unique_hash]
    ends = sum(row.replaced_by_id is None for row in plain)
    roots = sum(row.root_id is None for row in plain)
    if ends != roots:
        yield f"{roots} calls have {ends} ends"


def _doubled(world: World, rows: dict[int, TaskExec]) -> Iterator[str]:
    for pk, count in world.runs.items():
        if count > 1:
            yield f"{pk} {rows[pk].task_name} ran {count} times"
    effects = Counter(Effect.objects.values_list("key", flat=True))
    succeeded = Counter(
        row.args[0]
        for row in rows.values()
        if row.task_name == "atomic" and row.state == States.SUCCEEDED
    )
    if effects != succeeded:
        yield f"effects {effects - succeeded} too many, {succeeded - effects} too few"


def _unique_runs(world: World) -> Iterator[str]:
    for key, queued in world.queued_at.items():
        if world.ran_at[key] < queued:
            yield f"{key} did not run after it was queued"


def _too_many_at_once(rows: dict[int, TaskExec]) -> Iterator[str]:
    limited = [row for row in rows.values() if row.task_name == "limited" and row.started]
    limited.sort(key=lambda row: row.started)
    for earlier, later in pairwise(limited):
        if later.started < earlier.finished:
            yield f"{later.pk} of a limited task began while {earlier.pk} ran"


def _occurrences(world: World, rows: dict[int, TaskExec]) -> Iterator[str]:
    found = sorted(
        row.kwargs["at"] for row in rows.values() if row.task_name == "second" and not row.root_id
    )
    last = ScheduleExec.objects.get(name="seconds").last_due
    first = world.missed.replace(microsecond=0) + timedelta(seconds=1)
    if found[:1] != [first]:
        yield f"the occurrences begin with {found[:1]}, not with {first}"
    if len(set(found)) != len(found):
        yield "an occurrence was queued twice"
    if found and (found[-1] - found[0]).total_seconds() + 1 != len(found):
        yield f"of {found[0]} to {found[-1]} only {len(found)} occurrences were queued"
    if found and found[-1] != last:
        yield f"the last occurrence is {found[-1]}, the schedule is at {last}"


def _history(world: World, rows: dict[int, TaskExec]) -> Iterator[str]:
    for pk in world.old:
        if pk in rows:
            yield f"{pk} was not pruned"
