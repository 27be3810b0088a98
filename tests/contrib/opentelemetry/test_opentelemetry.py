"""Traces: a span for what queues a call, and one for each attempt, which links to it."""

import threading
from datetime import timedelta
from unittest import mock

from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.test import SimpleTestCase, TestCase, TransactionTestCase
from django.test.utils import CaptureQueriesContext
from opentelemetry import baggage, context, trace
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.span import TraceState

from django_toosimple_q import Cancel
from django_toosimple_q.contrib.opentelemetry import attempts, enqueues
from django_toosimple_q.contrib.opentelemetry import context as contexts
from django_toosimple_q.contrib.opentelemetry.connect import connect, disconnect
from django_toosimple_q.decorators import register_task, schedule_task
from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.store import insert, requeue_many, schedule_execs, task_execs
from tests.contrib.opentelemetry.spans import collect_spans, exporter, span, spans, tracer
from tests.support import NOW, claim, claimed, isolate_registries, make_task, make_worker, reload

SECRET = "hunter2"


def linked(attempt):
    """Return the ids of the spans that a span links to."""
    return [one.context.span_id for one in attempt.links]


class SpanCase(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)
        collect_spans(self)

    def drain(self, *options):
        call_command("worker", "--until_done", "--no_schedules", "-v0", *options)

    def assert_linked(self, attempt, enqueue):
        self.assertEqual(linked(attempt), [enqueue.context.span_id])
        self.assertEqual(attempt.links[0].context.trace_id, enqueue.context.trace_id)
        self.assertIsNone(attempt.parent)
        self.assertNotEqual(attempt.context.trace_id, enqueue.context.trace_id)


class EnqueueTests(SpanCase):
    def test_a_call_is_a_span_below_the_current_one(self):
        task = make_task().using(queue="mail")

        with tracer.start_as_current_span("request") as request:
            row = task.queue(1)
            self.assertIs(trace.get_current_span(), request)

        found = span("enqueue t")
        self.assertEqual(found.kind, SpanKind.PRODUCER)
        self.assertEqual(found.parent.span_id, request.get_span_context().span_id)
        self.assertEqual(found.status.status_code, StatusCode.UNSET)
        self.assertEqual(found.instrumentation_scope.schema_url, contexts.SCHEMA_URL)
        self.assertEqual(
            dict(found.attributes),
            {
                "messaging.system": "toosimpleq",
                "messaging.operation.name": "enqueue",
                "messaging.operation.type": "send",
                "messaging.destination.name": "mail",
                "messaging.message.id": str(row.pk),
                "messaging.message.conversation_id": str(row.pk),
                "messaging.toosimpleq.task": "t",
            },
        )
        self.assertIn(f"{found.context.span_id:016x}", reload(row).trace_context)

    def test_a_call_from_a_coroutine_is_below_the_span_of_the_coroutine(self):
        task = make_task()

        async def view():
            with tracer.start_as_current_span("request") as request:
                await task.aqueue(1)
            return request

        request = async_to_sync(view)()

        self.assertEqual(span("enqueue t").parent.span_id, request.get_span_context().span_id)

    def test_calls_that_are_queued_together_have_one_span(self):
        rows = make_task().queue_many(range(300))

        found = span("enqueue t")
        self.assertEqual(found.attributes["messaging.batch.message_count"], 300)
        self.assertNotIn("messaging.message.id", found.attributes)
        self.assertEqual({reload(row).trace_context for row in rows}, {rows[0].trace_context})

    def test_statements_belong_to_the_span(self):
        with mock.patch.object(insert, "_insert", wraps=insert._insert) as insertion:
            insertion.side_effect = lambda *a, **k: self.seen.append(trace.get_current_span())
            self.seen = []
            with self.assertRaises(TypeError):
                make_task().queue()

        self.assertEqual(self.seen[0].name, "enqueue t")

    def test_a_call_that_the_database_refuses_is_an_error_without_its_text(self):
        with (
            mock.patch.object(insert, "_insert", side_effect=DatabaseError(SECRET)),
            self.assertRaises(DatabaseError),
        ):
            make_task().queue(SECRET)

        found = span("enqueue t")
        self.assertEqual(found.status.status_code, StatusCode.ERROR)
        self.assertEqual(found.attributes["error.type"], "django.db.utils.DatabaseError")
        self.assertNotIn(SECRET, found.to_json())

    def test_a_provider_that_raises_keeps_no_call_from_the_queue(self):
        for hook in ("on_start", "on_end"):
            with (
                self.subTest(hook),
                mock.patch.object(exporter.processor, hook, side_effect=ZeroDivisionError),
                self.assertLogs(enqueues.logger, "ERROR"),
            ):
                row = make_task().queue()

                self.assertEqual(reload(row).state, "QUEUED")

    def test_a_call_that_merges_into_one_that_waits_names_that_one(self):
        task = make_task(unique=True)
        first = task.queue(1)

        task.queue(1)

        self.drain()
        one, two = spans("enqueue t")
        self.assertEqual(two.attributes["messaging.message.id"], str(first.pk))
        self.assert_linked(span("run t"), one)

    def test_a_schedule_begins_a_trace(self):
        schedule_task(name="s", cron="* * * * *")(make_task())
        ScheduleExec.objects.create(name="s", last_due=NOW - timedelta(minutes=1))
        due = schedule_execs.DueSchedule(schedules_registry["s"], NOW - timedelta(minutes=1), [NOW])
        schedule_execs.advance([due], NOW)
        self.drain()

        self.assertIsNone(span("enqueue t").parent)
        self.assert_linked(span("run t"), span("enqueue t"))

    def test_what_is_queued_again_by_hand_is_linked_to_that(self):
        make_task(func=lambda: 1 / 0).queue()
        self.drain()
        [old] = TaskExec.objects.all()

        for again in (
            lambda: task_execs.requeue(old, NOW),
            lambda: requeue_many.requeue_many([TaskExec.objects.latest("pk").pk], NOW),
        ):
            exporter.clear()
            again()
            self.drain()
            self.assert_linked(span("run t"), span("enqueue t"))
            self.assertEqual(
                span("enqueue t").attributes["messaging.message.conversation_id"], str(old.pk)
            )


class AttemptTests(SpanCase):
    def test_an_attempt_is_the_root_of_a_trace_and_linked_to_what_queued_it(self):
        seen = []
        task = make_task(func=lambda: seen.append(trace.get_current_span()))
        row = task.queue()

        with tracer.start_as_current_span("the worker's own"):
            self.drain()

        found = span("run t")
        self.assertEqual(found.kind, SpanKind.CONSUMER)
        self.assert_linked(found, span("enqueue t"))
        self.assertEqual(found.status.status_code, StatusCode.UNSET)
        attributes = dict(found.attributes)
        self.assertIn("-", attributes.pop("messaging.client.id"))
        self.assertEqual(
            attributes,
            {
                "messaging.system": "toosimpleq",
                "messaging.operation.name": "run",
                "messaging.operation.type": "process",
                "messaging.destination.name": "default",
                "messaging.message.id": str(row.pk),
                "messaging.message.conversation_id": str(row.pk),
                "messaging.toosimpleq.task": "t",
                "messaging.toosimpleq.attempt": 1,
                "messaging.toosimpleq.state": "SUCCEEDED",
            },
        )
        self.assertEqual(seen[0].get_span_context(), found.context)

    def test_what_plain_atomic_and_async_tasks_do_is_below_their_attempt(self):
        def work():
            with tracer.start_as_current_span("inside"):
                pass

        async def work_async():
            work()

        tasks = {
            "plain": make_task("plain", work),
            "atomic": make_task("atomic", lambda: work(), atomic=True),
            "async": make_task("async", work_async),
        }
        for name, task in tasks.items():
            with self.subTest(name=name):
                exporter.clear()
                task.queue_many([()] * 3)

                self.drain()

                found = {one.context.span_id for one in spans(f"run {name}")}
                inside = [one.parent.span_id for one in spans("inside")]
                self.assertEqual(len(found), 3)
                self.assertEqual(sorted(inside), sorted(found))

    def test_a_call_from_a_task_is_below_its_attempt(self):
        inner = make_task("inner")
        make_task(func=lambda: inner.queue() and None).queue()

        self.drain()

        self.assertEqual(span("enqueue inner").parent.span_id, span("run t").context.span_id)
        self.assert_linked(span("run inner"), span("enqueue inner"))

    def test_each_attempt_is_linked_to_what_queued_the_call(self):
        def work():
            raise ValueError("no luck")

        row = make_task(func=work, retries=2).queue()

        self.drain()

        found = spans("run t")
        self.assertEqual(
            [one.attributes["messaging.toosimpleq.attempt"] for one in found], [1, 2, 3]
        )
        for one in found:
            self.assert_linked(one, span("enqueue t"))
            self.assertEqual(one.status.status_code, StatusCode.ERROR)
            self.assertEqual(one.status.description, "builtins.ValueError: no luck")
            self.assertEqual(one.attributes["error.type"], "builtins.ValueError")
            self.assertEqual(one.attributes["messaging.message.conversation_id"], str(row.pk))
            [event] = one.events
            self.assertEqual(event.attributes["exception.message"], "no luck")
            self.assertIn("in work", event.attributes["exception.stacktrace"])

    def test_what_replaces_the_call_of_a_dead_worker_is_linked_to_what_queued_it(self):
        make_task().queue()
        worker = make_worker()
        claim(worker)
        WorkerStatus.objects.update(rescued=NOW, stopped=NOW)
        task_execs.rescue(NOW)

        self.drain()

        self.assert_linked(span("run t"), span("enqueue t"))
        self.assertEqual(span("run t").attributes["messaging.toosimpleq.attempt"], 2)

    def test_a_task_that_gives_up_is_an_error_and_one_that_was_cut_off_too(self):
        def give_up():
            raise Cancel("not today")

        make_task("gives up", give_up).queue()
        make_task("late").using(expires=NOW + timedelta(days=-1)).queue()
        self.drain()

        self.assertEqual(span("run gives up").status.status_code, StatusCode.ERROR)
        late = span("run late")
        self.assertEqual(late.status.status_code, StatusCode.ERROR)
        self.assertIn("expired", late.status.description)
        self.assertEqual(late.attributes["error.type"], "INTERRUPTED")

    def test_a_call_that_was_queued_without_a_trace_has_no_link(self):
        disconnect()
        row = make_task().queue()
        connect()

        self.drain()

        self.assertEqual(linked(span("run t")), [])
        self.assertIsNone(reload(row).trace_context)

    def test_sensitive_arguments_are_in_no_span(self):
        @register_task(name="t", sensitive=["password"])
        def login(password):
            try:
                raise KeyError(password)
            except KeyError as error:
                raise ValueError(f"wrong: {password}") from error

        login.queue(SECRET)
        self.drain()

        found = span("run t")
        self.assertEqual(found.attributes["error.type"], "builtins.ValueError")
        self.assertEqual(
            [dict(event.attributes) for event in found.events],
            [{"exception.type": "builtins.ValueError"}],
        )
        self.assertNotIn(SECRET, "".join(one.to_json() for one in exporter.get_finished_spans()))

    def test_arguments_of_other_calls_are_in_no_span_either(self):
        make_task().queue(SECRET)
        self.drain()

        self.assertNotIn(SECRET, "".join(one.to_json() for one in exporter.get_finished_spans()))

    def test_an_outcome_that_came_too_late_ends_the_span_once(self):
        late = claimed()
        attempts.begin(late, "w")

        # A span that has ended complains of what is told to it.
        with self.assertNoLogs("opentelemetry"):
            attempts.drop(late)
            attempts.end(late, Outcome("SUCCEEDED"))

        self.assertEqual(span("run t").attributes["error.type"], "dropped")

    def test_an_error_that_cannot_be_shown_ends_the_span(self):
        class Broken(Exception):
            def __str__(self):
                raise ZeroDivisionError

        def work():
            raise Broken

        make_task(func=work).queue()
        self.drain()

        self.assertEqual(span("run t").status.status_code, StatusCode.ERROR)


class ContextTests(TestCase):
    def span_with(self, state):
        parent = trace.SpanContext(
            1, 2, is_remote=False, trace_flags=trace.TraceFlags(1), trace_state=state
        )
        return trace.NonRecordingSpan(parent)

    def test_the_trace_state_travels(self):
        text = contexts.written(self.span_with(TraceState([("vendor", "value")])))

        self.assertEqual(text, f"00-{1:032x}-{2:016x}-01 vendor=value")
        [link] = contexts.links(text)
        self.assertEqual((link.context.trace_id, link.context.span_id), (1, 2))
        self.assertEqual(link.context.trace_state, {"vendor": "value"})

    def test_a_trace_state_that_is_too_long_does_not(self):
        state = TraceState([(f"v{number}", "x" * 200) for number in range(3)])

        self.assertEqual(contexts.written(self.span_with(state)), f"00-{1:032x}-{2:016x}-01")

    def test_baggage_does_not(self):
        token = context.attach(baggage.set_baggage("user", "Ann"))
        try:
            self.assertNotIn("Ann", contexts.written(self.span_with(None)))
        finally:
            context.detach(token)

    def test_without_a_tracer_provider_nothing_does(self):
        self.assertIsNone(contexts.written(trace.INVALID_SPAN))

    def test_what_cannot_be_read_gives_no_link(self):
        for text in (None, "", "nonsense", "00-0-0-0", f"00-{0:032x}-{0:016x}-01"):
            with self.subTest(text=text):
                self.assertEqual(contexts.links(text), [])


class FlushTests(SimpleTestCase):
    def test_a_worker_that_ends_does_not_wait_long_for_spans_that_cannot_be_sent(self):
        sent = threading.Event()
        self.addCleanup(sent.set)
        provider = mock.Mock(force_flush=sent.wait)

        with (
            mock.patch.object(trace, "get_tracer_provider", return_value=provider),
            mock.patch.object(attempts, "FLUSH_SECONDS", 0.01),
        ):
            attempts.flush()

        self.assertFalse(sent.is_set())

    def test_a_provider_that_sends_nothing_is_asked_for_nothing(self):
        provider = mock.Mock(spec=[])

        with mock.patch.object(trace, "get_tracer_provider", return_value=provider):
            attempts.flush()


class OffTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)

    def test_no_statement_names_the_column_until_calls_are_traced(self):
        for traced in (False, True):
            if traced:
                collect_spans(self)
            with self.subTest(traced=traced), CaptureQueriesContext(connection) as found:
                task = make_task(func=lambda: 1 / 0, retries=1)
                task.queue()
                task.queue_many([()])
                call_command("worker", "--until_done", "--no_schedules", "-v0")
                statements = [one["sql"] for one in found if "toosimpleq_taskexec" in one["sql"]]
                naming = [sql for sql in statements if "trace_context" in sql]
                self.assertEqual(len(TaskExec.objects.all()), 8 if traced else 4)
                self.assertEqual(bool(naming), traced, naming)
