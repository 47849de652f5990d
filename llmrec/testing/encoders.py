"""What is demanded of an encoder."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.errors import LLMRecError
from llmrec.testing.check import Demands, Subject, broken, require, require_equal
from llmrec.testing.comparison import dense
from llmrec.testing.matrices import require_matrix
from llmrec.testing.samples import LATER_TEXTS, ODD_TEXTS, TEXTS

__all__ = ["encoder"]

encoder = Demands()


@encoder(
    "vectors are float32 rows",
    "``encode`` gives one finite float32 row a text, as wide as ``dim`` says.",
    "return np.ascontiguousarray(vectors, dtype=np.float32), or a csr_array",
)
def _vectors_are_float32_rows(subject: Subject) -> None:
    component = subject.learned()
    for texts in (TEXTS, LATER_TEXTS, LATER_TEXTS[:1]):
        require_matrix(component.encode(texts), (len(texts), component.dim), f"encode of {len(texts)} texts")


@encoder(
    "fit_encode is fit and encode",
    "``fit_encode`` gives the vectors that ``fit`` and then ``encode`` give, and learns the same.",
    "leave fit_encode as it is inherited, or override it with what fit and encode have in common",
)
def _fit_encode_is_fit_and_encode(subject: Subject) -> None:
    component = subject.fresh()
    at_once = dense(component.fit_encode(TEXTS))
    require_equal(at_once, dense(subject.fresh().fit(TEXTS).encode(TEXTS)), "fit_encode, and fit then encode")
    require_equal(at_once, dense(component.encode(TEXTS)), "fit_encode, and encode after it")


@encoder("different texts differ", "Not all texts have the same vector.", "let the vector depend on the text")
def _different_texts_differ(subject: Subject) -> None:
    vectors = dense(subject.learned().encode(TEXTS))
    require(np.ptp(vectors, axis=0).max(initial=0) > 0, f"{len(TEXTS)} different texts have one vector")


@encoder(
    "no texts give no rows",
    "``encode([])`` has shape ``(0, dim)``.",
    "return np.zeros((0, self.dim), dtype=np.float32) for an empty list",
)
def _no_texts_give_no_rows(subject: Subject) -> None:
    component = subject.learned()
    require_matrix(component.encode([]), (0, component.dim), "encode([])")


@encoder(
    "empty text is a vector of zeros",
    "A text that is empty or blank has a vector of zeros, beside other texts and alone.",
    "leave the rows of texts with `not text.strip()` at zero",
)
def _empty_text_is_a_vector_of_zeros(subject: Subject) -> None:
    component = subject.learned()
    for texts in ([""], ["", TEXTS[0], " \t\n"], [" "]):
        vectors = dense(component.encode(texts))
        for text, vector in zip(texts, vectors, strict=True):
            if not text.strip():
                require(not np.any(vector), f"{text!r} has the vector {vector}")


@encoder(
    "batch equals single",
    "The vector of a text does not depend on the texts beside it, on their order or on their number.",
    "normalise, centre and pad each text by itself, or by what fit has learned",
)
def _batch_equals_single(subject: Subject) -> None:
    component = subject.learned()
    together = dense(component.encode(LATER_TEXTS))
    alone = np.vstack([dense(component.encode([text])) for text in LATER_TEXTS])
    require_equal(together, alone, "texts encoded together and one by one")
    backwards = dense(component.encode(LATER_TEXTS[::-1]))[::-1]
    require_equal(together, backwards, "texts encoded forwards and backwards")
    many = dense(component.encode([*LATER_TEXTS, *TEXTS, *LATER_TEXTS]))
    require_equal(together, many[: len(together)], "texts encoded with and without others after them")
    require_equal(together, many[-len(together) :], "a text and its repetition in the same batch")


@encoder(
    "vectors do not depend on earlier texts",
    "A text has the same vector after other texts were encoded.",
    "let encode learn nothing; learn in fit",
)
def _vectors_do_not_depend_on_earlier_texts(subject: Subject) -> None:
    component = subject.learned()
    before = dense(component.encode(TEXTS[:3]))
    component.encode([*LATER_TEXTS, "words that nobody has ever met", "a long text " * 40, "1 2 3 !"])
    require_equal(before, dense(component.encode(TEXTS[:3])), "the same texts, later")


@encoder(
    "odd text is encoded too",
    "Emoji, control characters, lone surrogates and 100 kB of text have finite vectors.",
    "make the encoding safe for any str; text from the web holds all of these",
)
def _odd_text_is_encoded_too(subject: Subject) -> None:
    component = subject.learned()
    for what, text in ODD_TEXTS.items():
        try:
            vectors = component.encode([text])
        except Exception as error:
            broken(f"{what} raised {type(error).__name__}: {error!s:.200}")
        require_matrix(vectors, (1, component.dim), f"of {what}, encode")


@encoder(
    "non-texts are refused",
    "One bare str, or a list with something else than a str, is refused with an error of the library.",
    "begin fit and encode with check_texts(texts) of llmrec.validation",
)
def _non_texts_are_refused(subject: Subject) -> None:
    component = subject.learned()
    wrong: tuple[Any, ...] = ("one text", ["a text", None], [b"bytes"], ["a text", 3.5], [["nested"]])
    for texts in wrong:
        try:
            component.encode(texts)
        except LLMRecError:
            continue
        except Exception as error:
            broken(f"encode({texts!r}) raised {type(error).__name__} instead of an LLMRecError: {error}")
        broken(f"encode({texts!r}) gave vectors")
