"""After warmup, nothing that a service does is compiled in the middle of a request."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import llmrec
from llmrec.errors import ParameterError

SERVICE = """
import importlib, json, pkgutil
import numpy as np
import llmrec
from llmrec import ALSFactorizer, ItemKNN, Popularity, Recommender, SequenceRules, SGDUpdater
import llmrec.kernels

llmrec.show_progress(False)
rng = np.random.default_rng(0)
events = [(user, int(item), 1.0, 100.0 * user) for user in range(300) for item in rng.integers(4200, size=30)]
views = [ALSFactorizer(20, sweeps=1, solver="cg"), ItemKNN(), SequenceRules(), Popularity(half_life=2)]
fitted = [
    Recommender(encoder=None, factorizer=views, fuser="concat").fit(events),
    Recommender(encoder=None, factorizer=views[0], updater=SGDUpdater()).fit(events),
]
llmrec.warmup(factors=FACTORS)

def compiled():
    modules = pkgutil.iter_modules(llmrec.kernels.__path__, "llmrec.kernels.")
    named = {one.name: vars(importlib.import_module(one.name)) for one in modules}
    kernels = {f"{home}.{name}": one for home, names in named.items() for name, one in names.items()}
    made = llmrec.kernels.fold_in.by_blocks
    kernels |= {f"fold_in of {n} blocks, {k}": one for n, two in made.items() for k, one in enumerate(two)}
    return {name: len(one.signatures) for name, one in kernels.items() if hasattr(one, "signatures")}

before = compiled()
for rec in fitted:
    for _ in range(2):
        rec.recommend(3), rec.recommend([1, 2, 3]), rec.recommend(history=[1, 2, 3])
        rec.recommend(3, candidates=range(2000))
        rec.partial_fit([(1, 7, 1.0, 1e5), ("new", 3, 1.0, 1e5)])
        rec.recommend("new")
after = compiled()
print(json.dumps([name for name in after if after[name] != before.get(name, 0)]))
"""


def compiled_late(factors):
    code = SERVICE.replace("FACTORS", repr(factors))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_no_request_and_no_event_waits_for_a_compiler():
    assert compiled_late([20]) == []


def test_other_widths_are_compiled_when_they_come():
    assert any("fold_in" in name for name in compiled_late(64))


@pytest.mark.parametrize("factors", [0, 1.5, [64, -1], "64"])
def test_a_bad_number_of_factors_is_refused(factors):
    with pytest.raises(ParameterError, match="factors"):
        llmrec.warmup(factors=factors)
