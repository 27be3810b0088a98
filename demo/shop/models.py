"""The shop's products, orders, reports and exchange rates."""

from django.db import models


class Product(models.Model):
    """A product with a picture. A task makes its thumbnail."""

    name = models.CharField(max_length=100, unique=True)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    picture = models.BinaryField(default=bytes)
    thumbnail = models.BinaryField(default=bytes)

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    """An order of one product. A task charges it, and a schedule ships it."""

    class States(models.TextChoices):
        PLACED = "PLACED", "Placed"
        PAID = "PAID", "Paid"
        SHIPPED = "SHIPPED", "Shipped"

    product = models.ForeignKey(Product, on_delete=models.CASCADE)
    email = models.EmailField()
    state = models.CharField(max_length=10, choices=States.choices, default=States.PLACED)
    created = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"Order {self.pk}: {self.product}"


class Report(models.Model):
    """The orders and the revenue of one day."""

    day = models.DateField(unique=True)
    orders = models.IntegerField()
    revenue = models.DecimalField(max_digits=10, decimal_places=2)

    def __str__(self) -> str:
        return f"{self.day}: {self.orders} orders, {self.revenue} €"


class Rate(models.Model):
    """The exchange rate of the euro to another currency, fetched every minute."""

    currency = models.CharField(max_length=3, unique=True)
    value = models.DecimalField(max_digits=10, decimal_places=4)
    fetched = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.currency} {self.value}"
