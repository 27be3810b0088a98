"""People and a browser: they watch, cancel, retry, pause, and look at it in any light and width."""

import re
from contextlib import ExitStack
from datetime import timedelta

from django.utils import timezone
from playwright.sync_api import expect

from django_toosimple_q.models import BulkRun, ScheduleExec, TaskExec
from tests.acceptance.processes import ProcessTests, environment
from tests.browser import content
from tests.browser.shop.tasks import import_products, pack
from tests.browser.site import BEYOND, PHONE, WIDE, Visit, chromium, served
from tests.support import reload, wait_for

DASHBOARD = "/admin/toosimpleq/"
CALLS = f"{DASHBOARD}taskexec/"
MANY = 5_000


class BrowserTests(ProcessTests):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.around = ExitStack()
        cls.addClassCleanup(cls.around.close)
        cls.address = cls.around.enter_context(served(environment()))
        cls.browser = cls.around.enter_context(chromium())

    def visit(self, user="boss", **options):
        visit = Visit(self.browser, self.address, **options)
        self.addCleanup(visit.close)
        visit.log_in(user)
        return visit

    def assert_quiet(self, visit):
        self.assertEqual(visit.complaints, [])


def pages(rows):
    """Return the address of every page of ours, by a name for its picture."""
    return {
        "start": "/admin/",
        "dashboard": DASHBOARD,
        "dashboard-7d": f"{DASHBOARD}?period=7d",
        "calls": CALLS,
        "calls-waiting": f"{CALLS}?group=pending",
        "calls-failed": f"{CALLS}?group=failed",
        "calls-all-attempts": f"{CALLS}?attempts=all&within=7d",
        "call-done": f"{CALLS}{rows['done']}/change/",
        "call-failed": f"{CALLS}{rows['failed']}/change/",
        "call-running": f"{CALLS}{rows['running']}/change/",
        "reschedule": f"{CALLS}reschedule/?pk={rows['sleeping']}",
        "schedules": f"{DASHBOARD}scheduleexec/",
        "schedule": f"{DASHBOARD}scheduleexec/{rows['schedule']}/change/",
        "queues": f"{DASHBOARD}queuestatus/",
        "queue": f"{DASHBOARD}queuestatus/orders/change/",
        "workers": f"{DASHBOARD}workerstatus/",
        "worker": f"{DASHBOARD}workerstatus/{rows['worker']}/change/",
    }


class WatchingTests(BrowserTests):
    def setUp(self):
        super().setUp()
        content.users()

    def test_the_dashboard_changes_while_tasks_run(self):
        for number in range(50):
            pack.queue(number)
        visit = self.visit()
        page = visit.page
        page.goto(DASHBOARD)
        verdict = page.locator("[data-section=verdict]")
        done = page.locator(".tsq-tile", has_text="Done").locator("strong")
        expect(verdict).to_contain_text("Start")
        expect(done).to_have_text("0")
        page.evaluate("window.isTheSamePage = true")

        self.worker("--queue=orders")

        expect(done).to_have_text("50")
        expect(verdict).to_contain_text("All well")
        expect(page.locator("[data-section=workers]")).to_contain_text("idle")
        self.assertTrue(page.evaluate("window.isTheSamePage"))
        self.assert_quiet(visit)

    def test_a_running_call_shows_its_progress_and_is_cancelled(self):
        row = import_products.queue(3000, 0.02)
        self.worker()
        visit = self.visit()
        page = visit.page
        page.goto(f"{CALLS}?group=active")
        wait_for(lambda: reload(row).progress_done)
        page.reload()
        expect(page.locator("progress.tsq-progress")).to_be_visible()
        page.goto(DASHBOARD)

        page.get_by_role("button", name="Cancel: shop.import_products").click()

        expect(page.locator(".messagelist")).to_contain_text("asked to stop")
        wait_for(lambda: reload(row).state != "PROCESSING")
        expect(page.locator("[data-section=running]")).to_contain_text("Nothing runs.")
        self.assert_quiet(visit)

    def test_all_failures_of_a_group_are_retried(self):
        content.failures(MANY)
        visit = self.visit()
        page = visit.page
        page.goto(DASHBOARD)
        self.worker("--queue=default")

        page.get_by_role("button", name="Retry all: shop.charge").click()

        link = page.locator(".messagelist a")
        link.click()
        progress = page.locator("progress.tsq-progress")
        shown = []
        while not BulkRun.objects.exclude(ended=None).exists():
            page.reload()
            if progress.count():
                shown.append(float(progress.get_attribute("value")))
        wait_for(lambda: not TaskExec.objects.filter(state="PROCESSING").exists())
        page.reload()
        shown.append(float(progress.get_attribute("value")))
        self.assertGreater(len(set(shown)), 1, "no progress was seen")
        expect(page.locator(".field-result_value")).to_contain_text(str(MANY))
        self.assertEqual(TaskExec.objects.filter(state="QUEUED", queue="payments").count(), MANY)
        page.goto(DASHBOARD)
        expect(page.locator("[data-section=failures]")).to_contain_text("Nothing has failed")
        self.assert_quiet(visit)

    def test_a_queue_is_paused_and_resumed(self):
        self.worker()
        visit = self.visit()
        page = visit.page
        page.goto(DASHBOARD)
        queues = page.locator("[data-section=queues]")
        page.get_by_role("button", name="Pause: orders").click()
        expect(queues.locator("tr", has_text="orders")).to_contain_text("paused")

        row = pack.queue(1)
        expect(queues.locator("tr", has_text="orders").locator(".tsq-number").first).to_have_text(
            "1"
        )
        page.get_by_role("button", name="Resume: orders").click()

        expect(queues.locator("tr", has_text="orders")).not_to_contain_text("paused")
        self.wait_for_state(row, "SUCCEEDED")
        self.assert_quiet(visit)

    def test_a_schedule_is_paused_and_resumed_and_run_by_hand(self):
        self.worker()
        schedule = wait_for(lambda: ScheduleExec.objects.filter(name="shop.restock").first())
        visit = self.visit()
        page = visit.page
        page.goto(f"{DASHBOARD}scheduleexec/{schedule.pk}/change/")

        page.get_by_role("button", name="Pause").click()
        expect(page.locator(".messagelist")).to_contain_text("is paused")
        self.assertTrue(ScheduleExec.objects.exclude(paused=None).exists())
        page.get_by_role("button", name="Run now").click()
        expect(page.locator(".messagelist")).to_contain_text("1 task queued")
        page.get_by_role("button", name="Resume").click()

        expect(page.locator(".messagelist")).to_contain_text("no longer paused")
        self.assertFalse(ScheduleExec.objects.exclude(paused=None).exists())
        wait_for(lambda: TaskExec.objects.filter(task_name="shop.restock", state="SUCCEEDED"))
        self.assert_quiet(visit)

    def test_without_javascript_the_pages_and_buttons_work(self):
        row = pack.queue(1, due=timezone.now() + timedelta(hours=1))
        visit = self.visit(java_script_enabled=False)
        page = visit.page
        page.goto(DASHBOARD)
        page.get_by_role("link", name="7 days").click()
        expect(page.locator("[aria-current=true]")).to_have_text("7 days")
        page.locator(".tsq-tile", has_text="Scheduled").click()

        page.get_by_role("button", name="Run now").click()
        self.assertEqual(reload(row).state, "QUEUED")
        page.goto(f"{CALLS}?q=pack")
        page.get_by_role("button", name="Cancel").click()

        self.assertEqual(reload(row).state, "INTERRUPTED")


class LookingTests(BrowserTests):
    def setUp(self):
        super().setUp()
        rows = content.fill()
        sleeping = TaskExec.objects.filter(state="SLEEPING").latest("pk")
        self.pages = pages({**rows, "sleeping": sleeping.pk})

    def test_who_may_only_look_sees_no_buttons(self):
        visit = self.visit("viewer")
        for name, address in self.pages.items():
            if name == "reschedule":
                continue
            with self.subTest(name):
                visit.page.goto(address)
                texts = visit.page.locator("button, input[type=submit]").evaluate_all(
                    "all => all.filter((one) => one.checkVisibility()).map((one) =>"
                    " (one.textContent || one.value).trim())"
                )
                # Of the admin itself: how it looks, the log-out, the search.
                others = re.compile(r"^(Toggle theme.*|Log out|Search|.*navigation.*|[»«]?)$", re.S)
                self.assertEqual([one for one in texts if not others.match(one)], [])

    def test_every_page_in_any_light_and_width(self):
        for scheme in ("light", "dark"):
            for width, viewport in (("wide", WIDE), ("phone", PHONE)):
                options = {"is_mobile": True, "has_touch": True} if viewport is PHONE else {}
                visit = self.visit(color_scheme=scheme, viewport=viewport, **options)
                for name, address in self.pages.items():
                    with self.subTest(name, scheme=scheme, width=width):
                        response = visit.page.goto(address)
                        self.assertEqual(response.status, 200)
                        visit.picture(f"{name}-{width}-{scheme}")
                        self.assertEqual(visit.page.evaluate(BEYOND), [])
                        scrolled = visit.page.evaluate("document.scrollingElement.scrollWidth")
                        self.assertLessEqual(scrolled, viewport["width"])
                        self.assert_quiet(visit)


class PictureTests(BrowserTests):
    def test_the_pictures_of_the_docs(self):
        rows = content.fill(long="shop.mail")
        places = pages({**rows, "sleeping": 0})
        wide, phone = {"width": 1100, "height": 960}, {"width": 360, "height": 780}
        for name, page, size, scheme in (
            ("dashboard", "dashboard", wide, "light"),
            ("dashboard-phone", "dashboard", phone, "dark"),
            ("calls", "calls", wide, "light"),
            ("schedule", "schedule", wide, "dark"),
        ):
            visit = self.visit(viewport=size, color_scheme=scheme)
            # Without the admin's own list of models, for which there is no room.
            visit.page.add_init_script("localStorage['django.admin.navSidebarIsOpen'] = 'false'")
            visit.page.goto(places[page])
            visit.picture(f"docs-{name}", whole=False)
