"""The demo works: its set-up can run twice, and its tasks do what the page promises."""

from datetime import timedelta
from unittest import mock

from django.core import mail
from django.core.management import call_command
from django.test import TestCase
from django.utils import timezone

from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.testing import queued, run_queued
from shop import orders, outside, pictures, tasks
from shop.models import Order, Product, Rate, Report


class SetUpTests(TestCase):
    def test_setting_up_again_changes_nothing(self):
        call_command("demo_setup", stdout=mock.Mock())
        before = Product.objects.count(), Order.objects.count(), TaskExec.objects.count()

        call_command("demo_setup", stdout=mock.Mock())

        after = Product.objects.count(), Order.objects.count(), TaskExec.objects.count()
        self.assertEqual(after, before)
        self.assertTrue(self.client.login(username="admin", password="admin"))
        self.assertTrue(ScheduleExec.objects.filter(name="shop.nightly_report").exists())


class ShopTests(TestCase):
    def setUp(self):
        # No external service fails.
        no_failures = mock.patch.object(outside.random, "random", return_value=0.99)
        no_failures.start()
        self.addCleanup(no_failures.stop)
        self.product = Product.objects.create(name="Cup", price=5, picture=pictures.paint("Cup"))

    def test_an_order_is_confirmed_charged_and_shipped(self):
        self.client.post(f"/order/{self.product.pk}/", {"email": "a@example.com"})
        run_queued()
        orders.ship.queue()
        run_queued()

        self.assertEqual(mail.outbox[0].to, ["a@example.com"])
        self.assertEqual(Order.objects.get().state, Order.States.SHIPPED)

    def test_many_orders_need_one_tidying_up(self):
        orders.place(self.product, "a@example.com")
        orders.place(self.product, "b@example.com")

        self.assertEqual(len(queued(orders.tidy)), 1)

    def test_thumbnails_are_made_and_shown(self):
        self.assertContains(self.client.get("/"), "picture is being made")
        tasks.thumbnail.queue(self.product.pk)
        run_queued()

        self.assertEqual(self.client.get(f"/picture/{self.product.pk}.png").content[1:4], b"PNG")
        self.assertContains(self.client.get("/"), f"/picture/{self.product.pk}.png")

    def test_reports_and_rates_reach_the_page(self):
        Order.objects.create(product=self.product, email="a@example.com", created=timezone.now())
        tasks.report.queue(until=timezone.now() + timedelta(days=1))
        tasks.fetch_rates.queue()
        run_queued()

        self.assertEqual(Report.objects.get().orders, 1)
        self.assertEqual(Rate.objects.count(), 3)
        self.assertContains(self.client.get("/"), "1 orders, 5.00 €")
