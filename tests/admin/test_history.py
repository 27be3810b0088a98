"""The history of rows: kept in English, and shown in the language of its reader."""

from unittest import TestCase

from django.contrib.admin.models import LogEntry
from django.utils import translation

from django_toosimple_q.admin import history
from django_toosimple_q.admin.history import translated
from django_toosimple_q.models import QueueStatus, TaskExec
from django_toosimple_q.store import queues as store_queues
from tests.admin.pages import AdminTestCase, row_url
from tests.support import make_task


class PageTests(AdminTestCase):
    def setUp(self):
        super().setUp()
        self.call = make_task(queue="mail").queue()
        store_queues.ensure(["mail"])
        self.queue = QueueStatus.objects.get(name="mail")

    def test_a_queue_s_history_is_in_the_language_of_its_reader(self):
        self.act("action_pause", self.queue)
        self.act("action_resume", self.queue)

        for language, notes in (
            ("en", ("Paused.", "Resumed.")),
            ("de", ("Angehalten.", "Fortgesetzt.")),
            ("fr", ("Suspendue.", "Reprise.")),
            ("es", ("Pausada.", "Reanudada.")),
        ):
            with self.subTest(language), translation.override(language):
                page = self.client.get(row_url(self.queue, "history"))
                for note in notes:
                    self.assertContains(page, note)

    def test_it_is_kept_in_english_in_whatever_language_somebody_acts(self):
        with translation.override("de"):
            self.act("action_requeue", self.call)

        again = TaskExec.objects.latest("pk")
        note = f"Queued again as task {again.pk}."
        self.assertEqual(LogEntry.objects.get().change_message, note)


class NoteTests(TestCase):
    def test_each_note_is_known_again_with_its_values(self):
        values = {"task": 7, "count": 3, "error": "a.Error", "changed": 4, "reached": 5}
        for note in history.NOTES:
            with self.subTest(note), translation.override("de"):
                german = translated(note % values)

                self.assertNotEqual(german, note % values)
                for name, value in values.items():
                    self.assertEqual(f"%({name})s" in note, str(value) in german)

    def test_what_others_have_noted_stays_as_it_is(self):
        note = '[{"changed": {"fields": ["Priority"]}}]'
        for message in ("Seen by Ann.", note):
            self.assertEqual(translated(message), message)
