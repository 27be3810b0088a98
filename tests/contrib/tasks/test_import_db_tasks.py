"""`manage.py import_db_tasks`, beside the real django-tasks-db."""

import json
import os
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

pytest.importorskip("django_tasks_db")
NAME = "tests.contrib.tasks.lazy.found@default"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Run the site once, in a process and on a database of its own."""
    env = {
        **os.environ,
        "TOOSIMPLEQ_TEST_DATABASE": "sqlite",
        "TOOSIMPLEQ_TEST_DATABASE_NAME": str(tmp_path_factory.mktemp("site") / "db.sqlite3"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.contrib.tasks.moving_site"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_waits_is_moved_with_its_place_in_the_queue(site):
    assert sorted(site["rows"]) == [
        [["later"], "SLEEPING", 0, "default", NAME],
        [["placed"], "QUEUED", 7, "mail", NAME],
        [["plain"], "QUEUED", 0, "default", NAME],
    ]


def test_what_was_moved_runs_here(site):
    assert sorted(site["states"]) == ["SLEEPING", "SUCCEEDED", "SUCCEEDED"]


def test_what_runs_has_ended_or_cannot_be_found_stays(site):
    assert site["left"] == ["READY", "READY", "RUNNING", "SUCCESSFUL"]
    out, err = site["told"]["real"]
    assert out.endswith("3 tasks moved.\n")
    assert "lazy.gone stays: LookupError: there is no Django Task at this path" in err
    assert "1 tasks are being run by a db_worker" in err
    assert "2 tasks stay" in site["failed"]["real"]


def test_a_dry_run_moves_nothing(site):
    assert site["told"]["dry"][0].endswith("3 tasks would be moved.\n")
    assert site["told"]["real"][0].endswith("3 tasks moved.\n")


def test_a_dry_run_promises_no_more_than_the_real_one_does(site):
    [dry], [real] = (
        [line for line in site["told"][name][1].splitlines() if "lazy.found stays" in line]
        for name in ("dry", "real")
    )
    assert dry == real
    assert site["failed"]["dry"] == site["failed"]["real"]


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_a_row_that_a_db_worker_claims_meanwhile_is_not_moved_as_well():
    env = {**os.environ, "TOOSIMPLEQ_TEST_DATABASE_NAME": f"{connection.settings_dict['NAME']}_m"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.contrib.tasks.moving_race"],
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert (found["moved"], found["claimed"]) == (3, 0)
    assert found["left"] == []
    assert found["deleted"] == 3


def test_a_second_run_finds_nothing(site):
    assert site["told"]["again"][0] == "0 tasks moved.\n"


def test_a_site_without_django_tasks_db_is_told_the_cure():
    with pytest.raises(CommandError, match="not in INSTALLED_APPS"):
        call_command("import_db_tasks")
