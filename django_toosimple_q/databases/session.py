"""What the code of a task does to its session, as seen by the driver without a round trip."""

import re
from functools import lru_cache
from typing import Any, NamedTuple

# Texts, names and comments, in which a semicolon ends nothing.
QUOTED = r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|--[^\n]*|/\*(?!M?!).*?\*/"
DOLLAR_QUOTED = r"|\$(\w*)\$.*?\$\1\$"
# What may stand before the first word. A comment that begins with "/*!" is a statement to MySQL.
LEADING = r"(?:[\s(;]|--[^\n]*\n|/\*(?!M?!).*?\*/)*"
# Parameters set until the end of the transaction, by a function that can also set them for good.
SET_LOCALLY = re.compile(r"set_config\s*\([^;]*?,\s*true\s*\)", re.DOTALL)

# How many texts to remember, and of how many characters at most: 2 MB.
REMEMBERED, LONGEST_REMEMBERED = 500, 4000
ROLLBACK_TO_SAVEPOINT = r"ROLLBACK(?:\s+(?:WORK|TRANSACTION))?\s+TO\b"


class Session:
    """What has been noticed of one session since it was opened.

    `changed`: the next user might not find it as it was opened.
    `ended`: a transaction was begun or ended, other than by Django.
    `inside`: the text of the last statement that did so has begun one.
    `calling`: the last statement may have ended the transaction, and a savepoint tells.
    `limited`: among what was changed is a timeout.
    `code`: of the last error that the server sent, where the driver tells it.
    `settings`: the driver's own, as they were when it was opened.
    """

    __slots__ = ("calling", "changed", "code", "ended", "inside", "limited", "settings")

    def __init__(self, settings: tuple[Any, ...] = ()) -> None:
        self.changed = False
        self.limited = False
        self.calling = False
        self.code: Any = None
        self.ended = False
        self.inside = False
        self.settings = settings


class Effect(NamedTuple):
    """What a text does to a session, in the words of `Session`.

    `calling`: it runs what the text does not show.
    """

    changed: bool
    limited: bool
    ended: bool
    inside: bool
    calling: bool = False


HARMLESS = Effect(changed=False, limited=False, ended=False, inside=False)


class Statements:
    """Sorts one database's statements by their text.

    What is not known to be harmless counts as a change: a mistake then costs one connection.
    """

    def __init__(
        self,
        *,
        harmless: str,
        ending: str,
        beginning: str,
        calling: str = "(?!)",
        functions: tuple[str, ...],
        quoted: str = QUOTED,
    ) -> None:
        flags = re.IGNORECASE | re.DOTALL
        self.quoted = re.compile(quoted, flags)
        self.harmless = re.compile(rf"{LEADING}(?:(?:{harmless})\b|$)", flags)
        self.ending = re.compile(rf"{LEADING}(?!{ROLLBACK_TO_SAVEPOINT})(?:{ending})\b", flags)
        self.beginning = re.compile(rf"{LEADING}(?:{beginning})\b", flags)
        self.calling = re.compile(rf"{LEADING}(?:{calling})\b", flags)
        # What a statement that only reads calls to change its session, in small letters.
        self.functions = functions
        # The texts of an ORM are few.
        self.remembered = lru_cache(maxsize=REMEMBERED)(self.effect)

    def note(self, session: Session, sql: str) -> Effect:
        """Note in `session` what a text of one or more statements does to it, and return that."""
        found = self.remembered(sql) if len(sql) < LONGEST_REMEMBERED else self.effect(sql)
        if found is HARMLESS:
            return found
        session.changed = session.changed or found.changed
        session.limited = session.limited or found.limited
        if found.ended:
            session.ended, session.inside = True, found.inside
        return found

    def effect(self, sql: str) -> Effect:
        """Return what a text of one or more statements does to a session."""
        changed = limited = ended = inside = calling = False
        statements = [sql]
        if ";" in sql.rstrip().rstrip(";"):
            statements = self.quoted.sub(_emptied, sql).split(";")
        for statement in statements:
            if not self.harmless.match(statement):
                changed = True
                limited = limited or "timeout" in statement.lower()
            calling = calling or self.calling.match(statement) is not None
            if self.ending.match(statement):
                ended, inside = True, self.beginning.match(statement) is not None
        changed = changed or self._calls_one(sql.lower())
        return Effect(changed, limited, ended, inside, calling) if changed or ended else HARMLESS

    def _calls_one(self, sql: str) -> bool:
        if "set_config" in sql:
            sql = SET_LOCALLY.sub("", sql)
        return any(name in sql for name in self.functions)


def _emptied(found: re.Match[str]) -> str:
    return " " if found[0][0] in "-/" else "''"


def text_of(query: Any, context: Any) -> str:
    """Return the text of a statement: a string, bytes, or one that psycopg composes."""
    if isinstance(query, str):
        return query
    if isinstance(query, bytes | bytearray):
        # Each byte is one character, whatever the text is encoded in.
        return query.decode("latin-1")
    return str(query.as_string(context)) if hasattr(query, "as_string") else str(query)
