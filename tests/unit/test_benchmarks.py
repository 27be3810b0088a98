"""The page about the benchmarks renders from the figures of a run, and the one in docs is whole."""

import json
import re
from pathlib import Path
from unittest import TestCase

from harness import report
from harness.goals import GOALS

ROOT = Path(__file__).parent.parent.parent
SAMPLE = Path(__file__).with_name("benchmarks_sample.json")


def sample():
    return json.loads(SAMPLE.read_text())


def row(page, what):
    """Return the cells of the line of the goals' table that is about this."""
    lines = [line for line in page.splitlines() if line.startswith(f"| {what} |")]
    return [cell.strip() for cell in lines[0].strip("|").split("|")] if lines else None


class PageTests(TestCase):
    def test_every_goal_and_every_part_is_shown(self):
        page = report.render(sample())

        for goal in GOALS:
            with self.subTest(goal.what):
                what, wanted, shown, reached = row(page, goal.what)
                self.assertEqual((what, wanted), (goal.what, goal.wanted))
                self.assertRegex(shown, r"\d")
                self.assertIn(reached, ("yes", "**no**"))
        self.assertNotIn("not measured", page.lower())

    def test_a_missed_goal_says_so(self):
        results = sample()
        goal = next(goal for goal in GOALS if "cron" in goal.what)
        self.assertEqual(row(report.render(results), goal.what)[3], "yes")

        results["parts"]["cron"]["late_milliseconds"] = [51.0] * 50

        self.assertEqual(
            row(report.render(results), goal.what)[2:], ["p50 51.0 ms, p99 51.0 ms", "**no**"]
        )

    def test_what_another_run_says_of_a_goal_stands_beside_it(self):
        results, other = sample(), sample()
        other["parts"]["cron"]["late_milliseconds"] = [51.0] * 50
        other["machine"]["processor"] = "Another"
        goal = next(goal for goal in GOALS if "cron" in goal.what)

        page = report.render(results, other)

        cells = row(page, goal.what)
        self.assertEqual(cells[:4], row(report.render(results), goal.what))
        self.assertEqual(cells[4:], ["p50 51.0 ms, p99 51.0 ms", "**no**"])
        self.assertRegex(page, "The other run: this repository, .* on [0-9]+ cores of Another")

    def test_ratios_are_taken_within_a_round(self):
        results = sample()
        goal = next(goal for goal in GOALS if "raw psycopg" in goal.what)
        results["parts"]["drain"] = {
            "ours": {"version": "1", "drained": [10, 200, 30]},
            "raw": {"version": "1", "drained": [20, 1000, 100]},
        }

        self.assertEqual(row(report.render(results), goal.what)[2:], ["0.30", "**no**"])

    def test_what_was_left_out_is_named_with_its_reason(self):
        page = report.render(sample())

        self.assertIn(
            "* django-q2 (drain): the worker of djangoq2 stood still after 0 of 200 tasks:", page
        )

    def test_a_part_that_was_not_measured_is_no_goal_reached(self):
        results = sample()
        results["parts"] = {}

        page = report.render(results)

        for goal in GOALS:
            with self.subTest(goal.what):
                self.assertEqual(row(page, goal.what)[2:], ["not measured", ""])

    def test_every_part_has_its_section(self):
        modules = {path.stem for path in (ROOT / "benchmarks" / "parts").glob("[a-z]*.py")}

        self.assertEqual({section[0] for section in report.SECTIONS}, modules)


class DocumentedRunTests(TestCase):
    def test_the_page_in_docs_was_rendered_with_all_goals(self):
        page = (ROOT / "docs" / "benchmarks.md").read_text()

        for goal in GOALS:
            with self.subTest(goal.what):
                shown = row(page, goal.what)
                self.assertIsNotNone(shown)
                self.assertEqual(shown[1], goal.wanted)
                self.assertRegex(shown[2], r"\d")

    def test_its_plots_are_there(self):
        page = (ROOT / "docs" / "benchmarks.md").read_text()

        plots = re.findall(r"!\[.*\]\((.+)\)", page)

        self.assertTrue(plots)
        for plot in plots:
            with self.subTest(plot):
                self.assertIn("<svg", (ROOT / "docs" / plot).read_text())
