"""Lines about workers and their processes."""

import logging
from typing import Any

from django_toosimple_q import wakeups
from django_toosimple_q.log.tasks import unreadable
from django_toosimple_q.log.write import write
from django_toosimple_q.registry import schedules_registry, tasks_registry
from django_toosimple_q.store.transaction import queue_connection, queue_database


def on_worker_started(sender: Any, options: Any, limits: str = "", **kwargs: Any) -> None:
    unreadable.start_over()
    if limits:
        write(logging.WARNING, "on this system %s: label=%s", limits, sender, worker=sender)
    message, values = start_line(sender, options)
    write(logging.INFO, message, *values, worker=sender)


def start_line(label: str, options: Any) -> tuple[str, tuple[Any, ...]]:
    """Return the line that says what a worker does, as a format and its values."""
    tasks = sum(options.takes(task.queue_name) for task in tasks_registry.values())
    schedules = schedules_registry.for_queue(options.queues, options.excluded_queues)
    fields = {
        "label": label,
        "processes": options.processes if options.processes > 1 else None,
        "queues": ",".join(options.queues) or "all",
        "excluded": ",".join(options.excluded_queues) or None,
        "tasks": tasks,
        "schedules": len(schedules) if options.schedules else 0,
        "database": f"{queue_connection().alias}:{queue_database().family}",
        "wakeups": wakeups.mode(queue_database()),
        "tick": f"{options.tick:g}",
        "timeout": f"{options.timeout:g}",
    }
    shown = {name: value for name, value in fields.items() if value is not None}
    stops = "" if options.inline else "; Ctrl-C stops it"
    line = " ".join(f"{name}=%s" for name in shown)
    return f"worker started: {line}{stops}", tuple(shown.values())


def on_worker_restored(sender: Any, **kwargs: Any) -> None:
    line = "worker's row was deleted and is restored with its tasks: label=%s"
    write(logging.WARNING, line, sender, worker=sender)


def on_worker_silent(sender: Any, seconds: float, **kwargs: Any) -> None:
    write(
        logging.WARNING,
        "database did not answer, so other workers may run our tasks, which are interrupted: "
        "label=%s seconds=%g",
        sender,
        seconds,
        worker=sender,
    )


def on_old_worker_seen(labels: Any, **kwargs: Any) -> None:
    write(
        logging.ERROR,
        "workers of django-toosimple-q 1.x run on this database: they make calls INVALID whose "
        "task they do not know, those that run or have ended as well, and the outcomes of these "
        "are lost. Stop all workers of 1.x now: labels=%s",
        ",".join(labels),
    )


def on_worker_stopping(sender: Any, reason: str, running: Any, **kwargs: Any) -> None:
    names = ",".join(f"{one.task_name}:{one.pk}" for one in running)
    waits = f" waiting_for={names}" if names else ""
    line = "worker stopping: label=%s reason=%s%s"
    write(logging.INFO, line, sender, reason, waits, worker=sender)


def on_worker_stopped(sender: Any, exit_code: int, exit_log: str, **kwargs: Any) -> None:
    if exit_code == 99:
        write(logging.CRITICAL, "worker crashed: label=%s", sender, below=exit_log, worker=sender)
    else:
        line = "worker stopped: label=%s exit_code=%s"
        write(logging.INFO, line, sender, exit_code, worker=sender)


def on_child_hung(pid: int, **kwargs: Any) -> None:
    write(logging.ERROR, "worker process hangs in C code and is killed: pid=%s", pid)


def on_code_broken(exit_code: int, **kwargs: Any) -> None:
    line = "the saved code cannot be imported, waiting for the next change: exit_code=%s"
    write(logging.WARNING, line, exit_code)


def on_leftovers_found(leftovers: Any, seconds: float, **kwargs: Any) -> None:
    line = "tasks left behind what keeps the worker from ending, it ends all the same"
    write(logging.WARNING, f"{line}: leftovers=%s seconds=%.1f", ", ".join(leftovers), seconds)


def on_clock_set(sender: Any, difference: Any, off: bool, **kwargs: Any) -> None:
    if off:
        write(
            logging.WARNING,
            "the clock of this host differs by %.1f s from the database's, which counts: label=%s",
            difference.total_seconds(),
            sender,
            worker=sender,
        )
    else:
        line = "the clock of this host is right again: label=%s"
        write(logging.INFO, line, sender, worker=sender)


def on_clock_jumped(sender: Any, step: Any, **kwargs: Any) -> None:
    write(
        logging.WARNING,
        "the database's clock jumped by %.0f s: label=%s",
        step.total_seconds(),
        sender,
    )


def on_moments_set_back(sender: Any, count: int, **kwargs: Any) -> None:
    write(
        logging.WARNING,
        "calls that were queued while the clock was ahead are set back: label=%s count=%s",
        sender,
        count,
    )


def on_pruning_deferred(sender: Any, expired: int, kept: int, **kwargs: Any) -> None:
    write(
        logging.WARNING,
        "the clock jumped ahead, or no worker ran for long, and pruning would delete most ended "
        "rows: it waits until a day after. Check the database's clock; `manage.py prune_tasks` "
        "deletes them now: label=%s expired=%s kept=%s",
        sender,
        expired,
        kept,
    )


def on_child_died(pid: int, code: int, again_in: float, **kwargs: Any) -> None:
    write(
        logging.ERROR,
        "worker process died: pid=%s exit_code=%s started_again_in=%.0fs",
        pid,
        code,
        again_in,
    )
