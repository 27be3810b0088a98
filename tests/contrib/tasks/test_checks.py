"""What the system checks find wrong in TASKS."""

from importlib import import_module

import pytest
from django.core import checks
from django.utils import timezone

from django_toosimple_q.contrib.tasks.queue_checks import check_queues_are_worked
from tests.support import make_worker


def found(line, settings, **entry):
    settings.TASKS = {"default": {"BACKEND": line.path, **entry}}
    return [(message.id, message.msg, message.hint) for message in line.backend.check()]


def test_a_sound_entry_has_nothing_wrong(line, settings):
    assert found(line, settings, QUEUES=["default"], OPTIONS={}) == []


def test_the_framework_asks_for_our_checks(line, settings):
    settings.TASKS = {"default": {"BACKEND": line.path, "QUEUES": "mail"}}

    messages = list(import_module(f"{line.name}.checks").check_tasks())

    assert [message.id for message in messages] == ["toosimpleq.E051"]


def test_queues_written_as_a_text_are_found(line, settings):
    ((number, fact, cure),) = found(line, settings, QUEUES="mail")

    assert number == "toosimpleq.E051"
    assert "each letter would be a queue" in fact
    assert cure == "Use a list: ['mail']."


def test_a_queue_that_the_database_cannot_hold_is_found(line, settings):
    ((number, fact, _),) = found(line, settings, QUEUES=["q" * 300, "mail"])

    assert number == "toosimpleq.E052"
    assert "300 characters" in fact


def test_a_key_with_a_typing_error_is_found(line, settings):
    ((number, _, cure),) = found(line, settings, QUEUE=["mail"])

    assert (number, cure) == ("toosimpleq.W050", "Did you mean QUEUES?")


def test_options_that_mean_nothing_are_found(line, settings):
    ((number, fact, _),) = found(line, settings, OPTIONS={"id_function": "x"})

    assert number == "toosimpleq.W051"
    assert "id_function" in fact


def test_a_missing_app_is_found(line, settings):
    settings.INSTALLED_APPS = [
        name for name in settings.INSTALLED_APPS if name != "django_toosimple_q"
    ]

    ((number, _, cure),) = found(line, settings)

    assert number == "toosimpleq.E050"
    assert "INSTALLED_APPS" in cure


def worked():
    return [message.hint for message in check_queues_are_worked(None, databases=["default"])]


@pytest.mark.django_db
def test_a_queue_that_no_living_worker_takes_is_found(line):
    make_worker("mails", included_queues=["mail"], now=timezone.now())

    (hint,) = worked()

    assert "--queue=default" in hint


@pytest.mark.django_db
def test_queues_are_no_matter_while_no_worker_lives_or_one_takes_all(line):
    assert worked() == []
    make_worker("all", now=timezone.now())
    assert worked() == []


@pytest.mark.django_db
def test_queues_are_looked_at_with_the_database_only(line):
    make_worker("mails", included_queues=["mail"], now=timezone.now())

    assert check_queues_are_worked(None) == []
    assert checks.Tags.database in check_queues_are_worked.tags
