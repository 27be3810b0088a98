"""What an error of the database means: wait, or do without this row."""

from unittest import TestCase

from django.db import DataError, InterfaceError, OperationalError, ProgrammingError

from django_toosimple_q.databases.mysql import MySQL


class MySQLTests(TestCase):
    """MariaDB's driver says OperationalError for what it has no class of its own for."""

    def test_a_server_out_of_reach_is_waited_for(self):
        for code in (1040, 1045, 1053, 1158, 1317, 1927, 2002, 2003, 2006, 2013, 2055):
            self.assert_lost(OperationalError(code, "told"))
        self.assert_lost(InterfaceError(0, ""))

    def test_an_error_without_a_number_is_not_the_server_s_refusal(self):
        self.assert_lost(OperationalError("the line is cut"))
        self.assert_lost(OperationalError())

    def test_locks_that_no_repeating_helps_and_a_full_disk_are_waited_for(self):
        for code in (1205, 1213, 1021, 1290, 1792):
            self.assert_lost(OperationalError(code, "told"))

    def test_a_value_that_is_refused_is_not_waited_for(self):
        self.assert_refused(OperationalError(1366, "Incorrect string value"))
        self.assert_refused(OperationalError(1153, "Got a packet bigger than max_allowed_packet"))
        self.assert_refused(DataError(1406, "Data too long for column"))
        self.assert_refused(ProgrammingError(1146, "Table does not exist"))

    def assert_lost(self, error):
        self.assertTrue(MySQL().is_lost(error), error)
        self.assertFalse(MySQL().is_data_error(error), error)

    def assert_refused(self, error):
        self.assertFalse(MySQL().is_lost(error), error)
        self.assertTrue(MySQL().is_data_error(error), error)
