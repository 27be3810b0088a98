"""Rows of models as arguments: loaded again when the task runs."""

import pickle
from dataclasses import dataclass

from django.contrib.auth.models import Group, User
from django.db import DatabaseError, connection
from django.test import TestCase, override_settings

from django_toosimple_q import payload, references
from django_toosimple_q.exceptions import InvalidArguments, InvalidDefinition
from django_toosimple_q.models import TaskExec
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.testing import assert_queued, run_queued
from tests.app.models import Effect, EffectProxy
from tests.support import isolate_registries, make_task, reload


@dataclass
class Order:
    effect: Effect
    notes: list


class WriteRouter:
    """Reads from a replica, writes to the one database that there is."""

    def db_for_write(self, model, **hints):
        return "default"


class ReferenceTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.effect = Effect.objects.create(key="old")
        self.seen = []

    def run_with(self, *args, func=None, **kwargs):
        """Queue a call, change the row, run the call, and return the call's row."""
        tasks_registry.clear()
        make_task(func=func or (lambda *args, **kwargs: self.seen.append((args, kwargs))))
        row = tasks_registry["t"].queue(*args, **kwargs)
        Effect.objects.filter(pk=self.effect.pk).update(key="new")
        run_queued()
        return reload(row)

    def test_the_task_sees_the_row_as_it_is_now(self):
        row = self.run_with(self.effect)

        [((effect,), _)] = self.seen
        self.assertEqual((row.state, effect.key, effect), ("SUCCEEDED", "new", self.effect))
        self.assertIs(type(effect), Effect)

    def test_wherever_it_is_in_an_argument(self):
        for wrap, unwrap in (
            (lambda one: [one, one], lambda value: value[1]),
            (lambda one: {"a": (one,)}, lambda value: value["a"][0]),
            (lambda one: Order(one, [1]), lambda value: value.effect),
            (lambda one: Order(None, [{"x": one}]), lambda value: value.notes[0]["x"]),
        ):
            self.seen.clear()
            self.run_with(wrap(self.effect))
            self.run_with(x=wrap(self.effect))

            [((value,), _), (_, kwargs)] = self.seen
            self.assertEqual([unwrap(value).key, unwrap(kwargs["x"]).key], ["new", "new"])

    def test_deferred_and_proxied_rows_come_back_whole(self):
        deferred = Effect.objects.defer("key").get()
        proxy = EffectProxy.objects.get()

        self.run_with(deferred, proxy)

        [((one, other), _)] = self.seen
        self.assertEqual((one.get_deferred_fields(), one.key), (set(), "new"))
        self.assertEqual((type(other), other.key), (EffectProxy, "new"))

    def test_what_is_stored_is_a_reference_alone(self):
        row = make_task().queue(self.effect)

        with self.assertNumQueries(1):
            [shown] = TaskExec.objects.get(pk=row.pk).args
        self.assertEqual(shown, self.effect)
        self.assertEqual(repr(shown), f"<tests_app.effect {self.effect.pk}>")
        self.assertEqual(shown.get(), self.effect)
        self.assertNotEqual(shown, Effect.objects.create(key="other"))
        assert_queued(tasks_registry["t"], self.effect)

    def test_it_can_be_queued_again_as_it_was_read(self):
        make_task(func=lambda effect: self.seen.append(effect.key))
        row = make_task("first").queue(self.effect)

        tasks_registry["t"].queue(*reload(row).args)
        run_queued()

        self.assertEqual(self.seen, ["old"])

    def test_a_row_that_is_gone_cancels_the_call(self):
        make_task(retries=3).queue([self.effect])
        self.effect.delete()

        [row] = run_queued()

        self.assertEqual((row.state, row.replaced_by_id), ("FAILED", None))
        self.assertRegex(
            row.error, r"RowGone: tests_app.Effect \d+ is gone from the database 'default'"
        )

    def test_by_option_it_is_a_failure_like_any_other(self):
        make_task(retries=1, on_missing_row="fail").queue(self.effect)
        pk = self.effect.pk
        self.effect.delete()

        rows = run_queued()

        self.assertEqual([row.state for row in rows], ["FAILED", "FAILED"])
        self.assertIn(f"{pk} is gone", rows[0].error)
        with self.assertRaisesRegex(InvalidDefinition, "on_missing_row"):
            make_task("u", on_missing_row="ignore")

    def test_an_unsaved_row_is_refused_with_the_cure(self):
        for unsaved in (Effect(key="x"), Effect(pk=5, key="x")):
            with self.assertRaisesRegex(
                InvalidArguments, "number 1, .*unsaved tests_app.Effect.*Save it before"
            ):
                make_task().queue([unsaved])
        deleted = Effect.objects.create(key="x")
        deleted.delete()
        with self.assertRaisesRegex(InvalidArguments, "argument 'a', .*Save it before"):
            tasks_registry["t"].queue(a=deleted)

    def test_a_queryset_is_refused_with_the_cure(self):
        with self.assertRaisesRegex(InvalidArguments, "QuerySet of tests_app.Effect.*Pass ids"):
            make_task().queue(Effect.objects.all())

    def test_unique_calls_are_compared_by_their_reference(self):
        task = make_task(unique=True)
        first = task.queue(self.effect)
        Effect.objects.update(key="new")

        self.assertEqual(task.queue(Effect.objects.get()).pk, first.pk)
        self.assertNotEqual(task.queue(Effect.objects.create(key="old")).pk, first.pk)
        self.assertNotEqual(task.queue(EffectProxy.objects.get(key="new")).pk, first.pk)
        with self.assertRaisesRegex(InvalidArguments, "Save it before"):
            task.queue(Effect(key="old"))

    def test_a_row_of_a_model_with_parents_comes_back_as_it_was(self):
        user = User.objects.create_user("someone")
        group = Group.objects.create(name="staff")

        self.run_with({user.username: user, "groups": [group]})

        [((value,), _)] = self.seen
        self.assertEqual((value["someone"], value["groups"]), (user, [group]))

    @override_settings(DATABASE_ROUTERS=["tests.worker.test_references.WriteRouter"])
    def test_it_is_loaded_from_where_it_is_written(self):
        self.effect._state.db = "replica"

        reference = references.reference_to(self.effect)

        self.assertEqual(reference.database, "default")

    def test_a_pickled_row_of_an_older_release_still_runs(self):
        make_task(func=lambda effect: self.seen.append(effect.key))
        row = tasks_registry["t"].queue(None)
        pickled = payload.b2a_base64(pickle.dumps([self.effect]), newline=False).decode()
        sealed = payload.seal_unsigned(pickled, "args", "t")
        TaskExec.objects.filter(pk=row.pk).update(state="QUEUED")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE toosimpleq_taskexec SET args = %s", [sealed])

        run_queued()

        self.assertEqual(self.seen, ["old"])

    def test_a_database_that_fails_as_it_is_loaded_is_the_task_s_failure(self):
        make_task(retries=1).queue(self.effect)

        with connection.execute_wrapper(broken_for("app_effect")):
            rows = run_queued()

        self.assertEqual([row.state for row in rows], ["FAILED", "FAILED"])
        self.assertIn("DatabaseError: no", rows[0].error)

    def test_a_result_is_kept_as_it_was_returned(self):
        row = self.run_with(func=lambda: Effect.objects.get())
        Effect.objects.update(key="newer")

        self.assertEqual(row.result.key, "new")

    def test_plain_arguments_are_pickled_by_the_driver_alone(self):
        for value in ([], [1, "a"], {"a": None, "b": b"x"}):
            self.assertEqual(references.dumps(value, 5), pickle.dumps(value, 5))


def broken_for(table):
    def wrap(execute, sql, params, many, context):
        if sql.startswith("SELECT") and table in sql:
            raise DatabaseError("no")
        return execute(sql, params, many, context)

    return wrap
