"""What is observed of the guide's project, with Celery and after the change of import.

Run as a program in the project's folder, its imports rewritten like the project's own. Prints the
observations as JSON; the logger of the tasks writes a line for each run into the journal.
"""

import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import django
from celery.exceptions import MaxRetriesExceededError, Retry, TaskRevokedError
from celery.result import AsyncResult

PATIENCE_SECONDS = 30
# A machine with much to do is late, and yet nothing is wrong.
LATE_SECONDS = 5


def outcome(result, timeout=PATIENCE_SECONDS):
    """Return how a call ended: its state, and its value or its exception."""
    try:
        value = result.get(timeout=timeout, interval=0.05)
    except Exception as error:
        kinds = (MaxRetriesExceededError, TaskRevokedError, ConnectionError, ValueError)
        kind = next((kind.__name__ for kind in kinds if isinstance(error, kind)), repr(error))
        text = "" if kind in ("MaxRetriesExceededError", "TaskRevokedError") else str(error)
        value = f"{kind} {text}"
    return {
        "value": value,
        "state": result.state,
        "status": result.status,
        "ready": result.ready(),
        "successful": result.successful(),
        "failed": result.failed(),
        "has traceback": bool(result.traceback) and result.state == "FAILURE",
    }


def raised(call):
    try:
        return repr(call())
    except TypeError:
        return "TypeError"
    except Retry as error:
        return f"Retry {error}"
    except Exception as error:
        return repr(error)


def runs(first):
    """Return the journal's lines that begin with some words: what they say, and when it was."""
    lines = Path(os.environ["SHOP_JOURNAL"]).read_text().splitlines()
    entries = [line.split(" ", 1) for line in lines]
    return [(float(at), text) for at, text in entries if text.startswith(first)]


def waits(times, *expected):
    """Return the seconds between moments: those expected, unless they are far from them."""
    found = [after - before for before, after in pairwise(times)]
    if len(found) != len(expected):
        return found
    return [
        seconds if seconds - 0.01 <= taken < seconds + LATE_SECONDS else taken
        for taken, seconds in zip(found, expected, strict=True)
    ]


def with_worker():
    from shop.tasks import charge, fetch_rates, poll, remind, total

    began = time.time()
    soon = datetime.now(UTC) + timedelta(seconds=1)
    calls = {
        "delay": total.delay([1, 2], shipping=3),
        "signature": total.s(5).set(priority=1).delay([1, 2]),
        "countdown": remind.apply_async(("countdown",), countdown=1),
        "eta": remind.apply_async(("eta",), eta=soon),
        "autoretry": fetch_rates.delay("EUR"),
        "retry": charge.delay(7),
        "retries exhausted": charge.delay(8, locked_for=9),
        "no exception": poll.delay(),
        "revoked": remind.apply_async(("revoked",), countdown=1.5),
        "expired": remind.apply_async(("expired",), countdown=1.5, expires=0.5),
        "in time": remind.apply_async(("in time",), expires=60),
    }
    before = {name: calls[name].state for name in ("countdown", "eta", "revoked")}
    calls["revoked"].revoke()
    ended = {name: outcome(result) for name, result in calls.items()}

    charged = [text.split() for _, text in runs("charge 7")]
    return {
        "before": before,
        "ended": ended,
        "ran": sorted(text for _, text in runs("remind")),
        "waited for countdown": waits([began, *(at for at, _ in runs("remind countdown"))], 1),
        "waited for eta": waits([began, *(at for at, _ in runs("remind eta"))], 1),
        "backed off": waits([at for at, _ in runs("fetch_rates")], 1, 2),
        "waited for retry": waits([at for at, _ in runs("charge 7")], 1, 1),
        "retries seen": [words[3] for words in charged],
        "one id": {words[2] for words in charged} == {calls["retry"].id},
        "retries seen in the end": [text.split()[3] for _, text in runs("charge 8")],
        "polled": [text for _, text in runs("poll")],
        "found again": outcome(AsyncResult(calls["delay"].id)),
        "unknown": AsyncResult(str(uuid4())).state,
        "wrong arguments": raised(lambda: total.delay()),
        "called": raised(lambda: total([1], 2)),
        "called, retrying": raised(lambda: charge(9)),
        "repr": repr(total.s([1], shipping=2)),
        "names": [task.name for task in (total, charge)],
        "id is text": isinstance(calls["delay"].id, str),
    }


def eager():
    from shop.tasks import charge, fetch_rates, poll, remind, total

    calls = {
        "delay": lambda: total.delay([1, 2], shipping=3),
        "countdown": lambda: remind.apply_async(("countdown",), countdown=60),
        "signature": lambda: total.s(5).delay([1, 2]),
        "autoretry": lambda: fetch_rates.delay("EUR"),
        "retry": lambda: charge.delay(7),
        "retries exhausted": lambda: charge.delay(8, locked_for=9),
        "no exception": lambda: poll.delay(),
        "apply": lambda: total.apply(([1],), {"shipping": 1}),
        "wrong arguments": lambda: total.delay(),
    }
    observed = {}
    for name, call in calls.items():
        try:
            observed[name] = outcome(call())
        except Exception:
            observed[name] = raised(call)
    return {**observed, "ran": [text.split()[0] for _, text in runs("")]}


if __name__ == "__main__":
    django.setup()
    observations = eager() if sys.argv[1:] == ["eager"] else with_worker()
    print(json.dumps(observations, indent=1))
