"""Each test here runs on every line of the framework that is installed."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

from django_toosimple_q.contrib.tasks import LINES, finder, run
from django_toosimple_q.testing import isolated_registries
from tests.contrib.tasks import functions
from tests.contrib.tasks.aliases import BACKEND, tasks

# Which line the modules here import that have tasks of their own.
OWN_LINE = "django.tasks" if find_spec("django.tasks") else "django_tasks"
INSTALLED_LINES = [name for name in LINES if find_spec(name)]


@dataclass(frozen=True)
class Line:
    """One line of the framework, and what the tests need of it."""

    name: str
    framework: Any
    module: Any
    base: Any
    signals: Any
    task: Callable[..., Any]
    our_task: Callable[..., Any]
    # The path of the backend that serves it.
    path: str

    @property
    def backend(self) -> Any:
        return self.framework.task_backends["default"]

    @property
    def status(self) -> Any:
        return self.framework.TaskResultStatus


@pytest.fixture(params=INSTALLED_LINES)
def line(request: pytest.FixtureRequest, settings: Any) -> Iterator[Line]:
    name = request.param
    ours = import_module(f"django_toosimple_q.contrib.tasks.{LINES[name]}")
    # Where there are two lines, each has a path of its own.
    own_path = f"{ours.__name__}.ToosimpleQBackend"
    path = own_path if len(INSTALLED_LINES) > 1 else BACKEND
    settings.TASKS = tasks(path)
    functions.seen.clear()
    finder.missing.clear()
    run.begun_results.clear()
    with isolated_registries():
        yield Line(
            name=name,
            framework=ours.FRAMEWORK,
            module=import_module(name),
            base=import_module(f"{name}.base"),
            signals=import_module(f"{name}.signals"),
            task=import_module(name).task,
            our_task=ours.task,
            path=path,
        )


@pytest.fixture
def heard(line: Line) -> Iterator[list[Any]]:
    """Collect the framework's signals: name, sender, the result's status, the exception then."""
    events: list[Any] = []
    receivers = []
    for name in ("task_enqueued", "task_started", "task_finished"):

        def receive(sender: Any, task_result: Any, name: str = name, **kwargs: Any) -> None:
            error = sys.exc_info()[0]
            events.append((name, sender, task_result.id, str(task_result.status), error))

        getattr(line.signals, name).connect(receive)
        receivers.append((name, receive))
    yield events
    for name, receive in receivers:
        getattr(line.signals, name).disconnect(receive)
