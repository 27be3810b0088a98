"""The backend, for either line of the framework."""

from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage

from django_toosimple_q import faces
from django_toosimple_q.contrib.tasks import checks
from django_toosimple_q.contrib.tasks.definition import define, task_name
from django_toosimple_q.contrib.tasks.framework import Framework
from django_toosimple_q.contrib.tasks.json_values import normal
from django_toosimple_q.exceptions import InvalidDefinition
from django_toosimple_q.task_options import check_name


class Backend:
    """Queues Django tasks as TaskExec rows: any worker of this queue runs them.

    Holds no state: the framework makes one for each thread. Goes before BaseTaskBackend.
    """

    framework: Framework
    alias: str
    queues: set[str]
    options: dict[str, Any]

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)  # type: ignore[call-arg]
        self.params = params

    def validate_task(self, task: Any) -> None:
        """Raise InvalidTask for a task that cannot be queued or found again by a worker."""
        refuse = self.framework.InvalidTask
        if not isinstance(task.priority, int | float) or task.priority != task.priority:
            raise refuse(f"priority must be a whole number, got {task.priority!r}.")
        if task.run_after is not None and not isinstance(task.run_after, datetime):
            raise refuse(f"run_after must be a datetime, got {task.run_after!r}.")
        super().validate_task(task)  # type: ignore[misc]
        if task.func.__name__ == "<lambda>":
            raise refuse("Task function must have a name: a worker cannot import a lambda.")
        try:
            check_name(task.queue_name, "queue_name")
            check_name(task_name(task.module_path, self.alias), "the name of a task")
        except InvalidDefinition as error:
            raise refuse(str(error)) from error

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Store a call as part of the caller's transaction and return its TaskResult.

        Raises InvalidTask for the task, TypeError or ValueError for arguments that JSON cannot
        hold or that do not fit the function.
        """
        result = self.store(task, args, kwargs)
        self.framework.task_enqueued.send_robust(type(self), task_result=result)
        return result

    async def aenqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Store a call from async code; see `enqueue`."""
        result = await sync_to_async(self.store, thread_sensitive=True)(task, args, kwargs)
        await self.framework.task_enqueued.asend_robust(type(self), task_result=result)
        return result

    def store(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Store a call and return its TaskResult. Send no signal, unlike `enqueue`."""
        # Importing them needs the models.
        from django_toosimple_q.contrib.tasks import results
        from django_toosimple_q.store import task_execs

        self.validate_task(task)
        arguments = normal([list(args), dict(kwargs)], self.framework.normalize_json)
        definition = define(task, self)
        row = task_execs.enqueue(definition, *arguments, due=task.run_after)
        return results.enqueued(self, definition.django_task, row, *arguments)

    def get_result(self, result_id: str) -> Any:
        """Return the TaskResult as it stands: that of the last attempt, with all errors.

        Raises TaskResultDoesNotExist for an id that is none of a Django task of this queue.
        """
        # Importing it needs the models.
        from django_toosimple_q.contrib.tasks import results

        return results.load(self, result_id)

    async def aget_result(self, result_id: str) -> Any:
        """Return the TaskResult from async code; see `get_result`."""
        return await sync_to_async(self.get_result, thread_sensitive=True)(result_id)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Return what is wrong with this entry of TASKS."""
        return checks.check_backend(self)


def connect() -> None:
    """Tie the backend to the worker; see `connect.connect`."""
    # Importing it needs the models.
    from django_toosimple_q.contrib.tasks import connect

    connect.connect()


faces.when_ready(connect)
