"""`manage.py import_db_tasks`: options from the command line, nothing else."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_toosimple_q.contrib.tasks import import_db_tasks


class Command(BaseCommand):
    help = "Move the tasks that still wait in django-tasks-db's table to this queue."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--backend",
            default="default",
            metavar="ALIAS",
            help="the alias in TASKS for rows whose own is none of this queue (%(default)s)",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be moved, move nothing"
        )

    def handle(self, *args: Any, **given: Any) -> None:
        try:
            import_db_tasks.their_model()
        except LookupError as error:
            raise CommandError(
                "django_tasks_db is not in INSTALLED_APPS, so its table cannot be read. Put it "
                "back until its rows are moved; TASKS may name this queue's backend already."
            ) from error

        moved = left = 0
        for one in import_db_tasks.move_queued(given["backend"], dry_run=given["dry_run"]):
            if one.reason is not None:
                left += 1
                self.stderr.write(f"{one.old_id} {one.path} stays: {one.reason}")
                continue
            moved += 1
            if given["verbosity"] > 1 or given["dry_run"]:
                self.stdout.write(f"{one.old_id} {one.path} -> {one.new_id or '(dry run)'}")
        if given["verbosity"]:
            self.stdout.write(f"{moved} tasks {'would be ' * given['dry_run']}moved.")
        running = import_db_tasks.count_running()
        if running:
            self.stderr.write(f"{running} tasks are being run by a db_worker. Let it finish them.")
        if left:
            raise CommandError(f"{left} tasks stay where they are, for the reasons above.")
