"""Functions that the tests make Django tasks of."""

import asyncio
import random
from typing import Any

from django.db import connection, transaction
from django.views.decorators.debug import sensitive_variables

from django_toosimple_q.exceptions import Cancel, Retry

seen: list[Any] = []
blocks: list[Any] = []


def add(a, b=0):
    return a + b


def log_in(user, password):
    raise ValueError("refused")


async def log_in_slowly(user, password):
    raise ValueError("refused")


@sensitive_variables("password")
def log_in_marked(user, password):
    raise ValueError("refused")


async def add_slowly(a, b=0):
    await asyncio.sleep(0)
    return a + b


def note(*args, **kwargs):
    seen.append([args, kwargs])
    return {"args": args, "kwargs": kwargs}


def give(kind):
    """Return what no worker got as an argument: values that JSON changes or refuses."""
    return {
        "tuple": (1, 2),
        "keys": {1: "a", None: "b"},
        "bytes": b"abc",
        "set": {1},
        "nan": float("nan"),
        "object": object(),
        "none": None,
        "long": random.randbytes(1_000_000).hex(),
    }[kind]


def look(context, *args):
    seen.append(context)
    result = context.task_result
    return {
        "attempt": context.attempt,
        "id": result.id,
        "status": result.status,
        "args": result.args,
        "worker_ids": result.worker_ids,
        "errors": [error.exception_class_path for error in result.errors],
    }


def look_and_fail_twice(context):
    seen.append(context)
    if context.attempt < 3:
        raise LookupError(f"attempt {context.attempt}")
    return [error.exception_class_path for error in context.task_result.errors]


def no_context(value):
    return value


def fail(text="no good"):
    raise ValueError(text)


def leave_open(*args):
    """Leave a transaction open, which fails the call after its function has returned."""
    blocks.append(transaction.atomic())
    blocks[-1].__enter__()


def fail_by(kind):
    if kind == "exit":
        raise SystemExit(3)
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "cancel":
        raise Cancel("enough")
    if kind == "retry":
        raise Retry("later")
    if kind == "chained":
        try:
            fail()
        except ValueError as error:
            raise LookupError("Traceback (most recent call last):\n\nKeyError: no") from error
    if kind == "group":
        raise ExceptionGroup("two", [ValueError("a"), KeyError("b")])
    if kind == "local":

        class Local(Exception):
            pass

        raise Local("here")


def in_transaction():
    return connection.in_atomic_block


class Holder:
    @staticmethod
    def held(value):
        return value
