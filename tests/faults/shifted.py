"""Run a Django command on a host whose clock is off by what a file says, in seconds."""

import os
import sys
from datetime import timedelta
from pathlib import Path

from django.core import management
from django.utils import timezone

CLOCK = "TOOSIMPLEQ_TEST_CLOCK"

true_now = timezone.now


def shifted_now():
    return true_now() + timedelta(seconds=float(Path(os.environ[CLOCK]).read_text() or 0))


if __name__ == "__main__":
    timezone.now = shifted_now
    management.execute_from_command_line(sys.argv)
