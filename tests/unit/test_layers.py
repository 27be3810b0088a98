"""The layout, as a test: imports point down only, without circles; SQL is in the store only."""

import ast
import re
from pathlib import Path
from unittest import TestCase

import django_toosimple_q

ROOT = Path(django_toosimple_q.__file__).parent
PACKAGE = "django_toosimple_q"

# From the bottom up. A module imports from its own layer and from those below.
LAYERS = [
    {"exceptions", "signals", "conf", "faces", "references"}
    | {"cron", "retry", "moments", "text", "throttle", "unique", "rate", "histogram", "progress"}
    | {"code_version", "traces"},
    {"masking", "arguments", "task_options", "task", "schedule", "registry", "decorators"},
    {"wakeups"},
    {"databases"},
    {"payload", "public_ids", "execution", "fields", "indexes", "models", "failure", "frames"}
    | {"stand_ins"}
    | {"figure_models", "queue_models", "schedule_models"},
    {"store"},
    {"waiting", "queues", "overview", "health"},
    {"log"},
    {"worker"},
    {"management", "admin", "checks", "testing", "contrib", "apps", "migrations"}
    | {"templatetags", "bulk_task"},
]
# Methods that reach up, inside the method: definitions and models are imported before the store.
DOORS = {
    ("__init__", "queues"),  # from django_toosimple_q import queues
    ("task", "store"),  # Task.queue
    ("models", "store"),  # row.cancel
    ("models", "waiting"),  # row.wait_done
}


def modules():
    return sorted(path for path in ROOT.rglob("*.py") if "migrations" not in path.parts)


def part(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


def dotted(path):
    parts = [PACKAGE, *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts).removesuffix(".__init__")


def imports(path, *, lazy=True):
    """Yield the modules that a module imports when it runs; not `lazy`: when it is imported."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if _is_typing_only(block) or (not lazy and isinstance(block, ast.FunctionDef))
        for node in ast.walk(block)
    }
    known = {dotted(other) for other in modules()}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            while name.startswith(PACKAGE) and name not in known:
                name = name.rpartition(".")[0]
            if name.startswith(f"{PACKAGE}."):
                yield name


def _is_typing_only(block):
    return isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)


def circles(graph):
    """Return the groups of modules that import each other, directly or through others."""
    reach = {}
    for start in graph:
        found, ends = set(), [start]
        while ends:
            for name in graph.get(ends.pop(), ()):
                if name not in found:
                    found.add(name)
                    ends.append(name)
        reach[start] = found
    return sorted(
        {
            tuple(sorted(other for other in reach[name] if name in reach.get(other, ())))
            for name in graph
            if name in reach[name]
        }
    )


class LayoutTests(TestCase):
    def test_every_module_has_a_layer(self):
        known = set.union(*LAYERS) | {"__init__"}

        self.assertEqual({part(path) for path in modules()} - known, set())

    def test_imports_point_down_only(self):
        level = {name: height for height, names in enumerate(LAYERS) for name in names}
        upward = [
            f"{path.relative_to(ROOT)} imports {name}"
            for path in modules()
            for name in {imported.split(".")[1] for imported in imports(path)}
            if level[name] > level.get(part(path), len(LAYERS)) and (part(path), name) not in DOORS
        ]

        self.assertEqual(upward, [])

    def test_no_modules_import_each_other_in_a_circle(self):
        doors = {(f"{PACKAGE}.{lower}", f"{PACKAGE}.{upper}") for lower, upper in DOORS}
        graph = {
            dotted(path): {
                name
                for name in imports(path)
                if name != dotted(path)
                and not any(dotted(path) == low and name.startswith(up) for low, up in doors)
            }
            for path in modules()
            if part(path) != "__init__"
        }

        self.assertEqual(circles(graph), [])

    def test_circles_are_found(self):
        graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}

        self.assertEqual(circles(graph), [("a", "b", "c")])

    def test_the_executor_never_touches_the_store(self):
        executor = ROOT / "worker" / "execution" / "executor.py"

        self.assertFalse([name for name in imports(executor) if ".store" in name])

    def test_the_core_imports_no_part_of_contrib_and_a_web_process_none_of_the_worker(self):
        for name, users in (("contrib", {"management"}), ("worker", {"management"})):
            importing = {
                part(path)
                for path in modules()
                if part(path) != name
                and any(one.startswith(f"{PACKAGE}.{name}") for one in imports(path))
            }
            with self.subTest(name=name):
                self.assertEqual(importing, users)

    def test_only_the_door_for_rows_and_those_who_listen_import_the_wake_ups(self):
        announcing = re.compile(r"wakeups\.(announce|sender)|import .*\bannounce\b")
        users = {
            str(path.relative_to(ROOT))
            for path in modules()
            if part(path) != "wakeups" and announcing.search(path.read_text())
        }

        self.assertEqual(users, {"store/insert.py"})

    def test_rows_are_inserted_in_one_place(self):
        inserting = re.compile(r"database_of\(connection\)\.insert\(|TaskExec\.objects\.create")
        users = {
            str(path.relative_to(ROOT)) for path in modules() if inserting.search(path.read_text())
        }

        self.assertEqual(users, {"store/insert.py"})

    def test_queue_sql_is_in_the_store_only(self):
        sql = re.compile(
            r"\.objects\b|\btransaction\.(atomic|on_commit|[gs]et_)|select_for_update|\.cursor\("
        )
        allowed = {"store", "databases", "wakeups", "admin", "migrations", "contrib", "testing"}
        strays = [
            str(path.relative_to(ROOT))
            for path in modules()
            if part(path) not in allowed and sql.search(path.read_text())
        ]

        self.assertEqual(strays, [])

    def test_only_the_databases_ask_which_database_this_is(self):
        asks = re.compile(r"\.vendor\b|connection\.features\b|\.mysql_is_mariadb")
        strays = [
            str(path.relative_to(ROOT))
            for path in modules()
            if part(path) != "databases" and asks.search(path.read_text())
        ]

        self.assertEqual(strays, [])

    def test_only_cron_touches_croniter(self):
        users = {
            path.name
            for path in modules()
            if re.search(r"^\s*(from|import) croniter", path.read_text(), re.M)
        }

        self.assertEqual(users, {"cron.py"})

    def test_modules_stay_short(self):
        long = [
            f"{path.relative_to(ROOT)}: {lines}"
            for path in modules()
            if (lines := len(path.read_text().splitlines())) > 400
        ]

        self.assertEqual(long, [])
