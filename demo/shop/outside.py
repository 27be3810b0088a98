"""Simulated external services, which are slow and sometimes fail."""

import asyncio
import random
import time
from decimal import Decimal


class BankUnreachable(Exception):
    """The bank did not answer. Another attempt may succeed."""


class PrinterProblem(Exception):
    """The label printer needs a person."""


def charge(email: str, amount: Decimal) -> str:
    """Charge an amount and return a receipt. One time in three, the bank does not answer."""
    time.sleep(random.uniform(0.05, 0.4))
    if random.random() < 1 / 3:
        raise BankUnreachable(f"no answer while charging {amount} € to {email}")
    return f"receipt {random.randrange(10**6):06}"


async def exchange_rate(currency: str) -> Decimal:
    """Return the exchange rate of the euro. One time in five, the server is down."""
    await asyncio.sleep(random.uniform(0.1, 0.6))
    if random.random() < 0.2:
        raise ConnectionError(f"the rate server is down: no rate for {currency}")
    usual = {"USD": 1.1, "GBP": 0.85, "JPY": 163.0}[currency]
    return Decimal(usual * random.uniform(0.99, 1.01)).quantize(Decimal("0.0001"))


def print_label(order_id: int, email: str) -> None:
    """Print the label of a parcel. One time in ten, the printer is out of paper."""
    time.sleep(0.1)
    if random.random() < 0.1:
        raise PrinterProblem(f"out of paper when printing order {order_id} for {email}")
