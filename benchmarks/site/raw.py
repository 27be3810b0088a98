"""The limit: claim and finish batches of 50 with psycopg alone, as much durability, no Python."""

import os
import sys
import time

import psycopg

BATCH = 50
CLAIM = """
    WITH picked AS MATERIALIZED (
        SELECT id FROM raw_queue WHERE state = 'QUEUED'
        ORDER BY priority DESC, due, id LIMIT %s FOR UPDATE SKIP LOCKED)
    UPDATE raw_queue t SET state = 'PROCESSING' FROM picked WHERE t.id = picked.id RETURNING t.id
"""
FINISH = """
    UPDATE raw_queue SET state = 'SUCCEEDED', finished = now()
    WHERE id = ANY(%s) AND state = 'PROCESSING'
"""


def main(count: int) -> None:
    """Print rows a second."""
    name = os.environ["BENCH_NAME"]
    host, user = os.environ.get("PGHOST", "127.0.0.1"), os.environ.get("PGUSER", "postgres")
    with psycopg.connect(dbname=name, host=host, user=user, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS raw_queue")
        connection.execute(
            "CREATE TABLE raw_queue (id bigserial PRIMARY KEY, state text, priority int, due"
            " timestamptz, finished timestamptz, args text, kwargs text)"
        )
        connection.execute(
            "CREATE INDEX ON raw_queue (priority DESC, due, id) WHERE state = 'QUEUED'"
        )
        connection.execute(
            "INSERT INTO raw_queue (state, priority, due, args, kwargs) SELECT 'QUEUED', 0, now(),"
            " repeat('A', 80), repeat('A', 80) FROM generate_series(1, %s)",
            [count],
        )
        connection.execute("VACUUM ANALYZE raw_queue")
        began, done = time.perf_counter(), 0
        while ids := [row[0] for row in connection.execute(CLAIM, [BATCH])]:
            connection.execute(FINISH, [ids])
            done += len(ids)
        assert done == count, done
        print(count / (time.perf_counter() - began))
        connection.execute("DROP TABLE raw_queue")


if __name__ == "__main__":
    main(int(sys.argv[1]))
