"""What ``"auto"`` stands for: views chosen by what a recommender is given."""

from __future__ import annotations

from collections.abc import Sequence

from llmrec.base import Factorizer
from llmrec.encoders import TfidfEncoder
from llmrec.factorizers import ALSFactorizer, GraphFilter, ItemKNN, Popularity, Recent, SequenceRules
from llmrec.interactions import Interactions
from llmrec.views import TextView

__all__ = ["default_factorizers", "default_text_views"]

_ENOUGH_TEXTS = 1000
_TOPICS = 200
_HALF_LIFE = 3.0
_LARGEST_FOR_ALS = 20_000


def default_text_views(texts: Sequence[str]) -> list[TextView]:
    """Return the text views that need no pretrained model: words, and topics where there is text enough."""
    words = TextView("tfidf", metric="cosine", name="words")
    if min(len(set(texts)), len({word for text in texts for word in text.split()})) < _ENOUGH_TEXTS:
        return [words]
    return [words, TextView(TfidfEncoder(components=_TOPICS), metric="ridge", name="topics")]


def default_factorizers(interactions: Interactions) -> list[Factorizer]:
    """Return the views of behaviour: with times those that know what comes next, without those that do not.

    Where events carry times the next event is to be foretold: item neighbours of the latest events, and what
    tends to follow them. Without times a history is a set, which a graph filter completes well, the more so
    the sparser the events. A large catalogue does without ALS, whose fits would take longest.
    """
    is_small = interactions.n_items <= _LARGEST_FOR_ALS
    if interactions.events.timestamps is None:
        return [*([ALSFactorizer()] if is_small else []), ItemKNN(), GraphFilter(), Popularity()]
    behaviour = ALSFactorizer() if is_small else GraphFilter()
    return [behaviour, Recent(ItemKNN(), half_life=_HALF_LIFE), SequenceRules(), Popularity()]
