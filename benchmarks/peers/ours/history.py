"""Fill the tables as after 30 days of work: calls of every kind, figures by minute, workers."""

from datetime import timedelta

from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone

from django_toosimple_q.models import Minute, QueueStatus, ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.store import schedule_execs
from django_toosimple_q.store.minutes import COLUMNS, LONG_SPAN, SPAN, minute_of
from peers.ours.shop import NAMES, QUEUES
from peers.ours.tasks import noop

DAYS = 30
WORKERS = 4
QUARTERS = DAYS * 24 * 4
MINUTES = 120
LINES = "\\n".join(f"line {number} of what the task printed" for number in range(6))

# What is computed of each number `n`: 1 is the oldest row, `total` the newest. A thousand rows
# hold 20 that wait, 20 that are due later, and 960 that ended. Of these, 40 are pairs of a failure
# and its retry, 25 failed for good, 1 is invalid, 2 are held and 3 are interrupted.
CALLS = """
    INSERT INTO toosimpleq_taskexec ({columns})
    SELECT {values} FROM toosimpleq_taskexec row, (
        SELECT n, n %% 1000 AS part, md5(n::text) AS salt,
               NOW() - (%(total)s - n) * (INTERVAL '1 day' * %(days)s / %(total)s) AS moment
        FROM generate_series(1, %(total)s) AS n
    ) AS made WHERE row.id = %(pk)s
"""
RETRIED = "(part BETWEEN 1 AND 80 AND part %% 2 = 1)"
RETRY = "(part BETWEEN 1 AND 80 AND part %% 2 = 0)"
FAILED = "part BETWEEN 81 AND 105"
STATE = f"""CASE
    WHEN {RETRIED} THEN 'FAILED' WHEN {RETRY} THEN 'SUCCEEDED'
    WHEN {FAILED} THEN 'FAILED' WHEN part = 106 THEN 'INVALID'
    WHEN part BETWEEN 107 AND 111 THEN 'INTERRUPTED'
    WHEN part BETWEEN 200 AND 219 THEN 'SLEEPING'
    WHEN part BETWEEN 300 AND 319 THEN 'QUEUED'
    ELSE 'SUCCEEDED' END"""
ENDED = "part NOT BETWEEN 200 AND 219 AND part NOT BETWEEN 300 AND 319"
ERROR = f"({RETRIED} OR {FAILED})"
ERROR_TYPE = (
    "(ARRAY['builtins.ConnectionError', 'builtins.ValueError', 'builtins.TimeoutError',"
    " 'shop.errors.PaymentRefused', 'shop.errors.OutOfStock'])[1 + n %% 5]"
)
# Of a pair, the retry has the id after that of the failure.
BASE = "%(pk)s + n"
VALUES = {
    "id": BASE,
    "task_name": f"(ARRAY{list(NAMES)!r})[1 + (n / 2) %% {len(NAMES)}]",
    "queue": f"(ARRAY{list(QUEUES)!r})[1 + (n / 2) %% {len(QUEUES)}]",
    "arguments_preview": "'order=' || n || ', customer=''' || salt || '@example.org'', copies=3'",
    "state": STATE,
    "attempt": f"CASE WHEN {RETRY} THEN 2 ELSE 1 END",
    "root_id": f"CASE WHEN {RETRY} THEN {BASE} - 1 END",
    "replaced_by_id": f"CASE WHEN {RETRIED} THEN {BASE} + 1 END",
    "hold": "part BETWEEN 107 AND 108",
    "due": "CASE WHEN part BETWEEN 200 AND 219 THEN NOW() + n * INTERVAL '1 s' ELSE moment END",
    "created": "moment",
    "started": f"CASE WHEN {ENDED} THEN moment + INTERVAL '1 s' END",
    "finished": f"CASE WHEN {ENDED} THEN moment + INTERVAL '3 s' END",
    "worker_id": f"CASE WHEN {ENDED} THEN 1 + n %% {WORKERS} END",
    "error": f"CASE WHEN {ERROR} THEN repeat('a line of a traceback ' || salt || E'\\n', 30) END",
    "error_type": f"CASE WHEN {ERROR} THEN {ERROR_TYPE} ELSE '' END",
    "error_message": f"CASE WHEN {ERROR} THEN 'no answer of host ' || salt ELSE '' END",
    "result_preview": f"CASE WHEN {ENDED} THEN 'order ' || n || ' is on its way' END",
    "stdout": f"CASE WHEN n %% 3 = 0 THEN E'{LINES}' ELSE '' END",
}
FIGURES = """
    INSERT INTO toosimpleq_minute (minute, span, task_name, queue, worker_id, {columns})
    SELECT %(now)s - n * {span}, {span}, name, (ARRAY{queues})[1 + number %% {several}], worker,
           {values}
    FROM generate_series({first}, {last}) AS n, generate_series(1, {workers}) AS worker,
         unnest(ARRAY{names}) WITH ORDINALITY AS task(name, number)
"""


def run(count: int) -> int:
    """Fill the tables with this many calls, and return the number of rows."""
    get_user_model().objects.create_superuser("bench", password="bench")
    _workers()
    row = noop.queue(-1)
    names = [field.column for field in TaskExec._meta.concrete_fields]
    values = [VALUES.get(name, f"row.{name}") for name in names]
    with connection.cursor() as cursor:
        sql = CALLS.format(columns=", ".join(names), values=", ".join(values))
        cursor.execute(sql, {"total": count, "days": DAYS, "pk": row.pk})
        cursor.execute(
            "SELECT setval(pg_get_serial_sequence('toosimpleq_taskexec', 'id'), MAX(id))"
            " FROM toosimpleq_taskexec"
        )
    row.delete()
    _running()
    _schedules()
    _figures()
    return TaskExec.objects.count()


def _workers() -> None:
    now = timezone.now()
    WorkerStatus.objects.bulk_create(
        WorkerStatus(
            pk=number, label=f"worker {number}", started=now - timedelta(days=1), last_tick=now
        )
        for number in range(1, WORKERS + 1)
    )
    QueueStatus.objects.bulk_create(QueueStatus(name=name) for name in QUEUES)


def _running() -> None:
    """Let the workers have claimed some of what waits."""
    waiting = TaskExec.objects.filter(state=TaskExec.States.QUEUED).order_by("-pk")
    some = list(waiting.values_list("pk", flat=True)[: 4 * WORKERS])
    TaskExec.objects.filter(pk__in=some).update(
        state=TaskExec.States.PROCESSING, worker_id=1, started=timezone.now()
    )


def _schedules() -> None:
    """Store the schedules, each with its last ten calls."""
    schedules = list(schedules_registry.values())
    schedule_execs.sync(schedules, [one.name for one in schedules], timezone.now())
    newest = TaskExec.objects.filter(state=TaskExec.States.SUCCEEDED).order_by("-pk")
    ids = list(newest.values_list("pk", flat=True)[:10])
    ScheduleExec.objects.update(recent=" ".join(map(str, ids)), last_task_id=ids[0])


def _figures() -> None:
    """Store figures by the minute for two hours, and by the quarter of an hour before."""
    now = minute_of(timezone.now())
    counts = {"run_seconds": "40.0", "wait_seconds": "20.0"}
    values = [counts.get(name, f"(n + number + {at}) %% 7") for at, name in enumerate(COLUMNS)]
    kinds = (
        {"span": SPAN, "first": 0, "last": MINUTES, "workers": WORKERS},
        {"span": LONG_SPAN, "first": MINUTES // LONG_SPAN + 1, "last": QUARTERS, "workers": 1},
    )
    with connection.cursor() as cursor:
        for kind in kinds:
            sql = FIGURES.format(
                columns=", ".join(COLUMNS),
                values=", ".join(values),
                names=list(NAMES),
                queues=list(QUEUES),
                several=len(QUEUES),
                **kind,
            )
            cursor.execute(sql, {"now": now - now % kind["span"]})
    assert Minute.objects.exists()
