"""axe-core finds nothing serious on any page."""

import os
from pathlib import Path

from django_toosimple_q.models import TaskExec
from tests.browser import content
from tests.browser.site import WIDE
from tests.browser.test_site import BrowserTests, pages

# The label of the admin's search is an image with a text, which axe does not count.
RUN = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .flatMap((one) => one.nodes.map((node) => [one, node]))
    .filter(([one, node]) => one.id !== "label-title-only" || String(node.target) !== "#searchbar")
    .map(([one, node]) =>
        `${one.id} (${one.impact}): ${node.html.slice(0, 200)} ${node.failureSummary}`)"""


class AxeTests(BrowserTests):
    def test_no_page_has_a_serious_finding(self):
        rows = content.fill()
        sleeping = TaskExec.objects.filter(state="SLEEPING").latest("pk")
        axe = Path(os.environ["TOOSIMPLEQ_AXE"]).read_text()
        for scheme in ("light", "dark"):
            # The policy of the site refuses the script, which is none of its own.
            visit = self.visit(color_scheme=scheme, viewport=WIDE, bypass_csp=True)
            for name, address in pages({**rows, "sleeping": sleeping.pk}).items():
                with self.subTest(name, scheme=scheme):
                    visit.page.goto(address)
                    visit.page.evaluate(axe)
                    self.assertEqual(visit.page.evaluate(RUN), [])
