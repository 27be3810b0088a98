"""What this package keeps beside the columns of django-toosimple-q 1.x, and its indexes."""

import django.db.models.deletion
import django_toosimple_q.fields
import django_toosimple_q.indexes
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("toosimpleq", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="taskexec",
            name="exclusive",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.AddField(
            model_name="taskexec",
            name="attempt",
            field=models.IntegerField(db_default=1, default=1),
        ),
        migrations.AddField(
            model_name="taskexec",
            name="awaited",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.AddField(
            model_name="taskexec",
            name="cancelled",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="taskexec",
            name="crash_count",
            field=models.IntegerField(
                db_default=0, default=0, help_text="How many workers crashed while running it."
            ),
        ),
        migrations.AddField(
            model_name="taskexec",
            name="error_message",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.AddField(
            model_name="taskexec",
            name="error_type",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The dotted name of the exception class.",
                max_length=255,
            ),
        ),
        migrations.AddField(
            model_name="taskexec",
            name="expires",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="taskexec",
            name="hold",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.AddField(
            model_name="taskexec",
            name="concurrency_key",
            field=models.CharField(db_default="", default="", editable=False, max_length=255),
        ),
        migrations.AddField(
            model_name="taskexec",
            name="priority",
            field=models.IntegerField(
                db_default=0, default=0, help_text="Larger numbers run first."
            ),
        ),
        migrations.AddField(
            model_name="taskexec",
            name="queue",
            field=models.CharField(db_default="default", default="", max_length=255),
        ),
        migrations.AddField(
            model_name="taskexec",
            name="root",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                help_text="The first attempt; empty on the first attempt itself.",
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="toosimpleq.taskexec",
            ),
        ),
        migrations.AddField(
            model_name="taskexec",
            name="timeout",
            field=models.FloatField(blank=True, help_text="Seconds it may run.", null=True),
        ),
        migrations.AddField(
            model_name="taskexec",
            name="unique_hash",
            field=models.CharField(db_default="", default="", editable=False, max_length=64),
        ),
        migrations.AddField(
            model_name="taskexec",
            name="unique_key",
            field=models.CharField(
                editable=False, help_text="Set while it waits.", max_length=64, null=True
            ),
        ),
        migrations.AddField(
            model_name="workerstatus",
            name="host",
            field=models.CharField(blank=True, db_default="", default="", max_length=255),
        ),
        migrations.AddField(
            model_name="workerstatus",
            name="incarnation",
            field=models.CharField(db_default="", default="", editable=False, max_length=32),
        ),
        migrations.AddField(
            model_name="workerstatus",
            name="pid",
            field=models.IntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="workerstatus",
            name="host_id",
            field=models.CharField(db_default="", default="", editable=False, max_length=512),
        ),
        migrations.AddField(
            model_name="workerstatus",
            name="rescued",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="workerstatus",
            name="tasks",
            field=models.JSONField(blank=True, help_text="Names of tasks it knows.", null=True),
        ),
        migrations.AddField(
            model_name="scheduleexec",
            name="error",
            field=models.TextField(
                blank=True,
                db_default="",
                default="",
                help_text="Why its calls cannot be queued.",
            ),
        ),
        migrations.AddField(
            model_name="scheduleexec",
            name="failed",
            field=models.DateTimeField(
                blank=True, help_text="When they last could not be queued.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="scheduleexec",
            name="state",
            field=models.CharField(
                choices=[("ACTIVE", "Active"), ("BROKEN", "Broken"), ("INVALID", "Invalid")],
                default="ACTIVE",
                max_length=32,
            ),
        ),
        migrations.AlterField(
            model_name="taskexec",
            name="args",
            field=django_toosimple_q.fields.SignedPickledField(default=list, editable=False),
        ),
        migrations.AlterField(
            model_name="taskexec",
            name="kwargs",
            field=django_toosimple_q.fields.SignedPickledField(default=dict, editable=False),
        ),
        # InnoDB lets the foreign key's own index go only where another one serves it.
        migrations.AddIndex(
            model_name="taskexec",
            index=django_toosimple_q.indexes.SparseIndex(
                "replaced_by", name="toosimpleq_replaced_by"
            ),
        ),
        migrations.AlterField(
            model_name="taskexec",
            name="replaced_by",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="replaces",
                to="toosimpleq.taskexec",
            ),
        ),
        migrations.AlterField(
            model_name="taskexec",
            name="result",
            field=django_toosimple_q.fields.SignedPickledField(editable=False, null=True),
        ),
        migrations.AlterField(
            model_name="taskexec",
            name="retries",
            field=models.IntegerField(default=0, help_text="Attempts left; -1 is for ever."),
        ),
        migrations.AlterField(
            model_name="taskexec",
            name="retry_delay",
            field=models.IntegerField(default=0, help_text="Seconds before the next attempt."),
        ),
        migrations.AlterField(
            model_name="taskexec",
            name="state",
            field=models.CharField(
                choices=[
                    ("SLEEPING", "Sleeping"),
                    ("QUEUED", "Queued"),
                    ("PROCESSING", "Processing"),
                    ("SUCCEEDED", "Succeeded"),
                    ("INTERRUPTED", "Interrupted"),
                    ("FAILED", "Failed"),
                    ("INVALID", "Invalid"),
                ],
                default="QUEUED",
                max_length=32,
            ),
        ),
        migrations.AlterField(
            model_name="taskexec",
            name="stderr",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.AlterField(
            model_name="taskexec",
            name="stdout",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.AlterField(
            model_name="taskexec",
            name="worker",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                to="toosimpleq.workerstatus",
            ),
        ),
        migrations.AlterField(
            model_name="workerstatus",
            name="exit_code",
            field=models.IntegerField(
                blank=True, choices=[(0, "Stopped"), (77, "Terminated"), (99, "Crashed")], null=True
            ),
        ),
        migrations.AddIndex(
            model_name="taskexec",
            index=django_toosimple_q.indexes.StateIndex(
                *("queue", "concurrency_key", "-priority", "due", "id"),
                name="toosimpleq_claim",
                states=["QUEUED"],
            ),
        ),
        migrations.AddIndex(
            model_name="taskexec",
            index=django_toosimple_q.indexes.StateIndex(
                "due", name="toosimpleq_wake", states=["SLEEPING"]
            ),
        ),
        migrations.AddIndex(
            model_name="taskexec",
            index=django_toosimple_q.indexes.StateIndex(
                "worker", name="toosimpleq_rescue", states=["PROCESSING"]
            ),
        ),
        migrations.AddIndex(
            model_name="taskexec",
            index=django_toosimple_q.indexes.StateIndex(
                "state",
                "finished",
                name="toosimpleq_prune",
                states=["SUCCEEDED", "INTERRUPTED", "FAILED", "INVALID"],
            ),
        ),
        migrations.AddIndex(
            model_name="taskexec",
            index=django_toosimple_q.indexes.SparseIndex("root", name="toosimpleq_root"),
        ),
        migrations.AddConstraint(
            model_name="taskexec",
            constraint=django_toosimple_q.indexes.SparseUnique(
                "unique_key", name="toosimpleq_unique"
            ),
        ),
        migrations.CreateModel(
            name="QueueStatus",
            fields=[
                ("name", models.CharField(max_length=255, primary_key=True, serialize=False)),
                (
                    "paused",
                    models.DateTimeField(
                        blank=True, help_text="Since when it is paused.", null=True
                    ),
                ),
            ],
            options={
                "verbose_name": "Queue",
                "verbose_name_plural": "Queues",
                "permissions": [("pause_queuestatus", "Can pause and resume queues")],
            },
        ),
        migrations.CreateModel(
            name="ConcurrencyKey",
            fields=[
                ("name", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("used_until", models.DateTimeField(null=True)),
            ],
        ),
    ]
