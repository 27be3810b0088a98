"""Notice what code does to a session of MariaDB or MySQL, where all its statements pass."""

from contextlib import suppress
from typing import Any

from django_toosimple_q.databases.base import SESSION
from django_toosimple_q.databases.session import Session, Statements, text_of

STATEMENTS = Statements(
    harmless="SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|VALUES|TABLE|EXPLAIN|DESCRIBE|DESC|SHOW"
    "|SAVEPOINT|RELEASE|BEGIN|START\\s+TRANSACTION|COMMIT|ROLLBACK"
    # Our own bounds, which end with the transaction.
    r"|SET\s+@toosimpleq_\w+|SET\s+SESSION\s+\w+\s*=\s*@toosimpleq_\w+",
    # Most statements that define something commit what is under way.
    ending="BEGIN|START|COMMIT|ROLLBACK|CREATE\\s+(?!TEMPORARY)|DROP\\s+(?!TEMPORARY|PREPARE)|ALTER"
    "|RENAME|TRUNCATE|GRANT|REVOKE|LOCK|UNLOCK|ANALYZE|OPTIMIZE|REPAIR|CHECK|FLUSH|RESET|XA"
    "|SET\\s+(?:PASSWORD|(?:SESSION\\s+|LOCAL\\s+|@@(?:\\w+\\.)?)?autocommit)",
    beginning="BEGIN|START\\s+TRANSACTION|XA\\s+(?:START|BEGIN)|(?:COMMIT|ROLLBACK).*\\bCHAIN",
    calling="CALL|EXECUTE",
    functions=("get_lock", ":=", "into @"),
)
# Set before a procedure runs in a transaction: it is gone if the procedure has ended that.
MARK = b"toosimpleq_call"
NO_SUCH_SAVEPOINT = 1305


def watch(raw: Any, session: Session) -> Session:
    """Note from now on in `session` what passes through a driver's connection."""
    setattr(raw, SESSION, session)
    query, select_db, commit, rollback = raw.query, raw.select_db, raw.commit, raw.rollback

    def noted(statement: Any) -> Any:
        if session.calling:
            _end_call(session, query)
        if STATEMENTS.note(session, text_of(statement, raw)).calling and not raw.get_autocommit():
            with suppress(Exception):  # of the driver; the statement itself will say so
                query(b"SAVEPOINT " + MARK)
                session.calling = True
        return query(statement)

    def noted_selection(name: Any) -> Any:
        session.changed = True
        return select_db(name)

    def noted_commit() -> Any:
        session.ended, session.inside = True, False
        return commit()

    def noted_rollback() -> Any:
        session.ended, session.inside = True, False
        return rollback()

    raw.query, raw.select_db = noted, noted_selection
    raw.commit, raw.rollback = noted_commit, noted_rollback
    return session


def unwatch(raw: Any) -> None:
    """Undo what `watch` did."""
    # Its class forbids `del`.
    for name in ("query", "select_db", "commit", "rollback"):
        del raw.__dict__[name]


def end_call(raw: Any) -> None:
    """Find out whether the last statement was a procedure that has ended its transaction."""
    session = getattr(raw, SESSION, None)
    if session is not None and session.calling:
        _end_call(session, type(raw).query.__get__(raw))


def _end_call(session: Session, query: Any) -> None:
    session.calling = False
    try:
        query(b"RELEASE SAVEPOINT " + MARK)
    except Exception as error:  # of the driver
        # Any other one is about results that were not read: the next statement says so.
        if NO_SUCH_SAVEPOINT in error.args:
            session.ended, session.inside = True, False
