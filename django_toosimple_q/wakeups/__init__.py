"""Wake-up hints: they wake idle workers. Without them everything happens one tick later."""

from django_toosimple_q.wakeups.choose import (
    announce_cancelled,
    announce_done,
    listen,
    listen_for_cancellations,
    mode,
    pushes,
    sender,
)
from django_toosimple_q.wakeups.hints import (
    DONE,
    WORK,
    Attention,
    Hints,
    announce,
)

__all__ = [
    "DONE",
    "WORK",
    "Attention",
    "Hints",
    "announce",
    "announce_cancelled",
    "announce_done",
    "listen",
    "listen_for_cancellations",
    "mode",
    "pushes",
    "sender",
]
