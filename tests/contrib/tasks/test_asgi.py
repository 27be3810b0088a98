"""Async views under an ASGI server enqueue tasks and read their results."""

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from django.db import connection

from django_toosimple_q.models import TaskExec
from django_toosimple_q.testing import run_queued
from tests.contrib.tasks.conftest import OWN_LINE
from tests.support import wait_for

pytest.importorskip("uvicorn")
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(line):
    """Start uvicorn on a free port and on the database of this run."""
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        pytest.skip("another process cannot open an in-memory database")
    if line.name != OWN_LINE:
        pytest.skip("tests/contrib/tasks/lazy.py imports the other line")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "tests.contrib.tasks.asgi_app:application"]
    process = subprocess.Popen(
        [*command, f"--port={port}", "--lifespan=off", "--log-level=error"],
        env={**os.environ, "TOOSIMPLEQ_TEST_DATABASE_NAME": connection.settings_dict["NAME"]},
    )
    try:
        wait_for(lambda: listens(port) or process.poll() is not None, timeout=30)
        assert process.poll() is None
        yield lambda path: get(port, path)
    finally:
        process.terminate()
        process.wait(10)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def get(port, path):
    with urlopen(f"http://127.0.0.1:{port}/{path}", timeout=20) as response:
        return json.load(response)


def test_async_views_enqueue_and_read_results(server):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda value: server(f"enqueue/{value}/"), range(24)))

    assert {answer["status"] for answer in answers} == {"READY"}
    assert len({answer["id"] for answer in answers}) == 24
    assert server(f"result/{answers[3]['id']}/") == {"status": "READY", "value": None}

    run_queued()

    for value, answer in enumerate(answers):
        assert server(f"result/{answer['id']}/") == {"status": "SUCCESSFUL", "value": value}


def test_a_view_that_rolls_back_enqueues_nothing(server):
    answer = server("roll-back/")

    with pytest.raises(HTTPError):
        server(f"result/{answer['id']}/")
    assert TaskExec.objects.count() == 0
