"""Which characters the columns of a database hold, and how others are escaped."""

import codecs
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

# The characters of UTF-8 in three bytes; Python has no codec for them.
THREE_BYTES = "three-byte utf-8"
BEYOND_THREE_BYTES = re.compile("[\U00010000-\U0010ffff]")
UNICODE = frozenset({"utf8", "utf8mb4", "utf16", "utf16le", "utf32"})
# The names of encodings that Python spells in another way. What a database keeps as bytes without
# any encoding gets ASCII.
SPELLED = {
    **dict.fromkeys(("utf8mb3", "ucs2"), THREE_BYTES),
    **{"sql_ascii": "ascii", "mule_internal": "ascii", "koi8r": "koi8-r", "koi8u": "koi8-u"},
    **{"euckr": "euc_kr", "ujis": "euc_jp", "sjis": "shift_jis", "euc_cn": "gb2312"},
}


class Charsets(NamedTuple):
    """What columns hold: the codecs of all together, and those of each "table.column".

    A database with one encoding for all its columns has no entries by column. One without tables
    does not know (`final`) what they will hold.
    """

    codecs: tuple[str, ...] = ()
    by_column: Mapping[str, tuple[str, ...]] = {}
    final: bool = True

    def of(self, column: str) -> tuple[str, ...]:
        """Return the codecs of a "table.column"."""
        return self.by_column.get(column, ()) if self.by_column else self.codecs


@lru_cache
def codec(encoding: str) -> str:
    """Return the codec for a database's encoding: "" if that holds every character."""
    name = encoding.lower()
    if name in UNICODE:
        return ""
    name = SPELLED.get(name, re.sub("^win", "cp", name))
    try:
        return name if name == THREE_BYTES else codecs.lookup(name).name
    except LookupError:
        return "ascii"


def escaped(text: str, codecs: Iterable[str]) -> str:
    r"""Return a text with an escape, such as \U0001f389, for what not all the codecs have."""
    if text.isascii():
        return text
    for name in codecs:
        if name == THREE_BYTES:
            text = BEYOND_THREE_BYTES.sub(lambda found: f"\\U{ord(found[0]):08x}", text)
        else:
            text = text.encode(name, "backslashreplace").decode(name)
    return text


def column_charsets(connection: Any) -> Charsets:
    """Return what MariaDB or MySQL says of the queue's columns, and of the session's texts."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@character_set_client")
        client = codec(cursor.fetchone()[0])
        cursor.execute(
            "SELECT table_name, column_name, character_set_name FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name LIKE 'toosimpleq!_%%' ESCAPE '!'"
            " AND character_set_name IS NOT NULL",
            [],
        )
        # Its latin1 is that of Windows.
        columns = {
            f"{table}.{column}": codec("cp1252" if name == "latin1" else name)
            for table, column, name in cursor.fetchall()
        }
    by_column = {
        column: tuple(one for one in {own: None, client: None} if one)
        for column, own in columns.items()
    }
    all_codecs = tuple({one: None for some in by_column.values() for one in some})
    return Charsets(all_codecs, by_column, final=bool(columns))
