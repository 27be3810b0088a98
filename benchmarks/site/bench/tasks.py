"""The no-op task, in the words of whichever queue is measured."""

import os

from bench.ledger import tell

if os.environ["BENCH_API"] == "toosimpleq":
    from django_toosimple_q.decorators import register_task

    @register_task(name="noop")
    def noop():
        tell()

    def enqueue():
        noop.queue()

    if os.environ.get("BENCH_ATOMIC"):

        @register_task(name="atomic", atomic=True)
        def atomic():
            tell()

        enqueue = atomic.queue
else:
    from django.tasks import task

    @task
    def noop():
        tell()

    def enqueue():
        noop.enqueue()
