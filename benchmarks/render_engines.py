"""Put the measurements of the engines, ``engines/*.json``, into RESULTS.md as tables.

python benchmarks/render_engines.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from timing import table

HERE = Path(__file__).parent
BEGIN, END = "<!-- engines -->", "<!-- end of engines -->"
INTRODUCTION = """## Engines

Speed beside peers, on one machine, in turns. Ratios are the peer's time over ours, above 1 where we are
faster; wall and CPU apart. Peers run in an environment of their own (`benchmarks/timing.py` says how to make
it). Losses stay in the tables.

Two processors were at hand. Neighbours of a million events, singular vectors, and the tables of sweeps, of
requests and of top-k whose file does not end in ``avx2`` or ``graph``, are of one with AVX-512 VNNI, and
older: requests have become shorter since. All others are of one without, where the scan of bytes, fold-in and
gradient steps are slower by half or more; so are the peers, but less.

The tables of the ranking alone and of losses on small data and neighbours of five million events were
measured while a dozen other processes ran, the search through a graph beside three others (its queries at a
million items beside one), those of losses on ml1m beside one, requests, sweeps, fold-in and top-k without
AVX-512 beside one or two: read their CPU times, not the wall. Events were measured alone, but on a machine
whose other guests slow it for seconds, by as much as three quarters. The tables of events and of requests
without AVX-512 are those of the quietest of three runs; in the slowest, a request took 161 µs in the median
of its rounds. On ml20m the ranking was followed for 3 sweeps, when the peers had not yet reached their best.
The table of sweeps with AVX-512, with memory in it, is from before ALS started from rough singular vectors
and before rows were read twice, which on AVX2 takes a fifth off a sweep."""


def section(measured: dict[str, Any]) -> str:
    """Return one measurement with its circumstances."""
    machine = measured["machine"]
    if isinstance(machine, dict):
        machine = f"{machine['processor']}, {machine['cores']} cores"
    versions = ", ".join(f"{name} {one}" for name, one in measured["versions"].items() if one)
    load = ", ".join(f"{one:.1f}" for one in measured["load"])
    rows = [{key: _short(value) for key, value in row.items()} for row in measured["rows"]]
    command = measured["command"].removeprefix("python ")
    return f"**{measured['name']}**: `python {command}`\n{machine}; load {load}; {versions}.\n\n{table(rows)}"


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> None:
    """Replace the section on engines."""
    found = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted((HERE / "engines").glob("*.json"))
    ]
    text = "\n\n".join([BEGIN, INTRODUCTION, *(section(one) for one in found), END])
    results = HERE / "RESULTS.md"
    old = results.read_text(encoding="utf-8")
    if BEGIN in old:
        head, rest = old.split(BEGIN, 1)
        new = head + text + rest.split(END, 1)[1]
    else:
        new = f"{old.rstrip()}\n\n{text}\n"
    results.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
