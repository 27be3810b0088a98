"""Which characters a database's encoding has, and how others are written."""

from unittest import TestCase

from django_toosimple_q.databases.charsets import THREE_BYTES, Charsets, codec, escaped


class CodecTests(TestCase):
    def test_what_holds_every_character_needs_none(self):
        self.assertEqual({codec(name) for name in ("UTF8", "utf8mb4", "utf16", "utf32")}, {""})

    def test_encodings_are_found_under_the_names_that_databases_give_them(self):
        found = {
            name: codec(name)
            for name in ("LATIN1", "LATIN9", "WIN1251", "KOI8R", "EUC_JP", "ISO_8859_5")
        }

        self.assertEqual(
            list(found.values()),
            ["iso8859-1", "iso8859-15", "cp1251", "koi8-r", "euc_jp", "iso8859-5"],
        )

    def test_those_of_mariadb_too(self):
        self.assertEqual(codec("utf8mb3"), THREE_BYTES)
        self.assertEqual([codec(name) for name in ("cp1251", "gbk")], ["cp1251", "gbk"])

    def test_one_that_python_does_not_know_gets_ascii(self):
        self.assertEqual(codec("SQL_ASCII"), "ascii")
        self.assertEqual(codec("filename"), "ascii")


class EscapeTests(TestCase):
    def test_only_what_is_lacking_is_escaped(self):
        text = "café \U0001f389 Ж"

        self.assertEqual(escaped(text, [THREE_BYTES]), "café \\U0001f389 Ж")
        self.assertEqual(escaped(text, ["iso8859-1"]), "café \\U0001f389 \\u0416")
        self.assertEqual(escaped(text, ["ascii"]), "caf\\xe9 \\U0001f389 \\u0416")
        self.assertEqual(escaped(text, ["cp1251", THREE_BYTES]), "caf\\xe9 \\U0001f389 Ж")
        self.assertEqual(escaped(text, []), text)

    def test_a_column_may_hold_what_another_lacks(self):
        charsets = Charsets((THREE_BYTES,), {"a.narrow": (THREE_BYTES,), "a.wide": ()})

        self.assertEqual(charsets.of("a.narrow"), (THREE_BYTES,))
        self.assertEqual(charsets.of("a.wide"), ())
        self.assertEqual(Charsets(("ascii",)).of("a.any"), ("ascii",))
