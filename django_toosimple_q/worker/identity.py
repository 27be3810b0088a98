"""Take a place among the workers, under a label."""

import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from django_toosimple_q import signals
from django_toosimple_q.exceptions import LabelInUse
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.store import workers
from django_toosimple_q.store.workers import Identity

TRIES = 20
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE = Path("/proc/self/ns/pid")

# The incarnations that run in this very process, such as two threads that drain a queue.
running_here: set[str] = set()


def own_identity() -> Identity:
    """Return what tells this process from any other that may have its label."""
    host = socket.gethostname()[:255]
    return Identity(secrets.token_hex(16), host, os.getpid(), own_place(host))


def own_place(host: str) -> str:
    """Return what is the same for all processes that our process ids mean, and for no other.

    The name of a host is not: containers on its network have it too, and so may other machines.
    """
    with suppress(OSError):
        return f"{host} {BOOT_ID.read_text().strip()} {PID_NAMESPACE.stat().st_ino}"
    # The first process of a container, as far as anybody can tell.
    return "" if os.getpid() == 1 else host


def register(
    label: str,
    *,
    label_is_default: bool,
    settings: dict[str, Any],
    now: Callable[[], datetime],
    wait: Callable[[float], object] | None = None,
) -> WorkerStatus:
    """Enter this process among the workers and return its row.

    A row left by a worker that stopped, or whose process is known to be gone, is taken over and
    what it held is rescued. Another may be alive: a default label then gets the host's name, or
    more, a given one waits (`wait`, given seconds) until that other has timed out. Raises
    `LabelInUse` when a live process beside us holds the label, or when there is no waiting.
    """
    identity = own_identity()
    for _ in range(TRIES):
        found = workers.find(label)
        if found is not None and not abandoned(found, identity, now()):
            if label_is_default:
                label = another_label(label, found, identity)
                continue
            if beside(found, identity.place):
                raise LabelInUse(
                    f"label {label!r} is held by process {found.pid} on this host, alive since "
                    f"{found.started:%Y-%m-%d %H:%M:%S}. Stop that worker, or use another --label."
                )
            if wait is None:
                raise LabelInUse(
                    f"label {label!r} is held by a worker on {found.host or 'an unknown host'}, "
                    f"last heard of at {found.last_tick:%Y-%m-%d %H:%M:%S}. Use another --label."
                )
            wait((found.last_tick + found.timeout - now()).total_seconds())
            continue
        entered = workers.register(label, identity, settings, now(), expected=found)
        if entered is not None:
            row, rescued = entered
            for one in rescued:
                signals.task_rescued.send_robust(sender=label, rescue=one, label=label)
            running_here.add(row.incarnation)
            return row
    raise LabelInUse(
        f"label {label!r} is being taken by several workers. Give each its own --label."
    )


def another_label(label: str, taken_by: WorkerStatus, identity: Identity) -> str:
    """Return a default label for the case that another worker has this one."""
    if "@" in label or taken_by.host == identity.host:
        return f"{label}-{identity.incarnation[:6]}"
    return f"{label}@{identity.host}"


def abandoned(row: WorkerStatus, identity: Identity, now: datetime) -> bool:
    """Tell whether nobody stands behind a worker's row any more."""
    if row.stopped is not None or row.rescued is not None:
        return True
    if row.last_tick < now - row.timeout:
        return True
    if beside(row, identity.place) and row.pid == identity.pid:
        return row.incarnation not in running_here
    return gone(row, identity.place)


def gone(row: WorkerStatus, place: str) -> bool:
    """Tell whether a worker's process is known to be gone, seen from this place."""
    return beside(row, place) and not process_exists(row.pid)


def beside(row: WorkerStatus, place: str) -> bool:
    """Tell whether a worker's process id means the same process here, at this place."""
    return row.place != "" and row.place == place


def process_exists(pid: int | None) -> bool:
    """Tell whether there is a process with this id, as seen from here."""
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
