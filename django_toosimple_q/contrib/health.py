"""A view for probes: whether the queue is well, as JSON, with the status 200 or 503.

path("healthz", HealthView.as_view(max_wait=300, max_failures=10))
"""

from typing import Any

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, JsonResponse

from django_toosimple_q import health
from django_toosimple_q.contrib.monitoring import MonitoringView


class HealthView(MonitoringView):
    """Answers 200 where nothing is wrong, else 503 with what is, and what to do.

    max_wait: how many seconds the oldest call of a queue may have waited. max_failures: how many
    calls may have failed for good within the last hour. None does not look at that. Without any, a
    worker must live, and living workers must take every queue in which calls wait.
    """

    max_wait: float | None = None
    max_failures: int | None = None

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> JsonResponse:
        try:
            found = health.read()
        except (DatabaseError, InterfaceError) as error:
            # Its text may name hosts and users.
            fact = f"The queue's database cannot be read: {type(error).__name__}."
            cure = "Look at the database, and at what `manage.py queues` says."
            problem = {"kind": "database", "queue": "", "fact": fact, "cure": cure}
            return JsonResponse({"ok": False, "problems": [problem]}, status=503)
        problems = found.problems(self.max_wait, self.max_failures)
        answer = {"ok": not problems, **found.described(problems)}
        return JsonResponse(answer, status=503 if problems else 200)


health_view = HealthView.as_view()
