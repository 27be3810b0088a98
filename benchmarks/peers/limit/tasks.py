"""The no-op task that fills the table for the limits. It is that of our own queue."""

from peers.ours.tasks import fill, queue

__all__ = ["fill", "queue"]
