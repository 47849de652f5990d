"""How loops become kernels: kept on disk where that can be, and compiled all the same where it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

from llmrec.errors import LLMRecWarning
from llmrec.kernels import jit


def total(values):
    result = 0.0
    for value in values:
        result += value
    return result


def test_a_kernel_computes_what_its_loop_does():
    assert jit.kernel(total)(np.arange(4.0)) == total(np.arange(4.0))


def test_without_a_folder_to_write_to_kernels_work_after_one_warning(monkeypatch):
    def refuse(self):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(Dispatcher, "enable_caching", refuse)
    jit._warn_of_no_cache.cache_clear()
    with pytest.warns(LLMRecWarning, match="NUMBA_CACHE_DIR") as caught:
        kernels = [jit.kernel(total) for _ in range(2)]
    assert len(caught) == 1
    assert kernels[1](np.arange(4.0)) == 6.0
