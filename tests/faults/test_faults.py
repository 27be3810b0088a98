"""A thousand small histories with faults of the database in them, and what holds after each.

TOOSIMPLEQ_FAULT_SEEDS says how many (30); TOOSIMPLEQ_FAULT_SEED runs one alone.
"""

import logging
import os
from collections import Counter

import pytest
from django.db import connection
from django.test import TransactionTestCase

from django_toosimple_q.models import ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.testing import isolated_registries
from tests.app.models import Effect
from tests.faults.invariants import broken
from tests.faults.sessions import opened_with
from tests.faults.world import World

States = TaskExec.States
ALONE = os.environ.get("TOOSIMPLEQ_FAULT_SEED")
COUNT = int(os.environ.get("TOOSIMPLEQ_FAULT_SEEDS") or 30)
SEEDS = [int(ALONE)] if ALONE else range(COUNT)


# What is lost with the machine is not what is tested, and a disk takes its time.
HASTE = {
    "sqlite": "PRAGMA synchronous = OFF",
    "postgresql": "SET synchronous_commit = off",
    "mysql": "DO 0",
}


class FaultTests(TransactionTestCase):
    def setUp(self):
        logger = logging.getLogger("toosimpleq")
        self.addCleanup(logger.setLevel, logger.level)
        logger.setLevel(logging.CRITICAL + 1)
        self.enterContext(opened_with(HASTE[connection.vendor]))

    # A second a seed on an idle machine; what a loaded one takes is no fault of the queue.
    @pytest.mark.timeout(600 + 10 * COUNT)
    def test_whatever_the_database_does_the_invariants_hold(self):
        happened = Counter()
        for seed in SEEDS:
            with self.subTest(seed=seed), isolated_registries():
                self.empty()
                world = World(seed)
                world.blow()
                world.calm()

                self.assertEqual(broken(world), [], dict(world.faults.happened))
                states = TaskExec.objects.values_list("state", flat=True)
                happened += world.happened + Counter(states)
        if not ALONE:
            for what in ("killed with rows in hand", "recovered", "requeued", States.INTERRUPTED):
                self.assertGreater(happened[what], COUNT // 10, happened)

    def empty(self):
        connection.close()
        TaskExec.objects.update(replaced_by=None)
        ScheduleExec.objects.all().delete()
        for model in (TaskExec, WorkerStatus, Effect):
            model.objects.all().delete()
