"""Collects these tests for `make browser` only: they need Chromium."""

import os

collect_ignore_glob = [] if os.environ.get("TOOSIMPLEQ_BROWSER") else ["test_*.py"]

# Playwright runs an event loop in the thread of the tests, which is theirs alone.
if not collect_ignore_glob:
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
