"""Entries of `TaskResult.errors` for calls that did not end with an exception of the task.

These classes are never raised. They are the `exception_class` of an entry whose `traceback` gives
the reason as a sentence.
"""

from django_toosimple_q.exceptions import ToosimpleQError


class Cancelled(ToosimpleQError):
    """The call was cancelled, is held, or expired, and will not be replaced."""


class Interrupted(ToosimpleQError):
    """The run was interrupted, or its worker died."""


class Invalid(ToosimpleQError):
    """The call could not run, because its function is gone or its arguments are unreadable."""


class Refused(ToosimpleQError):
    """The run ended, but its outcome could not be stored."""
