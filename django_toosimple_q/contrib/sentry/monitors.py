"""The monitor of a schedule, as Sentry makes one of the first check-in. Pure functions."""

import math
import re
from typing import TYPE_CHECKING
from zlib import crc32

from django.utils.text import slugify

from django_toosimple_q.cron import SECOND
from django_toosimple_q.schedule import Schedule

if TYPE_CHECKING:
    from sentry_sdk._types import MonitorConfig

LONGEST_SLUG = 50
# A busy queue is no alarm: how long after its occurrence a call may begin.
MARGIN_MINUTES = 5
# What crontabs have in common: numbers and names, ranges, steps.
PART = re.compile(r"(?:\*|(?:\d+|[a-z]{3})(?:-(?:\d+|[a-z]{3}))?)(?:/\d+)?")


def is_supported(schedule: Schedule) -> bool:
    """Return whether Sentry reads the expression as we do."""
    fields = schedule.expression.fields
    parts = [part for field in fields for part in field.split(",")]
    return len(fields) == SECOND and all(map(PART.fullmatch, parts))


def slug(schedule: Schedule) -> str:
    """Return the name of the monitor: the schedule's, in the letters that Sentry takes."""
    text = slugify(schedule.name.replace(".", "-"))
    if text and not text.isdigit() and len(text) <= LONGEST_SLUG:
        return text
    digest = f"{crc32(schedule.name.encode()):08x}"
    return f"{text[: LONGEST_SLUG - 9]}-{digest}"


def config(schedule: Schedule) -> "MonitorConfig":
    """Return when Sentry is to expect a run, and how long it may take where a timeout says."""
    found: MonitorConfig = {
        "schedule": {"type": "crontab", "value": " ".join(schedule.expression.fields)},
        "timezone": str(schedule.expression.timezone),
        "checkin_margin": MARGIN_MINUTES,
    }
    task = schedule.task
    if task.timeout is not None and not task.retries:
        found["max_runtime"] = math.ceil((task.timeout + task.timeout_grace) / 60)
    return found
