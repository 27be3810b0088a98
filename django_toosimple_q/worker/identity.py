"""Take a place among the workers, under a label."""

import os
import secrets
import socket
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django_toosimple_q import signals
from django_toosimple_q.exceptions import LabelInUse
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.store import workers
from django_toosimple_q.store.workers import Identity

TRIES = 20

# The incarnations that run in this very process, such as two threads that drain a queue.
running_here: set[str] = set()


def own_identity() -> Identity:
    """Return what tells this process from any other that may have its label."""
    return Identity(secrets.token_hex(16), socket.gethostname()[:255], os.getpid())


def register(
    label: str,
    *,
    label_is_default: bool,
    settings: dict[str, Any],
    now: Callable[[], datetime],
    wait: Callable[[float], object] | None = None,
) -> WorkerStatus:
    """Enter this process among the workers and return its row.

    A row left by a worker that stopped, or whose process is gone from this host, is taken over
    and what it held is rescued. One of another host may be alive: a default label then gets the
    host's name, a given one waits (`wait`, given seconds) until it has timed out. Raises
    `LabelInUse` when a live process of this host holds the label, or when there is no waiting.
    """
    identity = own_identity()
    for _ in range(TRIES):
        found = workers.find(label)
        if found is not None and not abandoned(found, identity, now()):
            if label_is_default and found.incarnation in running_here:
                label = f"{label}-{identity.incarnation[:6]}"
                continue
            if found.host == identity.host:
                raise LabelInUse(
                    f"label {label!r} is held by process {found.pid} on this host, alive since "
                    f"{found.started:%Y-%m-%d %H:%M:%S}. Stop that worker, or use another --label."
                )
            if label_is_default and "@" not in label:
                label = f"{label}@{identity.host}"
                continue
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


def abandoned(row: WorkerStatus, identity: Identity, now: datetime) -> bool:
    """Tell whether nobody stands behind a worker's row any more."""
    if row.stopped is not None or row.rescued is not None:
        return True
    if row.last_tick < now - row.timeout:
        return True
    if row.host != identity.host:
        return False
    if row.pid == identity.pid:
        return row.incarnation not in running_here
    return not process_exists(row.pid)


def process_exists(pid: int | None) -> bool:
    """Tell whether a process of this host has this id."""
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
