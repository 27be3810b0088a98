"""Run tests once to learn which of them run which line, and how long each takes.

    python scripts/covering.py RESULT [PYTEST ARGUMENT ...]

`run_mutant` below runs tests on a module that has been changed; `mutants.py` starts both.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
from collections import defaultdict
from collections.abc import Generator, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import coverage
import pytest

from environment import ROOT

PACKAGE = "django_toosimple_q"
QUIET = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--hypothesis-seed=0"]


class Covering:
    """A pytest plugin: each test is a context of the coverage."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured = measured
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self.measured.switch_context(item.nodeid)
        ran = yield
        self.measured.switch_context("")
        return ran

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.outcome == "failed":
            self.failed.add(report.nodeid)


def measure(result: Path, arguments: Sequence[str]) -> None:
    """Run the tests and write what was learned."""
    measured = coverage.Coverage(data_file=None, source_pkgs=[PACKAGE], config_file=False)
    measured.start()
    plugin = Covering(measured)
    pytest.main([*QUIET, *arguments], plugins=[plugin])
    measured.stop()
    data = measured.get_data()
    lines = {
        str(Path(path).relative_to(ROOT)): {
            line: sorted(set(contexts) & plugin.seconds.keys() - plugin.failed)
            for line, contexts in data.contexts_by_lineno(path).items()
        }
        for path in data.measured_files()
    }
    learned = {"seconds": plugin.seconds, "failed": sorted(plugin.failed), "lines": lines}
    result.write_text(json.dumps(learned))


class ChangedText(importlib.machinery.SourceFileLoader):
    """Loads a module from another text than that of its file."""

    def __init__(self, path: Path, text: bytes) -> None:
        parts = path.relative_to(ROOT).with_suffix("").parts
        super().__init__(".".join(parts).removesuffix(".__init__"), str(path))
        self.text = text

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.path, "exec", dont_inherit=True)


class Finder(importlib.abc.MetaPathFinder):
    """Finds one module as its loader has it; all the rest is as it was."""

    def __init__(self, loader: ChangedText) -> None:
        self.loader = loader

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.loader.name:
            return None
        where = self.loader.path
        return importlib.util.spec_from_file_location(fullname, where, loader=self.loader)


def run_mutant(path: Path, text: bytes, tests: Sequence[str]) -> int:
    """Run tests on a module with this text, until one fails; return pytest's exit code."""
    sys.meta_path.insert(0, Finder(ChangedText(path, text)))
    return int(pytest.main([*QUIET, "-x", "--no-header", "--tb=line", *tests]))


if __name__ == "__main__":
    measure(Path(sys.argv[1]), sys.argv[2:])
