"""Log lines: receivers of this package's signals write to the logger "toosimpleq"."""

import logging

from django.dispatch import Signal

from django_toosimple_q import signals
from django_toosimple_q.log import database, tasks, workers
from django_toosimple_q.log.workers import start_line
from django_toosimple_q.log.write import logger

__all__ = ["connect", "logger", "start_line"]


def connect() -> None:
    """Connect the receivers: when the app is ready, and again once the level is set.

    Each is named after its signal. That of `task_started` would be called for each task, so it is
    not connected where its line would not be written.
    """
    found = [*vars(tasks).items(), *vars(workers).items(), *vars(database).items()]
    for name, receiver in found:
        if name.startswith("on_"):
            signal: Signal = getattr(signals, name.removeprefix("on_"))
            uid = f"toosimpleq_log_{name}"
            # The parts in `contrib` come first: what one of them has reported is no error here.
            signal.disconnect(dispatch_uid=uid)
            if signal is not signals.task_started or logger.isEnabledFor(logging.DEBUG):
                signal.connect(receiver, dispatch_uid=uid)
