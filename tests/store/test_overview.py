"""What the queue does at one look: the figures of the admin, the command line and metrics."""

from datetime import timedelta

from django.test import TestCase
from django.utils import translation

from django_toosimple_q import overview, queues
from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.overview.verdict import ERROR, OK, WARNING
from django_toosimple_q.store import overview as store
from django_toosimple_q.store.dismissals import dismiss
from tests.store.test_minutes import MINUTE, stored
from tests.support import NOW, ago, isolate_registries, make_task, make_worker

HOUR = timedelta(hours=1)


class OverviewTestCase(TestCase):
    def setUp(self):
        isolate_registries(self)
        translation.activate("en")

    def call(self, state="QUEUED", name="t", **fields):
        return TaskExec.objects.create(
            **{"task_name": name, "state": state, "queue": "default", "due": NOW, **fields}
        )

    def queue(self, name):
        return next(one for one in overview.read(NOW).queues if one.name == name)

    def verdict(self):
        return overview.verdict(overview.read(NOW))


class QueueTests(OverviewTestCase):
    def test_each_queue_has_what_waits_runs_and_takes_it(self):
        self.call(due=ago(minutes=3))
        self.call(priority=9)
        self.call("SLEEPING", due=ago(minutes=8))
        self.call("SLEEPING", due=NOW + HOUR)
        self.call("PROCESSING", started=NOW)
        self.call(queue="mail")
        make_worker(included_queues=["default"])
        make_worker("x", excluded_queues=["default"])
        make_worker("y", "y", now=ago(minutes=1))

        queue = self.queue("default")

        self.assertEqual((queue.waiting, queue.oldest, queue.running), (3, ago(minutes=8), 1))
        self.assertEqual((queue.workers, queue.more, queue.paused), (1, False, None))
        self.assertEqual((self.queue("mail").waiting, self.queue("mail").workers), (1, 1))

    def test_a_queue_without_a_row_and_without_a_task_is_there(self):
        self.call(queue="a")
        self.call(queue="B")
        self.call(queue="ö")
        queues.pause("paused and empty")
        make_task(queue="defined")

        names = [one.name for one in overview.read(NOW).queues]

        self.assertEqual(sorted(names), ["B", "a", "defined", "paused and empty", "ö"])

    def test_it_tells_how_long_it_takes_until_it_is_empty(self):
        for _ in range(6):
            self.call()
        stored(MINUTE - 2, done=10, retried=5)
        stored(MINUTE - 6, done=1000)
        self.assertIsNone(self.queue("default").seconds_to_empty)
        make_worker()

        queue = self.queue("default")

        self.assertEqual((queue.per_minute, queue.seconds_to_empty), (3, 120))
        queues.pause("default")
        self.assertIsNone(self.queue("default").seconds_to_empty)

    def test_more_queues_than_one_statement_takes(self):
        for number in range(130):
            self.call(queue=f"q{number}")

        self.assertEqual(overview.read(NOW).waiting, 130)

    def test_counting_ends_and_says_so(self):
        limit, store.WAITING_COUNTED = store.WAITING_COUNTED, 3
        self.addCleanup(setattr, store, "WAITING_COUNTED", limit)
        for _ in range(5):
            self.call()
            self.call("SLEEPING", due=ago(minutes=1))

        self.assertEqual(store.depths([], NOW)["default"].waiting, 3)
        self.assertEqual(store.sleeping(ago(minutes=9)).waiting, 3)

    def test_it_takes_fifteen_statements(self):
        for number in range(20):
            self.call(queue=f"q{number}")
            make_worker(f"w{number}", f"i{number}")

        with self.assertNumQueries(15):
            overview.read(NOW)


class WorkerTests(OverviewTestCase):
    def worker(self, **fields):
        pk = make_worker(**fields).worker_id
        return next((one for one in overview.read(NOW).workers if one.row.pk == pk), None)

    def test_one_that_beats_is_alive(self):
        one = self.worker(now=ago(seconds=20))

        self.assertEqual((one.alive, one.gone), (True, False))

    def test_one_whose_heartbeat_is_late_or_that_was_declared_dead_is_gone(self):
        for fields in ({"now": ago(seconds=40)}, {"rescued": ago(minutes=9)}):
            one = self.worker(label=str(fields), **fields)
            self.assertEqual((one.alive, one.gone), (False, True), fields)

    def test_one_that_stopped_is_neither_and_is_forgotten_after_an_hour(self):
        one = self.worker(stopped=ago(minutes=9), exit_code=0)

        self.assertEqual((one.alive, one.gone), (False, False))
        self.assertIsNone(self.worker(label="old", stopped=ago(hours=2)))
        self.assertIsNone(self.worker(label="dead", rescued=ago(hours=2)))


class VerdictTests(OverviewTestCase):
    def test_all_well(self):
        make_worker()
        make_worker("x", "x")

        self.assertEqual(
            self.verdict(),
            (OK, "All well: 2 workers, nothing late, no failures in the last hour.", ""),
        )

    def test_no_worker(self):
        self.assertEqual(
            self.verdict(),
            (WARNING, "No worker is alive. Nothing waits for one.", "Start `manage.py worker`."),
        )
        self.call(due=ago(minutes=12))

        self.assertEqual(
            self.verdict(),
            (ERROR, "No worker is alive: 1 waits, for 12 min.", "Start `manage.py worker`."),
        )

    def test_a_queue_that_no_worker_takes(self):
        make_worker(excluded_queues=["mail"])
        self.call(queue="mail", due=ago(minutes=12))
        self.call(queue="mail", due=ago(minutes=2))

        self.assertEqual(
            self.verdict(),
            (
                ERROR,
                'Nobody takes queue "mail": 2 wait, oldest 12 min.',
                "Start `manage.py worker --queue mail`.",
            ),
        )

    def test_a_worker_may_be_about_to_start(self):
        make_worker(excluded_queues=["mail"])
        self.call(queue="mail", due=ago(seconds=5))

        self.assertEqual(self.verdict().level, OK)

    def test_a_name_for_a_shell_is_quoted_and_printable(self):
        make_worker(included_queues=["x"])
        self.call(queue="a; rm\x1b[2J", due=ago(minutes=1))

        found = self.verdict()

        self.assertIn(r"--queue 'a; rm\x1b[2J'", found.cure)
        self.assertTrue(found.sentence.isprintable())

    def test_what_comes_next_in_gravity(self):
        make_worker()
        queues.pause("p")
        self.call(queue="p", due=ago(hours=9))
        self.assertIn('Queue "p" is paused', self.verdict().sentence)
        started, finished = ago(minutes=9), ago(minutes=8)
        self.call(state="INTERRUPTED", hold=True, started=started, finished=finished)
        self.assertIn("1 interrupted call waits for a person", self.verdict().sentence)
        for number in range(3):
            self.call(state="FAILED", error_type=f"E{number // 2}", finished=finished)
        self.assertIn("3 calls failed for good in the last hour.", self.verdict().sentence)
        dismiss("t", "E0", NOW, ago(days=9))
        self.assertIn("1 call failed for good in the last hour.", self.verdict().sentence)
        self.call(due=ago(minutes=6))
        self.assertIn('Queue "default" is late: 1 waits, for 6 min.', self.verdict().sentence)
        make_worker("dead", "d", rescued=ago(minutes=9))
        self.assertIn('Worker "dead" was lost', self.verdict().sentence)
        ScheduleExec.objects.create(name="s", state="BROKEN")
        self.assertIn('The calls of schedule "s" cannot be queued.', self.verdict().sentence)
        self.assertEqual(self.verdict().level, ERROR)


class ThroughputTests(OverviewTestCase):
    def test_the_empty_intervals_are_there_too(self):
        stored(MINUTE - 3, done=4, retried=1, run_3=5, run_seconds=0.05, wait_0=5)

        found = overview.throughput(NOW - 5 * timedelta(minutes=1), NOW, timedelta(minutes=1))

        self.assertEqual([one.ends.total for one in found], [0, 0, 5, 0, 0])
        self.assertEqual(found[2].begin, NOW - timedelta(minutes=3))
        self.assertEqual(found[2].end, NOW - timedelta(minutes=2))
        self.assertEqual(found[2].ends.failure_share, 0)
        self.assertTrue(0.005 < found[2].ends.run.p50 <= 0.01)
        self.assertIsNone(found[0].ends.run.p50)

    def test_tasks_come_by_how_many_ended_with_their_parts(self):
        stored(MINUTE - 3, "few", done=1)
        stored(MINUTE - 1, "many", done=4, failures=1)
        stored(MINUTE - 3, "many", done=2)

        minute = timedelta(minutes=1)
        found = overview.by_task(NOW - 4 * minute, NOW, 2 * minute)

        self.assertEqual([one.name for one in found], ["many", "few"])
        self.assertEqual(found[0].parts, [(2, 0), (4, 1)])
        self.assertEqual(found[0].last, NOW - minute)
        self.assertEqual([one.name for one in overview.by_task(NOW - HOUR, NOW, most=1)], ["many"])

    def test_queues(self):
        stored(MINUTE - 3, "t", "q", done=1)

        self.assertEqual(overview.by_queue(NOW - HOUR, NOW)["q"].done, 1)
        self.assertEqual(overview.by_task_and_queue(NOW - HOUR, NOW)["t", "q"].done, 1)


class FailureTests(OverviewTestCase):
    def fail(self, minutes_ago=5, **fields):
        values = {
            "state": "FAILED",
            "error_type": "ValueError",
            "finished": ago(minutes=minutes_ago),
        }
        return self.call(**{**values, **fields})

    def groups(self):
        return {(one.task_name, one.error_type): one.count for one in overview.failure_groups(NOW)}

    def test_they_are_grouped_by_task_and_error_type(self):
        self.fail()
        last = self.fail(2)
        self.fail(90)
        self.fail(name="u")
        self.fail(error_type="KeyError")
        self.fail(state="INVALID", error_type="")

        groups = overview.failure_groups(NOW)

        self.assertEqual(
            self.groups(),
            {("t", "ValueError"): 3, ("u", "ValueError"): 1, ("t", "KeyError"): 1, ("t", ""): 1},
        )
        self.assertEqual(groups[0].last_pk, last.pk)
        self.assertEqual((groups[0].first, groups[0].last), (ago(minutes=90), ago(minutes=2)))
        self.assertEqual(groups[0].parts, [0] * 22 + [1, 2])

    def test_retried_and_old_ones_do_not_count(self):
        self.fail(replaced_by=self.call("SUCCEEDED"))
        self.fail(minutes_ago=8 * 24 * 60)

        self.assertEqual(self.groups(), {})

    def test_dismissed_ones_come_back_with_the_next_failure(self):
        self.fail(20)
        self.fail(20, name="u")

        dismiss("t", "ValueError", ago(minutes=10), NOW - timedelta(days=7))

        self.assertEqual(self.groups(), {("u", "ValueError"): 1})
        self.fail(5)
        self.assertEqual(self.groups(), {("u", "ValueError"): 1, ("t", "ValueError"): 1})

    def test_held_calls_are_counted(self):
        self.call("INTERRUPTED", hold=True, started=NOW, finished=NOW)
        self.call("INTERRUPTED", hold=False, started=NOW, finished=NOW)
        self.call("INTERRUPTED", hold=True, started=None, finished=NOW)

        self.assertEqual(overview.read(NOW).held, 1)


class UpcomingTests(OverviewTestCase):
    def upcoming(self):
        return overview.upcoming(overview.read(NOW).schedules, NOW, NOW + HOUR)

    def schedule(self, name, cron, last_due=NOW):
        schedule_task(cron=cron, name=name)(make_task(f"task of {name}"))
        ScheduleExec.objects.create(name=name, last_due=last_due)

    def test_the_next_hour(self):
        self.schedule("quarters", "*/15 * * * *")
        self.schedule("later", "0 3 * * *", last_due=NOW)
        self.schedule("manual", "manual", last_due=None)
        ScheduleExec.objects.create(name="gone", last_due=NOW)

        [one] = self.upcoming()

        self.assertEqual(one.occurrences, [NOW + n * timedelta(minutes=15) for n in (1, 2, 3, 4)])
        self.assertIsNone(one.missed)

    def test_one_that_did_not_run_is_there(self):
        self.schedule("every hour", "30 * * * *", last_due=NOW - 5 * HOUR)

        [one] = self.upcoming()

        self.assertEqual(one.missed, ago(minutes=30))

    def test_one_by_the_second_is_cut(self):
        self.schedule("fast", "* * * * * *")

        [one] = self.upcoming()

        self.assertTrue(one.more)
        self.assertEqual(len(one.occurrences), 60)
