"""The shop's schedules and background tasks. Those of orders are in orders.py."""

import asyncio
import random
import time
from datetime import datetime, timedelta
from decimal import Decimal

from django.core.mail import send_mail
from django.db.models import Count, Sum
from django.utils import timezone

from django_toosimple_q.decorators import register_task, schedule_task
from shop import orders, outside, pictures
from shop.models import Order, Product, Rate, Report

CURRENCIES = ("USD", "GBP", "JPY")
CUSTOMERS = ("ada", "blaise", "carla", "dmitri", "emmy", "fatima", "grace", "hugo")


@register_task(name="shop.thumbnail", queue="pictures", priority=-10)
def thumbnail(product_id: int, factor: int = 2) -> str:
    """Make the thumbnail of a product when nothing more urgent waits."""
    product = Product.objects.get(pk=product_id)
    small = pictures.thumbnail(bytes(product.picture), factor)
    Product.objects.filter(pk=product_id).update(thumbnail=small)
    return f"{len(product.picture)} bytes became {len(small)}"


@schedule_task(
    cron="0 2 * * *",
    name="shop.nightly_report",
    queue="reports",
    datetime_kwarg="until",
    catch_up=True,
)
@schedule_task(cron="manual", name="shop.report_by_hand", queue="reports", datetime_kwarg="until")
@register_task(name="shop.report", queue="reports", retries=2, retry_delay=60)
def report(until: datetime) -> str:
    """Report the day before `until`. The schedule catches up with nights without a worker."""
    day = timezone.localdate(until) - timedelta(days=1)
    sold = Order.objects.filter(created__date=day).aggregate(
        orders=Count("pk"), revenue=Sum("product__price", default=Decimal(0))
    )
    stored, _created = Report.objects.update_or_create(day=day, defaults=sold)
    send_mail("Daily report", str(stored), None, ["boss@example.com"])
    return str(stored)


@schedule_task(cron="* * * * *", name="shop.rates", queue="rates")
@register_task(name="shop.rates", queue="rates", retries=3, retry_delay=5)
async def fetch_rates() -> dict[str, Decimal]:
    """Fetch all exchange rates concurrently, every minute, from a server that sometimes fails."""
    values = await asyncio.gather(*(outside.exchange_rate(currency) for currency in CURRENCIES))
    rates = dict(zip(CURRENCIES, values, strict=True))
    for currency, value in rates.items():
        await Rate.objects.aupdate_or_create(
            currency=currency, defaults={"value": value, "fetched": timezone.now()}
        )
    return rates


@schedule_task(cron="manual", name="shop.stock_taking", queue="reports")
@register_task(name="shop.stock_taking", queue="reports", timeout=60)
def take_stock() -> int:
    """Count all products slowly, to have a running task to watch or interrupt."""
    products = Product.objects.order_by("name")
    for product in products:
        time.sleep(2)
        print(f"counted {product}")
    return len(products)


@schedule_task(cron="* * * * * 5,25,45", name="shop.customer")
@register_task(name="shop.customer")
def play_customer() -> str:
    """Place a random order, so that the demo always has work."""
    product = random.choice(Product.objects.all())
    order = orders.place(product, f"{random.choice(CUSTOMERS)}@example.com")
    return str(order)
