"""What fills the table for the limits: the calls of our own no-op task."""

from peers.ours.tasks import fill, queue

__all__ = ["fill", "queue"]
