"""What there is to see: calls of every kind, figures, workers and schedules."""

import random
from datetime import timedelta

from django.contrib.auth.models import Permission, User
from django.utils import timezone

from django_toosimple_q.models import (
    Minute,
    QueueStatus,
    ScheduleExec,
    TaskExec,
    WorkerStatus,
)
from django_toosimple_q.store.minutes import LONG_SPAN, SPAN, minute_of
from tests.browser.shop.tasks import charge, import_products, pack, restock

States = TaskExec.States
PASSWORD = "secret"
REFUSED = "tests.browser.shop.tasks.PaymentRefused"
TRACEBACK = """Traceback (most recent call last):
  File "shop/tasks.py", line 33, in charge
    raise PaymentRefused(f"order {order}: the card has expired")
tests.browser.shop.tasks.PaymentRefused: order 7: the card has expired
"""
LONG = "a_name_without_a_space_that_is_longer_than_any_telephone_is_wide_" * 2


def users() -> None:
    """Make one who may do all, and one who may only look."""
    User.objects.create_superuser("boss", password=PASSWORD)
    viewer = User.objects.create_user("viewer", password=PASSWORD, is_staff=True)
    viewer.user_permissions.set(
        Permission.objects.filter(content_type__app_label="toosimpleq", codename__startswith="view")
    )


def fill(long: str = LONG) -> dict[str, int]:
    """Fill every page, and return the ids of rows with pages of their own.

    `long` is a name that has to be wrapped.
    """
    users()
    now = timezone.now()
    alive = _worker("alpha", last_tick=now)
    _worker("beta", last_tick=now - timedelta(minutes=5), rescued=now - timedelta(minutes=1))
    QueueStatus.objects.create(name="payments", paused=now - timedelta(minutes=4))
    rows = {"done": _done(alive), "failed": _failed(alive, long[:100]), "running": _running(alive)}
    for number in range(4):
        pack.queue(number)
        restock.queue(number, due=now + timedelta(minutes=20 * number + 5))
    charge.queue(99)
    TaskExec.objects.create(task_name=long, queue=long, kwargs={long: long})
    for hold in (True, False):
        _ended(import_products, States.INTERRUPTED, alive, 50, hold=hold, error="its worker died")
    schedule = ScheduleExec.objects.create(
        name="shop.restock", last_due=now - timedelta(hours=1), recent=str(rows["done"])
    )
    ScheduleExec.objects.create(name="shop.nightly_import", paused=now)
    _figures(alive)
    return {**rows, "schedule": schedule.pk, "worker": alive.pk}


def failures(count: int) -> None:
    """Make calls that failed for good."""
    model = charge.queue(0)
    now = timezone.now()
    TaskExec.objects.bulk_create(
        TaskExec(
            task_name=model.task_name,
            queue=model.queue,
            args=[number],
            state=States.FAILED,
            started=now,
            finished=now - timedelta(seconds=number % 3000),
            error=TRACEBACK,
            error_type=REFUSED,
            error_message="the card has expired",
        )
        for number in range(count)
    )
    model.delete()


def _worker(label: str, **fields: object) -> WorkerStatus:
    started = timezone.now() - timedelta(hours=5)
    return WorkerStatus.objects.create(
        label=label, incarnation=label, started=started, host="web-1", pid=4711, **fields
    )


def _ended(task: object, state: str, worker: WorkerStatus, ago: int, **fields: object) -> TaskExec:
    row: TaskExec = task.queue(ago, **({"seconds": 1} if task is import_products else {}))
    end = timezone.now() - timedelta(minutes=ago)
    started = end - timedelta(seconds=ago / 7)
    values = {"state": state, "started": started, "finished": end, "worker_id": worker.pk}
    values["due"] = started - timedelta(seconds=1)
    TaskExec.objects.filter(pk=row.pk).update(**values | fields)
    return row


def _done(worker: WorkerStatus) -> int:
    for ago in range(1, 30):
        row = _ended(
            pack,
            States.SUCCEEDED,
            worker,
            ago,
            result_preview=f"order {ago} is on its way",
            stdout=f"packing order {ago}\n",
        )
    return row.pk


def _failed(worker: WorkerStatus, error_type: str) -> int:
    values = {"error": TRACEBACK, "error_type": REFUSED, "error_message": "the card has expired"}
    for ago in (3, 8, 200, 900):
        _ended(charge, States.FAILED, worker, ago, **values)
    first = _ended(charge, States.FAILED, worker, 12, **values)
    last = _ended(
        charge, States.FAILED, worker, 11, **values, root_id=first.pk, attempt=2, stderr="no\n"
    )
    TaskExec.objects.filter(pk=first.pk).update(replaced_by=last.pk)
    _ended(import_products, States.FAILED, worker, 30, **values | {"error_type": error_type})
    _ended(pack, States.INVALID, worker, 40, error="the code does not define this task")
    return last.pk


def _running(worker: WorkerStatus) -> int:
    row = import_products.queue(400, seconds=1)
    TaskExec.objects.filter(pk=row.pk).update(
        state=States.PROCESSING,
        worker_id=worker.pk,
        started=timezone.now() - timedelta(seconds=95),
        progress_done=120,
        progress_total=400,
        progress_message="reading the catalogue",
        stdout="product 110\nproduct 120\n",
    )
    return row.pk


def _figures(worker: WorkerStatus) -> None:
    dice = random.Random(7)
    now = minute_of(timezone.now())
    for span, first, end in ((SPAN, 0, 110), (LONG_SPAN, 120, 7 * 24 * 60)):
        Minute.objects.bulk_create(
            Minute(
                minute=(now - ago) - (now - ago) % span,
                span=span,
                worker=worker,
                task_name=task.task.name,
                queue=task.task.queue_name,
                done=(done := dice.randint(0, 40 * span)),
                failures=(failures := dice.randint(0, 3)),
                retried=dice.randint(0, 6),
                run_seconds=done * 0.2,
                wait_seconds=done * 0.1,
                **{f"run_{place}": done // 2 for place in (4, 6)},
                **{f"wait_{place}": (done + failures) // 2 for place in (2, 5)},
            )
            for task in (pack, charge, import_products, restock)
            for ago in range(first, end, span)
        )
