"""What ``"auto"`` stands for: views chosen by what a recommender is given."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmrec.base import Factorizer
from llmrec.encoders import TfidfEncoder
from llmrec.event_order import HistoryKind, history_kind
from llmrec.factorizers import (
    EASE,
    ALSFactorizer,
    GraphFilter,
    ItemKNN,
    Popularity,
    Recent,
    SequenceRules,
    SparseEASE,
)
from llmrec.factorizers.sparse_ease import gram_gigabytes
from llmrec.interactions import Interactions
from llmrec.tokenizers import TagTokenizer
from llmrec.views import TextView

__all__ = ["default_factorizers", "default_text_views"]

_ENOUGH_TEXTS = 1000
_FEW_TOPICS, _MANY_TOPICS, _MANY_TEXTS = 200, 500, 10_000
_SHARE_OF_LISTS, _WORDS_A_TAG = 0.8, 3
_HALF_LIFE = 3.0
_RATING_EXPONENT = 0.5
_MAX_RULES = 500
_CONTENT_PRIOR = 1.0
_LARGEST_FOR_ALS, _FEW_EVENTS = 20_000, 2_000_000
_LARGEST_FOR_EASE, _ENOUGH_EVENTS, _MOST_GIGABYTES = 4_000, 1_000, 0.8


def default_text_views(texts: Sequence[str]) -> list[TextView]:
    """Return the text views that need no pretrained model: words or tags, and topics of text enough."""
    n_texts = len(set(texts))
    has_topics = min(n_texts, len({word for text in texts for word in text.split()})) >= _ENOUGH_TEXTS
    n_topics = _FEW_TOPICS if n_texts < _MANY_TEXTS else _MANY_TOPICS
    topics = [TextView(TfidfEncoder(components=n_topics), name="topics")] if has_topics else []
    if not _are_lists(texts):
        return [TextView("tfidf", metric="cosine", name="words"), *topics]
    tags = TextView(TfidfEncoder(tokenizer=TagTokenizer()), metric="cosine", name="tags")
    of_tags = TfidfEncoder(components=2 * n_topics, tokenizer=TagTokenizer())
    return [tags, *topics, *([TextView(of_tags, name="tag-topics")] if has_topics else [])]


def _are_lists(texts: Sequence[str]) -> bool:
    """Whether nearly all texts are lists of tags: a few words between semicolons or bars, no sentences."""
    stated = [text for text in texts if text.strip()]
    lists = [text for text in stated if ";" in text or "|" in text]
    if not lists or len(lists) < _SHARE_OF_LISTS * len(stated):
        return False
    entries = [entry for text in lists for entry in re.split("[;|]", text)]
    return sum(len(entry.split()) for entry in entries) <= _WORDS_A_TAG * len(entries)


def default_factorizers(
    interactions: Interactions, *, n_texts: int = 0, histories: HistoryKind | None = None
) -> list[Factorizer]:
    """Return the views of behaviour: of sequences those that know what comes next, of sets those that do not.

    Where the order of events says something the next one is to be foretold: by item neighbours of the latest
    events, and by what tends to follow them. Otherwise a history is a set, which a graph filter completes
    well, the more so the sparser the events, and regressions of items on each other. Where it may be either,
    there are views of both kinds. Where a large catalogue has millions of events, and where it has sequences,
    it does without ALS, whose fits would take longest. Of millions of events the strongest rules alone are
    kept. Where all ratings are above 0, a better one counts more. Of sets, where a thousand items have texts,
    ALS draws item vectors towards what these suggest: an item without events is placed by its text.
    """
    kind = histories or history_kind(interactions)
    liking = _rating_exponent(interactions)
    prior = _CONTENT_PRIOR if kind == "sets" and n_texts >= _ENOUGH_TEXTS else 0.0
    is_small = interactions.n_items <= _LARGEST_FOR_ALS
    is_fast = is_small or (kind != "sequences" and interactions.n_events <= _FEW_EVENTS)
    als: list[Factorizer] = [ALSFactorizer(rating_exponent=liking, content_prior=prior)] if is_fast else []
    max_rules = _MAX_RULES if interactions.n_events > _FEW_EVENTS else None
    of_latest = [Recent(ItemKNN(), half_life=_HALF_LIFE), SequenceRules(max_rules=max_rules)]
    if kind == "sequences":
        return [*(als or [GraphFilter()]), *of_latest, Popularity()]
    of_sets = [*als, _regression(interactions, liking), GraphFilter()]
    return [*of_sets, *(of_latest if kind == "either" else []), Popularity()]


def _regression(interactions: Interactions, liking: float) -> Factorizer:
    """Return EASE of a kind that the catalogue allows; neighbours where events are few, or far too many."""
    if interactions.n_events < _ENOUGH_EVENTS:
        return ItemKNN()
    if interactions.n_items <= _LARGEST_FOR_EASE:
        return EASE(rating_exponent=liking)
    return SparseEASE() if gram_gigabytes(interactions) <= _MOST_GIGABYTES else ItemKNN()


def _rating_exponent(interactions: Interactions) -> float:
    """Return how much ratings count as weights: not at all where some are 0 or below, or there are none."""
    ratings = interactions.events.ratings
    return _RATING_EXPONENT if ratings is not None and len(ratings) and ratings.min() > 0 else 0.0
