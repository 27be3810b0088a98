"""What every test of a run shares: the database, and what runs on which one."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from django.db import connection

TESTS = Path(__file__).parent
# What needs a thread, a process or a second connection.
NEEDS_SECOND_CONNECTION = {TESTS / "worker", TESTS / "acceptance", TESTS / "faults"}

# How long one example takes depends on what else the machine does.
hypothesis.settings.register_profile("toosimpleq", deadline=None)
hypothesis.settings.load_profile("toosimpleq")


def pytest_report_header() -> str:
    return f"database: {os.environ.get('TOOSIMPLEQ_TEST_DATABASE') or 'sqlite'}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not _in_memory():
        return
    skip = pytest.mark.skip(reason="needs a second connection, which an in-memory database refuses")
    for item in items:
        if NEEDS_SECOND_CONNECTION.intersection(item.path.parents):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, monkeypatch_session: pytest.MonkeyPatch) -> None:
    """Tell processes that a test starts which database the run has made."""
    name = str(connection.settings_dict["NAME"])
    monkeypatch_session.setenv("TOOSIMPLEQ_TEST_DATABASE_NAME", name)


@pytest.fixture(scope="session")
def monkeypatch_session() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def _in_memory() -> bool:
    return connection.vendor == "sqlite" and connection.is_in_memory_db()
