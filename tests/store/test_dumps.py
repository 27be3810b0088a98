"""`dumpdata` and `loaddata`: the queue's rows come back as they were."""

import os
import pickle
import tempfile
from base64 import b64encode
from datetime import timedelta
from importlib.util import find_spec

from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django.test import TestCase
from django.utils import timezone

from django_toosimple_q.models import (
    ConcurrencyKey,
    QueueStatus,
    ScheduleExec,
    TaskExec,
    WorkerStatus,
)
from django_toosimple_q.payload import Unreadable
from django_toosimple_q.testing import run_queued
from tests.support import NOW, isolate_registries, make_task, make_worker

MODELS = (TaskExec, ScheduleExec, WorkerStatus, QueueStatus, ConcurrencyKey)


def contents():
    """Return all rows of all tables, column by column, payloads as they are stored."""
    return {
        model.__name__: [
            {field.attname: raw(row, field) for field in model._meta.concrete_fields}
            for row in model._base_manager.order_by("pk")
        ]
        for model in MODELS
    }


def raw(row, field):
    value = row.__dict__[field.attname]
    return getattr(value, "text", value)


class DumpTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        worker = make_worker(included_queues=["a"], timeout=timedelta(seconds=9), tasks=["t"])
        task = make_task(retries=3, unique=True, func=lambda *args, **kwargs: {"a": [args]})
        first = task.queue(1, x="é\x01<&>")
        second = task.queue(2, due=timezone.now() + timedelta(hours=1))
        third = make_task("u", max_running=1).queue(("x" * 5000,))
        TaskExec.objects.filter(pk=first.pk).update(
            state="FAILED", error="Traceback\n  é", replaced_by=second, worker=worker.worker_id
        )
        TaskExec.objects.filter(pk=second.pk).update(root=first, attempt=2)
        row = TaskExec.objects.get(pk=third.pk)
        row.result = {"a": (1, b"2")}
        row.state, row.started, row.finished = "SUCCEEDED", NOW, NOW + timedelta(microseconds=1)
        row.save()
        # A worker's row may be deleted: the calls that it ran keep its number.
        TaskExec.objects.create(task_name="lost", worker_id=10**6, root_id=10**6)
        ScheduleExec.objects.create(name="s", last_due=NOW, last_task=row)
        QueueStatus.objects.create(name="q", paused=NOW)
        ConcurrencyKey.objects.create(name="u", used_until=NOW)

    def round_trip(self, kind, load_twice=False):
        before = contents()
        folder = tempfile.mkdtemp()
        path = os.path.join(folder, f"dump.{kind}")
        call_command("dumpdata", "toosimpleq", format=kind, output=path, verbosity=0)
        for model in MODELS:
            model._base_manager.all().delete()
        for _ in range(1 + load_twice):
            call_command("loaddata", path, verbosity=0)
        self.assertEqual(contents(), before)

    def test_what_a_task_prints_is_dumped_whatever_is_in_it(self):
        # The XML of Django drops white space at the end.
        make_task("prints", lambda: print("\x1b[1mbold\x07\ufffe", end="")).queue()
        make_task("returns", lambda: "\x00\x08\x0c").queue()
        run_queued()

        self.round_trip("xml")

        rows = {row.task_name: row for row in TaskExec.objects.all()}
        self.assertEqual(rows["prints"].stdout, r"\x1b[1mbold\x07\ufffe")
        self.assertEqual(rows["returns"].result_preview, r"\x00\x08\x0c")

    def test_every_format_gives_them_back(self):
        for kind in ("json", "jsonl", "xml", *(["yaml"] if find_spec("yaml") else [])):
            with self.subTest(kind):
                self.round_trip(kind)

    def test_a_second_load_writes_over_the_rows_that_are_there(self):
        self.round_trip("json", load_twice=True)

    def test_what_comes_back_runs(self):
        make_task("v", func=lambda x: [x]).queue(5)
        self.round_trip("json")

        ran = run_queued()

        self.assertEqual([row.result for row in ran if row.task_name == "v"], [[5]])

    def test_a_number_and_a_date_are_dumped_sealed(self):
        for value in (5, 1.5, NOW, None, "text", True):
            with self.subTest(value=value):
                row = TaskExec.objects.create(task_name="t", result=value, state="SUCCEEDED")
                self.round_trip("json")
                self.assertEqual(TaskExec.objects.get(pk=row.pk).result, value)


class ValuesTests(TestCase):
    """Payloads in values() and values_list(), as they were in django-toosimple-q 1.x."""

    def setUp(self):
        isolate_registries(self)
        self.row = make_task(func=lambda a, b: {"sum": a + b}).queue(1, b=2)
        run_queued()
        self.rows = TaskExec.objects.filter(pk=self.row.pk)

    def test_they_are_values(self):
        result = {"sum": 3}

        self.assertEqual(self.rows.values("args", "pk").get(), {"args": [1], "pk": self.row.pk})
        self.assertEqual(list(self.rows.values_list("result", flat=True)), [result])
        self.assertEqual(list(self.rows.values_list("kwargs", "result")), [({"b": 2}, result)])
        self.assertEqual(self.rows.values_list("result", named=True).get().result, result)
        self.assertEqual(self.rows.values().first()["result"], result)
        self.assertEqual(list(self.rows.values("result").iterator()), [{"result": result}])
        self.assertEqual(self.rows.values_list("result", "args")[0], (result, [1]))
        self.assertEqual(list(self.rows.values_list("state", flat=True)), ["SUCCEEDED"])
        self.assertEqual(list(self.rows.annotate(r=F("result")).values_list("r")), [(result,)])

    def test_a_forged_one_is_never_unpickled(self):
        other = make_task("u").queue([9])
        stored = TaskExec.objects.get(pk=other.pk).__dict__["args"].text
        for forged in (
            b64encode(pickle.dumps(Bomb())).decode(),
            f"v1.{b64encode(pickle.dumps(Bomb())).decode()}.AAAA",
            stored,  # of another field
        ):
            with self.subTest(forged[:20]), connection.cursor() as cursor:
                cursor.execute("UPDATE toosimpleq_taskexec SET result = %s", [forged])

                [result] = self.rows.values_list("result", flat=True)

                self.assertIsInstance(result, Unreadable)

    def test_of_another_task_it_is_refused_where_the_row_is_known(self):
        other = make_task("u").queue(9)
        stored = TaskExec.objects.get(pk=other.pk).__dict__["args"].text
        with connection.cursor() as cursor:
            cursor.execute("UPDATE toosimpleq_taskexec SET args = %s", [stored])

        self.assertIn("another task", str(self.rows.get().args))


class Bomb:
    def __reduce__(self):
        return exploded, ()


def exploded():
    raise AssertionError("it was unpickled")
