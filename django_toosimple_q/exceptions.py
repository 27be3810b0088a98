"""The errors that this package raises; each states the fact, the value and the cure."""

from datetime import timedelta


class ToosimpleQError(Exception):
    """Any error of this package."""


class InvalidCron(ToosimpleQError, ValueError):
    """A cron expression that cannot be read, or that never matches."""


class InvalidDefinition(ToosimpleQError, ValueError):
    """A task or schedule defined with an option that cannot be right."""


class DuplicateName(InvalidDefinition):
    """Two definitions under one name."""


class UnknownOption(ToosimpleQError, TypeError):
    """A keyword that a decorator does not have."""


class InvalidArguments(ToosimpleQError, TypeError):
    """Arguments that do not fit the task's signature, or that cannot be stored."""


class InvalidDue(ToosimpleQError, TypeError):
    """A due date that is not a datetime."""


class UnreadablePayload(ToosimpleQError, ValueError):
    """A stored payload whose signature does not match, or that cannot be unpickled."""


class ResultGone(ToosimpleQError, LookupError):
    """A call whose row is deleted: it has ended, and was not kept."""


class LabelInUse(ToosimpleQError):
    """A worker label that a live worker holds."""


class NotMigrated(ToosimpleQError):
    """The queue's tables are missing or older than this code."""


class WorkerFenced(ToosimpleQError):
    """This worker was declared dead, or its row was deleted, while it was paused."""


class TaskTimeout(ToosimpleQError):
    """Raised inside a task that overran its `timeout`."""


class TaskDidNotStop(TaskTimeout):
    """What a task failed with that overran its `timeout` and did not stop within the grace."""


class TaskInterrupted(BaseException):
    """Raised inside a running task that the worker must cut off; tasks should not catch it."""


class Retry(ToosimpleQError):
    """Raise inside a task to run it again later.

    It uses up one of the task's retries unless `count` is false. Without `delay` (seconds, or a
    timedelta) the task's own `retry_delay` applies.
    """

    def __init__(
        self,
        message: str = "the task asked for a retry",
        *,
        delay: float | timedelta | None = None,
        count: bool = True,
    ) -> None:
        super().__init__(message)
        self.delay_seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
        self.count = count


class Cancel(ToosimpleQError):
    """Raise inside a task to give up at once, whatever retries are left."""

    def __init__(self, reason: str = "the task cancelled itself") -> None:
        super().__init__(reason)
