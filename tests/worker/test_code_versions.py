"""Calls that a worker cannot begin: newer code queued them, or another key signed them."""

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from django.core.management import call_command
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings
from django.utils import timezone

from django_toosimple_q import code_version
from django_toosimple_q.execution import Claimed
from django_toosimple_q.models import TaskExec
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store import task_execs
from tests.faults.world import Member
from tests.support import claimed, isolate_registries, make_task, make_worker, reload, states


class Parcel:
    """A class that only new code has."""

    def __eq__(self, other):
        return isinstance(other, Parcel)

    __hash__ = None


@contextmanager
def without_parcel():
    """Take the class from the code, as in a process that has not been started again."""
    with mock.patch.dict(globals()):
        del globals()["Parcel"]
        yield


def code(version, **settings):
    return override_settings(TOOSIMPLEQ_CODE_VERSION=version, **settings)


class OtherCode(TransactionTestCase):
    """A worker of old code, and one of new code that knows the same names."""

    def setUp(self):
        isolate_registries(self)
        self.old = Member("old")

    def new_worker(self, version="new", **fields):
        return make_worker(
            f"w-{version}", now=timezone.now(), tasks=["t"], code_version=version, **fields
        )

    def steps(self, member=None, count=3):
        """Let a worker come by some times."""
        for _ in range(count):
            while (member or self.old).step():
                pass
            (member or self.old).beat()

    def restarted(self, label="restarted"):
        """Let a worker start and do what it can."""
        member = Member(label)
        self.steps(member)
        return member


class LeftToOthersTests(OtherCode):
    def test_an_argument_of_a_class_that_it_does_not_have(self):
        task = make_task(retries=3)
        with code("new"):
            self.new_worker()
            rows = [task.queue(Parcel()) for _ in range(5)]

        with code("old"), without_parcel(), self.assertLogs("toosimpleq", "WARNING") as logs:
            self.steps()

        self.assertEqual(states(), ["QUEUED"] * 5)
        self.assertEqual(reload(rows[0]).retries, 3)
        [line] = logs.output
        self.assertIn("left to workers of other code", line)
        self.assertIn("queued_by_code=new own_code=old", line)
        self.assertIn("Parcel", line)

    def test_a_parameter_that_it_does_not_have(self):
        with code("new"):
            self.new_worker()
            row = make_task(func=lambda one, two: None, retries=3, retry_delay=1).queue(1, 2)
        tasks_registry.clear()
        make_task(func=lambda one: None, retries=3)

        with code("old"), self.assertLogs("toosimpleq", "WARNING") as logs:
            self.steps()

        self.assertEqual(states(), ["QUEUED"])
        self.assertEqual((reload(row).retries, reload(row).attempt), (3, 1))
        self.assertIn("too many positional arguments", logs.output[0])

    def test_a_key_that_it_does_not_have(self):
        task = make_task()
        with code("new", SECRET_KEY="new"):
            self.new_worker()
            task.queue(1)

        with code("old", SECRET_KEY="old"), self.assertLogs("toosimpleq", "WARNING"):
            self.steps()

        self.assertEqual(states(), ["QUEUED"])

    def test_a_unique_call_goes_back_as_one_row_that_remembers_who_tried(self):
        task = make_task(unique_by=lambda parcel: 1)
        with code("new"):
            self.new_worker()
            task.queue(Parcel())

        with code("old"), without_parcel(), self.assertLogs("toosimpleq", "WARNING"):
            self.steps(count=1)

        [waiting] = TaskExec.objects.filter(state="QUEUED")
        self.assertEqual(waiting.refused_by, ",old,")
        self.assertEqual(waiting.code_version, "new")

    def test_an_atomic_task(self):
        task = make_task(atomic=True)
        with code("new"):
            self.new_worker()
            task.queue(Parcel())

        with code("old"), without_parcel(), self.assertLogs("toosimpleq", "WARNING"):
            self.steps()

        self.assertEqual(states(), ["QUEUED"])

    def test_other_tasks_go_on(self):
        task, other = make_task(), make_task("other")
        with code("new"):
            self.new_worker()
            task.queue(Parcel())
            row = other.queue()

        with code("old"), without_parcel(), self.assertLogs("toosimpleq", "WARNING"):
            self.steps()

        self.assertEqual(reload(row).state, "SUCCEEDED")


class ComesToAnEndTests(OtherCode):
    def test_two_versions_that_both_cannot_begin_it_try_once_each(self):
        task = make_task(retries=3)
        with code("newest"):
            row = task.queue(Parcel())
        other = Member("other")
        for member, version in ((self.old, "1"), (other, "2")):
            with code(version):
                member.step()
                member.beat()
        row = task.queue(Parcel())
        tries = []

        with without_parcel(), mock.patch.object(Claimed, "arguments", arguments_noted(tries)):
            for _ in range(5):
                for member, version in ((self.old, "1"), (other, "2")):
                    with code(version), self.quiet():
                        self.steps(member, 1)

        self.assertEqual(reload(row).state, "INVALID")
        self.assertEqual(reload(row).refused_by, ",1,2,")
        self.assertEqual(len(tries), 2)

    def quiet(self):
        return mock.patch("django_toosimple_q.log.tasks.write")

    def test_none_that_may_begin_it_lives(self):
        task = make_task(retries=3)
        row = task.queue(Parcel())
        self.new_worker("old")
        self.new_worker("new", included_queues=["elsewhere"])

        with code("old"), without_parcel(), self.assertLogs("toosimpleq", "ERROR"):
            self.steps()

        row = reload(row)
        self.assertEqual((row.state, row.retries, row.refused_by), ("INVALID", 3, ",old,"))
        self.assertEqual(row.error_type, "django_toosimple_q.exceptions.UnreadablePayload")


class TriedAgainTests(OtherCode):
    def setUp(self):
        super().setUp()
        self.task = make_task()
        self.row = self.task.queue(Parcel())
        with code("old"), without_parcel(), self.assertLogs("toosimpleq", "ERROR"):
            self.steps()
        self.assertEqual(states(), ["INVALID"])

    def test_by_a_worker_of_other_code_that_starts(self):
        with code("new"):
            self.restarted()

        row = reload(self.row)
        self.assertEqual((row.state, row.error, row.error_type), ("SUCCEEDED", None, ""))

    def test_by_none_of_the_same_code(self):
        with code("old"):
            self.restarted()

        self.assertEqual(states(), ["INVALID"])

    def test_by_none_after_a_person_has_queued_it_again(self):
        again = task_execs.requeue(reload(self.row), timezone.now())

        with code("new"):
            self.restarted()

        self.assertEqual((reload(self.row).state, reload(again).state), ("INVALID", "SUCCEEDED"))

    def test_once_more_by_none_that_had_no_luck_either(self):
        with code("new"), without_parcel(), self.assertLogs("toosimpleq", "ERROR"):
            self.restarted()

        self.assertEqual(states(), ["INVALID"])
        self.assertEqual(reload(self.row).refused_by, ",old,new,")


def arguments_noted(tries):
    original = Claimed.arguments

    def arguments(self):
        tries.append(self.pk)
        return original(self)

    return arguments


class SameCodeTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def test_a_type_error_of_the_task_itself_is_its_failure(self):
        task = make_task(func=lambda: int([]))
        row = task.queue()

        with self.assertLogs("toosimpleq", "ERROR"):
            call_command("worker", "--until_done", "--no_schedules")

        self.assertEqual(reload(row).error_type, "builtins.TypeError")
        self.assertEqual(reload(row).state, "FAILED")

    def test_a_row_says_by_which_code_it_was_queued(self):
        with code("mine"):
            self.assertEqual(reload(make_task().queue()).code_version, "mine")


class VersionTests(SimpleTestCase):
    def digest(self, **files):
        """Return the digest of a project with these files, in a directory of its own."""
        with TemporaryDirectory() as directory:
            for name, content in files.items():
                path = Path(directory, f"{name.replace('__', '/', 1)}.py")
                path.parent.mkdir(exist_ok=True)
                Path(path.parent, "__init__.py").touch()
                path.write_text(content)
            with mock.patch.object(code_version, "roots", return_value=[Path(directory)]):
                return code_version.files_digest.__wrapped__()

    def test_equal_files_give_an_equal_digest_wherever_they_are(self):
        self.assertEqual(self.digest(shop__a="x = 1"), self.digest(shop__a="x = 1"))

    def test_any_change_of_a_file_or_of_its_name_gives_another(self):
        digests = {
            self.digest(shop__a="x = 1"),
            self.digest(shop__a="x = 2"),
            self.digest(shop__b="x = 1"),
            self.digest(shop__a="x = 1", lib__b=""),
            self.digest(shop__a="x = 1", manage=""),
        }

        self.assertEqual(len(digests), 5)

    def test_another_version_of_an_installed_package_gives_another(self):
        before = self.digest()
        packages = [*code_version.installed(), "shop-1.0.dist-info"]

        with mock.patch.object(code_version, "installed", return_value=packages):
            self.assertNotEqual(self.digest(), before)

    def test_another_key_gives_another(self):
        with override_settings(SECRET_KEY="a"):
            first = code_version.own()
        with override_settings(SECRET_KEY="b"):
            self.assertNotEqual(code_version.own(), first)
        with override_settings(SECRET_KEY="a"):
            self.assertEqual(code_version.own(), first)

    def test_the_files_are_those_of_the_project_and_of_nobody_else(self):
        [root] = code_version.roots()

        self.assertEqual(root, Path(__file__).parents[2])

    def test_the_setting_is_taken_as_it_is(self):
        with code("2026-05-01"):
            self.assertEqual(code_version.own(), "2026-05-01")

    def test_a_row_remembers_the_latest_versions_that_had_no_luck(self):
        row = claimed()
        for number in range(100):
            row.refused_by = row.refused_also_by(f"version-{number}")

        self.assertLessEqual(len(row.refused_by), 255)
        self.assertIn(",version-99,", row.refused_by)
        self.assertEqual(row.refused_also_by("version-99"), row.refused_by)
