"""Peak memory of one worker that has drained tasks, over a Django process that does nothing."""

import subprocess
from typing import Any

from harness.bench import Bench
from harness.contestants import CONTESTANTS
from harness.environments import BENCHMARKS, Unmeasurable, python_of

OURS = CONTESTANTS["ours"]
# `pass`, and what the process held at most until then.
NOTHING = "pass; print(open('/proc/self/status').read())"


def measure(bench: Bench) -> dict[str, Any]:
    """Return megabytes in each round, of `manage.py shell` and of the worker."""
    found: dict[str, list[float]] = {"shell": [], "worker": []}
    for name in bench.turns("memory", found):
        site = bench.site(OURS, "postgresql")
        if name == "worker":
            site.ask("fill", 0, bench.extent.memory_tasks)
            found[name].append(site.drain(bench.extent.memory_tasks).peak_megabytes)
        else:
            found[name].append(shell_megabytes(site.environment))
    return {"tasks": bench.extent.memory_tasks, **found}


def shell_megabytes(environment: dict[str, str]) -> float:
    """Return the peak of `manage.py shell -c pass` in the same site."""
    command = [str(python_of(OURS.venv)), "-m", "django", "shell", "-v0", "-c", NOTHING]
    ran = subprocess.run(
        command, cwd=BENCHMARKS, env=environment, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise Unmeasurable(f"manage.py shell failed: {ran.stderr.strip()[-2000:]}")
    fields = dict(line.split(":", 1) for line in ran.stdout.splitlines() if ":" in line)
    return int(fields["VmHWM"].split()[0]) / 1024
