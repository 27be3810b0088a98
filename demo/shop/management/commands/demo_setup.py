"""Set the shop up: tables, an admin user, products, orders of some days, and work to do."""

import random
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, call_command
from django.db import transaction
from django.utils import timezone

from django_toosimple_q.models import ScheduleExec
from shop import orders, pictures, tasks
from shop.models import Order, Product

PRODUCTS = {
    "Teapot": "24.90",
    "Kettle": "39.00",
    "Cup": "7.50",
    "Samovar": "189.00",
    "Strainer": "5.20",
    "Tea cosy": "14.00",
}
PAST_DAYS = 3
ORDERS_A_DAY = 12


class Command(BaseCommand):
    help = "Set up the demo. Existing data is kept."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        with transaction.atomic():
            make_admin()
            if not Product.objects.exists():
                open_shop()
        self.stdout.write("The shop is open.")


def make_admin() -> None:
    """Create the user "admin" with the password "admin"."""
    users = get_user_model().objects
    if not users.filter(username="admin").exists():
        users.create_superuser("admin", "admin@example.com", "admin")


def open_shop() -> None:
    """Create products and orders, and queue their tasks."""
    products = [
        Product.objects.create(name=name, price=price, picture=pictures.paint(name))
        for name, price in PRODUCTS.items()
    ]
    tasks.thumbnail.queue_many([product.pk] for product in products)
    make_history(products)
    for product in products[:3]:
        orders.place(product, "first@example.com")
    now = timezone.now()
    tasks.take_stock.queue(due=now + timedelta(hours=1))
    orders.charge.using(priority=100).queue(Order.objects.earliest("pk").pk)
    # Pretend that no worker ran for some nights, so that catch_up makes their reports.
    ScheduleExec.objects.get_or_create(
        name="shop.nightly_report", defaults={"last_due": now - timedelta(days=PAST_DAYS)}
    )


def make_history(products: list[Product]) -> None:
    """Create shipped orders of the past days."""
    now = timezone.now()
    Order.objects.bulk_create(
        Order(
            product=random.choice(products),
            email=f"{random.choice(tasks.CUSTOMERS)}@example.com",
            state=Order.States.SHIPPED,
            created=now - timedelta(days=day, minutes=random.randrange(1440)),
        )
        for day in range(PAST_DAYS, 0, -1)
        for _ in range(ORDERS_A_DAY)
    )
