"""Django tasks in the worker: outcomes, attempts, errors, signals."""

from datetime import timedelta

import pytest
from django.utils import timezone

from django_toosimple_q import payload
from django_toosimple_q.contrib.tasks import errors
from django_toosimple_q.exceptions import ResultNotStored
from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.store import task_execs, workers
from django_toosimple_q.testing import assert_queued, queued, run_queued
from tests.contrib.tasks import functions
from tests.support import claim, make_worker

pytestmark = pytest.mark.django_db


def run(line, func, *args, **options):
    """Enqueue a call, run it, and return its result."""
    result = line.our_task(func, **options).enqueue(*args)
    run_queued()
    result.refresh()
    return result


def paths(result):
    return [error.exception_class_path for error in result.errors]


def test_coroutines_run(line):
    assert run(line, functions.add_slowly, 1, 2).return_value == 3


def test_rows_run_in_the_order_of_priority(line):
    task = line.task(functions.note)
    for priority in (-100, 100, 0):
        task.using(priority=priority).enqueue(priority)

    run_queued()

    assert [call[0][0] for call in functions.seen] == [100, 0, -100]


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("tuple", [1, 2]),
        ("keys", {"1": "a", "null": "b"}),
        ("bytes", "abc"),
        ("none", None),
    ],
)
def test_a_return_value_is_what_json_makes_of_it(line, kind, kept):
    assert run(line, functions.give, kind).return_value == kept


@pytest.mark.parametrize(
    ("kind", "error"), [("set", TypeError), ("object", TypeError), ("nan", ValueError)]
)
def test_a_return_value_that_json_cannot_hold_fails_without_another_attempt(line, kind, error):
    result = run(line, functions.give, kind, retries=3)

    assert result.status == line.status.FAILED
    assert result.errors[0].exception_class is error
    assert result.attempts == 1


def test_a_return_value_that_is_too_large_fails_once_and_is_reported(line, heard):
    result = run(line, functions.give, "long", retries=3)

    assert result.status == line.status.FAILED
    assert result.errors[0].exception_class is ResultNotStored
    assert [event[3] for event in heard] == ["READY", "RUNNING", "FAILED"]


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("exit", "builtins.SystemExit"),
        ("interrupt", "builtins.KeyboardInterrupt"),
        ("cancel", "django_toosimple_q.exceptions.Cancel"),
        ("chained", "builtins.LookupError"),
        ("group", "builtins.ExceptionGroup"),
        ("local", "tests.contrib.tasks.functions.fail_by.<locals>.Local"),
    ],
)
def test_the_class_of_an_error_is_named(line, kind, path):
    result = run(line, functions.fail_by, kind)

    assert result.status == line.status.FAILED
    assert paths(result) == [path]


@pytest.mark.parametrize(("func", "options"), [(functions.fail, {}), (functions.leave_open, {})])
def test_a_failure_is_one_error_in_the_log_with_its_exception(line, caplog, func, options):
    caplog.set_level("INFO")

    run(line, func, **options)

    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [(one.name, one.exc_info[0] is not None) for one in errors] == [(line.name, True)]
    [ours] = [one for one in caplog.records if one.getMessage().startswith("task failed")]
    assert (ours.levelname, ours.exc_info[1]) == ("WARNING", errors[0].exc_info[1])


# Attempts


def test_a_result_follows_its_retries_under_one_id(line):
    result = line.our_task(functions.look_and_fail_twice, takes_context=True, retries=5).enqueue()

    run_queued()
    result.refresh()

    rows = list(TaskExec.objects.order_by("pk"))
    assert [row.state for row in rows] == ["FAILED", "FAILED", "SUCCEEDED"]
    assert line.backend.get_result(rows[0].pk) == result
    assert result.status == line.status.SUCCESSFUL
    assert result.attempts == 3
    assert result.worker_ids == [row.worker.label for row in rows]
    assert [error.exception_class for error in result.errors] == [LookupError, LookupError]
    assert "attempt 2" in result.errors[1].traceback
    assert result.return_value == ["builtins.LookupError"] * 2
    assert (result.enqueued_at, result.started_at) == (rows[0].created, rows[0].started)
    assert (result.last_attempted_at, result.finished_at) == (rows[2].started, rows[2].finished)
    assert [context.attempt for context in functions.seen] == [1, 2, 3]


def test_a_result_is_ready_again_between_two_attempts(line):
    result = line.our_task(functions.fail, retries=1, retry_delay=60).enqueue()
    run_queued()

    result.refresh()

    assert result.status == line.status.READY
    assert (result.attempts, len(result.errors)) == (1, 1)
    assert result.finished_at is None
    assert not result.is_finished


def test_the_id_of_a_later_attempt_is_no_result_id(line):
    run(line, functions.fail, retries=1)

    with pytest.raises(line.framework.TaskResultDoesNotExist):
        line.backend.get_result(TaskExec.objects.last().pk)


def test_a_result_outlives_its_first_row(line):
    result = line.our_task(functions.look_and_fail_twice, takes_context=True, retries=5).enqueue()
    run_queued()
    TaskExec.objects.order_by("pk").first().delete()

    found = line.backend.get_result(result.id)

    assert (found.id, found.status, found.attempts) == (result.id, line.status.SUCCESSFUL, 2)


def test_a_result_follows_a_retry_that_merged_into_a_waiting_call(line):
    task = line.our_task(functions.fail, unique=True, retries=1)
    first = task.enqueue("x")
    (claimed,) = claim(claimant := make_worker(now=timezone.now()), now=timezone.now())
    second = task.enqueue("x")
    task_execs.release([claimed], claimant.worker_id, timezone.now())

    first.refresh()

    assert second.id != first.id
    assert first.status == line.status.READY
    run_queued()
    first.refresh()
    assert first.status == line.status.FAILED
    assert paths(first)[-1] == "builtins.ValueError"


def test_a_worker_that_is_gone_still_counts_as_an_attempt(line):
    result = run(line, functions.add, 1)
    WorkerStatus.objects.all().delete()

    result.refresh()

    assert result.attempts == 1
    assert result.worker_ids[0].startswith("#")


# States


def test_a_claimed_row_is_running(line):
    result = line.task(functions.add).enqueue(1)
    claim(make_worker("me", now=timezone.now()), now=timezone.now())

    result.refresh()

    assert (result.status, result.worker_ids) == (line.status.RUNNING, ["me"])
    assert result.started_at is not None


def test_an_expired_call_is_a_cancelled_one(line, heard):
    result = line.our_task(functions.add, expires=timedelta(microseconds=1)).enqueue(1)
    run_queued()

    result.refresh()

    assert result.status == line.status.FAILED
    assert result.errors[0].exception_class is errors.Cancelled
    assert "expired" in result.errors[0].traceback
    assert result.attempts == 0
    assert [event[0] for event in heard] == ["task_enqueued", "task_finished"]


def test_an_invalid_call_has_failed(line):
    result = line.task(functions.add).enqueue(1)
    TaskExec.objects.update(state="INVALID")

    result.refresh()

    assert result.status == line.status.FAILED
    assert result.errors[0].exception_class is errors.Invalid
    assert "no worker knows the task" in result.errors[0].traceback


def test_a_call_whose_worker_died_is_ready_again_with_an_error(line):
    result = line.task(functions.add).enqueue(1)
    claimant = make_worker(now=timezone.now())
    claim(claimant, now=timezone.now())
    WorkerStatus.objects.filter(pk=claimant.worker_id).update(rescued=timezone.now())
    task_execs.rescue(timezone.now())

    result.refresh()

    assert result.status == line.status.READY
    assert result.errors[0].exception_class is errors.Interrupted
    assert result.attempts == 1


def test_a_call_that_killed_its_workers_is_reported_as_failed(line, heard):
    result = line.task(functions.add).enqueue(1)
    TaskExec.objects.update(crash_count=2)
    claimant = make_worker(now=timezone.now())
    claim(claimant, now=timezone.now())
    WorkerStatus.objects.filter(pk=claimant.worker_id).update(stopped=timezone.now())

    run_queued()

    result.refresh()
    assert result.status == line.status.FAILED
    assert result.errors[0].exception_class is errors.Refused
    assert heard[-1][:4] == ("task_finished", type(line.backend), result.id, "FAILED")


def test_a_call_that_is_held_has_failed_and_is_reported(line, heard):
    result = line.our_task(functions.add, on_interruption="hold").enqueue(1)
    claimant = make_worker(now=timezone.now())
    claim(claimant, now=timezone.now())
    WorkerStatus.objects.filter(pk=claimant.worker_id).update(stopped=timezone.now())

    run_queued()

    result.refresh()
    assert result.status == line.status.FAILED
    assert result.errors[0].exception_class is errors.Cancelled
    assert "held" in result.errors[0].traceback
    assert heard[-1][:4] == ("task_finished", type(line.backend), result.id, "FAILED")


def test_a_cancelled_call_has_failed(line):
    result = line.task(functions.add).enqueue(1)
    task_execs.cancel(TaskExec.objects.get().pk, "nobody wants it", timezone.now())

    result.refresh()

    assert result.status == line.status.FAILED
    assert result.errors[0].exception_class is errors.Cancelled
    assert "nobody wants it" in result.errors[0].traceback


# Results of what can no longer be run


def test_a_result_whose_function_is_gone_can_be_looked_at(line):
    run(line, functions.add, 1)
    row = TaskExec.objects.get()
    row.task_name = "tests.contrib.tasks.functions.gone@default"
    row.args, row.result = row.args, row.result
    row.save()

    found = line.backend.get_result(row.pk)

    assert found.task.module_path == "tests.contrib.tasks.functions.gone"
    assert (found.task.name, found.task.priority) == ("gone", 0)
    assert found.status == line.status.SUCCESSFUL
    with pytest.raises(ImportError, match="is gone"):
        found.task.call()


def test_a_result_whose_queue_left_the_settings_can_be_looked_at(line):
    result = line.task(functions.add, queue_name="mail").enqueue(1)
    TaskExec.objects.update(queue="old")

    assert line.backend.get_result(result.id).task.queue_name == "old"


def test_a_result_whose_alias_left_the_settings_can_be_looked_at(line, settings):
    result = line.task(functions.add, backend="any").enqueue(1)
    settings.TASKS = {"default": settings.TASKS["default"]}

    found = line.backend.get_result(result.id)

    assert found.backend == "default"
    found.refresh()


def test_unreadable_arguments_and_results_are_shown_as_such(line, settings):
    run(line, functions.add, 1)
    settings.SECRET_KEY = "another"

    found = line.backend.get_result(TaskExec.objects.get().pk)

    assert (found.args, found.kwargs) == ([], {})
    assert isinstance(found.return_value, payload.Unreadable)


# Signals


def test_signals_are_sent_by_the_class_of_the_backend(line, heard):
    result = run(line, functions.add, 1)

    sender = type(line.backend)
    assert heard == [
        ("task_enqueued", sender, result.id, "READY", None),
        ("task_started", sender, result.id, "RUNNING", None),
        ("task_finished", sender, result.id, "SUCCESSFUL", None),
    ]


def test_the_end_of_a_failure_is_reported_inside_the_except_block(line, heard):
    result = run(line, functions.fail)

    sender = type(line.backend)
    assert heard[-1] == ("task_finished", sender, result.id, "FAILED", ValueError)


def test_only_the_last_attempt_finishes(line, heard):
    run(line, functions.fail, retries=2)

    assert [event[0].removeprefix("task_") for event in heard] == [
        *("enqueued", "started", "started", "started", "finished"),
    ]


@pytest.mark.parametrize("name", ["task_enqueued", "task_started", "task_finished"])
def test_an_error_in_a_receiver_changes_nothing(line, name, caplog):
    def broken(**kwargs):
        raise RuntimeError("receiver")

    signal = getattr(line.signals, name)
    signal.connect(broken)
    try:
        result = run(line, functions.add, 1)
    finally:
        signal.disconnect(broken)

    assert result.status == line.status.SUCCESSFUL


def test_the_framework_logs_with_the_traceback(line, caplog):
    logger = line.name
    with caplog.at_level("INFO", logger=logger):
        run(line, functions.fail)

    record = [record for record in caplog.records if record.name == logger][-1]
    assert record.levelname == "ERROR"
    assert record.exc_info[0] is ValueError


# What our queue offers on top


def test_our_options_reach_the_row(line):
    line.our_task(
        functions.add, retries=3, retry_delay=7, timeout=60, unique=True, priority=5
    ).enqueue(1)

    row = TaskExec.objects.get()
    assert (row.retries, row.retry_delay, row.timeout, row.priority) == (3, 7, 60, 5)
    assert row.unique_key


@pytest.mark.django_db(transaction=True)
def test_an_atomic_task_runs_in_a_transaction(line):
    assert run(line, functions.in_transaction).return_value is False
    assert run(line, functions.in_transaction, atomic=True).return_value is True


def test_the_decorator_of_the_framework_takes_our_options_where_it_takes_any(line):
    try:
        task = line.task(functions.add, retries=3)
    except TypeError:
        pytest.skip("this release's own decorator takes no options")

    assert task.retries == 3


def test_a_bad_option_is_an_invalid_task(line):
    with pytest.raises(line.framework.InvalidTask, match="retries cannot be 'many'"):
        line.our_task(functions.add, retries="many")
    with pytest.raises(line.framework.InvalidTask, match="retry_for cannot be 5"):
        line.our_task(functions.add, retry_for=5)


@pytest.mark.parametrize(
    ("option", "cure"),
    [
        ("unknown", "It has: atomic, "),
        ("retry", "Did you mean 'retries'"),
        ("queue", "Did you mean 'queue_name'"),
        ("eta", r"Use .using\(run_after=...\)"),
        ("run_after", r"Use .using\(run_after=...\)"),
    ],
)
def test_an_unknown_option_is_refused_with_the_cure(line, option, cure):
    with pytest.raises(TypeError, match=f"{option}.*{cure}"):
        line.our_task(functions.add, **{option: 1})


def test_exceptions_are_given_in_a_list_or_as_one_class(line):
    task = line.our_task(functions.add, retry_for=[ValueError], retry_not_for=KeyError)

    assert task.task.retry_for == (ValueError,)
    assert task.task.retry_not_for == (KeyError,)
    assert hash(task) == hash(task.using())


def test_a_unique_call_that_waits_gives_its_id_again(line):
    task = line.our_task(functions.add, unique=True)

    assert task.enqueue(1, b=0).id == task.enqueue(1).id
    assert TaskExec.objects.count() == 1


def test_a_timeout_fails_the_task(line):
    from django_toosimple_q.exceptions import TaskTimeout

    result = run(line, spin, timeout=0.05)

    assert result.errors[0].exception_class is TaskTimeout


def spin():
    while True:
        pass


def test_other_tasks_of_one_function_keep_their_own_options(line):
    plain, eager = line.our_task(functions.add), line.our_task(functions.add, retries=4)

    plain.enqueue(1)
    eager.enqueue(1)

    assert list(TaskExec.objects.order_by("pk").values_list("retries", flat=True)) == [0, 4]


def test_a_task_made_for_another_backend_can_be_queued_here(line, settings):
    settings.TASKS = {
        "default": {"BACKEND": f"{line.name}.backends.dummy.DummyBackend"},
        "ours": settings.TASKS["any"],
    }
    task = line.task(functions.add)

    result = task.using(backend="ours").enqueue(1)
    run_queued()

    result.refresh()
    assert result.return_value == 1
    assert type(result.task) is line.base.Task


def test_a_django_task_can_be_scheduled(line):
    from django_toosimple_q.decorators import schedule_task
    from django_toosimple_q.registry import schedules_registry
    from django_toosimple_q.store import schedule_execs

    decorated = schedule_task(cron="manual", args=[1], datetime_kwarg="b")(
        line.task(functions.note)
    )
    schedule = schedules_registry["tests.contrib.tasks.functions.note@default"]

    row = schedule_execs.force(schedule, timezone.now())
    run_queued()

    result = decorated.get_result(row.pk)
    assert result.kwargs["b"].startswith("20")
    assert functions.seen[0][1]["b"].tzinfo is not None


def test_the_test_helpers_know_django_tasks(line):
    task = line.task(functions.add)
    task.enqueue(1, b=2)

    assert_queued(task, 1, 2)
    assert len(queued(task)) == 1


def test_a_worker_tells_which_django_tasks_it_knows(line):
    line.task(functions.add)
    run_queued()

    assert "tests.contrib.tasks.functions.add@default" in WorkerStatus.objects.get().tasks
    assert workers.alive() == []
