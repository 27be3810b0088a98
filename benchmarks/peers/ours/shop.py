"""The tasks and schedules of a site whose admin is measured. They never run."""

from django_toosimple_q.registry import schedules_registry, tasks_registry
from django_toosimple_q.schedule import Schedule
from django_toosimple_q.task import Task
from peers.ledger import note

QUEUES = ("default", "mail", "payments", "pictures", "reports")
NAMES = tuple(f"shop.{queue}_{number}" for number in range(1, 5) for queue in QUEUES)
CRONS = {"shop.often": "*/5 * * * *", "shop.nightly": "0 3 * * *", "shop.by_hand": "manual"}

for number, name in enumerate(NAMES):
    tasks_registry.register(Task(func=note, name=name, queue_name=QUEUES[number % len(QUEUES)]))
for name, cron in CRONS.items():
    task = tasks_registry[NAMES[0]]
    schedules_registry.register(Schedule(task=task, name=name, cron=cron, args=(0,)))
