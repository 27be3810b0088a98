"""Wake-up hints: tell waiting workers of new rows. With them off, all happens one tick later."""

from django_toosimple_q.notify.base import (
    ATTENTIVE_SECONDS,
    DONE,
    LOOK_EVERY_SECONDS,
    Hints,
    announce,
    announce_done,
)
from django_toosimple_q.notify.choose import listen, pushes, sender

__all__ = [
    "ATTENTIVE_SECONDS",
    "DONE",
    "LOOK_EVERY_SECONDS",
    "Hints",
    "announce",
    "announce_done",
    "listen",
    "pushes",
    "sender",
]
