"""The page of one call: its course, its values without any code of theirs, its traceback."""

import json
import re
import traceback
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from html import escape, unescape
from pickle import dumps
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.db import connection
from django.test import SimpleTestCase
from django.test.utils import CaptureQueriesContext
from django.utils import timezone as django_timezone

from django_toosimple_q import payload, stand_ins
from django_toosimple_q.admin import markup, tracebacks
from django_toosimple_q.admin.course import SHOWN, in_words
from django_toosimple_q.admin.values import ITEMS, Call, written
from django_toosimple_q.models import TaskExec
from django_toosimple_q.references import Reference
from tests.admin.pages import ESCAPED, MARKUP, AdminTestCase, row_url
from tests.support import NOW, States, make_task

executed = []
HUGE = 200_000
ZONE = ZoneInfo("Europe/Paris")


class Armed:
    """Notes whatever code of it runs."""

    def __init__(self, value=1):
        self.value = value

    def __reduce__(self):
        return explode, (self.value,)

    def __repr__(self):
        executed.append("repr")
        return "armed"


def explode(value):
    executed.append("loaded")
    return Armed(value)


class Stateful:
    """Notes when its state is set, and when it is hashed or compared."""

    def __init__(self):
        self.amount = 3

    def __setstate__(self, state):
        executed.append("setstate")

    def __hash__(self):
        executed.append("hash")
        return 1

    def __eq__(self, other):
        executed.append("eq")
        return True


class Zone(tzinfo):
    """A time zone of the project's."""

    def utcoffset(self, moment):
        executed.append("zone")
        return timedelta(hours=1)

    dst = tzname = utcoffset


@dataclass
class Money:
    amount: Decimal
    currency: str = "EUR"


class Color(Enum):
    RED = 1


class Words(str):
    """A text of a class of its own."""


class Bag(dict):
    """A dict of a class of its own."""


class Node:
    """Is a key of its own neighbours, as in a graph."""

    def __init__(self):
        self.near = {}


class Table:
    """Takes keys that no dict has."""

    def __reduce__(self):
        return Table, (), None, None, iter([([1], 2)])

    def __setitem__(self, key, value):
        raise AssertionError


def opened(value, protocol=5):
    """Return a value as it is shown once it was pickled."""
    return written(stand_ins.load(dumps(value, protocol)))


class CourseTests(AdminTestCase):
    def chain(self, count, **fields):
        """Make failed attempts of one call, a minute apart, the last one first."""
        rows = []
        for number in range(count):
            due = NOW + number * timedelta(minutes=1)
            times = {"due": due, "created": due, "started": due + timedelta(seconds=10)}
            rows.append(
                TaskExec.objects.create(
                    task_name="t",
                    state=States.FAILED,
                    attempt=number + 1,
                    root=rows[0] if rows else None,
                    finished=due + timedelta(seconds=30),
                    **times,
                    **fields,
                )
            )
        return rows

    def course(self, row):
        text = self.row_page(row).content.decode()
        return text[text.index('data-section="course"') : text.index('data-section="fields"')]

    def test_each_attempt_has_its_bar_its_lengths_and_a_link(self):
        first, second, third = self.chain(3)

        text = self.course(second)

        for row in (first, third):
            self.assertIn(f'<a href="{row_url(row)}">attempt {row.attempt}</a>', text)
        self.assertNotIn(row_url(second), text)
        self.assertIn("<strong>attempt 2</strong>", text.partition('aria-current="true"')[2])
        self.assertEqual(text.count("waited 10 s, ran 20 s</span>"), 3)
        # Of 150 s in all: the second one began after 60, waited 10 and ran 20.
        self.assertIn('x="40.00%" width="6.67%"', text)
        self.assertIn('x="46.67%" width="13.33%"', text)

    def test_of_very_many_attempts_the_last_ones_are_shown(self):
        rows = self.chain(SHOWN + 15)

        for row, earlier, later in ((rows[-1], 15, 0), (rows[2], 0, 22), (rows[20], 11, 4)):
            text = self.course(row)
            with self.subTest(row.attempt):
                self.assertIn("<strong>attempt", text)
                self.assertEqual(text.count("<li>") + 1, SHOWN + 15 - earlier - later)
                for count, word in ((earlier, "earlier"), (later, "later")):
                    self.assertEqual(f"and {count} {word}" in text, bool(count), word)

    def test_it_takes_as_many_queries_however_many_attempts_there_are(self):
        counts = []
        for count in (1, 15):
            row = self.chain(count)[-1]
            with CaptureQueriesContext(
                connection,
            ) as queries:
                self.row_page(row)
            counts.append(len(queries))

        self.assertEqual(counts[0], counts[1])

    def test_an_attempt_that_goes_on_is_measured_until_now(self):
        now = NOW + timedelta(seconds=100)
        for state, started, due, text in (
            ("QUEUED", None, NOW, "has waited for 1 min 40 s"),
            ("SLEEPING", None, now + timedelta(minutes=5), "due in 5 min"),
            ("PROCESSING", NOW + timedelta(seconds=40), NOW, "waited 40 s, has run for 1 min"),
            # A clock that was ahead.
            ("PROCESSING", NOW, now, "waited 0 s, has run for 1 min 40 s"),
            ("INVALID", None, NOW, ""),
        ):
            row = TaskExec(task_name="t", state=state, started=started, due=due)
            with self.subTest(text):
                self.assertEqual(in_words(row, now), text)

    def test_moments_that_cannot_be_break_nothing(self):
        far = datetime(1, 1, 2, tzinfo=UTC)
        for times in (
            {"due": NOW, "started": NOW, "finished": NOW},
            {"due": NOW, "started": NOW - timedelta(days=9), "finished": far},
            {"due": far, "started": None, "finished": NOW},
        ):
            row = TaskExec.objects.create(task_name="t", state=States.FAILED, **times)
            for value in re.findall(r'(?:x|width)="(-?[\d.]+)%"', self.course(row)):
                self.assertTrue(0 <= float(value) <= 100, value)

    def test_a_very_short_attempt_is_drawn_within_the_line(self):
        row = self.chain(1)[0]
        TaskExec.objects.filter(pk=row.pk).update(finished=row.started)

        for x, width in re.findall(r'x="([\d.]+)%" width="([\d.]+)%"', self.course(row)):
            self.assertGreater(float(width), 0)
            self.assertLessEqual(float(x) + float(width), 100.001)

    def test_the_lengths_are_fields_of_their_own(self):
        [row] = self.chain(1)

        response = self.row_page(row)

        for label, length in (("Waited", "10 s"), ("Ran", "20 s")):
            self.assertRegex(
                response.content.decode(),
                rf'<label>{label}:</label>\s*<div class="readonly">{length}</div>',
            )

    def test_only_a_page_that_goes_on_asks_again(self):
        waiting = TaskExec.objects.create(task_name="t")
        [ended] = self.chain(1)

        self.assertContains(self.row_page(waiting), "<div data-toosimpleq>")
        self.assertContains(self.row_page(waiting), "toosimpleq/dashboard.js")
        self.assertNotContains(self.row_page(ended), "data-toosimpleq")
        self.assertNotContains(self.row_page(ended), "dashboard.js")

    def test_a_policy_without_inline_script_and_style_is_kept(self):
        text = self.course(self.chain(2)[0])

        self.assertNotRegex(text, r"<script|<style|\sstyle=|\son\w+=")


class OutputTests(AdminTestCase):
    def page_of(self, **fields):
        return self.row_page(TaskExec.objects.create(task_name="t", **fields))

    def test_what_it_prints_is_shown_while_it_runs_and_after_its_worker_was_lost(self):
        for state in (States.PROCESSING, States.INTERRUPTED):
            response = self.page_of(state=state, output_tail=MARKUP)

            self.assertContains(response, '<div class="tsq-tail" tabindex="0">')
            self.assertContains(response, f'<pre class="tsq-text">{ESCAPED}</pre>')
            self.assertNotContains(response, MARKUP)

    def test_once_the_row_has_all_of_it_that_is_shown(self):
        response = self.page_of(state=States.SUCCEEDED, output_tail="the end", stdout="all of it")

        self.assertContains(response, "all of it")
        self.assertNotContains(response, "the end")

    def test_a_call_that_prints_nothing_shows_none(self):
        self.assertNotContains(self.page_of(state=States.PROCESSING), "output")


class LogTests(AdminTestCase):
    def page_of(self, log_records):
        fields = {"task_name": "t", "state": States.FAILED, "log_records": log_records}
        return self.row_page(TaskExec.objects.create(**fields))

    def test_each_record_has_its_time_level_logger_and_message(self):
        records = [[NOW.timestamp() + 0.25, "ERROR", "shop.stock", f"{MARKUP}\nsecond\u202e"]]

        response = self.page_of(json.dumps([3, records]))

        self.assertContains(response, ">14:00:00.250</time>")
        self.assertContains(response, '<b class="tsq-failed">ERROR</b> <code>shop.stock</code>')
        self.assertContains(response, f"<pre>{ESCAPED}\nsecond\\u202e</pre>")
        self.assertContains(response, "3 earlier ones were left out.")
        self.assertNotContains(response, MARKUP)

    def test_what_is_no_list_of_records_is_shown_as_text(self):
        for text in (
            *(MARKUP, "[", "[]", "[0, [[1]]]", '[0, [["x", "a", "b", "c"]]]', "[null, []]"),
            *('[0, [[1e99, "a", "b", "c"]]]', "[" * 500, "5", '{"a": 1}'),
        ):
            with self.subTest(text[:20]):
                response = self.page_of(text)

                self.assertContains(response, f'<pre class="tsq-text">{escape(text)}</pre>')

    def test_a_lone_surrogate_breaks_no_page(self):
        response = self.page_of('[0, [[1, "a", "b", "\\ud800"]]]')

        self.assertContains(response, r"<pre>\ud800</pre>")


class BoxTests(SimpleTestCase):
    def test_keys_reach_a_box_that_has_to_be_scrolled(self):
        for text, reached in (("short", False), ("a\n" * 400, True), ("a" * 1000, True)):
            for box in (markup.output, markup.value, tracebacks.folded):
                self.assertEqual('tabindex="0"' in box(text), reached, (box, text[:9]))


class StandInTests(AdminTestCase):
    def setUp(self):
        super().setUp()
        executed.clear()

    def test_the_page_runs_no_code_of_a_value(self):
        make_task("t")
        values = [Armed(), Stateful(), {Stateful(): Zone()}, datetime(2026, 5, 1, tzinfo=Zone())]
        row = TaskExec.objects.create(
            task_name="t", args=values, kwargs={"one": Armed()}, result=values, state="SUCCEEDED"
        )
        executed.clear()

        response = self.row_page(row)

        self.assertEqual(executed, [])
        self.assertContains(response, "tests.admin.test_task_page.explode(1)", count=3)
        self.assertContains(response, "tests.admin.test_task_page.Stateful(amount=3)")

    def test_values_of_other_classes_are_shown_as_they_were_made(self):
        here = "tests.admin.test_task_page"
        for value, text in (
            (Money(Decimal("1.50")), f"{here}.Money(amount=Decimal('1.50'), currency='EUR')"),
            (Color.RED, f"{here}.Color(1)"),
            (Words("abc"), f"{here}.Words('abc')"),
            (Bag(a=1), f"{here}.Bag(**{{'a': 1}})"),
            (ValueError("no"), "ValueError('no')"),
            (Money, f"{here}.Money"),
            (len, "len"),
            ([range(3), 2j], "[range(0, 3, 1), complex(0.0, 2.0)]"),
        ):
            with self.subTest(text):
                self.assertEqual(opened(value), text)

    def test_values_of_python_s_own_are_themselves(self):
        for value, text in (
            ({"a": [1, (2,), None]}, "{'a': [1, (2,), None]}"),
            (({1}, set(), frozenset(), {}, ()), "({1}, set(), frozenset(), {}, ())"),
            (UUID(int=1), "UUID('00000000-0000-0000-0000-000000000001')"),
            (date(2026, 5, 1), "2026-05-01"),
            (
                datetime(2026, 5, 1, 12, tzinfo=ZoneInfo("Europe/Paris")),
                "2026-05-01 12:00:00+02:00",
            ),
            (datetime(2026, 5, 1, 12, tzinfo=UTC), "2026-05-01 12:00:00+00:00"),
            (timedelta(minutes=5), "0:05:00"),
            (Reference("auth", "user", 5, "default"), "<auth.user 5>"),
            ("\x00\u202e\ud800", r"'\x00\u202e\ud800'"),
        ):
            with self.subTest(text):
                self.assertEqual(opened(value), text)
        # As releases of old pickled.
        self.assertEqual(opened({1}, protocol=2), "set([1])")

    def test_a_row_of_a_model_is_shown_and_not_read(self):
        row = TaskExec.objects.create(task_name="t", args=[self.admin], result=self.admin)
        User.objects.all().delete()
        self.log_in_again()

        response = self.row_page(row)

        self.assertContains(response, f"t(&lt;auth.user {self.admin.pk}&gt;)")
        self.assertContains(response, "auth.User(")
        self.assertContains(response, "username=&#x27;admin&#x27;")

    def log_in_again(self):
        self.client.force_login(User.objects.create_superuser("other", password="other"))

    def test_what_cannot_be_opened_is_said(self):
        row = TaskExec.objects.create(task_name="t")
        broken = payload._sign(f"v1.{payload.tag_of('t')}.bm90aGluZw==", "args")
        TaskExec.objects.filter(pk=row.pk).update(**{})
        with connection.cursor() as cursor:
            cursor.execute("UPDATE toosimpleq_taskexec SET args = %s", [broken])

        self.assertContains(self.row_page(row), "unreadable: args: cannot be unpickled")


class ValueTests(SimpleTestCase):
    def test_what_fits_takes_one_line_and_what_does_not_one_for_each_item(self):
        self.assertEqual(written({"a": 1, "b": [2]}), "{'a': 1, 'b': [2]}")
        lines = written({"a": "x" * 60, "b": ["y" * 60, "z" * 60]}).splitlines()
        self.assertEqual(
            [line[:9] for line in lines],
            [
                "{",
                "    'a': ",
                "    'b': ",
                "        '",
                "        '",
                "    ],",
                "}",
            ],
        )

    def test_what_is_left_out_is_counted(self):
        for value, text in (
            ("x" * HUGE, "… 198,000 more characters"),
            (b"x" * HUGE, "… 198,000 more bytes"),
            (["y" * 80] * HUGE, f"… and {HUGE - ITEMS:,} more"),
            ({str(n): "y" * 80 for n in range(HUGE)}, f"… and {HUGE - ITEMS:,} more"),
            (set(range(HUGE)), f"… and {HUGE - ITEMS:,} more"),
            (Call("t", ["x"] * HUGE, {}), f"… and {HUGE - ITEMS:,} more"),
        ):
            with self.subTest(text):
                self.assertIn(text, written(value))

    def test_no_value_makes_a_long_text(self):
        deep = cyclic = []
        for _ in range(500):
            deep = [deep, "x" * 500]
        cyclic.append(cyclic)
        wide = [["x" * 5000] * 500] * 500
        for value in (deep, cyclic, wide, [wide] * 500, {"k" * HUGE: "v" * HUGE}, 10**5000):
            self.assertLess(len(written(value)), 30_000)

    def test_a_number_of_very_many_digits_is_cut(self):
        text = written([Decimal("1" * HUGE)])

        self.assertIn("Decimal('111", text)
        self.assertLess(len(text), 10_000)

    def test_keys_that_lead_back_to_their_dict_end(self):
        node, other = Node(), Node()
        node.near[other], other.near[node] = 1, 2
        path = f"{__name__}.Node"

        self.assertEqual(
            opened(node).replace("\n", "").replace(" ", ""),
            f"{path}(near={{{path}(near={{{path}(near={{…}}):2}}):1,}},)".replace(" ", ""),
        )

    def test_keys_that_no_dict_can_have_are_shown(self):
        self.assertEqual(opened(Table()), f"{__name__}.Table(**{{[1]: 2}})")

    def test_a_value_of_a_class_that_is_not_known_is_named(self):
        executed.clear()

        self.assertEqual(written([Armed()]), "[<Armed>]")
        self.assertEqual(executed, [])


class TracebackTests(SimpleTestCase):
    def blocks(self, text, own=""):
        html = tracebacks.folded(text, own)
        return re.findall(r"<summary>(.*?)</summary>", html), re.sub(
            r"<details>.*?</details>", "", html, flags=re.DOTALL
        )

    def error(self):
        try:
            django_timezone.make_aware(datetime(2026, 5, 1, tzinfo=UTC))
        except ValueError:
            return traceback.format_exc()
        raise AssertionError

    def test_frames_of_libraries_are_folded_and_the_others_open(self):
        folded, open_ = self.blocks(self.error())

        self.assertEqual(folded, ["1 frame of django"])
        self.assertIn("in error\n    django_timezone.make_aware(", open_)
        self.assertIn("ValueError: make_aware expects", open_)
        self.assertNotIn("in make_aware", open_)

    def test_no_line_is_lost(self):
        text = self.error()

        shown = re.sub(
            r"<[^>]*>", "", re.sub(r"<summary>.*?</summary>", "", tracebacks.folded(text))
        )

        self.assertEqual(unescape(shown), text)

    def test_frames_that_follow_each_other_are_folded_together(self):
        names = ("a/site-packages/celery/x.py", "a/site-packages/kombu/y.py", "/app/mine.py")
        text = "".join(f'  File "/v/{name}", line 1, in f\n    f()\n    ^^^\n' for name in names)

        folded, open_ = self.blocks(f"Traceback (most recent call last):\n{text}ValueError: no")

        self.assertEqual(folded, ["2 frames of celery, kombu"])
        self.assertIn("mine.py", open_)

    def test_where_libraries_are(self):
        for path, library in (
            ("/v/lib/python3.13/site-packages/django/db/models.py", "django"),
            ("/usr/lib/python3/dist-packages/yaml.py", "yaml"),
            (r"C:\v\Lib\site-packages\django\db.py", "django"),
            ("/usr/lib/python3.11/json/decoder.py", "json"),
            ("<frozen importlib._bootstrap>", "importlib"),
            ("/src/django_toosimple_q/worker/execution/executor.py", "django_toosimple_q"),
            (datetime.__module__ and __file__, ""),
            ("/srv/shop/tasks.py", ""),
            ("<string>", ""),
        ):
            with self.subTest(path):
                self.assertEqual(tracebacks.library_of(path), library)

    def test_the_package_of_the_task_is_the_project_s_wherever_it_is(self):
        text = '  File "/v/site-packages/shop/tasks.py", line 1, in f\n    f()\n'

        self.assertEqual(self.blocks(text)[0], ["1 frame of shop"])
        self.assertEqual(self.blocks(text, own="shop")[0], [])

    def test_exception_groups_and_repeated_frames(self):
        text = (
            "  + Exception Group Traceback (most recent call last):\n"
            '  |   File "/v/site-packages/x/y.py", line 1, in f\n  |     f()\n'
            "  |   [Previous line repeated 995 more times]\n"
            "  | ExceptionGroup: no (1 sub-exception)\n"
        )

        folded, open_ = self.blocks(text)

        self.assertEqual(folded, ["1 frame of x"])
        self.assertNotIn("Previous line", open_)
        self.assertIn("ExceptionGroup: no", open_)

    def test_what_is_no_traceback_stays_as_it_is(self):
        self.assertEqual(
            self.blocks("cancelled"), ([], '<div class="tsq-text tsq-traceback">cancelled</div>')
        )
        self.assertEqual(tracebacks.folded(None), "-")

    def test_markup_is_text(self):
        text = (
            f'  File "/v/site-packages/{MARKUP}/y.py", line 1, in {MARKUP}\n    {MARKUP}\n{MARKUP}'
        )

        html = tracebacks.folded(text)

        self.assertNotIn(MARKUP, html)
        self.assertIn(ESCAPED, html)
