"""What is measured side by side: each queue's worker, as its documentation starts it."""

import signal
from dataclasses import dataclass, field

BOTH = ("postgresql", "sqlite")
OURS = ("-m", "django", "worker", "-v0")


@dataclass(frozen=True)
class Contestant:
    """One row of the table.

    peer: its folder under peers/. worker: what comes after the interpreter; none for what has no
    worker. share: of --tasks, so that all of them take about as long. stop: what ends the worker.
    """

    peer: str
    worker: tuple[str, ...] = ()
    share: float = 1.0
    environment: dict[str, str] = field(default_factory=dict)
    processes: int = 1
    databases: tuple[str, ...] = BOTH
    redis: bool = False
    stop: signal.Signals = signal.SIGTERM

    @property
    def venv(self) -> str:
        """Return the environment it runs in: the limit is measured in ours."""
        return "ours" if self.peer == "limit" else self.peer


def _django(*arguments: str) -> tuple[str, ...]:
    return ("-m", "django", *arguments)


def _celery(*options: str, **environment: str) -> Contestant:
    worker = ("-m", "celery", "-A", "peers.celery_redis.app", "worker", "--concurrency=1")
    # Which database the site has is nothing to it: measured beside one of them only.
    return Contestant(
        "celery_redis",
        (*worker, *options),
        0.08,
        environment,
        databases=("postgresql",),
        redis=True,
    )


CONTESTANTS = {
    "ours": Contestant("ours", OURS),
    "ours-atomic": Contestant("ours", OURS, 0.06, {"BENCH_ATOMIC": "1"}),
    "ours-2-processes": Contestant("ours", (*OURS, "--processes=2"), processes=2),
    "toosimpleq-1": Contestant("toosimpleq_1", _django("worker", "-v0"), 0.01, stop=signal.SIGINT),
    "tasks-db": Contestant("tasks_db", _django("db_worker", "-v0"), 0.01),
    "taskq": Contestant("django_taskq", _django("taskq"), 0.03),
    "dj-queue": Contestant("djqueue", _django("dj_queue"), 0.03),
    "dj-queue-3-threads": Contestant("djqueue", _django("dj_queue"), 0.03, {"BENCH_THREADS": "3"}),
    "steady-queue": Contestant("steadyqueue", _django("steady_queue"), 0.02),
    "steady-queue-3-threads": Contestant(
        "steadyqueue", _django("steady_queue"), 0.02, {"BENCH_THREADS": "3"}
    ),
    "procrastinate": Contestant(
        "procrastinate_django",
        _django("procrastinate", "worker"),
        0.03,
        {"BENCH_COROUTINE": "1"},
        databases=("postgresql",),
    ),
    "procrastinate-plain": Contestant(
        "procrastinate_django",
        _django("procrastinate", "worker"),
        0.03,
        databases=("postgresql",),
    ),
    "django-q2": Contestant("djangoq2", _django("qcluster"), 0.02),
    "huey-database": Contestant(
        "huey_django", _django("run_huey", "--quiet"), 0.05, stop=signal.SIGINT
    ),
    "huey-redis": Contestant(
        "huey_django",
        _django("run_huey", "--quiet"),
        0.1,
        {"BENCH_HUEY_STORAGE": "redis"},
        databases=("postgresql",),
        redis=True,
        stop=signal.SIGINT,
    ),
    "celery": _celery(),
    "celery-late": _celery(BENCH_ACKS_LATE="1"),
    "celery-solo": _celery("--pool=solo"),
    "create": Contestant("limit"),
    "raw": Contestant("limit", databases=("postgresql",)),
}

NOTES = {
    "ours-atomic": "`atomic=True`: effects and outcome in one commit, task by task",
    "dj-queue": "one thread; -3-threads is its default",
    "steady-queue": "one thread; -3-threads is its default",
    "procrastinate": "the task is a coroutine; -plain is a plain function, run in a thread",
    "celery": "keeps nothing on disk; -late acknowledges after the run; -solo does not fork",
    "create": "Django's `Model.objects.create` on an equal table: the limit of `queue()`",
    "raw": "psycopg alone, batches of 50, one statement and one commit each, on our table",
}
