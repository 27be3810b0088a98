"""What the store asks of a database, in the SQL that SQLite and PostgreSQL share."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import DatabaseError, InterfaceError, OperationalError, transaction

TABLE = "toosimpleq_taskexec"
WORKERS = "toosimpleq_workerstatus"
QUEUES = "toosimpleq_queuestatus"
LANES = "toosimpleq_lane"
SCHEDULES = "toosimpleq_scheduleexec"

# In the words of the index of ended rows: SQLite reads it for no others.
ENDED = "state IN ('SUCCEEDED', 'INTERRUPTED', 'FAILED', 'INVALID')"

# A worker that was declared dead while it was paused may not claim under its old name.
ALIVE = (
    f"EXISTS (SELECT 1 FROM {WORKERS} w WHERE w.id = %s AND w.incarnation = %s"
    " AND w.stopped IS NULL AND w.rescued IS NULL)"
)


class Place(NamedTuple):
    """Where rows wait: a queue, and in it the lane of a limited task ("" for all others)."""

    queue: str
    lane: str = ""


class Pick(NamedTuple):
    """Which waiting rows to claim, and for whom: of each place at most so many, `limit` in all."""

    places: Mapping[Place, int]
    limit: int
    skipped_names: Sequence[str]
    worker_id: int
    incarnation: str


class Dialect:
    """One database's way of doing what the store does; stateless, shared between threads."""

    family = ""

    clock_sql = "CURRENT_TIMESTAMP"
    least, greatest = "LEAST", "GREATEST"
    skip_locked = ""
    claim_hint = ""
    # How long a transaction that could not begin is repeated, whatever the number of attempts.
    patience_seconds = 0.0
    transient_codes: frozenset[Any] = frozenset()
    # What a migration does to the tables beside their columns and indexes.
    table_settings: tuple[str, ...] = ()
    # The database answers and takes no writes: it is read-only, or its disk is full.
    refusal_codes: frozenset[Any] = frozenset()

    @contextmanager
    def transaction(self, connection: Any) -> Iterator[None]:
        """Open a transaction for writing."""
        with transaction.atomic(using=connection.alias):
            yield

    def insert(
        self, connection: Any, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, merge: bool
    ) -> list[tuple[int, bool]]:
        """Insert rows; return, for each, its id and whether it is new.

        With `merge`, a row whose `unique_key` waits already is merged into the waiting one, which
        stays locked until the caller commits: only so is every call followed by a run that sees
        what the caller has written.
        """
        place = f"({', '.join(['%s'] * len(columns))})"
        sql = (
            f"INSERT INTO {TABLE} ({', '.join(columns)}) VALUES {', '.join([place] * len(rows))}"
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
        """Return what `insert` does, given id and `created` as they stand in the database now."""
        if not merge:
            return [(pk, True) for pk, _ in returned]
        created = columns.index("created")
        return [
            (pk, self._same_moment(stored, row[created]))
            for (pk, stored), row in zip(returned, rows, strict=True)
        ]

    def look(self, connection: Any) -> tuple[list[Place], Any]:
        """Return the places where rows are QUEUED, but for paused queues, and the first due.

        One probe of an index for each place, however many rows wait there.
        """
        # Without a condition SQLite would not read the index. "" is what bulk_create() leaves.
        start, lane, queue = (
            f"SELECT * FROM (SELECT queue, lane FROM {TABLE}{self.claim_hint}"
            f" WHERE state = 'QUEUED' AND {beyond} ORDER BY queue, lane LIMIT 1) AS first"
            for beyond in ("queue >= ''", "queue = %s AND lane > %s", "queue > %s")
        )
        places: list[Place] = []
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT queue, lane, (SELECT MIN(due) FROM {TABLE} WHERE state = 'SLEEPING')"
                f" FROM (SELECT 1) AS one LEFT JOIN ({start}) AS start ON 1 = 1"
            )
            *found, next_due = cursor.fetchone()
            while found and found[0] is not None:
                places.append(Place(*found))
                cursor.execute(
                    f"{lane} UNION ALL {queue} ORDER BY queue, lane LIMIT 1", [*found, found[0]]
                )
                found = cursor.fetchone()
            if places:
                cursor.execute(f"SELECT name FROM {QUEUES} WHERE paused IS NOT NULL")
                paused = {name for (name,) in cursor.fetchall()}
                places = [place for place in places if place.queue not in paused]
        return places, self.moment(connection, next_due)

    def claim(
        self, connection: Any, columns: Sequence[str], pick: Pick, started: Any
    ) -> list[tuple[Any, ...]]:
        """Make the first waiting rows PROCESSING for a worker and return their `columns`.

        Priority, then due, then id decide. A row marked `alone` is claimed by itself.
        """
        raise NotImplementedError  # pragma: no cover

    def update_rows(
        self,
        connection: Any,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        worker_id: int,
    ) -> dict[int, bool]:
        """Write rows (id first, then `columns`) that are still PROCESSING and this worker's.

        Returns the ids that were, and whether somebody waits for each. One statement, whatever
        the number of rows, as long as it can carry their text.
        """
        raise NotImplementedError  # pragma: no cover

    def lock_rows(
        self,
        connection: Any,
        columns: Sequence[str],
        where: str,
        params: Sequence[Any],
        limit: int,
        *,
        order: str = "id",
    ) -> list[tuple[Any, ...]]:
        """Lock the first rows that `where` finds and nobody else has locked.

        `order` is the column of an index where `where` may find a million of them.
        """
        sql = (
            f"SELECT {', '.join(columns)} FROM {TABLE} WHERE {where}"
            f" ORDER BY {order} LIMIT %s{self.skip_locked}"
        )
        with connection.cursor() as cursor:
            cursor.execute(sql, [*params, limit])
            return list(cursor.fetchall())

    def moment(self, connection: Any, value: Any) -> Any:
        """Return a datetime column of a raw row as Django reads it."""
        return value

    def adapt(self, connection: Any, moment: datetime) -> Any:
        """Return a datetime as raw SQL takes it."""
        return connection.ops.adapt_datetimefield_value(moment)

    def clock(self, connection: Any) -> tuple[str, list[Any]]:
        """Return an expression for the database's clock, read now, and its parameters."""
        return self.clock_sql, []

    def release(self, connection: Any) -> None:
        """Undo another thread's transaction, where its locks keep every writer waiting."""

    def is_transient(self, error: BaseException) -> bool:
        """Tell whether repeating the same transaction is the cure (a deadlock, a lock timeout)."""
        return isinstance(error, OperationalError) and self._code(error) in self.transient_codes

    def is_lost(self, error: BaseException) -> bool:
        """Tell whether the database is out of reach, so that waiting is the cure."""
        return isinstance(error, OperationalError | InterfaceError) or self.is_refusal(error)

    def is_refusal(self, error: BaseException) -> bool:
        """Tell whether the database answers and takes no writes from anybody."""
        return isinstance(error, DatabaseError) and self._code(error) in self.refusal_codes

    def is_data_error(self, error: BaseException) -> bool:
        """Tell whether the database refused a value, so that the same row fails again."""
        return isinstance(error, DatabaseError | ValueError) and not self.is_lost(error)

    def _code(self, error: BaseException) -> Any:
        raise NotImplementedError  # pragma: no cover

    def _on_conflict(self) -> str:
        least, greatest = self.least, self.greatest
        return (
            " ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO UPDATE SET"
            f" due = {least}({TABLE}.due, excluded.due),"
            f" deaths = {greatest}({TABLE}.deaths, excluded.deaths),"
            f" retries = CASE WHEN -1 IN ({TABLE}.retries, excluded.retries) THEN -1"
            f" ELSE {greatest}({TABLE}.retries, excluded.retries) END,"
            f" state = CASE WHEN excluded.state = 'QUEUED' THEN 'QUEUED' ELSE {TABLE}.state END"
        )

    def _same_moment(self, stored: Any, sent: Any) -> bool:
        return bool(stored == sent)


def aware(connection: Any, naive: datetime) -> datetime:
    """Return a datetime column that knows no zone as Django reads it: naive without USE_TZ.

    In UTC, since sums in a zone with clock changes count the hands of the clock.
    """
    zone = connection.timezone
    if zone is None:
        return naive
    moment = naive.replace(tzinfo=zone)
    return moment if zone is UTC else moment.astimezone(UTC)


def plain(connection: Any, moment: datetime) -> Any:
    """Return a datetime for a column that knows no zone, as Django would.

    Two of them are written for each task, nearly always in UTC: there it takes a fourth of the
    time that Django's way takes.
    """
    if moment.tzinfo is UTC and connection.timezone is UTC:
        return str(moment.replace(tzinfo=None))
    return connection.ops.adapt_datetimefield_value(moment)


def ranked(waiting: str) -> str:
    """Return the ids to claim, given a query for the waiting rows in question.

    They end before the first row that is to be claimed alone, unless that one comes first.
    """
    return (
        "SELECT id FROM (SELECT id, rank, MIN(CASE WHEN alone THEN rank END) OVER () AS lone"
        " FROM (SELECT id, alone, ROW_NUMBER() OVER (ORDER BY priority DESC, due, id) AS rank"
        f" FROM ({waiting}) AS waiting) AS ordered) AS cut"
        " WHERE rank <= %s AND (lone IS NULL OR rank < lone OR rank = 1)"
    )
