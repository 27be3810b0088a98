"""What the store needs from a database, in SQL that SQLite and PostgreSQL share."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction

from django_toosimple_q.databases.charsets import Charsets
from django_toosimple_q.databases.errors import Errors
from django_toosimple_q.databases.network import Limits
from django_toosimple_q.databases.session import Session
from django_toosimple_q.moments import aware
from django_toosimple_q.wakeups.hints import Hints, Send

TABLE = "toosimpleq_taskexec"
WORKERS = "toosimpleq_workerstatus"
QUEUES = "toosimpleq_queuestatus"
CONCURRENCY_KEYS = "toosimpleq_concurrencykey"
SCHEDULES = "toosimpleq_scheduleexec"
MINUTES = "toosimpleq_minute"
# The attribute of a connection, and of a driver's where it may have one, that holds its `Session`.
SESSION = "toosimpleq_session"
# The columns of a `Bucket`.
BUCKET = "queue, concurrency_key"

# Spelled as in the index of ended rows, or SQLite does not use that index.
ENDED = "state IN ('SUCCEEDED', 'INTERRUPTED', 'FAILED', 'INVALID')"

# A worker that was declared dead while it was paused must not claim as its old incarnation.
ALIVE = (
    f"EXISTS (SELECT 1 FROM {WORKERS} w WHERE w.id = %s AND w.incarnation = %s"
    " AND w.stopped IS NULL AND w.rescued IS NULL)"
)


class Bucket(NamedTuple):
    """Where rows wait: a queue, and in it a limited task's concurrency key ("" for all others)."""

    queue: str
    concurrency_key: str = ""


class Pick(NamedTuple):
    """Which waiting rows to claim: a maximum for each bucket, `limit` in all, and for whom."""

    buckets: Mapping[Bucket, int]
    limit: int
    skipped_names: Sequence[str]
    worker_id: int
    incarnation: str


class Bounds(NamedTuple):
    """How long a transaction of ours may hold others up, in seconds.

    lock: how long a statement waits for a lock of another session; None leaves it as it is set.
    idle: how long the transaction may stand idle. Its client is frozen then, so the server ends the
    session, and its locks fall.
    """

    lock: float | None
    idle: float


class Database(Errors):
    """How one database does what the store needs. It is stateless and shared between threads."""

    family = ""
    # How hints are received and sent, if the database supports them.
    listener: type[Hints] | None = None
    send_hint: Send | None = None

    clock_sql = "CURRENT_TIMESTAMP"
    least, greatest = "LEAST", "GREATEST"
    # Whether a column may give something of another type than its own.
    loosely_typed = True
    # Whether a datetime column holds an instant; otherwise it holds digits, which are in UTC.
    stores_instants = False
    # The first and the last moment that the driver and Python read in whatever zone.
    first_moment = "TIMESTAMP '0001-01-03 00:00:00'"
    last_moment = "TIMESTAMP '9999-12-30 00:00:00'"
    skip_locked = ""
    # The same for a row whose id stays, which others may refer to meanwhile.
    skip_locked_for_values = ""
    claim_hint = ""
    # How long to repeat a transaction that could not begin, whatever the number of attempts.
    patience_seconds = 0.0
    # The statements of a migration that Django has no operation for.
    table_settings: tuple[str, ...] = ()
    minute_settings: tuple[str, ...] = ()
    # A thread may have a second session without one waiting for the other.
    separates_sessions = True

    @contextmanager
    def transaction(self, connection: Any, bounds: Bounds | None = None) -> Iterator[None]:
        """Open a transaction for writing, within these bounds."""
        with transaction.atomic(using=connection.alias):
            yield

    @contextmanager
    def bounded(self, connection: Any, bounds: Bounds) -> Iterator[None]:
        """Set the bounds for the rest of the transaction, which ends inside the block."""
        yield

    def insert(
        self, connection: Any, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, merge: bool
    ) -> list[tuple[int, bool]]:
        """Insert rows, and return the id of each and whether it is new.

        With `merge`, a row whose `unique_key` already waits is merged into the waiting row. That
        row stays locked until the caller commits, so that it cannot run without seeing what the
        caller has written.
        """
        one_row = f"({marks(columns)})"
        sql = (
            f"INSERT INTO {TABLE} ({', '.join(columns)}) VALUES {', '.join([one_row] * len(rows))}"
            f"{self._on_conflict() if merge else ''} RETURNING id, created"
        )
        params = [value for row in rows for value in row]
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            return self._inserted(cursor.fetchall(), columns, rows, merge=merge)

    def _inserted(
        self,
        returned: Sequence[tuple[int, Any]],
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        *,
        merge: bool,
    ) -> list[tuple[int, bool]]:
        """Return the result of `insert`, given the ids and `created` dates in the database."""
        if not merge:
            return [(pk, True) for pk, _ in returned]
        created = columns.index("created")
        return [
            (pk, self._same_moment(stored, row[created]))
            for (pk, stored), row in zip(returned, rows, strict=True)
        ]

    def backlog(self, connection: Any) -> tuple[list[Bucket], Any]:
        """Return the buckets with QUEUED rows, without paused queues, and the next `due`.

        It costs one index probe for each bucket, however many rows wait there.
        """
        # SQLite needs a condition to use the index. bulk_create() leaves "" in the columns.
        start, next_key, next_queue = (
            f"SELECT * FROM (SELECT {BUCKET} FROM {TABLE}{self.claim_hint}"
            f" WHERE state = 'QUEUED' AND {beyond} ORDER BY {BUCKET} LIMIT 1) AS first"
            for beyond in ("queue >= ''", "queue = %s AND concurrency_key > %s", "queue > %s")
        )
        buckets: list[Bucket] = []
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {BUCKET}, ({self.next_due()})"
                f" FROM (SELECT 1) AS one LEFT JOIN ({start}) AS start ON 1 = 1"
            )
            *found, next_due = cursor.fetchone()
            while found and found[0] is not None:
                buckets.append(Bucket(*found))
                cursor.execute(
                    f"{next_key} UNION ALL {next_queue} ORDER BY queue, concurrency_key LIMIT 1",
                    [*found, found[0]],
                )
                found = cursor.fetchone()
            if buckets:
                cursor.execute(f"SELECT name FROM {QUEUES} WHERE paused IS NOT NULL")
                paused = {name for (name,) in cursor.fetchall()}
                buckets = [bucket for bucket in buckets if bucket.queue not in paused]
        return buckets, self.moment(next_due)

    def next_due(self) -> str:
        """Return a query for the earliest `due` of the SLEEPING rows."""
        return (
            f"SELECT {self.readable_moment('earliest')} FROM"
            f" (SELECT MIN(due) AS earliest FROM {TABLE} WHERE state = 'SLEEPING') AS sleeping"
        )

    def claim(
        self, connection: Any, columns: Sequence[str], pick: Pick, started: Any
    ) -> list[tuple[Any, ...]]:
        """Make the first waiting rows PROCESSING for a worker and return their `columns`.

        The order is by priority, due and id. An `exclusive` row is claimed by itself.
        """
        raise NotImplementedError  # pragma: no cover

    def update_rows(
        self,
        connection: Any,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        worker_id: int,
    ) -> dict[int, bool]:
        """Write rows (id first, then `columns`) that are still PROCESSING for this worker.

        Returns the ids that were, and whether a caller waits for each. It is one statement for any
        number of rows, unless their text is too long for it.
        """
        sql, params = self._update(TABLE, columns, rows)
        with connection.cursor() as cursor:
            cursor.execute(
                f"{sql} AND {TABLE}.state = 'PROCESSING' AND {TABLE}.worker_id = %s"
                f" RETURNING {TABLE}.id, {TABLE}.awaited",
                [*params, worker_id],
            )
            return dict(cursor.fetchall())

    def write_rows(
        self, connection: Any, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Write rows (id first, then `columns`) of a table by one statement.

        The caller's transaction holds them.
        """
        with connection.cursor() as cursor:
            cursor.execute(*self._update(table, columns, rows))

    def _update(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> tuple[str, list[Any]]:
        """Return an UPDATE of a table from rows (id first, then `columns`), and its parameters.

        It ends with its WHERE clause, so that conditions may follow.
        """
        values, params = self._values(("id", *columns), rows)
        changes = ", ".join(f"{name} = v.{name}" for name in columns)
        same = f"{table}.id = v.id"
        return f"WITH {values} UPDATE {table} SET {changes} FROM v WHERE {same}", params

    def _values(
        self, columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> tuple[str, list[Any]]:
        """Return rows as the first part of a WITH clause, named `v`, and its parameters."""
        one_row = f"({marks(columns)})"
        return (
            f"v({', '.join(columns)}) AS (VALUES {', '.join([one_row] * len(rows))})",
            [value for row in rows for value in row],
        )

    def lock_rows(
        self,
        connection: Any,
        columns: Sequence[str],
        where: str,
        params: Sequence[Any],
        limit: int,
        *,
        order: str = "id",
        table: str = TABLE,
        for_values: bool = False,
    ) -> list[tuple[Any, ...]]:
        """Lock the first rows that match `where` and are not locked by another session.

        `order` must be the column of an index if `where` may match a million rows. `for_values`: to
        update them, but neither their ids nor to delete them.
        """
        lock = self.skip_locked_for_values if for_values else self.skip_locked
        sql = f"SELECT {', '.join(columns)} FROM {table} WHERE {where} ORDER BY {order} LIMIT %s"
        with connection.cursor() as cursor:
            cursor.execute(f"{sql}{lock}", [*params, limit])
            return list(cursor.fetchall())

    def is_private(self, connection: Any) -> bool:
        """Return whether no other process can reach the database."""
        return False

    def raw(self, columns: Sequence[str]) -> list[str]:
        """Return columns as `claim` selects them, for `moment`."""
        return list(columns)

    def readable_moment(self, sql: str) -> str:
        """Return an expression that gives a datetime column as something that can be read.

        What only the database knows, such as a date BC, becomes the nearest date that Python knows.
        """
        first, last = self.first_moment, self.last_moment
        return (
            f"CASE WHEN {sql} < {first} THEN {first} WHEN {sql} > {last} THEN {last} ELSE {sql} END"
        )

    def readable_number(self, sql: str, kind: str) -> str:
        """Return an expression that gives a numeric column as a number, whatever is in it."""
        return sql

    def moment(self, value: Any) -> Any:
        """Return a datetime column of a row in UTC, as the driver or Django has read it."""
        return None if value is None else aware(value)

    def adapt(self, moment: datetime) -> Any:
        """Return a datetime as a parameter for SQL."""
        return aware(moment)

    def clock(self, connection: Any) -> tuple[str, list[Any]]:
        """Return an expression for the database's clock, read now, and its parameters."""
        return self.clock_sql, []

    def charsets(self, connection: Any) -> Charsets:
        """Return what the columns of the queue hold; by default every text."""
        return Charsets()

    def abort(self, connection: Any) -> None:
        """End another thread's transaction, on a database where it blocks every writer."""

    def watch(self, raw: Any) -> Session:
        """Note from now on, in what is returned, what any code does to a driver's session.

        It costs no round trip. Not noticed: what a function or a trigger does on the server.
        """
        return Session(self.settings(raw))

    def unwatch(self, raw: Any) -> None:
        """Take back what `watch` has put between the code and its driver."""

    def in_transaction(self, raw: Any) -> bool:
        """Tell, without a round trip, whether a driver's session is in a transaction."""
        raise NotImplementedError  # pragma: no cover

    def settings(self, raw: Any) -> tuple[Any, ...]:
        """Return the driver's own settings of a session, without a round trip."""
        return ()

    def discard(self, raw: Any) -> None:
        """See to it that closing a connection ends its session."""

    def close_cursors(self, raw: Any) -> None:
        """Close the cursors that code has left open, where they would keep others from writing."""

    def reset(self, raw: Any) -> None:
        """Put a session in order that cannot be closed."""

    def mark(self, connection: Any) -> None:
        """Mark the transaction that has begun, for `is_same_transaction`."""
        session = getattr(connection, SESSION, None)
        if session is not None:
            session.ended = False

    def is_same_transaction(self, connection: Any) -> bool:
        """Return whether the transaction goes on that was marked."""
        session = getattr(connection, SESSION, None)
        return session is None or not session.ended

    def limits(self, connection: Any) -> tuple[float, dict[str, float]]:
        """Return for how long the server has run, and what ends sessions; all in seconds.

        The latter are the server's settings by which it ends sessions that stand idle in a
        transaction, or whose transaction lasts too long.
        """
        return 0.0, {}

    def hang_up(self, connection: Any) -> None:
        """Break another thread's session, where there is a network."""

    def connection_options(self, limits: Limits, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the connection options of a worker, such as how long to wait for a lost network.

        None that the project has `given` in OPTIONS.
        """
        return {}

    def bound_session(self, connection: Any, limits: Limits) -> None:
        """Bound a session that was opened, where the driver has no options for it."""

    def _on_conflict(self) -> str:
        least, greatest = self.least, self.greatest
        return (
            " ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO UPDATE SET"
            f" due = {least}({TABLE}.due, excluded.due),"
            f" crash_count = {greatest}({TABLE}.crash_count, excluded.crash_count),"
            # A call that comes while a retry waits leaves it the retries that it has left.
            f" retries = CASE WHEN excluded.attempt = 1 AND {TABLE}.attempt > 1"
            f" THEN {TABLE}.retries WHEN -1 IN ({TABLE}.retries, excluded.retries) THEN -1"
            f" ELSE {greatest}({TABLE}.retries, excluded.retries) END,"
            f" state = CASE WHEN excluded.state = 'QUEUED' THEN 'QUEUED' ELSE {TABLE}.state END"
        )

    def _same_moment(self, stored: Any, sent: Any) -> bool:
        return bool(stored == sent)


def marks(values: Collection[Any]) -> str:
    """Return a placeholder for each value, separated by commas."""
    return ", ".join(["%s"] * len(values))


def ranked(waiting: str) -> str:
    """Return a query for the ids to claim, given a query for the waiting rows.

    The ids end before the first exclusive row. If that one comes first, it is the only id.
    """
    return (
        "SELECT id FROM (SELECT id, rank, MIN(CASE WHEN exclusive THEN rank END) OVER () AS lone"
        " FROM (SELECT id, exclusive, ROW_NUMBER() OVER (ORDER BY priority DESC, due, id) AS rank"
        f" FROM ({waiting}) AS waiting) AS ordered) AS cut"
        " WHERE rank <= %s AND (lone IS NULL OR rank < lone OR rank = 1)"
    )
