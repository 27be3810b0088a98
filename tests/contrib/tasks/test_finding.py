"""How a worker finds the function of a row whose module it has not imported."""

import sys

import pytest
from django.utils import timezone

from django_toosimple_q import payload
from django_toosimple_q.contrib.tasks import finder
from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store import task_execs
from django_toosimple_q.testing import run_queued
from tests.contrib.tasks.conftest import OWN_LINE
from tests.support import claim, make_worker

pytestmark = pytest.mark.django_db
HERE = "tests.contrib.tasks"


@pytest.fixture
def forget(line):
    """Enqueue a call of a module's task, then make the process forget that it knew it."""
    if line.name != OWN_LINE:
        pytest.skip("tests/contrib/tasks/lazy.py imports the other line")

    def enqueue(name, *args):
        module = __import__(f"{HERE}.lazy", fromlist=["x"])
        task = module
        for part in name.split("."):
            task = getattr(task, part)
        result = task.enqueue(*args)
        del sys.modules[f"{HERE}.lazy"]
        tasks_registry.clear()
        return result

    sys.modules.pop(f"{HERE}.lazy", None)
    yield enqueue
    sys.modules.pop(f"{HERE}.lazy", None)


def test_a_held_task_of_a_module_that_nobody_imported_is_held(forget, settings):
    forget("held_by_whoever_rescues", 5)
    claimant = make_worker(now=timezone.now())
    claim(claimant, now=timezone.now())
    WorkerStatus.objects.filter(pk=claimant.worker_id).update(stopped=timezone.now())

    task_execs.rescue(timezone.now())

    assert state() == "INTERRUPTED"
    assert TaskExec.objects.get().replaced_by_id is None


def state():
    return TaskExec.objects.get().state


@pytest.mark.parametrize(
    "name", ["found", "found_of_another_alias", "under_another_name", "Holder.held"]
)
def test_a_worker_imports_the_module_of_a_signed_row(forget, name):
    forget(name, 5)

    run_queued()

    row = TaskExec.objects.get()
    assert (row.state, row.result) == ("SUCCEEDED", 5)


def test_rows_of_a_task_that_has_moved_run_while_it_is_found_at_its_old_path(line, forget):
    from tests.contrib.tasks import lazy

    old = f"{HERE}.lazy.moved@default"
    rows = [TaskExec.objects.create(task_name=old, args=[n], due=timezone.now()) for n in (1, 2)]
    # The text of the row's own task: nothing in it names where the function stands today.
    assert lazy.moved.module_path == f"{HERE}.moved.moved"

    run_queued()

    for row in rows:
        row.refresh_from_db()
        assert (row.state, row.result) == ("SUCCEEDED", row.args[0]), row.error
        found = line.backend.get_result(row.pk)
        assert (found.status, found.return_value) == (line.status.SUCCESSFUL, row.result)
    assert tasks_registry[old].name == old


def test_a_result_imports_the_module_of_a_signed_row(forget, line):
    result = forget("found", 5)

    found = line.backend.get_result(result.id)

    assert found.task.func.__name__ == "found"


def forged(name, **texts):
    """Store a row as somebody would who can only write to the database."""
    row = TaskExec.objects.create(task_name="other", args=[1])
    TaskExec.objects.filter(pk=row.pk).update(task_name=name)
    for field, text in texts.items():
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE toosimpleq_taskexec SET {field} = %s", [text])


def test_a_row_that_nobody_signed_under_its_name_imports_nothing(line):
    forged(f"{HERE}.bomb.task@default")

    run_queued()

    assert state() == "INVALID"
    assert f"{HERE}.bomb" not in sys.modules


def test_an_unsigned_row_imports_nothing_while_unsigned_rows_are_accepted(line, settings):
    from datetime import timedelta

    settings.TOOSIMPLEQ_ACCEPT_UNSIGNED_UNTIL = timezone.now() + timedelta(hours=1)
    pickled = payload.seal([], "args", "x").split(".")[1]
    forged(f"{HERE}.bomb.task@default", args=pickled, kwargs=pickled)

    run_queued()

    assert state() == "INVALID"
    assert finder.missing == set()


def signed(name, *args):
    return TaskExec.objects.create(task_name=name, args=list(args))


@pytest.mark.parametrize(
    "name",
    [
        f"{HERE}.lazy.plain@default",
        f"{HERE}.lazy.nothing@default",
        f"{HERE}.lazy.Holder@default",
        f"{HERE}.nowhere.task@default",
        "os.system@default",
    ],
)
def test_what_is_no_django_task_is_never_called(line, name):
    signed(name, "true")

    run_queued()

    assert state() == "INVALID"


def test_a_module_that_cannot_be_imported_is_reported_once(line, caplog):
    for _ in range(3):
        signed(f"{HERE}.bomb.task@default")

    with caplog.at_level("WARNING", logger="toosimpleq"):
        run_queued()

    told = [record for record in caplog.records if "cannot be imported" in record.message]
    assert len(told) == 1
    assert "AssertionError: imported on the word" in told[0].message


@pytest.mark.parametrize(
    "name", ["plain", "a.b", "a b.c@default", "@default", "f@default", ".f@default"]
)
def test_names_that_are_none_of_a_django_task_import_nothing(line, name):
    row = signed(name)

    assert finder.find_row(row) is None
    assert finder.missing == set()


def test_a_row_of_an_alias_that_is_gone_is_invalid(line):
    signed(f"{HERE}.functions.add@gone", 1)

    run_queued()

    assert state() == "INVALID"
