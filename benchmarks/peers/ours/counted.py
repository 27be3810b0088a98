"""Run a management command, and record when its main thread sent a statement to the database.

    python -m peers.ours.counted FILE COMMAND …

The file gets JSON: the monotonic clock at each statement, in nanoseconds.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main(path: str, *command: str) -> None:
    """Run the command and record its statements."""
    from django.core.management import execute_from_command_line
    from django.db.backends.signals import connection_created

    moments: list[int] = []

    def counting(execute: Callable[..., Any], *statement: Any) -> Any:
        if threading.current_thread() is threading.main_thread():
            moments.append(time.monotonic_ns())
        return execute(*statement)

    def watch(connection: Any, **_: Any) -> None:
        if counting not in connection.execute_wrappers:
            connection.execute_wrappers.append(counting)

    connection_created.connect(watch)
    try:
        execute_from_command_line(["manage.py", *command])
    finally:
        Path(path).write_text(json.dumps(moments))


if __name__ == "__main__":
    main(*sys.argv[1:])
