"""Tasks of a shop, for workers that a browser watches."""

import time

from django_toosimple_q import current_task, register_task, schedule_task, track


class PaymentRefused(Exception):
    """The bank has said no."""


@register_task(name="shop.pack", queue="orders")
def pack(order: int) -> str:
    print(f"packing order {order}")
    return f"order {order} is on its way"


@register_task(name="shop.import_products", queue="imports")
def import_products(count: int, seconds: float) -> int:
    """Report progress until it is done, or until somebody cancels it."""
    for number in track(range(count), message="reading the catalogue"):
        time.sleep(seconds)
        if current_task().interrupted:
            return number
        if number % 10 == 0:
            print(f"product {number}")
    return count


@register_task(name="shop.charge", queue="payments")
def charge(order: int) -> None:
    raise PaymentRefused(f"order {order}: the card has expired")


@schedule_task(cron="*/15 * * * *", name="shop.restock", args=[7], queue="orders")
@schedule_task(cron="0 3 * * *", name="shop.nightly_import", args=[8], queue="orders")
@register_task(name="shop.restock", queue="orders")
def restock(product: int) -> None:
    print(f"restocking {product}")
