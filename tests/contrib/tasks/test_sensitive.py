"""Sensitive arguments of Django's tasks."""

from copy import copy

import pytest

from django_toosimple_q.contrib.tasks import finder
from django_toosimple_q.masking import arguments_of
from django_toosimple_q.models import TaskExec
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.testing import queued, run_queued
from tests.contrib.tasks import functions
from tests.worker.test_sensitive import OPEN, SECRET, reported, run

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_row_of_a_call_is_masked(line):
    task = line.our_task(functions.log_in, sensitive=["password"])
    task.enqueue(OPEN, SECRET)

    assert hash(task) == hash(task.using())
    [row] = queued()

    assert repr(arguments_of(row)) == f"(['{OPEN}', ********], {{}})"
    assert row.args == [OPEN, SECRET]


def test_a_task_with_a_context_names_its_own_parameters(line):
    task = line.our_task(functions.look, takes_context=True, sensitive=["args"])
    task.enqueue(SECRET)

    assert repr(arguments_of(queued()[0])) == "([********], {})"
    run_queued()
    assert TaskExec.objects.get().state == "SUCCEEDED"


def test_a_name_that_the_function_does_not_have_is_refused(line):
    with pytest.raises(line.framework.InvalidTask, match="no parameter 'pasword'"):
        line.our_task(functions.log_in, sensitive=["pasword"])
    with pytest.raises(line.framework.InvalidTask, match="Use a list of names"):
        line.our_task(functions.log_in, sensitive=1)


def test_no_result_shows_arguments_and_each_has_them(line):
    task = line.our_task(functions.log_in, sensitive=["password"])
    seen = []

    def listen(sender, task_result, **kwargs):
        seen.append(task_result)

    for name in ("task_enqueued", "task_started", "task_finished"):
        getattr(line.signals, name).connect(listen)
    try:
        result = task.enqueue(OPEN, SECRET)
        run_queued()
    finally:
        for name in ("task_enqueued", "task_started", "task_finished"):
            getattr(line.signals, name).disconnect(listen)
    read = line.backend.get_result(result.id)
    result.refresh()

    assert len(seen) == 3
    for one in (result, read, *seen):
        assert isinstance(one, line.framework.TaskResult)
        assert "args=********, kwargs=********" in repr(one)
        assert SECRET not in repr(one)
        assert one.args == [OPEN, SECRET]
    assert result == read
    # As pickle makes it again.
    copied = copy(read)
    assert type(copied) is line.framework.TaskResult
    assert copied.args == [OPEN, SECRET]


def test_no_result_of_a_function_that_is_gone_shows_arguments(line):
    result = line.our_task(functions.log_in, sensitive=["password"]).enqueue(OPEN, SECRET)
    tasks_registry.clear()
    finder.missing.add(TaskExec.objects.get().task_name)

    assert SECRET not in repr(line.backend.get_result(result.id))


def test_results_of_other_tasks_are_those_of_the_framework(line):
    result = line.our_task(functions.log_in).enqueue(OPEN, SECRET)

    assert type(result) is line.framework.TaskResult
    assert SECRET in repr(result)


def test_no_report_has_them(line):
    for name, options in (
        ("log_in", {"sensitive": ["password"]}),
        ("log_in_slowly", {"sensitive": ["password"]}),
        ("log_in_marked", {}),
    ):
        line.our_task(getattr(functions, name), **options).enqueue(OPEN, SECRET)

        # Django's own logging mails it once more, without a page.
        report = "".join(reported(run))

        assert "refused" in report
        assert OPEN in report
        assert SECRET not in report


def test_no_report_on_a_call_that_fails_after_its_function_has_them(line):
    line.our_task(functions.leave_open).enqueue(SECRET)

    report = "".join(reported(run))

    assert "TransactionLeftOpen" in report
    assert SECRET not in report


def test_a_copy_in_another_queue_queues_there(line):
    task = line.our_task(functions.log_in, sensitive=["password"]).using(queue_name="mail")

    [row] = task.task.queue_many([(OPEN, SECRET)])

    assert row.queue == "mail"
