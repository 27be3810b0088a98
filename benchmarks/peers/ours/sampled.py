"""Run a management command, and record where its main thread was, by processor time.

    python -m peers.ours.sampled FILE COMMAND …

The file gets JSON: for each sample the monotonic clock in nanoseconds, the seconds of processor
time that the process has used, and the innermost Python frames, each as "file:function".
"""

import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType

# This uses a timer of processor time and not a sampling thread. A thread runs when the other one
# releases the interpreter, so it would see system calls too often.
EVERY_SECONDS = 0.001
FRAMES = 12

Sample = tuple[int, float, list[str]]


def innermost(frame: FrameType | None) -> list[str]:
    """Return the innermost frames of a stack."""
    found = []
    while frame is not None and len(found) < FRAMES:
        found.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")
        frame = frame.f_back
    return found


def main(path: str, *command: str) -> None:
    """Run the command and take samples."""
    from django.core.management import execute_from_command_line

    samples: list[Sample] = []

    def sample(_: int, frame: FrameType | None) -> None:
        samples.append((time.monotonic_ns(), time.process_time(), innermost(frame)))

    signal.signal(signal.SIGPROF, sample)
    signal.setitimer(signal.ITIMER_PROF, EVERY_SECONDS, EVERY_SECONDS)
    try:
        execute_from_command_line(["manage.py", *command])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        Path(path).write_text(json.dumps(samples))


if __name__ == "__main__":
    main(*sys.argv[1:])
