"""What the text of a statement says about the session that it is sent over."""

from unittest import TestCase

from django_toosimple_q.databases.mysql_session import STATEMENTS as MYSQL
from django_toosimple_q.databases.postgresql import STATEMENTS as POSTGRESQL
from django_toosimple_q.databases.session import Session, text_of

NO_CHANGE = [
    "SELECT 1",
    "  select 'SET x = 1; SET y = 2';",
    "-- a comment\nSELECT 1",
    "/* a comment; */ INSERT INTO t VALUES (1)",
    "(SELECT 1) UNION (SELECT 2)",
    "WITH a AS (SELECT 1) SELECT * FROM a",
    'SAVEPOINT "s1"',
    'RELEASE SAVEPOINT "s1"',
    'ROLLBACK TO SAVEPOINT "s1"',
    "UPDATE t SET search_path = 'x'",
]
CHANGE = [
    "SET x = 1",
    "/**/SET x = 1",
    "-- SELECT\n SET x = 1",
    "SELECT 1; SET x = 1",
    "SELECT ';'; SET x = 1",
    "PREPARE x FROM 'y'",
    "CREATE TEMPORARY TABLE t (id int)",
]
ENDS = ["BEGIN", "commit", "ROLLBACK", "START TRANSACTION", "SELECT 1; COMMIT", "ROLLBACK WORK"]
GOES_ON = ["SELECT 'COMMIT'", "ROLLBACK TO x", "ROLLBACK WORK TO SAVEPOINT x", "SELECT '; COMMIT'"]


def noticed(statements, sql):
    session = Session()
    statements.note(session, sql)
    return session


class StatementTests(TestCase):
    def assert_changes(self, statements, *, yes=(), no=()):
        self.assertEqual([sql for sql in yes if not noticed(statements, sql).changed], [])
        self.assertEqual([sql for sql in no if noticed(statements, sql).changed], [])

    def test_what_changes_a_session_anywhere(self):
        for statements in (POSTGRESQL, MYSQL):
            self.assert_changes(statements, yes=CHANGE, no=NO_CHANGE)

    def test_what_changes_one_of_postgresql(self):
        self.assert_changes(
            POSTGRESQL,
            yes=[
                "SELECT set_config('a', 'b', false)",
                "SELECT Set_Config('a', 'b', true), set_config('a', 'b', false)",
                "SELECT pg_advisory_lock(1)",
                "SELECT 1 INTO TEMP t",
                "DO $$ BEGIN END $$",
                "SELECT $$;$$; LISTEN x",
            ],
            no=[
                "SET LOCAL statement_timeout = 1",
                "SET CONSTRAINTS ALL IMMEDIATE",
                "SELECT SET_CONFIG('synchronous_commit', 'off', true), PG_NOTIFY('x', '')",
                "SELECT pg_advisory_xact_lock(1)",
                "SELECT $$; SET x = 1$$",
            ],
        )

    def test_what_changes_one_of_mysql(self):
        self.assert_changes(
            MYSQL,
            yes=[
                "/*!40101 SET x = 1 */",
                "/*M!100100 SET x = 1 */",
                "SELECT GET_LOCK('a', 0)",
                "SELECT @a := 1",
                "SELECT 1 INTO @a",
                "SET LOCAL x = 1",
                "USE other",
                "CALL p()",
                r"SELECT 'it\'s; '; USE other",
            ],
            no=[r"SELECT 'it\'s; USE other'", "SELECT 'a@b.c'", "SELECT `a;b` FROM t"],
        )

    def test_what_ends_a_transaction(self):
        for statements in (POSTGRESQL, MYSQL):
            self.assertEqual([sql for sql in ENDS if not noticed(statements, sql).ended], [])
            self.assertEqual([sql for sql in GOES_ON if noticed(statements, sql).ended], [])

    def test_what_leaves_one_open_in_mysql(self):
        opened = ["BEGIN", "BEGIN; SELECT 1", "COMMIT AND CHAIN", "COMMIT; START TRANSACTION"]
        closed = ["BEGIN; COMMIT", "ROLLBACK", "BEGIN; CREATE TABLE t (id int)"]

        self.assertEqual([sql for sql in opened if not noticed(MYSQL, sql).inside], [])
        self.assertEqual([sql for sql in closed if noticed(MYSQL, sql).inside], [])

    def test_most_definitions_commit_in_mysql(self):
        ending = ["CREATE TABLE t (id int)", "ALTER TABLE t ADD x int", "SET autocommit = 1"]
        others = ["CREATE TEMPORARY TABLE t (id int)", "DROP TEMPORARY TABLE t", "SET x = 1"]

        self.assertEqual([sql for sql in ending if not noticed(MYSQL, sql).ended], [])
        self.assertEqual([sql for sql in others if noticed(MYSQL, sql).ended], [])

    def test_statements_come_as_text_or_bytes(self):
        self.assertEqual(text_of("SELECT 1", None), "SELECT 1")
        self.assertEqual(text_of(b"SELECT 1", None), "SELECT 1")
