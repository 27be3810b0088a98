"""Open each page of the admin again and again: how long it takes, and how many queries."""

import time
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.utils import timezone

from django_toosimple_q.models import ScheduleExec, TaskExec, WorkerStatus
from peers.ours.shop import NAMES, QUEUES

DASHBOARD = "/admin/toosimpleq/"
LIST = f"{DASHBOARD}taskexec/"
TABS = ("", "active", "pending", "future", "failed", "held", "interrupted", "done")


class Counted:
    """Counts the queries of a page and adds up their time, in seconds."""

    def __init__(self) -> None:
        self.queries = 0
        self.seconds = 0.0

    def __call__(self, execute: Any, *statement: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(*statement)
        finally:
            self.queries += 1
            self.seconds += time.perf_counter() - began


def run(rounds: int) -> dict[str, dict[str, Any]]:
    """Return the kind of each page, its milliseconds in each round, and its queries."""
    client = Client()
    client.force_login(get_user_model().objects.get(username="bench"))
    found: dict[str, dict[str, Any]] = {}
    pages = {kind: of() for kind, of in KINDS.items()}
    # The first round is the warm-up.
    for number in range(rounds + 1):
        for kind, addresses in pages.items():
            for name, address in addresses.items():
                one = found.setdefault(name, {"kind": kind, "ms": [], "sql_ms": [], "queries": 0})
                counted, milliseconds = opened(client, address)
                if number:
                    one["ms"].append(milliseconds)
                    one["sql_ms"].append(counted.seconds * 1000)
                    one["queries"] = max(one["queries"], counted.queries)
    return found


def opened(client: Client, address: str) -> tuple[Counted, float]:
    """Open a page, and return its queries and how many milliseconds it took."""
    # There are no workers that send heartbeats.
    WorkerStatus.objects.update(last_tick=timezone.now())
    counted = Counted()
    with connection.execute_wrapper(counted):
        began = time.perf_counter()
        response = client.get(address)
        milliseconds = (time.perf_counter() - began) * 1000
    if response.status_code != 200:
        raise RuntimeError(f"{address} answers {response.status_code}.")
    return counted, milliseconds


def listed(**query: object) -> str:
    return f"{LIST}?{urlencode(query)}"


def dashboards() -> dict[str, str]:
    return {
        **{f"dashboard, {one}": f"{DASHBOARD}?period={one}" for one in ("1h", "24h", "7d")},
        "dashboard, sorted by failures": f"{DASHBOARD}?period=7d&sort=-failures",
    }


def lists() -> dict[str, str]:
    worker = WorkerStatus.objects.order_by("pk")[1].pk
    moment = timezone.now() - timedelta(days=15)
    minutes = {
        "since": moment.isoformat(),
        "until": (moment + timedelta(minutes=15)).isoformat(),
        "attempts": "all",
    }
    filters: dict[str, dict[str, Any]] = {
        "by task": {"task_name": NAMES[7]},
        "by a task without calls": {"task_name": "shop.nothing"},
        "by queue": {"queue": QUEUES[1]},
        "waiting, by queue": {"group": "pending", "queue": QUEUES[1]},
        "by worker": {"worker__id__exact": worker},
        "by error type": {"error_type": "shop.errors.PaymentRefused"},
        "failed for good, by error type": {"group": "failed", "error_type": "builtins.ValueError"},
        "all attempts": {"attempts": "all"},
        "a bar of the dashboard, 15 days ago": minutes,
        **{f"ended in {one}": {"within": one} for one in ("1h", "24h", "7d", "30d")},
        "done in 7d": {"group": "done", "within": "7d"},
        "failed for good in 30d": {"group": "failed", "within": "30d"},
        "done before 15 days ago": {"group": "done", "until": moment.isoformat()},
        "by task, worker and time": {
            "group": "done",
            "task_name": NAMES[3],
            "worker__id__exact": worker,
            "within": "7d",
        },
        "page 200 of done": {"group": "done", "p": 200},
        "page 200 of all": {"p": 200},
    }
    return {
        **{f"tab {name or 'all'}": listed(group=name) for name in TABS},
        **{f"filter: {name}": listed(**query) for name, query in filters.items()},
    }


def searches() -> dict[str, str]:
    last = TaskExec.objects.order_by("-pk").values_list("pk", flat=True)[0]
    texts = {
        "an id": f"#{last - 500_000}",
        "an id without a row": f"#{last * 10}",
        "a common argument": "example.org",
        "one argument": "order=999001,",
        "two words": "order=99 copies",
        "an error type": "PaymentRefused",
        "a task": NAMES[4],
        "what is nowhere": "no such text",
    }
    return {
        **{f"search: {name}": listed(q=text) for name, text in texts.items()},
        "search: what is nowhere, done": listed(group="done", q="no such text"),
        "search: what is nowhere, failed": listed(group="failed", q="no such text"),
        "search: what is nowhere, 30d": listed(within="30d", q="no such text"),
    }


def others() -> dict[str, str]:
    done = TaskExec.objects.filter(attempt=2).order_by("-pk")[0].pk
    failed = TaskExec.objects.filter(state="FAILED", replaced_by=None).order_by("-pk")[0].pk
    often = ScheduleExec.objects.get(name="shop.often").pk
    return {
        "the start page, with our box": "/admin/",
        "a call that was tried twice": f"{LIST}{done}/change/",
        "a call that failed": f"{LIST}{failed}/change/",
        "a schedule": f"{DASHBOARD}scheduleexec/{often}/change/",
        "the schedules": f"{DASHBOARD}scheduleexec/",
        "the queues": f"{DASHBOARD}queuestatus/",
        "the workers": f"{DASHBOARD}workerstatus/",
    }


KINDS = {"dashboard": dashboards, "list": lists, "search": searches, "page": others}
