"""The life of an order: placed by somebody, then charged, shipped and forgotten by tasks.

Tasks need not live in tasks.py: that module imports this one, so workers know them.
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
    """Take an order, queue the mail that confirms it, and queue its payment.

    Either all of it is stored or nothing: the queue's rows are part of this transaction.
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
        # Unique: however many orders come in, one of these waits.
        tidy.queue(due=now + timedelta(seconds=30))
    return order


@register_task(name="shop.charge", queue="payments", priority=10, retries=5, retry_delay=5)
def charge(order_id: int) -> str:
    """Take the money for an order; the bank does not always answer, so it is tried again."""
    order = Order.objects.select_related("product").get(pk=order_id)
    print(f"charging {order.product.price} € to {order.email}")
    receipt = outside.charge(order.email, order.product.price)
    Order.objects.filter(pk=order_id, state=States.PLACED).update(state=States.PAID)
    return receipt


@schedule_task(cron="* * * * * */10", name="shop.ship", queue="orders")
@register_task(name="shop.ship", queue="orders", unique=True)
def ship() -> str:
    """Hand over what is paid for, every ten seconds."""
    with transaction.atomic():
        paid = list(Order.objects.filter(state=States.PAID).order_by("pk"))
        Order.objects.filter(pk__in=[order.pk for order in paid]).update(state=States.SHIPPED)
        label.queue_many([order.pk, order.email] for order in paid)
    return f"{len(paid)} shipped"


@register_task(name="shop.label", queue="orders", priority=5)
def label(order_id: int, email: str) -> None:
    """Print a label. Without retries: a printer without paper is for a person to look at."""
    outside.print_label(order_id, email)


@register_task(name="shop.tidy", unique=True, priority=-20)
def tidy() -> str:
    """Forget the oldest orders; queued by each order, run once for all of them."""
    kept = Order.objects.order_by("-pk").values_list("pk", flat=True)[:KEPT_ORDERS]
    deleted, _per_model = Order.objects.exclude(pk__in=list(kept)).delete()
    return f"{deleted} deleted"
