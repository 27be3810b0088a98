"""The check of the catalogues in `make lint`: each mistake that a catalogue can have is found."""

import importlib
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase, mock

SCRIPTS = Path(__file__).parent.parent.parent / "scripts"
with mock.patch.object(sys, "path", [str(SCRIPTS), *sys.path]):
    messages = importlib.import_module("messages")

MODULE = """
title = _("Queue")
text = ngettext("%(n)s call", "%(n)s calls", n) % {"n": n}
wrapped = gettext_lazy(
    "one sentence, "
    "in two lines"
)
shown = translation.pgettext("verb", "Queue")
said = f"{_('inside')}"
not_ours = lookup("nothing")
"""
TEMPLATE = """
{# translate "no" #}
<a title="{% translate 'It\N{RIGHT SINGLE QUOTATION MARK}s here' %}">
{% translate "Save" as label %}</a>
{% translate "Who's there (now)?" %}
{% blocktranslate count n=2 %}{{ n }} row{% plural %}{{ n }} rows{% endblocktranslate %}
{% blocktranslate with when=moment|date:"Y" %}95 % since {{ when }} (UTC){% endblocktranslate %}
"""
HEADER = r"""# Kept as it is.
msgid ""
msgstr ""
"POT-Creation-Date: 2026-01-01 00:00+0000\n"
"Language: de\n"
"Content-Type: text/plain; charset=utf-8\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\n"
"""


class MessagesTests(TestCase):
    def setUp(self):
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        for name, value in (("PACKAGE", self.root), ("LOCALE", self.root / "locale")):
            patch = mock.patch.object(messages, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.po = messages.po("de")
        self.po.parent.mkdir(parents=True)
        self.po.write_text(f"{HEADER}\n")
        self.write('_("Queue")')

    def write(self, source, name="views.py"):
        (self.root / name).write_text(source)

    def translate(self, *entries):
        """Write a catalogue and compile it."""
        self.po.write_text("\n".join([HEADER, *entries]))
        messages.update("de")

    def problems(self):
        return list(messages.problems("de"))

    def test_the_texts_of_modules_and_templates_are_found(self):
        self.write(MODULE)
        self.write(TEMPLATE, "page.html")

        found = {(one.context, *messages._ids(one)) for one in messages.texts().values()}

        self.assertEqual(
            found,
            {
                (None, "Queue"),
                (None, "%(n)s call", "%(n)s calls"),
                (None, "one sentence, in two lines"),
                ("verb", "Queue"),
                (None, "inside"),
                (None, "It\N{RIGHT SINGLE QUOTATION MARK}s here"),
                (None, "Save"),
                (None, "Who's there (now)?"),
                (None, "%(n)s row", "%(n)s rows"),
                (None, "95 %% since %(when)s (UTC)"),
            },
        )

    def test_a_whole_catalogue_has_no_problems(self):
        self.translate('msgid "Queue"\nmsgstr "Warteschlange"\n')

        self.assertEqual(self.problems(), [])

    def test_a_text_that_is_missing(self):
        self.translate('msgid "Queue"\nmsgstr "Warteschlange"\n')
        self.write('_("Queue"), _("Worker")')

        self.assertEqual(self.problems(), ["lacks 'Worker'"])

    def test_a_text_that_the_code_has_no_longer(self):
        self.translate('msgid "Queue"\nmsgstr "Warteschlange"\n')
        self.write("")

        self.assertEqual(self.problems(), ["has 'Queue', which the code has not"])

    def test_a_text_without_a_translation_and_one_that_is_fuzzy(self):
        self.translate('msgid "Queue"\nmsgstr ""\n')
        self.assertEqual(self.problems(), ["does not translate 'Queue'"])

        self.translate('#, fuzzy\nmsgid "Queue"\nmsgstr "Reihe"\n')
        self.assertEqual(self.problems(), ["is not sure of 'Queue'"])

    def test_a_plural_without_all_forms(self):
        self.write('ngettext("%d call", "%d calls", n)')
        self.translate(
            'msgid "%d call"\nmsgid_plural "%d calls"\nmsgstr[0] "%d Aufruf"\nmsgstr[1] ""\n'
        )

        self.assertEqual(self.problems(), ["does not translate '%d call'"])

    def test_other_placeholders(self):
        for text, translated in (
            ("%s is late", "zu spät"),
            ("%(name)s is late", "%(Name)s ist zu spät"),
            ("%(name)s is late", "%s ist zu spät"),
            ("late", "%s ist zu spät"),
            ("95 %% late", "95 % zu spät"),
        ):
            with self.subTest(translated):
                self.write(f'_("{text}")')
                self.translate(f'msgid "{text}"\nmsgstr "{translated}"\n')

                self.assertEqual(self.problems(), [f"has other placeholders in {text!r}"])

    def test_a_singular_may_leave_the_number_out_only_if_the_text_does(self):
        self.write('ngettext("one call", "%d calls", n)')
        forms = 'msgid "one call"\nmsgid_plural "%d calls"\nmsgstr[0] "ein Aufruf"\n'
        self.translate(f'{forms}msgstr[1] "%d Aufrufe"\n')

        self.assertEqual(self.problems(), [])

    def test_what_django_translates_is_left_to_it_and_not_changed(self):
        self.write('_("Queue"), _("Change")')
        self.translate('msgid "Queue"\nmsgstr "Warteschlange"\n')
        self.assertEqual(self.problems(), [])

        self.translate(
            'msgid "Queue"\nmsgstr "Warteschlange"\n', 'msgid "Change"\nmsgstr "Wechseln"\n'
        )
        [problem] = self.problems()
        self.assertEqual(problem, "would change what Django's own pages show for 'Change'")

    def test_a_catalogue_that_was_edited_and_not_compiled(self):
        self.translate('msgid "Queue"\nmsgstr "Warteschlange"\n')
        self.po.write_text(self.po.read_text().replace("Warteschlange", "Reihe"))

        self.assertEqual(self.problems(), ["is not what its .mo was compiled from"])
        self.po.with_suffix(".mo").unlink()
        self.assertEqual(self.problems(), ["is not what its .mo was compiled from"])

    def test_taking_over_texts_keeps_the_head_and_what_is_translated(self):
        self.translate('msgid "Queue"\nmsgstr "Warteschlange"\n', 'msgid "Gone"\nmsgstr "Weg"\n')
        self.write('_("Queue"), _("Worker")')

        messages.update("de")

        expected = f'{HEADER}\nmsgid "Queue"\nmsgstr "Warteschlange"\n\nmsgid "Worker"\nmsgstr ""'
        self.assertEqual(self.po.read_text().strip(), expected)

    def test_doing_it_again_changes_nothing(self):
        self.write(MODULE)
        self.translate('msgid "Queue"\nmsgstr "Warteschlange"\n')
        before = [path.read_bytes() for path in (self.po, self.po.with_suffix(".mo"))]

        messages.update("de")

        after = [path.read_bytes() for path in (self.po, self.po.with_suffix(".mo"))]
        self.assertEqual(after, before)
