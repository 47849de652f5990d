"""Approximate ranking: nearly what the exact ranker finds, under filters and after updates."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from scipy import sparse

from llmrec import thread_limit
from llmrec.errors import ComponentError, MissingExtraError, ParameterError
from llmrec.rankers import DotRanker, HNSWRanker
from llmrec.testing import component_checks

usearch = pytest.importorskip("usearch", reason="the extra hnsw is not installed")


def vectors(n_rows, seed, dim=16):
    """Return vectors whose lengths differ by a factor of ten."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n_rows, dim)) * rng.uniform(0.1, 1, (n_rows, 1))).astype(np.float32)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Build the same graph each time; on more threads its edges depend on who comes first."""
    with thread_limit(1):
        yield


@pytest.fixture(scope="module")
def graph(one_thread):
    return HNSWRanker(exact_below=0).index(vectors(4000, 0))


def share_found(found, expected):
    hits = [len(set(one.tolist()) & set(other.tolist())) for one, other in zip(found, expected, strict=True)]
    return sum(hits) / expected.size


@pytest.mark.parametrize("check", component_checks(HNSWRanker()), ids=repr)
def test_contract(check):
    check()


def test_nearly_all_of_the_best_are_found_with_their_exact_scores(graph):
    queries = vectors(50, 1)
    rows, scores = graph.rank(queries, 10)
    expected, exact = DotRanker().index(vectors(4000, 0)).rank(queries, 10)
    assert share_found(rows, expected) >= 0.98
    same = rows == expected
    np.testing.assert_allclose(scores[same], exact[same], rtol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_excluded_and_forbidden_items_stay_out(graph):
    queries = vectors(20, 2)
    exact = DotRanker().index(vectors(4000, 0))
    exclude = [own[::2] for own in exact.rank(queries, 100)[0]]
    allow = np.flatnonzero(np.arange(4000) % 3 > 0).astype(np.int32)
    for left_out, only in ((exclude, None), (None, allow), (exclude, allow), (None, allow[:50])):
        rows, _ = graph.rank(queries, 10, left_out, only)
        expected, _ = exact.rank(queries, 10, left_out, only)
        assert share_found(rows, expected) >= 0.98
        for query, own in enumerate(rows):
            assert left_out is None or not set(own.tolist()) & set(left_out[query].tolist())
            assert only is None or set(own.tolist()) <= set(only.tolist())


@pytest.mark.parametrize("factor", [1, 100])
def test_updates_are_found(factor):
    items = vectors(2000, 3)
    ranker = HNSWRanker(exact_below=0).index(items)
    rows = np.array([5, 2003, 1999], dtype=np.int32)
    new = vectors(3, 4) * np.float32(factor)
    ranker.update(rows, new)
    changed = np.vstack([items, np.zeros((4, 16), np.float32)])
    changed[rows] = new
    queries = np.vstack([vectors(30, 5), new])
    expected, _ = DotRanker().index(changed).rank(queries, 10)
    assert share_found(ranker.rank(queries, 10)[0], expected) >= 0.97


def test_a_growing_catalogue_comes_to_have_a_graph():
    ranker = HNSWRanker(exact_below=110).index(vectors(100, 6))
    ranker.rank(vectors(1, 7), 2)
    assert ranker._graph is None
    ranker.update(np.arange(100, 400, dtype=np.int32), vectors(300, 8))
    ranker.rank(vectors(1, 7), 2)
    assert len(ranker._graph) == 400


def test_it_is_restored_with_its_answers(graph):
    other = HNSWRanker(exact_below=0)
    other.set_state(graph.get_state())
    rows, scores = graph.rank(vectors(20, 9), 5)
    again, same_scores = other.rank(vectors(20, 9), 5)
    np.testing.assert_array_equal(again, rows)
    np.testing.assert_array_equal(same_scores, scores)


def test_where_few_are_allowed_the_graph_is_not_asked(graph, monkeypatch):
    allowed = np.arange(0, 4000, 5, dtype=np.int32)
    expected = DotRanker().index(graph.items_).rank(vectors(2, 9), 1, allow=allowed)
    monkeypatch.setattr(graph, "_proposed", None)
    rows, scores = graph.rank(vectors(2, 9), 1, allow=allowed)
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_array_equal(scores, expected[1])


def test_sparse_vectors_are_refused():
    with pytest.raises(ComponentError, match="dense"):
        HNSWRanker().index(sparse.csr_array(vectors(5, 0)))


@pytest.mark.parametrize("name", ["connectivity", "expansion_add", "expansion_search"])
def test_wrong_parameters_are_refused(name):
    with pytest.raises(ParameterError, match=name):
        HNSWRanker(**{name: 0}).index(vectors(5, 0))


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    def missing(name, *args):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"llmrec\[hnsw\]"):
        HNSWRanker().index(vectors(5, 0))
