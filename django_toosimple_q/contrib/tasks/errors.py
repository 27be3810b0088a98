"""What `TaskResult.errors` names where a task did not end by an exception of its own.

Nobody raises these: they are the `exception_class` of such an entry; its traceback gives the
reason in words.
"""

from django_toosimple_q.exceptions import ToosimpleQError


class Cancelled(ToosimpleQError):
    """The call was cancelled, held or expired; nothing follows it."""


class Interrupted(ToosimpleQError):
    """The run was cut off, or its worker died."""


class Invalid(ToosimpleQError):
    """The call could not be run: its function is gone, or its arguments are unreadable."""


class Refused(ToosimpleQError):
    """The run ended, and what it left behind could not be stored."""
