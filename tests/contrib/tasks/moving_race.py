"""A db_worker that claims a row between the moment it is read and the moment it is deleted.

Run as a program it prints, as JSON, what the test looks at.
"""

import json
import os
import sys
import threading

from tests.contrib.tasks.moving_site import *  # noqa: F403


def run() -> None:
    import django
    from django.apps import apps
    from django.db import connection, transaction
    from django.db.models.signals import post_delete, pre_delete

    django.setup()
    from django_toosimple_q.contrib.tasks import import_db_tasks
    from tests.contrib.tasks import lazy

    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    model = apps.get_model("django_tasks_database", "DBTaskResult")
    claimed, deleted = [], []

    def claim(pk) -> None:
        # As db_worker does.
        with transaction.atomic():
            row = model.objects.ready().filter(pk=pk).get_locked()
            if row is not None:
                row.claim("db_worker")
                claimed.append(pk)
        connection.close()

    def on_pre_delete(instance, **kwargs) -> None:
        thread = threading.Thread(target=claim, args=[instance.pk])
        thread.start()
        thread.join()

    pre_delete.connect(on_pre_delete, sender=model)
    post_delete.connect(lambda instance, **kw: deleted.append(1), sender=model, weak=False)
    try:
        for number in range(3):
            lazy.found.using(backend="old").enqueue(number)
        moved = list(import_db_tasks.move_queued("default"))
        found = {
            "moved": len([one for one in moved if one.new_id]),
            "claimed": len(claimed),
            "deleted": len(deleted),
            "left": list(model.objects.values_list("status", flat=True)),
        }
    finally:
        connection.creation.destroy_test_db("unused", verbosity=0)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.contrib.tasks.moving_race"
    run()
