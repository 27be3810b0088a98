"""What came of each call of a storm: the table of the queue beside a ledger outside of it."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from django_toosimple_q.models import TaskExec
from tests.app.models import Effect

States = TaskExec.States
HELD = "held for a person"


class Call(NamedTuple):
    """A call that was queued: its key in the ledger, and which task it was."""

    key: str
    kind: str


class Row(NamedTuple):
    """What an account needs of a row."""

    pk: int
    state: str
    root_id: int | None
    replaced_by_id: int | None
    worker_id: int | None
    error: str | None


@dataclass
class Account:
    """Figures of a run, and each invariant that it broke."""

    figures: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def must_be_none(self, what: str, found: Any) -> None:
        """Count what must not be there, and name the first of it."""
        found = list(found)
        self.figures[what] = len(found)
        if found:
            self.broken.append(f"{what}: {len(found)}, such as {found[:5]}")

    def __str__(self) -> str:
        lines = [f"{name:<48}{value}" for name, value in self.figures.items()]
        lines += [f"BROKEN  {one}" for one in self.broken]
        return "\n".join(lines)


def settle(calls: dict[int, Call], ledger: Path) -> Account:
    """Compare the rows of these calls (by the id of their first row) with the ledger."""
    chains = read_chains()
    began, ended = read_ledger(ledger)
    effects = Counter(Effect.objects.values_list("key", flat=True))
    account = Account({"calls": len(calls)})
    _add_states(account, calls, chains)
    _add_effects(account, calls, chains, ended, effects)
    _add_second_runs(account, calls, chains, began)
    return account


def read_chains() -> dict[int, list[Row]]:
    """Return the attempts of each call in order, by the id of the first."""
    chains: dict[int, list[Row]] = defaultdict(list)
    for row in map(Row._make, TaskExec.objects.order_by("pk").values_list(*Row._fields)):
        chains[row.root_id or row.pk].append(row)
    return chains


def read_ledger(path: Path) -> tuple[Counter[str], Counter[str]]:
    """Return how often each key began and ended."""
    counts: dict[str, Counter[str]] = {"began": Counter(), "ended": Counter()}
    for line in path.read_text().splitlines() if path.exists() else []:
        event, key = line.split()
        counts[event][key] += 1
    return counts["began"], counts["ended"]


def _add_states(account: Account, calls: dict[int, Call], chains: dict[int, list[Row]]) -> None:
    rows = [row for chain in chains.values() for row in chain]
    lasts = {root: chain[-1] for root, chain in chains.items()}
    account.must_be_none(
        "lost",
        (
            call.key
            for root, call in calls.items()
            if root not in lasts or not _settled(call, lasts[root])
        ),
    )
    account.must_be_none("stuck", (row.pk for row in rows if row.state in States.todo()))
    account.must_be_none("innocents FAILED", (row for row in rows if row.state == States.FAILED))
    account.must_be_none(
        "late outcomes kept",
        (row.pk for row in rows if row.state == States.SUCCEEDED and row.replaced_by_id),
    )
    account.must_be_none(
        "INTERRUPTED, neither replaced nor held",
        (row.pk for row in rows if row.state == States.INTERRUPTED and not _has_future(row)),
    )
    ends = sum(row.replaced_by_id is None for row in rows)
    account.must_be_none("ends of chains beyond calls", range(abs(ends - len(calls))))


def _settled(call: Call, last: Row) -> bool:
    return last.state == States.SUCCEEDED or (call.kind == "held" and last.state == "INTERRUPTED")


def _has_future(row: Row) -> bool:
    return row.replaced_by_id is not None or HELD in (row.error or "")


def _add_effects(
    account: Account,
    calls: dict[int, Call],
    chains: dict[int, list[Row]],
    ended: Counter[str],
    effects: Counter[str],
) -> None:
    succeeded = {
        call.key
        for root, call in calls.items()
        if any(row.state == States.SUCCEEDED for row in chains.get(root, ()))
    }
    atomic = {call.key for call in calls.values() if call.kind == "atomic"}
    account.must_be_none("SUCCEEDED and not in the ledger", succeeded - set(ended))
    account.must_be_none(
        "doubled effects of atomic tasks", (key for key, count in effects.items() if count > 1)
    )
    account.must_be_none(
        "atomic: SUCCEEDED without effect, or reverse",
        (atomic & succeeded) ^ set(effects),
    )


def _add_second_runs(
    account: Account, calls: dict[int, Call], chains: dict[int, list[Row]], began: Counter[str]
) -> None:
    again: Counter[str] = Counter()
    unexplained = []
    for root, call in calls.items():
        again[call.kind] += max(began[call.key] - 1, 0)
        # Each further run follows a row that was taken from a worker.
        cut_off = sum(row.state == States.INTERRUPTED for row in chains.get(root, ()))
        if began[call.key] > 1 + cut_off:
            unexplained.append(call.key)
    account.must_be_none("runs that no death explains", unexplained)
    account.must_be_none(
        "held tasks that began twice",
        (call.key for call in calls.values() if call.kind == "held" and began[call.key] > 1),
    )
    taken = Counter(
        row.worker_id
        for chain in chains.values()
        for row in chain
        if row.state == States.INTERRUPTED
    )
    account.figures["rows taken from dead or stopped workers"] = sum(taken.values())
    account.figures["  of one worker at most"] = max(taken.values(), default=0)
    account.figures["  workers that held any"] = len(taken)
    account.figures["second runs of plain tasks"] = again["plain"]
    account.figures["second runs of atomic tasks (effects once)"] = again["atomic"]
