"""The layout, as a test: imports point down only, SQL stands in the store only."""

import ast
import re
from pathlib import Path
from unittest import TestCase

import django_toosimple_q

ROOT = Path(django_toosimple_q.__file__).parent
PACKAGE = "django_toosimple_q"

LAYERS = [
    {"cron", "retry", "exceptions", "signals", "conf", "unique", "limits"},
    {"task", "schedule", "registry", "decorators"},
    {"payload", "execution", "fields", "indexes", "models", "store", "notify", "waiting", "queues"},
    {"log", "metrics"},
    {"worker"},
    {"management", "admin", "checks", "testing", "contrib", "apps", "migrations"},
]
# `Task.queue()` and its like reach up, inside the method: tasks.py may be imported before models.
DOORS = {("task", "store")}
# The index classes ask the dialect what the database can; the dialect knows no model.
SAME_LAYER = 2


def modules():
    return sorted(path for path in ROOT.rglob("*.py") if "migrations" not in path.parts)


def part(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported_parts(path):
    """Yield the parts of the package that a module imports when it runs."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith(f"{PACKAGE}."):
                yield name.split(".")[1]


class LayoutTests(TestCase):
    def test_every_module_has_a_layer(self):
        known = set.union(*LAYERS) | {"__init__"}

        self.assertEqual({part(path) for path in modules()} - known, set())

    def test_imports_point_down_only(self):
        level = {name: height for height, names in enumerate(LAYERS) for name in names}
        upward = [
            f"{path.relative_to(ROOT)} imports {name}"
            for path in modules()
            for name in imported_parts(path)
            if name in level
            and level[name] > level.get(part(path), len(LAYERS))
            and (part(path), name) not in DOORS
        ]

        self.assertEqual(upward, [])

    def test_the_executor_never_touches_the_store(self):
        self.assertNotIn("store", set(imported_parts(ROOT / "worker" / "executor.py")))

    def test_queue_sql_stands_in_the_store_only(self):
        sql = re.compile(
            r"\.objects\b|\btransaction\.(atomic|on_commit|[gs]et_)|select_for_update|\.cursor\("
        )
        allowed = {"store", "notify", "admin", "migrations", "contrib", "testing"}
        strays = [
            str(path.relative_to(ROOT))
            for path in modules()
            if part(path) not in allowed and sql.search(path.read_text())
        ]

        self.assertEqual(strays, [])

    def test_only_the_dialect_asks_which_database_this_is(self):
        asks = re.compile(r"\.vendor\b|connection\.features\b|\.mysql_is_mariadb")
        strays = [
            str(path.relative_to(ROOT))
            for path in modules()
            if "dialect" not in path.parts and asks.search(path.read_text())
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
