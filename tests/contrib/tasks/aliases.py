"""TASKS as the tests have it. Imports nothing: settings modules take it from here."""

BACKEND = "django_toosimple_q.contrib.tasks.ToosimpleQBackend"


def tasks(backend: str) -> dict[str, dict[str, object]]:
    return {
        "default": {"BACKEND": backend, "QUEUES": ["default", "mail"]},
        "any": {"BACKEND": backend, "QUEUES": []},
    }


TASKS = tasks(BACKEND)
