"""The contestants: each queue's worker, started as its documentation says."""

import signal
from dataclasses import dataclass, field

BOTH = ("postgresql", "sqlite")
OURS = ("-m", "django", "worker", "-v0")


@dataclass(frozen=True)
class Contestant:
    """One row of the table.

    peer: its folder under peers/. worker: the arguments of the interpreter, or none without a
    worker. share: its share of the number of tasks that ours gets, so that all take about as long.
    installed: its environment, if that is not the peer's. stop: the signal that ends the worker.
    """

    peer: str
    worker: tuple[str, ...] = ()
    share: float = 1.0
    environment: dict[str, str] = field(default_factory=dict)
    processes: int = 1
    databases: tuple[str, ...] = BOTH
    redis: bool = False
    stop: signal.Signals = signal.SIGTERM
    installed: str = ""

    @property
    def venv(self) -> str:
        """Return the environment it runs in."""
        return self.installed or self.peer


def _django(*arguments: str) -> tuple[str, ...]:
    return ("-m", "django", *arguments)


def _celery(*options: str, **environment: str) -> Contestant:
    worker = ("-m", "celery", "-A", "peers.celery_redis.app", "worker", "--concurrency=1")
    # It does not depend on the site's database, so it is measured beside one of them only.
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
    "ours-atomic": Contestant("ours", OURS, 0.06, {"BENCH_ATOMIC": "1"}, databases=("postgresql",)),
    "toosimpleq-1": Contestant("toosimpleq_1", _django("worker", "-v0"), 0.01, stop=signal.SIGINT),
    "tasks-db": Contestant("tasks_db", _django("db_worker", "-v0"), 0.02),
    "taskq": Contestant("django_taskq", _django("taskq"), 0.03),
    "dj-queue": Contestant("djqueue", _django("dj_queue"), 0.02),
    "dj-queue-3-threads": Contestant("djqueue", _django("dj_queue"), 0.03, {"BENCH_THREADS": "3"}),
    "steady-queue": Contestant("steadyqueue", _django("steady_queue"), 0.006),
    "steady-queue-3-threads": Contestant(
        "steadyqueue", _django("steady_queue"), 0.01, {"BENCH_THREADS": "3"}
    ),
    "procrastinate": Contestant(
        "procrastinate_django",
        _django("procrastinate", "worker"),
        0.02,
        {"BENCH_COROUTINE": "1"},
        databases=("postgresql",),
    ),
    "procrastinate-plain": Contestant(
        "procrastinate_django",
        _django("procrastinate", "worker"),
        0.02,
        databases=("postgresql",),
    ),
    "django-q2": Contestant("djangoq2", _django("qcluster"), 0.03),
    "huey-database": Contestant(
        "huey_django", _django("run_huey", "--quiet"), 0.04, stop=signal.SIGINT
    ),
    "huey-redis": Contestant(
        "huey_django",
        _django("run_huey", "--quiet"),
        0.15,
        {"BENCH_HUEY_STORAGE": "redis"},
        databases=("postgresql",),
        redis=True,
        stop=signal.SIGINT,
    ),
    "celery": _celery(),
    "celery-late": _celery(BENCH_ACKS_LATE="1"),
    "celery-solo": _celery("--pool=solo"),
    "raw": Contestant("limit", databases=("postgresql",), installed="ours"),
}
LIMIT = CONTESTANTS["raw"]
