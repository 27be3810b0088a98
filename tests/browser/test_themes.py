"""Under the themes that people use for the admin, every page answers, and a picture is kept."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from unittest import TestCase

from tests.browser.settings import THEMES
from tests.browser.site import BEYOND, PHONE, ROOT, WIDE, Visit, chromium, served
from tests.browser.test_site import pages

FILL = """
import django, json
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from tests.browser import content
from django_toosimple_q.models import TaskExec
rows = content.fill()
print(json.dumps({**rows, "sleeping": TaskExec.objects.filter(state="SLEEPING").latest("pk").pk}))
"""
# Its own pages are wider than a phone.
NOT_FOR_PHONES = ("grappelli",)
HAVE_BUTTONS = ("schedule", "call-done")
# Buttons that are narrower than what they say.
CUT = """() =>
    [...document.querySelectorAll(":is(.tsq-do, .tsq-row-action) button, button.tsq-press")]
    .filter((one) => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1)
    .map((one) => one.textContent.trim())"""
OURS_BEYOND = f"() => ({BEYOND})().filter((one) => one.includes('tsq-'))"


class ThemeTests(TestCase):
    def test_every_page_under_every_theme(self):
        for theme in THEMES:
            with self.subTest(theme), ExitStack() as around:
                folder = around.enter_context(TemporaryDirectory())
                environment = {
                    **os.environ,
                    "TOOSIMPLEQ_TEST_DATABASE": "sqlite",
                    "TOOSIMPLEQ_TEST_DATABASE_NAME": f"{folder}/site.sqlite3",
                    "TOOSIMPLEQ_BROWSER_THEME": theme,
                    "PYTHONPATH": str(ROOT),
                }
                command = [sys.executable, "-c", FILL]
                filled = subprocess.run(
                    command, env=environment, stdout=subprocess.PIPE, check=True
                )
                address = around.enter_context(served(environment))
                browser = around.enter_context(chromium())
                for width, viewport in (("wide", WIDE), ("phone", PHONE)):
                    visit = Visit(browser, address, viewport=viewport)
                    visit.log_in()
                    for name, place in pages(json.loads(filled.stdout)).items():
                        with self.subTest(theme, page=name, width=width):
                            self.assertEqual(visit.page.goto(place).status, 200)
                            visit.picture(f"{theme}-{name}-{width}")
                            self.assertEqual(visit.page.evaluate(CUT), [])
                            if width == "wide" and name in HAVE_BUTTONS:
                                press = visit.page.locator(".tsq-row-action button").first
                                self.assertTrue(press.is_visible())
                                # A form within a form is none.
                                self.assertEqual(press.evaluate("one => one.form.id"), "tsq-press")
                            if width == "wide" or theme not in NOT_FOR_PHONES:
                                self.assertEqual(visit.page.evaluate(OURS_BEYOND), [])
