"""What proves that a task ran: a byte in a file, the same small cost for every peer."""

import os

_file = os.open(os.environ["BENCH_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def tell() -> None:
    """Append a byte."""
    os.write(_file, b".")
