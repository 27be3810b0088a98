"""The framework's contract: every public attribute and method that a backend answers for."""

import dataclasses
import inspect
import pickle
from collections import deque, namedtuple
from datetime import UTC, datetime, timedelta
from enum import Enum
from uuid import UUID, uuid4

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import SynchronousOnlyOperation
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy

from django_toosimple_q.models import TaskExec
from django_toosimple_q.testing import run_queued
from tests.contrib.tasks import functions
from tests.contrib.tasks.conftest import OWN_LINE

pytestmark = pytest.mark.django_db
LATER = timedelta(hours=1)


# BaseTaskBackend


def test_the_path_in_tasks_gives_the_backend_of_its_line(line):
    backend = line.backend

    assert isinstance(backend, line.module.backends.base.BaseTaskBackend)
    assert type(backend) is line.framework.task_backends["any"].__class__
    assert line.module.default_task_backend.alias == "default"


def test_a_subclass_of_the_backend_is_a_backend(line, settings):
    module = "subclass" if line.name == OWN_LINE else "subclass_of_backport"
    settings.TASKS = {"default": {"BACKEND": f"tests.contrib.tasks.{module}.OwnBackend"}}

    result = line.task(functions.add).enqueue(1)

    assert type(line.backend).__name__ == "OwnBackend"
    assert result.backend == "default"


def test_alias_queues_and_options_are_those_of_tasks(line):
    assert line.backend.alias == "default"
    assert line.backend.queues == {"default", "mail"}
    assert line.backend.options == {}


@pytest.mark.parametrize(
    "flag", ["supports_defer", "supports_async_task", "supports_get_result", "supports_priority"]
)
def test_every_capability_is_there(line, flag):
    assert getattr(line.backend, flag) is True
    assert getattr(type(line.backend), flag) is True


def test_task_class_is_a_frozen_task_of_the_framework(line):
    task = line.task(functions.add)

    assert type(task) is line.backend.task_class
    assert isinstance(task, line.base.Task)
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.priority = 3


def test_no_public_member_of_the_base_classes_goes_untested(line):
    """The names that tests here stand for; a new one in the framework fails this."""
    backend = {
        *("task_class", "supports_defer", "supports_async_task", "supports_get_result"),
        *("supports_priority", "validate_task", "enqueue", "aenqueue", "get_result"),
        *("aget_result", "check", "alias", "queues", "options"),
    }
    task = {
        *("func", "priority", "backend", "queue_name", "run_after", "takes_context", "name"),
        *("using", "enqueue", "aenqueue", "get_result", "aget_result", "call", "acall"),
        *("get_backend", "module_path"),
    }
    result = {
        *("task", "id", "status", "enqueued_at", "started_at", "finished_at"),
        *("last_attempted_at", "args", "kwargs", "backend", "errors", "worker_ids"),
        *("return_value", "is_finished", "attempts", "refresh", "arefresh"),
    }
    context = {"task_result", "attempt"}

    assert public(line.module.backends.base.BaseTaskBackend) <= backend
    assert public(line.base.Task) == task
    assert public(line.base.TaskResult) == result
    assert public(line.base.TaskContext) == context


def public(cls):
    return {name for name, _ in inspect.getmembers(cls) if not name.startswith("_")}


def invalid(line, func, match, **options):
    with pytest.raises(line.framework.InvalidTask, match=match):
        line.task(func, **options)


def test_validate_task_refuses_what_is_no_function_of_a_module(line):
    def local():
        pass

    invalid(line, local, "module level")
    invalid(line, len, "module level")
    invalid(line, 5, "module level")


def test_validate_task_refuses_a_lambda_which_no_worker_can_import(line):
    invalid(line, functions_lambda, "cannot import a lambda")


functions_lambda = lambda: None  # noqa: E731


def test_validate_task_refuses_an_unknown_queue(line):
    invalid(line, functions.add, "Queue 'post' is not valid", queue_name="post")


def test_validate_task_takes_any_queue_when_queues_is_empty(line):
    task = line.task(functions.add, backend="any", queue_name="whatever")

    assert task.enqueue(1).task.queue_name == "whatever"


@pytest.mark.parametrize("priority", [101, -101, 1.5, "5", None, float("nan"), float("inf")])
def test_validate_task_refuses_a_priority_that_is_no_whole_number_in_range(line, priority):
    invalid(line, functions.add, "priority must be a whole number", priority=priority)


@pytest.mark.parametrize("priority", [-100, 0, 100, 3.0])
def test_validate_task_takes_a_whole_priority(line, priority):
    task = line.task(functions.add, priority=priority)

    task.enqueue(1)

    assert TaskExec.objects.get().priority == priority


def test_validate_task_refuses_a_task_that_takes_no_context(line):
    invalid(line, functions.no_context, "first argument of 'context'", takes_context=True)


def test_validate_task_refuses_a_naive_run_after(line):
    task = line.task(functions.add)

    with pytest.raises(line.framework.InvalidTask, match="aware datetime"):
        task.using(run_after=datetime(2030, 1, 1))
    with pytest.raises(line.framework.InvalidTask, match="must be a datetime, got 'soon'"):
        task.using(run_after="soon")


def test_validate_task_takes_a_naive_run_after_without_time_zones(line, settings):
    settings.USE_TZ = False

    line.task(functions.add).using(run_after=datetime(2030, 1, 1)).enqueue(1)

    assert TaskExec.objects.get().due == datetime(2030, 1, 1)


def test_validate_task_refuses_names_that_the_database_cannot_hold(line):
    invalid(line, functions.add, "300 characters", backend="any", queue_name="q" * 300)
    invalid(line, functions.add, "NUL", backend="any", queue_name="a\x00b")


# enqueue


def test_enqueue_stores_a_row_and_returns_a_ready_result(line):
    before = timezone.now()

    result = line.task(functions.add).enqueue(1, b=2)

    row = TaskExec.objects.get()
    assert isinstance(result, line.base.TaskResult)
    assert (row.state, row.args, row.kwargs, row.queue) == ("QUEUED", [1], {"b": 2}, "default")
    assert (UUID(result.id).version, str(UUID(result.id))) == (4, result.id)
    assert result.status == line.status.READY
    assert before <= result.enqueued_at <= timezone.now()
    assert (result.started_at, result.finished_at, result.last_attempted_at) == (None, None, None)
    assert (result.args, result.kwargs) == ([1], {"b": 2})
    assert (result.errors, result.worker_ids, result.attempts) == ([], [], 0)
    assert result.backend == "default"
    assert not result.is_finished
    with pytest.raises(ValueError, match="not finished yet"):
        _ = result.return_value


def test_enqueue_is_part_of_the_transaction_of_the_caller(line):
    task = line.task(functions.add)

    with transaction.atomic():
        task.enqueue(1)
        transaction.set_rollback(True)

    assert TaskExec.objects.count() == 0


def test_enqueue_of_the_backend_takes_lists_and_uses_its_own_alias(line):
    task = line.task(functions.add)

    result = line.framework.task_backends["any"].enqueue(task, [1], {})

    assert result.backend == "any"
    assert TaskExec.objects.get().task_name == "tests.contrib.tasks.functions.add@any"


def test_aenqueue_stores_a_row(line):
    result = async_to_sync(line.task(functions.add).aenqueue)(1, b=2)

    assert TaskExec.objects.get().args == [1]
    assert result.status == line.status.READY


def test_enqueue_inside_an_event_loop_is_refused_by_django(line):
    async def view():
        line.task(functions.add).enqueue(1)

    with pytest.raises(SynchronousOnlyOperation):
        async_to_sync(view)()


def test_enqueue_with_a_date_sleeps_until_then(line):
    moment = timezone.now() + LATER

    result = line.task(functions.add).using(run_after=moment).enqueue(1)

    row = TaskExec.objects.get()
    assert (row.state, row.due) == ("SLEEPING", moment)
    assert result.task.run_after == moment
    assert line.backend.get_result(result.id).task.run_after == moment


def test_enqueue_maps_priority_and_queue_straight(line):
    line.task(functions.add).using(priority=-7, queue_name="mail").enqueue(1)

    row = TaskExec.objects.get()
    assert (row.priority, row.queue) == (-7, "mail")


Point = namedtuple("Point", "x y")


class Colour(str, Enum):  # noqa: UP042  (what projects have)
    RED = "red"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ((1, [2]), [1, [2]]),
        (Point(1, 2), [1, 2]),
        (range(3), [0, 1, 2]),
        (deque([1]), [1]),
        (b"abc", "abc"),
        (bytearray(b"a"), [97]),
        ({1: "a", None: "b", 1.5: "c"}, {"1": "a", "null": "b", "1.5": "c"}),
        (Colour.RED, "red"),
        (1.5, 1.5),
        (True, True),
        ("\x00 \ud800", "\x00 \ud800"),
        ({"a": {"b": None}}, {"a": {"b": None}}),
    ],
)
def test_arguments_are_what_json_makes_of_them(line, given, kept):
    task = line.task(functions.note)

    result = task.enqueue(given, key=given)

    row = TaskExec.objects.get()
    assert (row.args, row.kwargs) == ([kept], {"key": kept})
    assert (result.args, result.kwargs) == ([kept], {"key": kept})
    assert type(row.args[0]) is type(kept)


CIRCULAR: list = []
CIRCULAR.append(CIRCULAR)


@pytest.mark.parametrize(
    "refused",
    [
        *({1}, object(), datetime(2026, 1, 1, tzinfo=UTC), timedelta(1), uuid4(), float("nan")),
        *(float("inf"), b"\xff", gettext_lazy("x"), iter([]), {(1, 2): 3}, CIRCULAR, functions.add),
    ],
)
def test_arguments_that_json_cannot_hold_are_refused(line, refused):
    task = line.task(functions.note)

    with pytest.raises((TypeError, ValueError)):
        task.enqueue(refused)
    with pytest.raises((TypeError, ValueError)):
        task.enqueue(key=refused)
    assert TaskExec.objects.count() == 0


def test_arguments_that_do_not_fit_the_function_are_refused(line):
    with pytest.raises(TypeError, match="cannot be called with these arguments"):
        line.task(functions.add).enqueue()
    with pytest.raises(TypeError, match="cannot be called with these arguments"):
        line.task(functions.look, takes_context=True).enqueue(unknown=1)


# get_result


def test_get_result_finds_a_result_by_its_id(line):
    task = line.task(functions.add)
    result = task.enqueue(1, b=2)

    for found in (
        line.backend.get_result(result.id),
        task.get_result(result.id),
        async_to_sync(line.backend.aget_result)(result.id),
        async_to_sync(task.aget_result)(result.id),
    ):
        assert isinstance(found, line.base.TaskResult)
        assert found == result


NO_IDS = [
    "",
    "0",
    "-1",
    "007",
    "x",
    "1.0",
    " 1",
    "\u0661",
    "9" * 19,
    "9" * 40,
    str(uuid4()),
    None,
    b"1",
    "1",
    str(uuid4()).upper(),
    2**70,
    True,
]


@pytest.mark.parametrize("result_id", NO_IDS)
def test_an_id_that_is_none_of_ours_does_not_exist(line, result_id):
    line.task(functions.add).enqueue(1)

    with pytest.raises(line.framework.TaskResultDoesNotExist):
        line.backend.get_result(result_id)


def test_an_id_tells_nothing_of_others(line):
    results = [line.task(functions.add).enqueue(number) for number in range(3)]
    rows = list(TaskExec.objects.order_by("pk"))

    for row, result in zip(rows, results, strict=True):
        assert str(row.pk) not in result.id.split("-")
        with pytest.raises(line.framework.TaskResultDoesNotExist):
            line.backend.get_result(str(row.pk))
        assert line.backend.get_result(row.pk) == result


def test_the_id_of_a_call_that_was_rolled_back_is_that_of_no_other(line):
    with transaction.atomic():
        lost = line.task(functions.add).enqueue(1)
        transaction.set_rollback(True)
    line.task(functions.add).enqueue(2)

    with pytest.raises(line.framework.TaskResultDoesNotExist):
        line.backend.get_result(lost.id)


def test_an_id_is_read_and_kept_after_the_secret_key_has_changed(line, settings):
    result = line.task(functions.add).enqueue(1)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another"

    assert line.backend.get_result(result.id).id == result.id
    result.refresh()
    assert result.args == [1]


def test_a_row_of_another_kind_is_no_result(line):
    row = TaskExec.objects.create(task_name="native")

    with pytest.raises(line.framework.TaskResultDoesNotExist):
        line.backend.get_result(row.pk)


def test_a_result_of_another_task_is_a_mismatch(line):
    result = line.task(functions.add).enqueue(1)
    other = line.task(functions.note)
    mismatch = import_exceptions(line).TaskResultMismatch

    with pytest.raises(mismatch, match=r"functions\.add"):
        other.get_result(result.id)
    with pytest.raises(mismatch):
        async_to_sync(other.aget_result)(result.id)


def import_exceptions(line):
    return __import__(f"{line.name}.exceptions", fromlist=["x"])


# Task


def test_task_has_the_attributes_of_the_framework(line):
    task = line.task(functions.add, priority=5, queue_name="mail")

    assert task.func is functions.add
    assert (task.priority, task.queue_name, task.backend) == (5, "mail", "default")
    assert (task.run_after, task.takes_context) == (None, False)
    assert task.name == "add"
    assert task.module_path == "tests.contrib.tasks.functions.add"
    assert task.get_backend() is line.backend
    assert task.call(1, b=2) == 3
    assert async_to_sync(task.acall)(1, b=2) == 3
    assert line.task(functions.add_slowly).call(1, 2) == 3
    assert not callable(task)


def test_using_gives_another_task_and_leaves_the_first(line):
    task = line.task(functions.add)
    moment = timezone.now() + LATER

    other = task.using(priority=9, queue_name="mail", run_after=moment, backend="any")

    assert (other.priority, other.queue_name, other.backend) == (9, "mail", "any")
    assert other.run_after == moment
    assert (task.priority, task.queue_name, task.backend) == (0, "default", "default")
    assert task == line.task(functions.add)
    assert hash(task) == hash(line.task(functions.add))


def test_run_after_cannot_be_given_to_our_decorator(line):
    with pytest.raises(TypeError, match="run_after is not an option"):
        line.our_task(functions.add, run_after=None)


def test_a_task_is_picklable_where_the_frameworks_own_is(line):
    if not hasattr(line.base.Task, "_reconstruct"):
        pytest.skip("tasks of this release are not picklable")
    from tests.contrib.tasks import pickled

    task = line.our_task(pickled.function, retries=3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pickled, "function", task)
        again = pickle.loads(pickle.dumps(task))

    assert again == task


# TaskResult


def test_refresh_and_arefresh_bring_a_result_up_to_date(line):
    task = line.task(functions.add)
    first, second = task.enqueue(1), task.enqueue(2, b=3)
    run_queued()

    first.refresh()
    async_to_sync(second.arefresh)()

    assert (first.return_value, second.return_value) == (1, 5)
    rows = TaskExec.objects.order_by("pk")
    for result, row in zip((first, second), rows, strict=True):
        assert result.status == line.status.SUCCESSFUL
        assert result.is_finished
        assert result.finished_at == row.finished
        assert result.started_at == result.last_attempted_at == row.started
        assert result.worker_ids == [row.worker.label]
        assert (result.attempts, result.errors) == (1, [])


def test_a_failed_result_has_its_error_and_no_return_value(line):
    result = line.task(functions.fail).enqueue("bad: yes")
    run_queued()

    result.refresh()

    assert result.status == line.status.FAILED
    assert result.is_finished
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value
    (error,) = result.errors
    assert isinstance(error, line.base.TaskError)
    assert error.exception_class is ValueError
    assert error.traceback.endswith("ValueError: bad: yes\n")
    assert "functions.py" in error.traceback


# TaskContext


def test_context_tells_the_attempt_and_the_running_result(line):
    result = line.task(functions.look, takes_context=True).enqueue("x")
    run_queued()

    result.refresh()

    assert isinstance(functions.seen[0], line.base.TaskContext)
    assert functions.seen[0].attempt == 1
    assert functions.seen[0].task_result.task.func is functions.look
    assert result.return_value == {
        "attempt": 1,
        "id": result.id,
        "status": "RUNNING",
        "args": ["x"],
        "worker_ids": result.worker_ids,
        "errors": [],
    }
