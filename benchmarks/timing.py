"""Engines timed beside each other: in turns, in one process, with what the machine was doing meanwhile.

On a shared machine a wall time says little and a ratio of interleaved calls much, so that the benchmarks of
the engines take turns and report medians, CPU time beside wall time, and the load. Their peers are no
dependency of the library; an environment for all of them is

    python -m venv peers
    peers/bin/pip install -e . implicit==0.7.3 faiss-cpu usearch river lenskit==2025.8.1
    OPENBLAS_NUM_THREADS=1 peers/bin/python benchmarks/engines_als.py --json als.json

A benchmark is a script: ``arguments`` reads its options, ``interleaved`` or ``latencies`` time, ``report``
prints a table and writes the file that ``--json`` names.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "Times",
    "arguments",
    "interleaved",
    "latencies",
    "memory_now",
    "peak_memory",
    "report",
    "table",
    "versions",
]

_PACKAGES = ("llmrec", "numpy", "scipy", "numba")
_MEGABYTE = 2**20


@dataclass
class Times:
    """Seconds that the calls of one engine took, of the clock and of all its threads."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, call: Callable[[], Any]) -> Any:
        """Time one call; return what it returns."""
        wall, cpu = time.perf_counter(), time.process_time()
        answer = call()
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)
        return answer

    def row(self, scale: float = 1.0, unit: str = "s") -> dict[str, float]:
        """Return medians and 99th percentiles, times ``scale``."""
        row = {}
        for name, seconds in (("wall", self.wall), ("cpu", self.cpu)):
            row[f"{name}_p50_{unit}"] = round(float(np.median(seconds)) * scale, 4)
            row[f"{name}_p99_{unit}"] = round(float(np.percentile(seconds, 99)) * scale, 4)
        return row


def interleaved(calls: Mapping[str, Callable[[], Any]], repeats: int = 5, warm: int = 1) -> dict[str, Times]:
    """Call each engine ``repeats`` times in turns, after ``warm`` untimed rounds."""
    return latencies({name: _ignoring(call) for name, call in calls.items()}, repeats, warm)


def latencies(
    calls: Mapping[str, Callable[[int], Any]], repeats: int = 1000, warm: int = 20
) -> dict[str, Times]:
    """Call each engine with 0, 1, 2, … in turns, after ``warm`` untimed rounds.

    In turns means that an engine finds the caches as the others left them, as in a process that serves.
    """
    times = {name: Times() for name in calls}
    for turn in range(-warm, repeats):
        for name, call in calls.items():
            if turn < 0:
                call(turn + warm)
            else:
                times[name].add(lambda call=call, turn=turn: call(turn))
    return times


def _ignoring(call: Callable[[], Any]) -> Callable[[int], Any]:
    return lambda _: call()


def memory_now() -> float:
    """Return the resident memory of this process, in MiB; nan where the system does not tell."""
    return _told("VmRSS") or float("nan")


def peak_memory() -> float:
    """Return the most memory that this process has had so far, in MiB; for one engine a process."""
    # What getrusage says would count the parent in, where that was larger when it started this process.
    told = _told("VmHWM")
    if told is not None:
        return told
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (_MEGABYTE if sys.platform == "darwin" else 1024)


def _told(name: str) -> float | None:
    """Return a line of what Linux says of this process, in MiB."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = status.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def versions(*peers: str) -> dict[str, str]:
    """Return the versions of Python, of what the library stands on, and of some peers."""
    found = {"python": platform.python_version()}
    for name in (*_PACKAGES, *peers):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def arguments(description: str | None, **options: Any) -> argparse.Namespace:
    """Read ``--json`` and the given options, each named after its default: ``factors=64`` is ``--factors``.

    A tuple is an option of several values.
    """
    first_line = (description or "").split("\n", 1)[0]
    parser = argparse.ArgumentParser(description=first_line)
    parser.add_argument("--json", metavar="FILE", help="write the rows there, with machine and versions")
    for name, default in options.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(default, bool):
            parser.add_argument(flag, action="store_true", default=default)
        elif isinstance(default, tuple):
            parser.add_argument(flag, type=type(default[0]), nargs="+", default=default)
        else:
            parser.add_argument(flag, type=type(default), default=default)
    return parser.parse_args()


def report(name: str, rows: Sequence[Mapping[str, Any]], to: str | None, peers: Sequence[str] = ()) -> None:
    """Print rows as a table, and write them to the file ``to`` with the circumstances of the run."""
    print(table(rows))
    load = [round(one, 2) for one in os.getloadavg()]
    print(f"\nload {load[0]}; {_machine()['processor']}, {_machine()['cores']} cores; {versions(*peers)}")
    if to is None:
        return
    result = {
        "name": name,
        "command": " ".join([Path(sys.executable).name, *sys.argv]),
        "machine": _machine(),
        "load": load,
        "versions": versions(*peers),
        "rows": [dict(row) for row in rows],
    }
    Path(to).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Render rows as a Markdown table; the columns are all keys, in the order of their first use."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *([_text(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in cells
    ]
    return "\n".join([lines[0], "| " + " | ".join("-" * width for width in widths) + " |", *lines[1:]])


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _machine() -> dict[str, Any]:
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count()
    return {"processor": _processor(), "cores": cores, "system": platform.platform()}


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()
