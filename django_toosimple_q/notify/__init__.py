"""Wake-up hints: tell waiting workers of new rows. With them off, all happens one tick later."""

from django_toosimple_q.notify.base import ATTENTIVE_SECONDS, LOOK_EVERY_SECONDS, Hints, announce
from django_toosimple_q.notify.choose import listen, sender

__all__ = [
    "ATTENTIVE_SECONDS",
    "LOOK_EVERY_SECONDS",
    "Hints",
    "announce",
    "listen",
    "sender",
]
