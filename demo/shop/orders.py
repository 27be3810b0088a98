"""The life of an order: a customer places it, and tasks charge, ship and finally delete it.

These tasks are not in tasks.py. That module imports this one, so that workers know them.
"""

from datetime import timedelta

from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone

from django_toosimple_q.decorators import register_task, schedule_task
from shop import outside
from shop.models import Order, Product

States = Order.States
KEPT_ORDERS = 500


def place(product: Product, email: str) -> Order:
    """Store an order, and queue its confirmation mail and its payment.

    All of it is stored or none, since the queue's rows are part of this transaction.
    """
    now = timezone.now()
    with transaction.atomic():
        order = Order.objects.create(product=product, email=email, created=now)
        send_mail(
            f"Your order {order.pk}",
            f"Thank you for ordering one {product} at {product.price} €.",
            None,
            [email],
        )
        charge.queue(order.pk)
        # The task is unique, so only one call waits, however many orders come in.
        tidy.queue(due=now + timedelta(seconds=30))
    return order


@register_task(name="shop.charge", queue="payments", priority=10, retries=5, retry_delay=5)
def charge(order_id: int) -> str:
    """Charge the customer. The task has retries, since the bank does not always answer."""
    order = Order.objects.select_related("product").get(pk=order_id)
    print(f"charging {order.product.price} € to {order.email}")
    receipt = outside.charge(order.email, order.product.price)
    Order.objects.filter(pk=order_id, state=States.PLACED).update(state=States.PAID)
    return receipt


@schedule_task(cron="* * * * * */10", name="shop.ship", queue="orders")
@register_task(name="shop.ship", queue="orders", unique=True)
def ship() -> str:
    """Ship paid orders, every ten seconds."""
    with transaction.atomic():
        paid = list(Order.objects.filter(state=States.PAID).order_by("pk"))
        Order.objects.filter(pk__in=[order.pk for order in paid]).update(state=States.SHIPPED)
        label.queue_many([order.pk, order.email] for order in paid)
    return f"{len(paid)} shipped"


@register_task(name="shop.label", queue="orders", priority=5)
def label(order_id: int, email: str) -> None:
    """Print a label. It has no retries, since a person has to refill the printer first."""
    outside.print_label(order_id, email)


@register_task(name="shop.tidy", unique=True, priority=-20)
def tidy() -> str:
    """Delete the oldest orders. Each order queues this task, and one run serves them all."""
    kept = Order.objects.order_by("-pk").values_list("pk", flat=True)[:KEPT_ORDERS]
    deleted, _per_model = Order.objects.exclude(pk__in=list(kept)).delete()
    return f"{deleted} deleted"
