"""What an error of a database means to the queue, by the code that the driver gives."""

from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError


class Errors:
    """Sorts the errors of one database."""

    # The transaction can be repeated: a deadlock, or a lock that was waited for.
    transient_codes: frozenset[Any] = frozenset()
    # Of those, that another session holds a lock for longer than we wait for it.
    locked_codes: frozenset[Any] = frozenset()
    # The database answers but accepts no writes: it is read-only, or its disk is full.
    refusal_codes: frozenset[Any] = frozenset()
    # The server has ended the session since it was idle, or its transaction lasted, for too long.
    idle_codes: frozenset[Any] = frozenset()
    # There is no such table, or no such column.
    unmigrated_codes: frozenset[Any] = frozenset()

    def is_refused(self, error: BaseException) -> bool:
        """Return whether the server, or its host, has answered that no session can be had."""
        return False

    def is_unmigrated(self, error: BaseException) -> bool:
        """Return whether a statement of the queue met no such table, or no such column."""
        return isinstance(error, DatabaseError) and self._code(error) in self.unmigrated_codes

    def is_transient(self, error: BaseException) -> bool:
        """Return whether the transaction can be repeated (after a deadlock or a lock timeout)."""
        return isinstance(error, OperationalError) and self._code(error) in self.transient_codes

    def is_locked(self, error: BaseException) -> bool:
        """Return whether another session has held a lock for longer than we wait for it."""
        if not self.locked_codes or not isinstance(error, OperationalError):
            return False
        return self._code(error) in self.locked_codes

    def is_lost(self, error: BaseException) -> bool:
        """Return whether the database cannot be reached, so that the caller has to wait."""
        return isinstance(error, OperationalError | InterfaceError) or self.is_refusal(error)

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether the database answers but accepts no writes from any session."""
        return isinstance(error, DatabaseError) and self._code(error) in self.refusal_codes

    def is_data_error(self, error: BaseException) -> bool:
        """Return whether a value is at fault, so that the same row would fail again."""
        return isinstance(error, Exception) and not self.is_lost(error)

    def is_idle_end(self, error: BaseException) -> bool:
        """Return whether the server says that it ended the session for its idleness or its age."""
        codes = self.idle_codes
        return bool(codes) and isinstance(error, DatabaseError) and self._code(error) in codes

    def _code(self, error: BaseException) -> Any:
        raise NotImplementedError  # pragma: no cover
