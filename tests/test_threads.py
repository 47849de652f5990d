"""Threads: one limit for kernels and BLAS, and results in order."""

import threading

import pytest
from threadpoolctl import threadpool_info

from llmrec.errors import ParameterError
from llmrec.threads import map_threads, n_threads, one_blas_thread, thread_limit


def blas_threads():
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


def test_a_limit_holds_inside_the_block_alone():
    before = n_threads()
    with thread_limit(3):
        assert n_threads() == 3
        with thread_limit(None):
            assert n_threads() == 3
        with thread_limit(-1):
            assert n_threads() == before
    assert n_threads() == before


def test_a_limit_holds_blas_too():
    with thread_limit(1):
        assert blas_threads() == {1}


def test_work_on_threads_holds_blas_to_one_each():
    with thread_limit(2):
        assert map_threads(lambda _: blas_threads(), range(2)) == [{1}, {1}]
    with one_blas_thread():
        assert blas_threads() == {1}


def test_two_parts_run_at_once_and_come_back_in_order():
    both = threading.Barrier(2, timeout=10)

    def meet(part):
        both.wait()
        return part

    with thread_limit(2):
        assert map_threads(meet, ["first", "second"]) == ["first", "second"]


def test_an_error_in_a_thread_comes_out():
    def fail(part):
        raise ZeroDivisionError(part)

    with thread_limit(2), pytest.raises(ZeroDivisionError):
        map_threads(fail, range(4))


@pytest.mark.parametrize("bad", [0, -2, 1.5, True, "2"])
def test_a_bad_number_of_threads_is_refused(bad):
    with pytest.raises(ParameterError, match="n_jobs"), thread_limit(bad):
        pass


def test_overlapping_holds_leave_no_limit_behind():
    before = blas_threads()
    first, second = thread_limit(1), thread_limit(2)
    first.__enter__()
    second.__enter__()
    assert blas_threads() == {1}
    first.__exit__(None, None, None)
    assert blas_threads() == {2}
    second.__exit__(None, None, None)
    assert blas_threads() == before


def test_work_inside_a_thread_starts_no_threads_of_its_own():
    with thread_limit(2):
        assert map_threads(lambda _: n_threads(), range(2)) == [1, 1]
