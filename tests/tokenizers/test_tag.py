"""Tags stay whole, whatever they hold beside separators."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec import TfidfEncoder
from llmrec.errors import ParameterError
from llmrec.tokenizers import TagTokenizer


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("small world; networks", ["small world", "networks"]),
        ("Action|Sci-Fi", ["action", "sci-fi"]),
        (" ; a \t b;;--; ", ["a b"]),
        ("no separator, one tag", ["no separator, one tag"]),
        ("科幻；动作", ["科幻", "动作"]),
        ("", []),
    ],
)
def test_known_answers(text, tags):
    assert TagTokenizer().tokenize(text) == tags


@pytest.mark.parametrize("separators", [",", "]^-", "\\"])
def test_any_character_may_separate(separators):
    for one in separators:
        assert TagTokenizer(separators=separators).tokenize(f"a;b{one}c") == ["a;b", "c"]


def test_a_stop_word_is_dropped_as_a_whole_tag_alone():
    assert TagTokenizer(stop_words=["world"]).tokenize("World; small world") == ["small world"]


def test_tags_with_a_word_in_common_are_apart():
    vectors = TfidfEncoder(tokenizer=TagTokenizer()).fit(["small world; graphs", "world", "graphs"])
    first, second, third = vectors.encode(["small world", "world", "small world; graphs"]).toarray()
    assert first @ second == 0
    assert first @ third > 0.5
    assert np.linalg.norm(first) == pytest.approx(1)


@pytest.mark.parametrize("separators", ["", None, 5])
def test_a_wrong_separator_is_named(separators):
    with pytest.raises(ParameterError, match="separators"):
        TagTokenizer(separators=separators).tokenize("a")
