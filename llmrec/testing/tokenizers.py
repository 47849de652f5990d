"""What is demanded of a tokenizer."""

from __future__ import annotations

from llmrec.errors import LLMRecError
from llmrec.testing.check import Demands, Subject, broken, require
from llmrec.testing.samples import LATER_TEXTS, ODD_TEXTS, TEXTS

__all__ = ["tokenizer"]

tokenizer = Demands()


@tokenizer(
    "words are non-empty texts",
    "A text is cut into a list of str, none of them empty.",
    "return a list, and drop empty strings from it",
)
def _words_are_non_empty_texts(subject: Subject) -> None:
    component = subject.fresh()
    for text in [*TEXTS, *LATER_TEXTS]:
        _require_words(component.tokenize(text), f"tokenize({text!r})")


@tokenizer("some text has words", "Not every text is without words.", "return the words that a text holds")
def _some_text_has_words(subject: Subject) -> None:
    component = subject.fresh()
    require(
        any(component.tokenize(text) for text in TEXTS), f"none of {len(TEXTS)} ordinary texts has a word"
    )


@tokenizer("empty text has no words", "An empty text gives an empty list.", "return [] for an empty text")
def _empty_text_has_no_words(subject: Subject) -> None:
    words = subject.fresh().tokenize("")
    require(words == [], f"tokenize('') is {words!r}")


@tokenizer(
    "odd text is cut too",
    "Emoji, control characters, lone surrogates and 100 kB of text give words like any other text.",
    "make the cutting safe for any str; text from the web holds all of these",
)
def _odd_text_is_cut_too(subject: Subject) -> None:
    component = subject.fresh()
    for what, text in ODD_TEXTS.items():
        try:
            words = component.tokenize(text)
        except Exception as error:
            broken(f"{what} raised {type(error).__name__}: {error!s:.200}")
        _require_words(words, f"of {what}, tokenize")


@tokenizer(
    "words do not depend on other texts",
    "A text has the same words whatever was cut before it.",
    "keep nothing of a text after it was cut",
)
def _words_do_not_depend_on_other_texts(subject: Subject) -> None:
    used = subject.fresh()
    before = {text: used.tokenize(text) for text in TEXTS}
    for text in reversed(TEXTS):
        again, alone = used.tokenize(text), subject.fresh().tokenize(text)
        require(
            before[text] == again == alone, f"{text!r} is {before[text]}, then {again}, and alone {alone}"
        )


@tokenizer(
    "non-text is refused",
    "What is no str is refused with an error of the library.",
    "raise DataError of llmrec.errors unless isinstance(text, str)",
)
def _non_text_is_refused(subject: Subject) -> None:
    for value in (None, 3, b"bytes", ["a", "list"]):
        try:
            words = subject.fresh().tokenize(value)
        except LLMRecError:
            continue
        except Exception as error:
            broken(f"tokenize({value!r}) raised {type(error).__name__} instead of an LLMRecError: {error}")
        broken(f"tokenize({value!r}) gave {words!r}")


def _require_words(words: object, what: str) -> None:
    if not isinstance(words, list):
        broken(f"{what} gave a {type(words).__name__}")
    wrong = [word for word in words if not isinstance(word, str) or not word]
    require(not wrong, f"{what} has the word {wrong[0]!r}" if wrong else "")
