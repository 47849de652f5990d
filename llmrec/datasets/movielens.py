"""MovieLens: from a local folder, else from the cache, else from GroupLens."""

from __future__ import annotations

import os
from pathlib import Path

from llmrec.datasets.dataset import Dataset
from llmrec.datasets.descriptions import describe
from llmrec.datasets.download import cache_folder, fetch_zip
from llmrec.datasets.folder import data_folder, read_folder
from llmrec.datasets.grouplens import RELEASES, read_archive
from llmrec.errors import DataError, UnknownNameError, nearest

__all__ = ["load_movielens"]

_BASE_URL = "https://files.grouplens.org/datasets/movielens/"


def load_movielens(
    name: str = "ml-latest-small",
    *,
    folder: str | os.PathLike[str] | None = None,
    backend: str | None = None,
    download: bool = True,
) -> Dataset:
    """Load a release of MovieLens: film ratings, from a local folder or from GroupLens.

    Looked for in this order: ``NAME/`` in the layout of :func:`load_dataset`, then ``NAME.zip`` as
    GroupLens publishes it, both in the data folder; then the copy downloaded earlier; then
    https://files.grouplens.org/datasets/movielens/. With ``folder`` given, nowhere but there.

    The releases hold no plots: the text of a film is then its title and genres. A folder of your own may
    hold more, and ``items`` has the columns of the files that were read.

    MovieLens is GroupLens' (University of Minnesota), for research: commercial use needs their permission,
    redistribution is allowed only where the README of the release says so and on the same terms, and
    publications cite Harper & Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5(4), 2015.
    It is not part of this package; by downloading it you accept these terms.

    Parameters
    ----------
    name : str, default "ml-latest-small"
        "ml-latest-small" (100,000 ratings, 1 MB), "ml-100k", "ml-1m", "ml-10m", "ml-20m", "ml-25m"
        (250 MB), "ml-32m" or "ml-latest".
    folder : path, optional
        The folder of all data sets; the environment variable ``LLMREC_DATA`` if not given.
    backend : {"pandas", "polars", "pyarrow"}, optional
        Kind of the frames; the first of these that is installed if not given.
    download : bool, default True
        Whether the network may be used. Downloads go to ``LLMREC_CACHE``, or to ``llmrec`` in the user's
        cache folder, once.

    Returns
    -------
    Dataset
        Users and items are int64, ratings float64, timestamps int64. About two seconds and 100 MB a
        million ratings.

    Raises
    ------
    UnknownNameError
        If there is no such release.
    DataError
        If it is not there and cannot be fetched, or a file is damaged.
    MissingExtraError
        If the backend is not installed.

    Examples
    --------
    >>> load_movielens("ml-1k", download=False)
    Traceback (most recent call last):
        ...
    llmrec.errors.UnknownNameError: no MovieLens release 'ml-1k'; there are 'ml-latest-small', ...
    """
    if name not in RELEASES:
        listed = ", ".join(repr(known) for known in RELEASES)
        raise UnknownNameError(f"no MovieLens release {name!r}; there are {listed}.{nearest(name, RELEASES)}")
    local = _load_local(name, folder, backend)
    if local is not None:
        return local
    if folder is not None:
        raise DataError(
            f"{Path(folder)} has neither {name}/interactions.csv.gz nor {name}.zip. Leave out folder to "
            f"have it downloaded, or put {_BASE_URL}{name}.zip there."
        )
    archive = cache_folder() / "datasets" / f"{name}.zip"
    if not archive.exists():
        _fetch(name, archive, download)
    return read_archive(archive, name, backend=backend)


def _load_local(name: str, folder: str | os.PathLike[str] | None, backend: str | None) -> Dataset | None:
    if folder is None and not os.environ.get("LLMREC_DATA"):
        return None
    root = data_folder(folder)
    if (root / name).is_dir():
        return read_folder(root / name, name=name, description=describe(name), backend=backend)
    archive = root / f"{name}.zip"
    return read_archive(archive, name, backend=backend) if archive.exists() else None


def _fetch(name: str, archive: Path, download: bool) -> None:
    url = f"{_BASE_URL}{name}.zip"
    remedy = (
        f"Set LLMREC_DATA, or pass folder=..., to a folder that holds {name}.zip (from {url}) "
        f"or {name}/interactions.csv.gz and {name}/items.csv.gz."
    )
    if not download:
        raise DataError(
            f"{name} is neither in a local folder nor in the cache, and download is off. {remedy}"
        )
    try:
        fetch_zip(url, archive)
    except (OSError, DataError) as error:
        raise DataError(f"{name} could not be downloaded to {archive}: {error} {remedy}") from error
