"""The words of the glossary: those that went are gone from the code, and the others mean one thing.

Names are read as their words: `last_resort`, `lastResort` and `LAST_RESORT` are "last resort".
"""

import re
import tokenize
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from unittest import TestCase

import django_toosimple_q

ROOT = Path(django_toosimple_q.__file__).parent
DOCS = ROOT.parent / "docs"
EMOJI = re.compile("[\u231a\u231b\u23e9-\u23fa\u2600-\u27bf\u2b00-\u2bff\U0001f300-\U0001faff]")
PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

# In names: each of these had another word put in its place, as docs/glossary.md says.
GONE = {
    *("lane", "lanes", "hands", "outlook", "board", "legacy"),
    *("settle", "settled", "settles", "settling", "settlement"),
    *("boundary", "last resort", "hand back", "handed back", "turn over"),
    *("suspect", "suspects", "deaths", "reaping", "leash"),
    *("successor", "successors", "follower", "followers", "following"),
    *("dialect", "dialects", "trouble", "service", "revive", "moving"),
    *("heed", "heeds", "relieve", "relieves", "mend", "mends", "mended"),
    *("tell", "tells", "told", "whoever", "somebody", "nobody"),
    # English that is good in a sentence and says too little in a name.
    *("alone", "look", "looks", "looked"),
}
# What else is called so, by the module that may: the word of a standard.
STANDARDS = {"contrib/mail/message.py": {"boundary"}}

# Names in which a word has its one meaning.
ONE_MEANING = {
    # The database is out of reach.
    "lost": {
        *("lost", "_lost", "LOST", "is_lost", "lost_at", "lost_codes"),
        *("database_lost", "on_database_lost", "_unless_connection_lost"),
    },
    # A call that waits for a person.
    "held": {"held"},
    # The distance of two moments of a cron field, or of two looks of the watchdog.
    "step": {"step", "step_seconds"},
    "steps": {"STEPS"},
    # One statement of SQL.
    "statement": {"ROWS_PER_STATEMENT", "STATEMENT_BYTES", "statement"},
    "place": set(),
    "places": set(),
}

# In prose: words that this project used in a meaning of its own, and nobody else needs.
GONE_FROM_PROSE = {
    *("lane", "lanes", "outlook", "boundary", "last resort", "last_resort"),
    *("settle", "settled", "settles", "settling", "settlement"),
    *("successor", "successors", "leash", "heed", "whoever"),
    *("handed back", "hand back", "turn_over", "hand_back"),
}
# `def settle(order_id)` is a project's task.
OTHERS = {("django-tasks.md", "settle")}
# Written by `make bench`, with the names of the day.
WRITTEN_BY_A_RUN = {"benchmarks.md", "chaos.md"}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        if "migrations" not in path.parts:
            yield str(path.relative_to(ROOT)), path


def words_of(name: str) -> str:
    return " ".join(part.lower() for part in PARTS.findall(name))


@cache
def tokens(path: Path) -> list[tokenize.TokenInfo]:
    with path.open() as file:
        return list(tokenize.generate_tokens(file.readline))


@cache
def names(path: Path) -> dict[str, int]:
    """Return the identifiers of a module, each with its first line."""
    found: dict[str, int] = {}
    for token in tokens(path):
        if token.type == tokenize.NAME:
            found.setdefault(token.string, token.start[0])
    return found


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the comments and texts of a module, line by line."""
    for token in tokens(path):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            yield from enumerate(token.string.splitlines(), token.start[0])


def found_in(text: str, words: Collection[str]) -> set[str]:
    """Return those of the words that a text has."""
    return {one.lower() for one in any_of(frozenset(words)).findall(text)}


@cache
def any_of(words: frozenset[str]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(sorted(words))})\b", re.IGNORECASE)


class WordTests(TestCase):
    def test_the_words_that_went_are_in_no_name(self):
        strays = [
            f"{where}:{line}: {name} has {word!r}"
            for where, path in modules()
            for name, line in names(path).items()
            for word in found_in(words_of(name), GONE) - STANDARDS.get(where, set())
        ]

        self.assertEqual(sorted(strays), [])

    def test_a_word_has_one_meaning_in_names(self):
        strays = [
            f"{where}:{line}: {name}"
            for where, path in modules()
            for name, line in names(path).items()
            for word in found_in(words_of(name), ONE_MEANING)
            if name not in ONE_MEANING[word]
        ]

        self.assertEqual(sorted(strays), [])

    def test_the_words_that_went_are_in_no_comment_and_no_docstring(self):
        strays = [
            f"{where}:{line}: {text.strip()}"
            for where, path in modules()
            for line, text in prose(path)
            if found_in(text, GONE_FROM_PROSE) - STANDARDS.get(where, set())
        ]

        self.assertEqual(sorted(strays), [])

    def test_the_words_that_went_are_on_no_page(self):
        pages = [path for path in DOCS.glob("*.md") if path.name not in WRITTEN_BY_A_RUN]
        # Names of tests are on the page of promises; they are not what it says.
        strays = [
            f"{path.name}:{number}: {word}"
            for path in (*pages, ROOT.parent / "README.md")
            for number, line in enumerate(path.read_text().splitlines(), 1)
            for word in found_in(re.sub(r"`[^`]*::test_\w+`", "", line), GONE_FROM_PROSE)
            if (path.name, word) not in OTHERS
        ]

        self.assertEqual(sorted(strays), [])

    def test_nothing_is_said_by_an_emoji(self):
        files = [path for kind in ("py", "html", "css", "js") for path in ROOT.rglob(f"*.{kind}")]
        strays = [path.name for path in files if EMOJI.search(path.read_text())]

        self.assertEqual(strays, [])

    def test_a_name_is_read_as_its_words(self):
        for name in ("last_resort", "LastResort", "LAST_RESORT", "the_last_resort_2"):
            self.assertEqual(found_in(words_of(name), GONE), {"last resort"}, name)
        self.assertEqual(found_in(words_of("blast_resorts"), GONE), set())
        self.assertEqual(words_of("HTTPServer2"), "http server 2")

    def test_what_is_known_to_have_its_meaning_is_there(self):
        present = {name for _, path in modules() for name in names(path)}

        for word, known in ONE_MEANING.items():
            self.assertEqual(known - present, set(), word)
