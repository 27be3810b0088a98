"""The notes in the history of a row: kept in English, and shown in the language of the reader."""

import re
from functools import cache

from django.utils.translation import gettext, gettext_noop

from django_toosimple_q.admin.bulk.actions import ACTIONS

PAUSED = gettext_noop("Paused.")
RESUMED = gettext_noop("Resumed.")
CANCELLED = gettext_noop("Cancelled.")
DUE_NOW = gettext_noop("Due now.")
QUEUED_AGAIN = gettext_noop("Queued again as task %(task)s.")
RUN_WITH_OTHERS = gettext_noop("Run with other arguments as task %(task)s.")
RUN_BY_HAND = gettext_noop("Run by hand as task %(task)s.")
GROUP_QUEUED_AGAIN = gettext_noop("Failures with %(error)s queued again: %(count)s.")
GROUP_DISMISSED = gettext_noop("Failures with %(error)s dismissed.")
# Of calls that failed without an exception, as those that killed their workers.
QUEUED_AGAIN_WITHOUT = gettext_noop("Failures without an exception queued again: %(count)s.")
DISMISSED_WITHOUT = gettext_noop("Failures without an exception dismissed.")

NOTES = (
    *(PAUSED, RESUMED, CANCELLED, DUE_NOW, QUEUED_AGAIN, RUN_WITH_OTHERS, RUN_BY_HAND),
    *(QUEUED_AGAIN_WITHOUT, DISMISSED_WITHOUT, GROUP_QUEUED_AGAIN, GROUP_DISMISSED),
    *(action.ended for action in ACTIONS.values()),
)
VALUE = re.compile(r"%\\\((\w+)\\\)s")


def translated(message: str) -> str:
    """Return a note in the active language; what is none of ours, as it is."""
    for note, pattern in _patterns().items():
        found = pattern.fullmatch(message)
        if found:
            return gettext(note) % found.groupdict()
    return message


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """Return for each note what its texts look like, with the values that they were made with."""
    return {
        note: re.compile(VALUE.sub(r"(?P<\1>.*)", re.escape(note)), re.DOTALL) for note in NOTES
    }
