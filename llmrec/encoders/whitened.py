"""Whitening: spread the vectors of another encoder, so that their cosine tells texts apart."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.base import clone

from llmrec.base import Encoder, FloatArray, Matrix
from llmrec.errors import ComponentError, DataError, LLMRecWarning
from llmrec.validation import check_dense, check_fitted, check_integer, check_number, check_texts
from llmrec.vectors import unit_rows

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["WhitenedEncoder"]

_Doubles = npt.NDArray[np.float64]

# Directions with less than this part of the greatest variance hold rounding error alone.
_NEGLIGIBLE = 1e-6


class WhitenedEncoder(Encoder):
    """Centre, rotate and rescale the vectors of an encoder (PCA whitening), then give them length 1.

    The states of language models share a large common part: the cosine of any two texts is near 1, and
    ranking by it says little. Whitening takes the common part out and weighs all directions of variance
    nearly alike. Choose it around :class:`TransformerEncoder` and :class:`GPT2Encoder` when text vectors are
    compared by cosine; a fuser or factorizer that learns its own map gains less from it.

    Parameters
    ----------
    encoder : Encoder
        Gives the dense vectors. It is copied and fitted with this encoder, not changed.
    components : int, default 128
        Directions kept, those of the greatest variance. The texts may allow fewer (their number less
        one, or the width of the inner vectors), which is a warning.
    shrinkage : float, default 0.1
        Added to each direction's variance, as a part of the mean variance; keeps directions that hardly
        vary from being blown up. 0 whitens fully, which needs ten thousand texts and more.

    Attributes
    ----------
    encoder_ : Encoder
        The fitted copy.
    mean_ : ndarray of shape (inner dim,), float32
    projection_ : ndarray of shape (inner dim, dim), float32

    Notes
    -----
    The map is fixed by ``fit``: a text encoded later gets the same vector whatever came before. A text that
    the inner encoder has nothing to say of (a vector of zeros) stays zero. ``fit`` takes
    ``n_texts * inner dim**2 + inner dim**3`` operations beside the encoding.

    Examples
    --------
    >>> from llmrec.encoders import TfidfEncoder
    >>> texts = ["red shoes", "blue shoes", "red hat", "a blue sky", "one sky"]
    >>> inner = TfidfEncoder(components=3)
    >>> encoder = WhitenedEncoder(inner, components=2).fit(texts)
    >>> encoder.encode(["red shoes", ""]).shape, encoder.dim
    ((2, 2), 2)
    """

    encoder_: Encoder
    mean_: FloatArray
    projection_: FloatArray

    def __init__(self, encoder: Encoder, *, components: int = 128, shrinkage: float = 0.1):
        self.encoder = encoder
        self.components = components
        self.shrinkage = shrinkage

    def fit(self, texts: Sequence[str]) -> Self:
        """Fit a copy of the encoder, and the whitening of its vectors.

        Raises
        ------
        DataError
            If a text is no str, or the texts have fewer than two different vectors.
        ParameterError, ComponentError
            If a parameter has a value that is not allowed, or the encoder gives sparse vectors.
        """
        self._learn(texts)
        return self

    def fit_encode(self, texts: Sequence[str]) -> FloatArray:
        """Learn from texts and return their vectors; the inner encoder reads them once.

        Raises
        ------
        DataError, ParameterError, ComponentError
            As :meth:`fit` does.
        """
        return self._whitened(self._learn(texts))

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Return ``(n_texts, dim)`` float32 rows of length 1, or of zeros.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        DataError
            If a text is no str.
        """
        check_fitted(self, "projection_")
        return self._whitened(_dense(self.encoder_, self.encoder_.encode(check_texts(texts))))

    def _learn(self, texts: Sequence[str]) -> FloatArray:
        """Learn from texts; return the inner encoder's vectors of them."""
        checked = check_texts(texts)
        components = check_integer("components", self.components, minimum=1)
        shrinkage = check_number("shrinkage", self.shrinkage, minimum=0)
        if not isinstance(self.encoder, Encoder):
            raise ComponentError(f"encoder must be an Encoder, got {type(self.encoder).__name__}.")
        encoder = clone(self.encoder)
        encoded = _dense(encoder, encoder.fit_encode(checked))
        vectors = encoded[encoded.any(axis=1)].astype(np.float64)
        mean, variances, directions = _principal_directions(vectors)
        if components > len(variances):
            warnings.warn(
                f"components={components} is more than {len(vectors)} texts with vectors of width "
                f"{vectors.shape[1]} allow; using {len(variances)}.",
                LLMRecWarning,
                stacklevel=3,
            )
        floor = shrinkage * variances.sum() / vectors.shape[1]
        self.encoder_ = encoder
        self.mean_ = mean.astype(np.float32)
        scaled = directions[:, :components] / np.sqrt(variances[:components] + floor)
        self.projection_ = np.ascontiguousarray(scaled, dtype=np.float32)
        return encoded

    def _whitened(self, vectors: FloatArray) -> FloatArray:
        whitened: FloatArray = unit_rows((vectors - self.mean_) @ self.projection_)
        whitened[~vectors.any(axis=1)] = 0
        return whitened

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        check_fitted(self, "projection_")
        return int(self.projection_.shape[1])


def _dense(encoder: Encoder, vectors: Matrix) -> FloatArray:
    if sparse.issparse(vectors):
        raise ComponentError(
            f"whitening needs dense vectors, and {type(encoder).__name__} gives sparse ones; "
            "TfidfEncoder gives dense ones with components."
        )
    return check_dense(vectors, "the encoder's vectors")


def _principal_directions(
    vectors: _Doubles,
) -> tuple[_Doubles, _Doubles, _Doubles]:
    """Return the mean, the variances, largest first, and the directions that have them, as columns."""
    if len(vectors) < 2:
        raise DataError(f"whitening needs at least two texts that are not empty, got {len(vectors)}.")
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    variances, directions = np.linalg.eigh(centred.T @ centred / (len(vectors) - 1))
    variances, directions = variances[::-1], directions[:, ::-1]
    n_kept = min(int((variances > _NEGLIGIBLE * variances[0]).sum()), len(vectors) - 1)
    if variances[0] <= _NEGLIGIBLE * np.square(vectors).mean():
        raise DataError("whitening needs texts that differ; all vectors are the same.")
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=0)[None, :], axis=0)
    return mean, variances[:n_kept], (directions * np.sign(largest))[:, :n_kept]
