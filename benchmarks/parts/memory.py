"""Memory of one or several workers after a drain, compared with an idle Django process.

Shared memory is counted once, since the kernel divides it among the processes (Pss).
"""

import subprocess
from dataclasses import replace
from typing import Any

from harness.bench import Bench
from harness.contestants import CONTESTANTS
from harness.contestants import OURS as COMMAND
from harness.environments import BENCHMARKS, Unmeasurable, python_of
from harness.measure import Site

OURS = CONTESTANTS["ours"]
PROCESSES = 4
# `pass`, followed by printing the process's peak memory.
NOTHING = "pass; print(open('/proc/self/status').read())"


def measure(bench: Bench) -> dict[str, Any]:
    """Return megabytes in each round: two peaks, and the memory of one or several workers."""
    count = bench.extent.memory_tasks
    found: dict[str, list[float]] = {"shell": [], "worker": [], "alone": [], "together": []}
    for name in bench.turns("memory", found):
        site = bench.site(OURS, "postgresql")
        if name == "shell":
            found[name].append(shell_megabytes(site.environment))
            continue
        site.ask("fill", 0, count)
        if name == "worker":
            found[name].append(site.drain(count).peak_megabytes)
        else:
            found[name].append(held_megabytes(site, count, 1 if name == "alone" else PROCESSES))
    return {"tasks": count, "processes": PROCESSES, **found}


def held_megabytes(site: Site, count: int, processes: int) -> float:
    """Return the memory of some processes and their supervisor after they drained tasks."""
    command = (*COMMAND, f"--processes={processes}")
    site.contestant = replace(site.contestant, worker=command, processes=processes)
    with site.working() as worker:
        site.wait_for(count, worker)
        return worker.held_megabytes()


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
