"""TASKS as the tests have it. Imports nothing: settings modules take it from here."""

BACKEND = "django_toosimple_q.contrib.tasks.ToosimpleQBackend"
TASKS = {
    "default": {"BACKEND": BACKEND, "QUEUES": ["default", "mail"]},
    "any": {"BACKEND": BACKEND, "QUEUES": []},
}
