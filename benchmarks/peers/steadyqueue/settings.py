"""Steady Queue with one worker process. Its own default is three threads in the process."""

import os

from steady_queue.configuration import Configuration

from peers.base import *  # noqa: F403
from peers.base import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "steady_queue", "peers.steadyqueue"]
TASKS = {
    "default": {
        "BACKEND": "steady_queue.backend.SteadyQueueBackend",
        "QUEUES": ["default"],
        "OPTIONS": {},
    }
}
STEADY_QUEUE = Configuration.Options(
    workers=[Configuration.Worker(threads=int(os.environ.get("BENCH_THREADS", "1")))]
)
