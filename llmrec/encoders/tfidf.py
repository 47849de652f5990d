"""Text vectors from word counts: TF-IDF, sparse, or folded to a dense width by a truncated SVD."""

from __future__ import annotations

import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import count, repeat
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.base import Encoder, FloatArray, Matrix, Tokenizer
from llmrec.errors import ComponentError, DataError, LLMRecWarning
from llmrec.validation import check_choice, check_fitted, check_integer, check_texts
from llmrec.vectors import row_norms

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["TfidfEncoder"]

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(f"([{_HAN}]+)|[^\\W{_HAN}]+")
_HAS_HAN, _PLAIN_WORD = re.compile(f"[{_HAN}]"), re.compile(r"\w+")
# The usual constants of BM25.
_K1, _B = 1.2, 0.75
# Below this length, what is left of a unit row in the kept space is rounding error.
_NEGLIGIBLE = 1e-5


class TfidfEncoder(Encoder):
    """Weigh each word of a text by how rare it is among the texts.

    Needs no pretrained model, learns in seconds, and is hard to beat at recommending items that nobody has
    touched: names, brands and technical terms, which language models blur, stay apart. A good view beside
    a language model's. Texts that share no word are unrelated to it.

    Parameters
    ----------
    tokenizer : Tokenizer, optional
        Cuts texts into words. If not given: runs of letters and digits in lower case, and each pair of
        neighbours in a run of Chinese characters.
    components : int, optional
        If given, fold the words into this many dense dimensions by a truncated SVD (latent semantic
        analysis): smaller, and texts without a common word may be alike; 100 to 300 are usual. The
        texts may allow fewer, which is a warning. If not given, vectors are sparse, one column a word.
    min_count : int, default 1
        Forget words that fewer texts hold.
    max_features : int, optional
        Keep only this many words, those that occur most often.
    sublinear : bool, default False
        Count ``1 + log(n)`` for a word that occurs ``n`` times in a text; for long texts.
    weighting : {"tfidf", "bm25"}, default "tfidf"
        ``"bm25"`` counts ``2.2 n / (n + 1.2 (0.25 + 0.75 length / mean length))`` for it: repeated words
        count less and less, the sooner the shorter the text (Robertson & Zaragoza, "The Probabilistic
        Relevance Framework", 2009). For texts of very different lengths.
    random_state : int or None, default 0
        Seed of the SVD; None draws another one at each fit.

    Attributes
    ----------
    vocabulary_ : list of str
        The word of each column, sorted.
    idf_ : ndarray of shape (n_words,), float32
        ``1 + log((1 + n_texts) / (1 + texts with the word))``.
    mean_length_ : float
        Words a text.
    components_ : ndarray of shape (n_words, components), float32
        The right singular vectors; only with ``components``.

    Notes
    -----
    Rows have length 1, also with ``components``; a text without a known word is a row of zeros. ``fit``
    takes time and memory in proportion to the number of words in all texts, and the SVD some ten passes
    over them for each hundred components; ``encode`` takes some ten microseconds for a title.

    Examples
    --------
    >>> encoder = TfidfEncoder().fit(["red shoes", "blue shoes", "无线耳机"])
    >>> encoder.vocabulary_
    ['blue', 'red', 'shoes', '无线', '线耳', '耳机']
    >>> vectors = encoder.encode(["Red shoes!", "unheard of"])
    >>> vectors.shape, vectors.nnz
    ((2, 6), 2)
    >>> TfidfEncoder(components=2).fit(["red shoes", "blue shoes", "blue sky"]).encode(["red sky"]).shape
    (1, 2)
    """

    vocabulary_: list[str]
    idf_: FloatArray
    components_: FloatArray

    def __init__(
        self,
        *,
        tokenizer: Tokenizer | None = None,
        components: int | None = None,
        min_count: int = 1,
        max_features: int | None = None,
        sublinear: bool = False,
        weighting: str = "tfidf",
        random_state: int | None = 0,
    ):
        self.tokenizer = tokenizer
        self.components = components
        self.min_count = min_count
        self.max_features = max_features
        self.sublinear = sublinear
        self.weighting = weighting
        self.random_state = random_state

    def fit(self, texts: Sequence[str]) -> Self:
        """Learn the words and their rarity, and with ``components`` the space they are folded into.

        Raises
        ------
        DataError
            If a text is no str, or no word of any text is kept.
        ParameterError, ComponentError
            If a parameter has a value that is not allowed.
        """
        self._learn(texts)
        return self

    def fit_encode(self, texts: Sequence[str]) -> Matrix:
        """Learn from texts and return their vectors; their words are counted once.

        Raises
        ------
        DataError, ParameterError, ComponentError
            As :meth:`fit` does.
        """
        return self._folded(self._learn(texts))

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return ``(n_texts, dim)``: a ``csr_array``, or a dense array with ``components``.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        DataError
            If a text is no str.
        """
        check_fitted(self, "vocabulary_")
        return self._folded(self._weighted(self._counts(check_texts(texts), self._columns())))

    def _learn(self, texts: Sequence[str]) -> sparse.csr_array:
        """Learn from texts; return the weights of their words."""
        checked = check_texts(texts)
        self._check_parameters()
        seen: dict[str, int] = defaultdict(count().__next__)
        counts = self._counts(checked, seen)
        n_texts_with = np.bincount(counts.indices, minlength=len(seen))
        kept = self._kept(counts, seen, n_texts_with)
        if not kept:
            raise DataError(
                f"no word is left to learn from: {len(checked)} texts hold {len(seen)} different words, "
                f"none of them in {self.min_count} texts (min_count)."
            )
        self.vocabulary_ = sorted(kept)
        columns = np.array([seen[word] for word in self.vocabulary_])
        self.idf_ = (1 + np.log((1 + len(checked)) / (1 + n_texts_with[columns]))).astype(np.float32)
        counts = sparse.csr_array(counts[:, columns])
        counts.sort_indices()
        self.mean_length_ = float(counts.sum()) / max(len(checked), 1)
        weighted = self._weighted(counts)
        # A second fit may have another shape than the first.
        self.__dict__.pop("components_", None)
        if self.components is not None:
            self.components_ = self._singular_vectors(weighted, self.components)
        return weighted

    def _check_parameters(self) -> None:
        check_integer("min_count", self.min_count, minimum=1)
        if self.max_features is not None:
            check_integer("max_features", self.max_features, minimum=1)
        if self.components is not None:
            check_integer("components", self.components, minimum=1)
        check_choice("weighting", self.weighting, ("tfidf", "bm25"))

    def _kept(
        self, counts: sparse.csr_array, seen: dict[str, int], n_texts_with: npt.NDArray[Any]
    ) -> list[str]:
        """Return the words that get a column."""
        kept = [word for word, column in seen.items() if n_texts_with[column] >= self.min_count]
        if self.max_features is None:
            return kept
        n_times = np.bincount(counts.indices, weights=counts.data, minlength=len(seen))
        return sorted(kept, key=lambda word: (-n_times[seen[word]], word))[: self.max_features]

    def _folded(self, weighted: sparse.csr_array) -> Matrix:
        """Return the vectors of weighted words: themselves, or what they are in the space."""
        if self.components is None:
            return weighted
        check_fitted(self, "components_")
        folded = weighted @ self.components_
        norms = row_norms(folded)
        folded *= np.divide(1, norms, out=np.zeros_like(norms), where=norms > _NEGLIGIBLE)[:, None]
        return folded

    @property
    def dim(self) -> int:
        """Width of the vectors: ``components``, or the number of words."""
        check_fitted(self, "vocabulary_")
        if self.components is None:
            return len(self.vocabulary_)
        check_fitted(self, "components_")
        return int(self.components_.shape[1])

    def column_words(self) -> list[str] | None:
        """Return the words, one a column; None with ``components``, whose columns mix them."""
        check_fitted(self, "vocabulary_")
        return self.vocabulary_ if self.components is None else None

    def _words(self, text: str) -> list[str]:
        if self.tokenizer is None:
            return _words_of(text)
        if not isinstance(self.tokenizer, Tokenizer):
            raise ComponentError(
                f"tokenizer must be None or a Tokenizer, got {type(self.tokenizer).__name__}; "
                "subclass llmrec.Tokenizer to use your own."
            )
        return self.tokenizer.tokenize(text)

    def _columns(self) -> dict[str, int]:
        # Derived from the vocabulary, so it is no state: made anew whenever another list took its place.
        derived_from, columns = self.__dict__.get("_column_of", (None, {}))
        if derived_from is not self.vocabulary_:
            columns = {word: column for column, word in enumerate(self.vocabulary_)}
            self._column_of = (self.vocabulary_, columns)
        return cast("dict[str, int]", columns)

    def _counts(self, texts: list[str], columns: dict[str, int]) -> sparse.csr_array:
        """Count the words of each text that have a column; of a ``defaultdict``, each new word gets one."""
        indices: list[int] = []
        counts: list[int] = []
        indptr = [0]
        grows = isinstance(columns, defaultdict)
        for text in texts:
            words = Counter(self._words(text))
            indices.extend(map(columns.__getitem__, words) if grows else map(columns.get, words, repeat(-1)))
            counts.extend(words.values())
            indptr.append(len(indices))
        where, values = np.array(indices, dtype=np.int32), np.array(counts, dtype=np.float32)
        has_column = where >= 0
        ends = np.append(0, np.cumsum(has_column))[indptr].astype(np.int32)
        shape = (len(texts), len(columns))
        found = sparse.csr_array((values[has_column], where[has_column], ends), shape=shape)
        found.sort_indices()
        return found

    def _weighted(self, counts: sparse.csr_array) -> sparse.csr_array:
        row_of = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        values = 1 + np.log(counts.data) if self.sublinear else counts.data
        if self.weighting == "bm25":
            lengths = np.bincount(row_of, weights=counts.data, minlength=counts.shape[0])
            damped = _K1 * (1 - _B + _B * lengths / (self.mean_length_ or 1.0))
            values = (1 + _K1) * values / (values + damped[row_of])
        values = (values * self.idf_[counts.indices]).astype(np.float32)
        lengths = np.sqrt(np.bincount(row_of, weights=values * values, minlength=counts.shape[0]))
        values /= lengths[row_of].astype(np.float32)
        return sparse.csr_array((values, counts.indices, counts.indptr), shape=counts.shape)

    def _singular_vectors(self, weighted: Any, components: int) -> FloatArray:
        from llmrec.decomposition import many_right_singular_vectors

        allowed = min(weighted.shape)
        if components > allowed:
            warnings.warn(
                f"components={components} is more than {weighted.shape[0]} texts with "
                f"{weighted.shape[1]} words allow; using {allowed}.",
                LLMRecWarning,
                stacklevel=3,
            )
        wanted = min(components, allowed)
        found = many_right_singular_vectors(weighted, wanted, self.random_state)
        # Texts of a lower rank leave nothing to tell in the last dimensions.
        return np.pad(found, ((0, 0), (0, wanted - found.shape[1])))


def _words_of(text: str) -> list[str]:
    lowered = text.lower()
    if _HAS_HAN.search(lowered) is None:
        return _PLAIN_WORD.findall(lowered)
    words: list[str] = []
    for match in _WORD.finditer(lowered):
        run = match.group(1)
        if run is None:
            words.append(match.group())
        elif len(run) == 1:
            words.append(run)
        else:
            words.extend(run[start : start + 2] for start in range(len(run) - 1))
    return words
