"""The data set that comes with the package: a sample of MovieTweetings."""

from __future__ import annotations

from pathlib import Path

from llmrec.datasets.dataset import Dataset
from llmrec.datasets.folder import read_folder

__all__ = ["load_movietweetings"]

_FOLDER = Path(__file__).with_name("movietweetings")


def load_movietweetings(*, backend: str | None = None) -> Dataset:
    """Load the bundled sample of MovieTweetings: 68,055 ratings of 2,414 movies by 4,333 users.

    Choose it for examples and tests: it needs no network and loads in a fraction of a second. Ratings
    are 0 to 10, in the order of their time (half a year of 2013); the text of a movie is its title, year
    and genres. It is the 5-core of the 100K snapshot, under the MIT licence: see
    ``load_movietweetings().description``.

    Parameters
    ----------
    backend : {"pandas", "polars", "pyarrow"}, optional
        Kind of the frames; the first of these that is installed if not given.

    Returns
    -------
    Dataset
        Users are int64. Items are str, IMDb ids of seven digits with their leading zeros.

    Raises
    ------
    ParameterError
        If ``backend`` is none of the three.
    MissingExtraError
        If the backend is not installed.

    Examples
    --------
    >>> dataset = load_movietweetings(backend="pandas")
    >>> dataset.interactions.columns.tolist()
    ['user', 'item', 'rating', 'timestamp']
    >>> dataset.items["text"][1]
    'Bronenosets Potyomkin (1925). Drama, History'
    """
    description = (_FOLDER / "CITATION").read_text(encoding="utf-8")
    return read_folder(_FOLDER, name="movietweetings-sample", description=description, backend=backend)
