"""Every Python block of the README and the docs runs as it stands, in order."""

import re
from pathlib import Path

from django.test import TransactionTestCase

from tests.support import isolate_registries

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Their blocks are checked by tests of their own.
ELSEWHERE = {"celery.md", "django-tasks.md"}


def pages() -> list[Path]:
    docs = sorted((ROOT / "docs").glob("**/*.md"))
    return [ROOT / "README.md", *(page for page in docs if page.name not in ELSEWHERE)]


class DocumentationTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)

    def test_every_python_block_runs(self):
        for page in pages():
            text = page.read_text()
            namespace = {"__name__": "documentation"}
            for block in BLOCK.finditer(text):
                line = text[: block.start()].count("\n") + 2
                with self.subTest(page=page.name, line=line):
                    code = compile("\n" * (line - 1) + block.group(1), str(page), "exec")
                    exec(code, namespace)

    def test_links_between_pages_lead_somewhere(self):
        for page in pages():
            for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
                with self.subTest(page=page.name, target=target):
                    self.assertTrue((page.parent / target).exists())

    def test_every_setting_and_option_is_documented(self):
        from django_toosimple_q import conf
        from django_toosimple_q.decorators import SCHEDULE_OPTIONS, TASK_OPTIONS

        text = (ROOT / "README.md").read_text()
        missing = [
            name
            for name in (*conf.DEFAULTS, *TASK_OPTIONS, *SCHEDULE_OPTIONS)
            if f"`{name}" not in text
        ]

        self.assertEqual(missing, [])
