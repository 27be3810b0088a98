"""The pages in the languages that there are catalogues for: nothing on them stays in English."""

import re
from datetime import timedelta
from html.parser import HTMLParser

from django.utils import timezone, translation

from django_toosimple_q.admin.task_list import bounded
from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.models import Minute, QueueStatus, ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.overview.spans import span
from django_toosimple_q.store.minutes import minute_of
from tests.admin.pages import AdminTestCase, list_url, messages_of, row_url
from tests.support import make_task, make_worker

LANGUAGES = ("de", "es", "fr")
DASHBOARD = "/admin/toosimpleq/"
MODELS = (TaskExec, ScheduleExec, WorkerStatus, QueueStatus)
NAMED = {"h1", "h2", "h3", "th", "button", "label", "legend", "summary", "option", "dt", "caption"}
# Words that a language has in common with English, and what Django itself leaves in English.
COMMON = {"Too Simple Queue", "Worker", "Workers", "Cron", "Run", "- Select an option -"}
OWN = {
    "de": {"Filter", "Host", "Name", "Status"},
    "es": {"Error", "Host"},
    "fr": {"Action", "Code", "Date", "Type"},
}
ROW = re.compile(r"(#\d+ · )?\w\d( \[[A-Z]+\])?$")


class Named(HTMLParser):
    """Collects the headings and labels of a page, and what is on its buttons."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.found = set()

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag in NAMED:
            self.open.append(tag)
        if tag == "input" and values.get("type") == "submit":
            self.found.add(values["value"])
        self.found |= {values[name] for name in ("data-label", "aria-label") if values.get(name)}

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, text):
        if self.open and any(map(str.isalpha, text)):
            self.found.add(" ".join(text.split()))


class LanguageTests(AdminTestCase):
    def setUp(self):
        super().setUp()
        self.now = now = timezone.now()
        task = make_task("t0", queue="q0")
        schedule_task(cron="0 4 * * 1", name="s0")(task)
        self.worker = make_worker("w0", "a", now=now)
        make_worker("w1", "b", now=now - timedelta(minutes=20), rescued=now)
        self.rows = [self.call(state) for state in TaskExec.States.values]
        states = ScheduleExec.States.values
        names = dict(zip(states, ("s0", "s1", "s2"), strict=True))
        due = now - timedelta(days=30)
        self.rows += [
            ScheduleExec.objects.create(name=names[state], state=state, last_due=due)
            for state in states
        ]
        self.rows += WorkerStatus.objects.all()
        self.rows.append(QueueStatus.objects.create(name="q1", paused=now))
        fields = {"minute": minute_of(now), "task_name": "t0", "queue": "q0", "worker_id": 1}
        Minute.objects.create(**fields, done=3, failures=1, run_3=4, wait_3=4)

    def call(self, state):
        fields = {"task_name": "t0", "state": state, "queue": "q0", "due": self.now}
        if state == "PROCESSING":
            fields |= {"started": self.now, "worker_id": self.worker.worker_id}
        if state in TaskExec.States.done():
            fields |= {"started": self.now, "finished": self.now, "error_type": "E0", "hold": True}
        return TaskExec.objects.create(**fields)

    def pages(self):
        yield from (DASHBOARD, *map(list_url, MODELS))
        yield from (f"{list_url(TaskExec)}?group={tab}" for tab in ("future", "failed", "held"))
        yield from map(row_url, self.rows)
        yield f"/admin/toosimpleq/taskexec/reschedule/?pk={self.rows[0].pk}"

    def named(self, url, language):
        with translation.override(language):
            response = self.client.get(url)
        self.assertEqual(response.status_code, 200)
        page = Named()
        page.feed(response.content.decode())
        return {one.rstrip(":") for one in page.found if not ROW.match(one)}

    def test_no_heading_label_or_button_is_in_english(self):
        for url in self.pages():
            english = self.named(url, "en")
            for language in LANGUAGES:
                with self.subTest(url, language=language):
                    same = english & self.named(url, language)

                    self.assertEqual(same - COMMON - OWN[language], set())

    def test_the_verdict_and_its_cure(self):
        for language, sentence, cure in (
            ("de", "Niemand bedient die Warteschlange", "Starten Sie"),
            ("es", "Nadie atiende la cola", "Inicie"),
            ("fr", "Personne ne s\N{RIGHT SINGLE QUOTATION MARK}occupe de la file", "Démarrez"),
        ):
            WorkerStatus.objects.update(included_queues=["q1"])
            TaskExec.objects.update(due=self.now - timedelta(minutes=5))
            with self.subTest(language), translation.override(language):
                page = self.client.get(DASHBOARD)

                self.assertContains(page, sentence)
                self.assertContains(page, f"{cure} <code>manage.py worker --queue q0</code>")

    def test_messages_and_plural_forms(self):
        for language, one, two in (
            ("de", "1 Aufgabe eingereiht:", "2 Aufgaben eingereiht:"),
            ("es", "1 tarea encolada:", "2 tareas encoladas:"),
            ("fr", "1 tâche mise en file\N{NO-BREAK SPACE}:", "2 tâches mises en file"),
        ):
            with self.subTest(language), translation.override(language):
                for count, text in ((1, one), (2, two)):
                    rows = [self.call("FAILED") for _ in range(count)]
                    [message] = messages_of(self.act("action_requeue", *rows))
                    self.assertIn(text, message)

    def test_a_cron_expression_in_words(self):
        for language, words in (
            ("de", "Um 04:00, nur am Montag"),
            ("es", "A las 04:00, sólo el lunes"),
            ("fr", "À 04:00, uniquement le lundi"),
        ):
            with self.subTest(language), translation.override(language):
                self.assertContains(self.client.get(list_url(ScheduleExec)), words)

    def test_durations_have_the_units_and_numbers_of_the_language(self):
        for language, days, seconds in (
            ("en", "3 d 4 h", "0.5 s"),
            ("de", "3 d 4 h", "0,5 s"),
            ("es", "3 d 4 h", "0,5 s"),
            ("fr", "3 j 4 h", "0,5 s"),
        ):
            with self.subTest(language), translation.override(language):
                self.assertEqual(span(timedelta(days=3, hours=4, minutes=5)), days)
                self.assertEqual(span(timedelta(seconds=0.5)), seconds)

    def test_counts_are_grouped_as_the_language_does(self):
        for language, text in (
            ("en", "1,000+"),
            ("de", "1.000+"),
            ("fr", "1\N{NO-BREAK SPACE}000+"),
        ):
            with self.subTest(language), translation.override(language):
                self.assertEqual(bounded(5000), text)
                self.assertEqual(bounded(999), "999")

    def test_numbers_are_written_as_the_language_does(self):
        Minute.objects.update(run_3=0, run_12=4)

        for language, mark in (("en", "."), ("de", ",")):
            with self.subTest(language), translation.override(language):
                self.assertRegex(self.client.get(DASHBOARD).content.decode(), rf"\d\{mark}\d s")
