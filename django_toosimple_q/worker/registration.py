"""Register a worker under its label; the `Registration` is what all parts of a worker share."""

import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django_toosimple_q import code_version, signals
from django_toosimple_q.exceptions import LabelInUse
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.moments import aware
from django_toosimple_q.store import workers
from django_toosimple_q.store.task_execs import Claimant
from django_toosimple_q.store.workers import ProcessIdentity
from django_toosimple_q.worker.options import WorkerOptions
from django_toosimple_q.worker.platform import CAN_ASK_FOR_PROCESSES
from django_toosimple_q.worker.processes.scoreboard import Scoreboard

TRIES = 20
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE = Path("/proc/self/ns/pid")

# The incarnations that run in this very process, such as two threads that drain a queue.
running_here: set[str] = set()


class Registration:
    """Who a worker is: its row, from the first registration on. All its parts hold the same one.

    A worker that was declared dead registers again, under a new incarnation.
    """

    def __init__(self, options: WorkerOptions, scoreboard: Scoreboard) -> None:
        self.options = options
        self.scoreboard = scoreboard
        self.row = WorkerStatus(
            label=options.resolved_label(), timeout=timedelta(seconds=options.timeout)
        )

    @property
    def label(self) -> str:
        """Return the label, which for a default one may change when it is taken."""
        return self.row.label

    @property
    def worker_id(self) -> int:
        """Return the id of the worker's row."""
        return self.row.pk

    @property
    def claimant(self) -> Claimant:
        """Return what the worker claims as."""
        return Claimant(self.row.pk, self.row.incarnation)

    def enter(
        self,
        task_names: list[str],
        now: Callable[[], datetime],
        wait: Callable[[float], object] | None,
    ) -> None:
        """Register, or register again; see `register`."""
        # After the database was lost half way through, our own row must not block us.
        running_here.discard(self.row.incarnation)
        self.row = register(
            self.label,
            label_is_default=self.options.label_is_default,
            settings={
                "included_queues": list(self.options.queues),
                "excluded_queues": list(self.options.excluded_queues),
                "timeout": self.row.timeout,
                "tasks": task_names,
                "code_version": code_version.own(),
            },
            now=now,
            wait=wait,
        )
        self.scoreboard.register(self.row.pk, self.row.incarnation)

    def beat(self) -> bool:
        """Record a heartbeat; False when the worker was declared dead or its row deleted."""
        return workers.beat(*self.claimant)

    def leave(self, exit_code: int, exit_log: str, now: datetime) -> None:
        """Record how the worker ended."""
        running_here.discard(self.row.incarnation)
        workers.stop(*self.claimant, exit_code, exit_log, now)
        self.scoreboard.mark_exited()


def own_identity() -> ProcessIdentity:
    """Return what tells this process from any other that may have its label."""
    host = socket.gethostname()[:255]
    return ProcessIdentity(secrets.token_hex(16), host, os.getpid(), own_host_id(host))


def own_host_id(host: str) -> str:
    """Return what is the same for all processes that our process ids mean, and for no other.

    A host name is not enough: containers on its network have it too, and other machines may.
    Unknown ("") where asking for a process would end it: there only timeouts declare dead.
    """
    if not CAN_ASK_FOR_PROCESSES:
        return ""
    with suppress(OSError):
        return f"{host} {BOOT_ID.read_text().strip()} {PID_NAMESPACE.stat().st_ino}"
    # Process 1 is probably the first one of a container.
    return "" if os.getpid() == 1 else host


def register(
    label: str,
    *,
    label_is_default: bool,
    settings: dict[str, Any],
    now: Callable[[], datetime],
    wait: Callable[[float], object] | None = None,
) -> WorkerStatus:
    """Register this process as a worker and return its row.

    A row left by a worker that stopped, or whose process is known to be gone, is taken over and
    what it held is rescued. When another worker may be alive, a default label gets the host's name
    or more added, and a given one waits (`wait`, given seconds) until the other has timed out.
    Raises `LabelInUse` when a live process on this host holds the label, or when `wait` is None.
    """
    identity = own_identity()
    seen: dict[tuple[str, datetime], datetime] = {}
    for _ in range(TRIES):
        found = workers.find(label)
        if found is not None:
            # A heartbeat was not later than when we first saw it, whatever clock has written it.
            heard = seen.setdefault((found.incarnation, found.last_tick), now())
            heard = min(heard, aware(found.last_tick))
        if found is not None and not abandoned(found, identity, now(), heard):
            if label_is_default:
                label = another_label(label, found, identity)
                continue
            if same_host(found, identity.host_id):
                raise LabelInUse(
                    f"label {label!r} is held by process {found.pid} on this host, alive since "
                    f"{found.started:%Y-%m-%d %H:%M:%S}. Stop that worker, or use another --label."
                )
            if wait is None:
                raise LabelInUse(
                    f"label {label!r} is held by a worker on {found.host or 'an unknown host'}, "
                    f"last heard from at {found.last_tick:%Y-%m-%d %H:%M:%S}. Use another --label."
                )
            wait((heard + found.timeout - now()).total_seconds())
            continue
        entered = workers.register(label, identity, settings, now(), expected=found)
        if entered is not None:
            row, rescued = entered
            for one in rescued:
                signals.task_rescued.send_robust(sender=label, rescue=one, label=label)
            running_here.add(row.incarnation)
            return row
    raise LabelInUse(
        f"several workers are taking the label {label!r} at once. Give each its own --label."
    )


def another_label(label: str, taken_by: WorkerStatus, identity: ProcessIdentity) -> str:
    """Return another default label when another worker has this one."""
    if "@" in label or taken_by.host == identity.host:
        return f"{label}-{identity.incarnation[:6]}"
    return f"{label}@{identity.host}"


def abandoned(row: WorkerStatus, identity: ProcessIdentity, now: datetime, heard: datetime) -> bool:
    """Return whether no living worker has this row any more; `heard` is when it last beat."""
    if row.stopped is not None or row.rescued is not None:
        return True
    if heard < now - row.timeout:
        return True
    if same_host(row, identity.host_id) and row.pid == identity.pid:
        return row.incarnation not in running_here
    return gone(row, identity.host_id)


def gone(row: WorkerStatus, host_id: str) -> bool:
    """Return whether a worker's process is known to be gone, seen from this host."""
    return same_host(row, host_id) and not process_exists(row.pid)


def same_host(row: WorkerStatus, host_id: str) -> bool:
    """Return whether a worker's process id means the same process here."""
    return row.host_id != "" and row.host_id == host_id


def process_exists(pid: int | None) -> bool:
    """Return whether there may be a process with this id, as seen from here."""
    if pid is None:
        return False
    if not CAN_ASK_FOR_PROCESSES:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
