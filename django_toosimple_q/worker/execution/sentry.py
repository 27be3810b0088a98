"""Give each run a scope of its own in Sentry, in a process that reports to it.

What a task sets there is kept in objects that a context variable refers to, so a context of its own
is not enough.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django_toosimple_q.execution import Claimed, Outcome

MODULE = "sentry_sdk"
STREAM = "stream"


class Scopes:
    """The scopes of the runs of one worker."""

    def __init__(self) -> None:
        # What the project has set for the whole process, without the worker's own statements.
        self.process: Any = None

    @contextmanager
    def separated(self) -> Iterator[None]:
        """Keep the worker's own statements off what the project has set, and off all events."""
        sdk = sdk_in_use()
        if sdk is None:
            yield
            return
        self.process = sdk.get_isolation_scope()
        with sdk.isolation_scope() as own:
            own.add_event_processor(without_queries)
            yield

    def begin(self, claimed: Claimed) -> Any:
        """Enter the scope of a run, in the run's own context; return its span, if it is traced."""
        sdk = sdk_in_use()
        if sdk is None:
            return None
        scope = (self.process or sdk.get_isolation_scope()).fork()
        scope.clear_breadcrumbs()
        sdk.Scope.set_isolation_scope(scope)
        current = sdk.get_current_scope().fork()
        current.span = None
        sdk.Scope.set_current_scope(current)
        # Its trace begins here: it continues none.
        span = sdk.continue_trace(
            {},
            op="queue.process",
            name=claimed.task_name,
            source="task",
            origin="auto.queue.toosimpleq",
        )
        scope.set_transaction_name(claimed.task_name, source="task")
        if not is_traced(sdk.get_client().options):
            return None
        return sdk.start_transaction(span).__enter__()


def end(span: Any, outcome: Outcome | None) -> None:
    """End the span of a run, in the run's own context."""
    if span is not None:
        succeeded = outcome is not None and outcome.state == "SUCCEEDED"
        span.set_status("ok" if succeeded else "internal_error")
        span.__exit__(None, None, None)


def sdk_in_use() -> Any:
    """Return the module `sentry_sdk`, or None where the project does not report to Sentry."""
    sdk = sys.modules.get(MODULE)
    return sdk if sdk is not None and sdk.is_initialized() else None


def is_traced(options: Any) -> bool:
    """Return whether the project wants transactions. Spans that are streamed belong to none."""
    experiments = options.get("_experiments") or {}
    lifecycle = options.get("trace_lifecycle") or experiments.get("trace_lifecycle")
    samples = [options.get(name) for name in ("traces_sample_rate", "traces_sampler")]
    return lifecycle != STREAM and any(one is not None for one in samples)


def without_queries(event: Any, hint: Any) -> Any:
    """Return an event of the worker's own without the statements that came before it."""
    crumbs = event.get("breadcrumbs")
    if isinstance(crumbs, dict):
        crumbs["values"] = [one for one in crumbs["values"] if one.get("category") != "query"]
    return event
