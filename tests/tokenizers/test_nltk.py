"""English cutting and stemming."""

from __future__ import annotations

import pytest

from llmrec.errors import ParameterError
from llmrec.tokenizers import NLTKTokenizer


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's Cameron's; we can't.", ["it", "s", "cameron", "s", "we", "ca", "n't"]),
        ("It’s “fine”, don’t…", ["it", "s", "fine", "do", "n't"]),
        ("The end. Next one.\nLast", ["the", "end", "next", "one", "last"]),
        ("(We can't.) 'I don't.'", ["we", "ca", "n't", "i", "do", "n't"]),
        ("It's... Don't! it's", ["it", "s", "do", "n't", "it", "s"]),
        ("Mr. Smith of the U.S. left", ["mr", "smith", "of", "the", "u.s", "left"]),
        ("cost $3.88 or 3,000", ["cost", "3.88", "or", "3,000"]),
        ("a state-of-the-art film — 'quoted'", ["a", "state-of-the-art", "film", "quoted"]),
        ("Action|Adventure and/or Sci-Fi", ["action", "adventure", "and", "or", "sci-fi"]),
        ("C++ is 100% ok?!", ["c++", "is", "100", "ok"]),
        ("Привет, мир!", ["привет", "мир"]),
        ("हिन्दी", ["हिन्दी"]),
        ("--- ... !!! ''", []),
    ],
)
def test_known_texts(text, words):
    assert NLTKTokenizer().tokenize(text) == words


@pytest.mark.parametrize(
    ("stem", "words"),
    [
        (None, ["recommended", "generously", "movies"]),
        ("porter", ["recommend", "gener", "movi"]),
        ("snowball", ["recommend", "generous", "movi"]),
    ],
)
def test_stems(stem, words):
    assert NLTKTokenizer(stem=stem).tokenize("Recommended generously: movies") == words


def test_stop_words_go_before_stemming():
    # "mining" has the stem "mine", which is a stop word of its own.
    assert NLTKTokenizer(stem="snowball", stop_words="en").tokenize("mine: mining") == ["mine"]


def test_the_packaged_list_covers_the_pieces_of_contractions():
    text = "Don't! It's what they'd say; we'll see, I'm sure you've been."
    assert NLTKTokenizer(stop_words="en").tokenize(text) == ["say", "see", "sure"]


def test_a_changed_stem_takes_effect():
    tokenizer = NLTKTokenizer(stem="porter")
    assert tokenizer.tokenize("generously") == ["gener"]
    assert tokenizer.set_params(stem="snowball").tokenize("generously") == ["generous"]


@pytest.mark.parametrize("stem", ["Porter", "lancaster", True])
def test_an_unknown_stemmer_is_refused(stem):
    with pytest.raises(ParameterError, match="stem must be one of 'porter', 'snowball'"):
        NLTKTokenizer(stem=stem).tokenize("a text")
