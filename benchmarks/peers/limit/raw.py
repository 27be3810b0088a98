"""psycopg alone, claiming and finishing in fifties: the limit of a drain on this machine."""

import os
import time

import psycopg

from django_toosimple_q.models import TaskExec

BATCH = 50
WORKER = 1
STEP = """
    WITH finished AS (
        UPDATE toosimpleq_taskexec SET state = 'SUCCEEDED', finished = clock_timestamp()
        WHERE id = ANY(%s) AND state = 'PROCESSING' AND worker_id = %s),
    picked AS MATERIALIZED (
        SELECT id FROM toosimpleq_taskexec
        WHERE state = 'QUEUED' AND queue = 'default' AND concurrency_key = ''
        ORDER BY priority DESC, due, id LIMIT %s FOR UPDATE SKIP LOCKED)
    UPDATE toosimpleq_taskexec t
    SET state = 'PROCESSING', worker_id = %s, started = clock_timestamp()
    FROM picked WHERE t.id = picked.id RETURNING t.id, t.task_name, t.args, t.kwargs
"""


def run(count: int) -> float:
    """Claim and finish all rows with raw psycopg, one commit per batch. Return the seconds."""
    ids: list[int] = []
    with psycopg.connect(dbname=os.environ["BENCH_NAME"], autocommit=True) as raw:
        began = time.perf_counter()
        # The step after the last batch finishes it and claims nothing.
        for _ in range(count // BATCH + 2):
            claimed = raw.execute(STEP, [ids, WORKER, BATCH, WORKER]).fetchall()
            ids = [row[0] for row in claimed]
            if not ids:
                break
        seconds = time.perf_counter() - began
    done = TaskExec.objects.filter(state=TaskExec.States.SUCCEEDED).count()
    if done != count:
        raise SystemExit(f"{done} of {count} rows were finished.")
    return seconds
