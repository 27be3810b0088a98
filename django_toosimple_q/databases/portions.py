"""Split rows by the text that fits into one statement."""

from collections.abc import Iterator, Sequence
from typing import Any

# How much text goes into one statement. The server refuses a statement larger than
# max_allowed_packet (16 MB, rarely set below 1 MB), and closes the connection as if it was lost.
STATEMENT_BYTES = 500_000
# What a statement needs besides a row's text: error and outputs, of 64 KB each, are escaped.
FRAME_BYTES = 200_000


def portions(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    """Yield the rows in portions that fit into a statement. Larger rows come one by one."""
    portion: list[Sequence[Any]] = []
    size = 0
    for row in rows:
        added = text_bytes(row)
        if portion and size + added > STATEMENT_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(row)
        size += added
    if portion:
        yield portion


def text_bytes(row: Sequence[Any]) -> int:
    """Return how many bytes the texts of a row take before they are escaped."""
    return sum(len(value.encode()) for value in row if isinstance(value, str))
