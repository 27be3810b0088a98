"""Lines about the database and its hints."""

import logging
from typing import Any

from django_toosimple_q.log.write import write
from django_toosimple_q.text import named


def on_hint_failed(error: Any, **kwargs: Any) -> None:
    write(
        logging.WARNING,
        "hint not sent, workers find the call at their next tick: error=%s",
        named(error),
        error=named(error),
    )


def on_listening_failed(sender: Any, error: Any, **kwargs: Any) -> None:
    write(
        logging.WARNING,
        "hints lost, polling until they are back: listener=%s error=%s",
        sender,
        named(error),
        error=named(error),
    )


def on_listening_restored(sender: Any, **kwargs: Any) -> None:
    write(logging.INFO, "listening for hints again: listener=%s", sender)


def on_pooler_found(**kwargs: Any) -> None:
    write(
        logging.WARNING,
        "a connection pooler stands in front of the database and keeps hints from coming through, "
        "so workers only check at their tick. Use a short --tick, or set TOOSIMPLEQ_REDIS_URL.",
    )


def on_database_lost(sender: Any, error: Any, **kwargs: Any) -> None:
    line, reason = "database lost, trying again: label=%s error=%s", named(error)
    write(logging.WARNING, line, sender, reason, worker=sender, error=reason)


def on_database_busy(error: Any, failures: int, seconds: float, **kwargs: Any) -> None:
    write(
        logging.WARNING,
        "database is busy, trying again: failures=%s seconds=%.1f error=%s",
        failures,
        seconds,
        named(error),
        error=named(error),
    )


def on_database_unresponsive(sender: Any, seconds: float, **kwargs: Any) -> None:
    line = "database does not answer, waiting: label=%s seconds=%.1f"
    write(logging.WARNING, line, sender, seconds, worker=sender)


def on_database_refused(sender: Any, error: Any, **kwargs: Any) -> None:
    line, reason = "database refuses all writes, outcomes wait: label=%s error=%s", named(error)
    write(logging.ERROR, line, sender, reason, worker=sender, error=reason)


def on_database_back(sender: Any, seconds: float, **kwargs: Any) -> None:
    write(logging.INFO, "database back: label=%s seconds=%.1f", sender, seconds, worker=sender)
