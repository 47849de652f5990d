"""Recommender: fit on events and texts, recommend, learn from the next event."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from functools import cache
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import numpy as np
from sklearn.base import clone

from llmrec.base import (
    Component,
    ContentFactorizer,
    Encoder,
    Factorizer,
    FloatArray,
    Fuser,
    IntArray,
    OnlineUpdater,
    Ranker,
)
from llmrec.catalogue import Catalogue
from llmrec.cold_trial import cold_trial
from llmrec.defaults import default_factorizers, default_text_views
from llmrec.errors import (
    DataError,
    LLMRecWarning,
    NotFittedError,
    ParameterError,
    UnknownItemError,
    UnknownUserError,
    nearest,
)
from llmrec.event_order import HistoryKind, history_kind
from llmrec.explanation import Explanation, explain, explain_popular
from llmrec.factorizers import Popularity, Recent
from llmrec.holdout import hold_out
from llmrec.interactions import Histories, Interactions
from llmrec.live_model import LiveModel
from llmrec.progress import progress_bar
from llmrec.recommendation_files import check_path, write_batches
from llmrec.recommendations import RecommendationBatch, Recommendations
from llmrec.registry import resolve
from llmrec.storage import load_model, save_model
from llmrec.tables import EventTable, ItemTable, join_text, read_events, read_items
from llmrec.threads import thread_limit
from llmrec.validation import as_list, check_choice, check_integer, check_number, is_hashable
from llmrec.views import FactorView, TextView, content_view

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Recommender"]

_USERS_AT_A_TIME = 4096
_SAMPLED_USERS = 20_000
_EVENT_TUPLE = ("user", "item", "weight", "timestamp")
_RATED_TUPLE = ("user", "item", "rating", "timestamp")
_NO_ROWS = np.empty(0, dtype=np.int32)
_CONDITIONS = ("context", "candidates", "exclude", "where", "exclude_seen")
# By whether a view knows the history, and the context.
_BASES = {
    (True, False): "history",
    (False, True): "context",
    (True, True): "history+context",
    (False, False): "popular",
}


class Recommender(Component):
    """Texts and behaviour in, recommendations out, right one event later.

    Each encoder and each factorizer becomes a *view*: a space in which a query vector scores item vectors.
    The fuser joins the views, the ranker finds the best items, the updater moves factors when events come.
    A new user, an anonymous session and a known user are the same computation: a history goes in, a query
    vector comes out.

    Parameters
    ----------
    encoder : Encoder, TextView, str, list of these, or None, default "auto"
        What reads the items' texts. ``"auto"`` reads words, or tags where texts are lists of them, without
        a pretrained model: TF-IDF by cosine, and where there are a thousand texts and words also its
        latent topics by the ridge metric. None leaves texts unread.
    factorizer : Factorizer, str, list of these, or None, default "auto"
        What reads behaviour. ``"auto"`` is ALS, item neighbours, a graph filter and popularity, and EASE for
        a small catalogue; where histories are sequences, the neighbours are those of the latest events, and
        rules for what tends to follow them take the place of the filter. None leaves events unread, but for
        the profiles of the text views.
    histories : {"auto", "sequences", "sets"}, default "auto"
        What ``"auto"`` views are chosen and weights are learned for: what a user does next, or what is
        missing from all that they did, whenever that was. By default the events tell. Where they have times
        but no clear order, the weights serve both; whoever knows better gains by saying so.
    fuser : Fuser or str, default "learned"
    ranker : Ranker or str, default "dot"
    updater : OnlineUpdater, str or None, default "fold-in"
        None holds item vectors still; a user's new events count all the same.
    unknown_users : {"popular", "raise"}, default "popular"
        What ``recommend`` answers for a user of whom nothing is known: what is popular now (the answer's
        ``basis`` says so), or :class:`~llmrec.errors.UnknownUserError`.
    unknown_items : {"warn", "raise", "ignore"}, default "warn"
        What happens to items in ``history`` and ``candidates`` that the model does not know. Unless it
        raises they are left out. An unknown item in ``exclude`` is excluded already.
    text_template : str, optional
        How item columns are joined into one text, such as ``"{title}. {genres}. {plot}"``; the column
        ``text`` alone, if not given.
    n_jobs : int, optional
        Threads that ``fit``, ``partial_fit`` and answers for several users may use, kernels and BLAS
        together; -1 or None are all cores, or what :func:`~llmrec.thread_limit` allows. Results do not depend
        on it.

    Attributes
    ----------
    views_ : dict of str to component
        The fitted encoders (as :class:`~llmrec.views.TextView`) and factorizers by view name.
    interactions_ : Interactions
        All events so far, with the ids of users and items.
    fuser_, ranker_ : Fuser, Ranker

    Notes
    -----
    ``recommend`` and the other reading methods may be called from any number of threads while one calls
    ``partial_fit``: each sees the model before or after an update, never in between. ``fit`` builds a new
    model beside the old one, which serves until the new one is ready.

    Examples
    --------
    >>> from llmrec import Recommender
    >>> events = [("ann", "alien"), ("ann", "heat"), ("bob", "alien"), ("bob", "heat"), ("eve", "alien")]
    >>> texts = {"alien": "horror in space", "heat": "a bank robbery", "gravity": "adrift in space"}
    >>> rec = Recommender().fit(events, items=texts)
    >>> sorted(rec.recommend("eve", k=2).items)
    ['gravity', 'heat']
    >>> rec.recommend(history=["heat"], context="adrift in space", k=1).items
    ['gravity']
    >>> rec = rec.partial_fit([("eve", "gravity")], items=[("moon", "alone in space")])
    >>> sorted(rec.recommend("eve", k=2).items)
    ['heat', 'moon']
    """

    def __init__(
        self,
        *,
        encoder: Any = "auto",
        factorizer: Any = "auto",
        histories: str = "auto",
        fuser: Any = "learned",
        ranker: Any = "dot",
        updater: Any = "fold-in",
        unknown_users: str = "popular",
        unknown_items: str = "warn",
        text_template: str | None = None,
        n_jobs: int | None = None,
    ):
        self.encoder = encoder
        self.factorizer = factorizer
        self.histories = histories
        self.fuser = fuser
        self.ranker = ranker
        self.updater = updater
        self.unknown_users = unknown_users
        self.unknown_items = unknown_items
        self.text_template = text_template
        self.n_jobs = n_jobs

    # -- fit -----------------------------------------------------------------------------------------------

    def fit(
        self, interactions: Any = None, items: Any = None, *, columns: Mapping[str, str] | None = None
    ) -> Self:
        """Learn from events, from the texts of items, or from both.

        Parameters
        ----------
        interactions : frame, list of tuples or dicts, sparse matrix, or Interactions, optional
            Columns ``user``, ``item`` and optionally ``rating``, ``weight``, ``timestamp``; tuples are
            ``(user, item[, weight[, timestamp]])``. Duplicate events add up.
        items : frame, list of ``(item, text)`` tuples or dicts, or mapping of item to text, optional
            Further columns are kept for ``where``.
        columns : mapping, optional
            Your column names by ours, for both tables: ``{"item": "movieId", "text": "plot"}``.

        Raises
        ------
        MissingColumnError, DataError
            If a table cannot be learned from. The recommender stays what it was before.
        """
        check_choice("histories", self.histories, ("auto", "sequences", "sets"))
        check_choice("unknown_users", self.unknown_users, ("popular", "raise"))
        check_choice("unknown_items", self.unknown_items, ("warn", "raise", "ignore"))
        with thread_limit(self.n_jobs):
            return self._fit(interactions, items, columns)

    def _fit(self, interactions: Any, items: Any, columns: Mapping[str, str] | None) -> Self:
        known = None if interactions is None else Interactions.from_table(interactions, columns=columns)
        described = None if items is None else read_items(items, columns)
        self._model = self._learn(known or Interactions.from_table([]), described)
        self._columns = dict(columns) if columns else None
        return self

    def _learn(self, interactions: Interactions, described: ItemTable | None) -> LiveModel:
        catalogue = Catalogue()
        if described is not None:
            for one in described.ids:
                interactions.items.add(one)
            catalogue.update(described, interactions.items)
        encoders = _as_list(self.encoder)
        texts = self._fit_texts(encoders, interactions, described) if encoders else []
        # Once, so that the views that the fuser tries are those it will join.
        n_texts = max((int(view.present_.sum()) for view in texts), default=0)
        # Asked when it matters alone, for the answer takes a sort of all events.
        kind = cache(lambda: self._history_kind(interactions))
        factorizers = _expanded(
            _as_list(self.factorizer),
            lambda: default_factorizers(interactions, n_texts=n_texts, histories=kind()),
        )
        fuser = cast(Fuser, clone(resolve("fuser", self.fuser)))
        if fuser.needs_held_out:
            self._tune(fuser, texts, factorizers, kind(), interactions)
        model = self._assemble(interactions, catalogue, texts, factorizers, fuser)
        if not model.views:
            raise DataError(_nothing_to_learn(interactions, described, encoders))
        model.fit_fuser()
        model.build_index()
        return model

    def _fit_texts(
        self, encoders: list[Any], interactions: Interactions, described: ItemTable | None
    ) -> list[TextView]:
        if described is None:
            return []
        by_item = dict(zip(described.ids, join_text(described, self.text_template), strict=True))
        texts = [by_item.get(one, "") for one in interactions.items]
        if not any(text.strip() for text in texts):
            _warn("no item has a text, so there is no text view.")
            return []
        views = _expanded(encoders, lambda: default_text_views(texts))
        warm, sample = _warm_rows(interactions), _sampled_histories(interactions)
        return [_text_view(one).fit(texts, warm, sample) for one in views]

    def _fit_factors(
        self, interactions: Interactions, texts: list[TextView], factorizers: list[Any]
    ) -> list[FactorView]:
        place = content_view(texts)
        content = None if place is None else texts[place].vectors_
        updater = None if self.updater is None else clone(resolve("updater", self.updater))
        views = []
        for one in factorizers:
            factorizer = cast(Factorizer, clone(resolve("factorizer", one)))
            if isinstance(factorizer, ContentFactorizer):
                factorizer.fit(interactions, content)
            else:
                factorizer.fit(interactions)
            views.append(FactorView(_component_name(factorizer), factorizer, cast(OnlineUpdater, updater)))
        return views

    def _assemble(
        self,
        interactions: Interactions,
        catalogue: Catalogue,
        texts: list[TextView],
        factorizers: list[Any],
        fuser: Fuser,
    ) -> LiveModel:
        """Fit the factor views, and put all views together under names of their own."""
        factors = self._fit_factors(interactions, texts, factorizers) if interactions.n_events else []
        _name_apart([*texts, *factors])
        needs_popularity = all(view.kind != "popularity" for view in factors)
        return LiveModel(
            interactions=interactions,
            catalogue=catalogue,
            texts=texts,
            factors=factors,
            hidden_popularity=Popularity().fit(interactions) if needs_popularity else None,
            fuser=fuser,
            ranker=cast(Ranker, clone(resolve("ranker", self.ranker))),
        )

    def _history_kind(self, interactions: Interactions) -> HistoryKind:
        chosen = cast("HistoryKind | Literal['auto']", self.histories)
        return history_kind(interactions) if chosen == "auto" else chosen

    def _tune(
        self,
        fuser: Fuser,
        texts: list[TextView],
        factorizers: list[Any],
        kind: HistoryKind,
        interactions: Interactions,
    ) -> None:
        """Let the fuser learn from the later events, with all views fitted on the earlier ones."""
        piece = hold_out(interactions, kind)
        if piece is None or len(texts) + len(factorizers) < 2:
            return
        warm, sample = _warm_rows(piece.earlier), _sampled_histories(piece.earlier)
        earlier_texts = [view.for_items(warm, sample) for view in texts]
        trial = self._assemble(piece.earlier, Catalogue(), earlier_texts, factorizers, fuser)
        views = trial.views_for(piece.user_rows)
        seen = piece.earlier.histories(piece.user_rows).take(np.arange(len(piece.user_rows)))
        later, parts = piece.later, piece.parts.astype(np.int32) if piece.parts.any() else None
        trial_texts, readers = trial.texts, [view for view in trial.factors if view.reads_texts()]
        # The earlier events, the half of what a fit of many takes, are not needed to learn from the views.
        del piece, sample, trial
        if parts is None:
            fuser.tune(views, seen, later)
        else:
            fuser.tune(views, seen, later, parts=parts)
        if texts and len(texts) + len(readers) > 1:
            sample = _sampled_histories(interactions)
            fuser.tune_cold(*cold_trial(interactions, trial_texts, readers, sample))

    # -- recommend -----------------------------------------------------------------------------------------

    @overload
    def recommend(
        self,
        user: list[Any] | np.ndarray[Any, Any],
        k: int = ...,
        *,
        history: Iterable[Any] | Mapping[Any, float] | None = ...,
        context: str | None = ...,
        candidates: Iterable[Any] | None = ...,
        exclude: Iterable[Any] | None = ...,
        where: Mapping[str, Any] | None = ...,
        exclude_seen: bool = ...,
    ) -> RecommendationBatch: ...
    @overload
    def recommend(
        self,
        user: Hashable = ...,
        k: int = ...,
        *,
        history: Iterable[Any] | Mapping[Any, float] | None = ...,
        context: str | None = ...,
        candidates: Iterable[Any] | None = ...,
        exclude: Iterable[Any] | None = ...,
        where: Mapping[str, Any] | None = ...,
        exclude_seen: bool = ...,
    ) -> Recommendations: ...
    def recommend(
        self,
        user: Any = None,
        k: int = 10,
        *,
        history: Iterable[Any] | Mapping[Any, float] | None = None,
        context: str | None = None,
        candidates: Iterable[Any] | None = None,
        exclude: Iterable[Any] | None = None,
        where: Mapping[str, Any] | None = None,
        exclude_seen: bool = True,
    ) -> Recommendations | RecommendationBatch:
        """Return the best ``k`` items for a user, for several, or for a history.

        Parameters
        ----------
        user : hashable, or list, array or series of these
            One user gives :class:`Recommendations`, several a :class:`RecommendationBatch`. Whatever is
            hashable, a tuple included, is one user.
        k : int, default 10
            If fewer items are left, the answer holds those.
        history : sequence of items or of (item, weight) pairs, or mapping of item to weight, optional
            Oldest first, in place of a user. For a model of ratings the number is the rating, and an item
            without one counts as rated with the highest.
        context : str, optional
            Text of the moment: a query, the page being viewed. It joins the history in the text views.
        candidates, exclude : collection of items, optional
            The only items to choose from; items not to give.
        where : mapping, optional
            Conditions on item columns, all to hold: a value, a list of values, or a function of a value:
            ``{"language": "en", "year": lambda year: year >= 2000}``.
        exclude_seen : bool, default True
            Leave out what is in the history.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        UnknownUserError
            If nothing is known of the user and ``unknown_users="raise"``, or nothing is popular.
        """
        model = self._fitted()
        k = check_integer("k", k, minimum=1)
        _check_request(user, history, context, "recommend")
        if exclude_seen is not True and not isinstance(exclude_seen, (bool, np.bool_)):
            raise ParameterError(f"exclude_seen must be True or False, got {exclude_seen!r}.")
        with model.lock.reading():
            request = _Request(model, k, context, exclude_seen, self.unknown_users)
            if exclude is not None:
                request.unwanted = self._rows(model, exclude, "exclude", ignore=True)
            if candidates is not None or where is not None:
                request.allow = self._allowed(model, candidates, where)
            if user is None:
                return request.answer([None], self._history(model, [] if history is None else history))[0]
            if _is_one_user(user):
                return request.answer_one(user)
            with thread_limit(self.n_jobs):
                return RecommendationBatch(tuple(request.answer_users(_listed_users(user))))

    @overload
    def recommend_all(
        self,
        k: int = ...,
        *,
        path: None = ...,
        batch_size: int = ...,
        progress: bool = ...,
        **conditions: Any,
    ) -> Iterator[RecommendationBatch]: ...
    @overload
    def recommend_all(
        self,
        k: int = ...,
        *,
        path: str | PathLike[str],
        batch_size: int = ...,
        progress: bool = ...,
        **conditions: Any,
    ) -> Path: ...
    def recommend_all(
        self,
        k: int = 10,
        *,
        path: str | PathLike[str] | None = None,
        batch_size: int = 1024,
        progress: bool = True,
        **conditions: Any,
    ) -> Iterator[RecommendationBatch] | Path:
        """Return what every known user is recommended, some users at a time, or write it to a file.

        Memory is bounded by one batch. The users are those known at the call; a user's answer reflects the
        events known when the batch is made.

        Parameters
        ----------
        k : int, default 10
        path : path, optional
            A ``.csv``, ``.jsonl`` or ``.parquet`` file (the last needs pyarrow) with the columns user, item,
            score and rank. It appears when it is whole; until then what stood there stays.
        batch_size : int, default 1024
            Users at a time.
        progress : bool, default True
            Show a bar when it takes over two seconds.
        **conditions
            ``context``, ``candidates``, ``exclude``, ``where`` and ``exclude_seen``, as in
            :meth:`recommend`.

        Returns
        -------
        iterator of RecommendationBatch, or Path
            The users in the order in which they became known; the path, if one was given.

        Raises
        ------
        NotFittedError, UnknownUserError
            As in :meth:`recommend`.
        ParameterError
            If the file cannot be written there; before anything is computed.

        Examples
        --------
        >>> events = [("ann", "tea"), ("ann", "jam"), ("bob", "tea"), ("bob", "jam"), ("eve", "tea")]
        >>> rec = Recommender(factorizer="item-knn").fit(events)
        >>> [answer.user for batch in rec.recommend_all(k=1, batch_size=2) for answer in batch]
        ['ann', 'bob', 'eve']
        """
        check_integer("k", k, minimum=1)
        check_integer("batch_size", batch_size, minimum=1)
        for name in conditions:
            if name not in _CONDITIONS:
                raise ParameterError(
                    f"recommend_all takes no {name!r}; its conditions are {', '.join(_CONDITIONS)}."
                    f"{nearest(name, _CONDITIONS)}"
                )
        users = list(self._fitted().interactions.users)
        file = None if path is None else check_path(path)
        # What can be read only once has to last for all batches.
        for name in ("candidates", "exclude"):
            if conditions.get(name) is not None:
                conditions[name] = as_list(conditions[name], name)
        batches = self._batches(users, k, batch_size, progress, conditions)
        return batches if file is None else write_batches(batches, file)

    def _batches(
        self, users: list[Hashable], k: int, batch_size: int, progress: bool, conditions: dict[str, Any]
    ) -> Iterator[RecommendationBatch]:
        with progress_bar(description="users", total=len(users), enabled=progress) as bar:
            for start in range(0, len(users), batch_size):
                some = users[start : start + batch_size]
                yield self.recommend(some, k, **conditions)
                bar.update(len(some))

    def similar_items(
        self,
        item: Hashable,
        k: int = 10,
        *,
        candidates: Iterable[Any] | None = None,
        exclude: Iterable[Any] | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> Recommendations:
        """Return the items nearest to ``item``: the mean cosine over text and behaviour.

        Items that have nothing in common with it are left out.

        Raises
        ------
        UnknownItemError
            If the model does not know the item.
        """
        model = self._fitted()
        k = check_integer("k", k, minimum=1)
        if not is_hashable(item):
            raise ParameterError(f"item must be one id, got {item!r}.")
        with model.lock.reading():
            row = model.interactions.items.row(item, "item", UnknownItemError)
            unwanted = self._rows(model, exclude, "exclude", ignore=True)
            rows, scores = model.rank_similar(row, k, unwanted, self._allowed(model, candidates, where))
            ids = model.interactions.items.ids
            return Recommendations([ids[row] for row in rows.tolist()], scores, None, "similar")

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        candidates: Iterable[Any] | None = None,
        exclude: Iterable[Any] | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> Recommendations:
        """Return the items whose texts are nearest to ``query``, whoever asks.

        Items whose texts have nothing in common with it are left out.

        Raises
        ------
        DataError
            If the model has no texts to search in.
        """
        model = self._fitted()
        k = check_integer("k", k, minimum=1)
        if not isinstance(query, str):
            raise ParameterError(f"query must be a text, got {type(query).__name__}.")
        if not model.texts:
            raise DataError("search needs item texts; this recommender was fitted without any.")
        with model.lock.reading():
            allow = self._allowed(model, candidates, where)
            if not any(view.knows(query) for view in model.texts):
                _warn(f"no encoder knows a word of the query {query[:80]!r}; the answer is empty.")
                allow = np.empty(0, dtype=np.int32)
            unwanted = self._rows(model, exclude, "exclude", ignore=True)
            rows, scores = model.rank_search(query, k, unwanted, allow)
            ids = model.interactions.items.ids
            return Recommendations([ids[row] for row in rows.tolist()], scores, None, "search")

    def explain(
        self,
        user: Hashable = None,
        item: Hashable = None,
        *,
        history: Iterable[Any] | Mapping[Any, float] | None = None,
        context: str | None = None,
    ) -> Explanation:
        """Say why ``item`` has the score that it has: what each view and each item of the history adds.

        Parameters
        ----------
        user : hashable, optional
        item : hashable
        history, context
            As in :meth:`recommend`: ``history`` takes the place of the user.

        Raises
        ------
        UnknownItemError
            If the model does not know the item.
        UnknownUserError
            As in :meth:`recommend`.

        Examples
        --------
        >>> events = [(u, i) for u in ("ann", "bob", "eve") for i in ("alien", "heat")] + [("bob", "ronin")]
        >>> texts = {"alien": "horror in space", "heat": "a bank robbery", "ronin": "a robbery in Nice"}
        >>> why = Recommender().fit(events, items=texts).explain("ann", "ronin")
        >>> sorted(why.words)
        ['a', 'in', 'robbery']
        >>> bool(abs(sum(reason.share for reason in why.reasons) - why.score) < 1e-6)
        True
        """
        model = self._fitted()
        _check_request(user, history, context, "explain")
        if item is None:
            raise ParameterError("explain needs the item to explain: explain(user, item), or item=.")
        for name, one in (("user", user), ("item", item)):
            if not is_hashable(one):
                raise ParameterError(f"{name} must be one id, got {type(one).__name__}: {one!r}.")
        with model.lock.reading():
            row = model.interactions.items.row(item, "item", UnknownItemError)
            histories, user_rows = self._history(model, [] if history is None else history), None
            if user is not None and user in model.interactions.users:
                user_rows = np.array([model.interactions.users.get(user)], dtype=np.int32)
                histories = model.interactions.histories(user_rows)
            queries = model.queries(histories, user_rows, context)
            basis = _BASES[queries.by_history[0], queries.by_context]
            if basis != "popular":
                return explain(model, user, row, histories, user_rows, context, basis)
            request = _Request(model, 1, context, False, self.unknown_users)
            request.allow = np.array([row], dtype=np.int32)
            _, scores = request._popular(user, request.unwanted)
            return explain_popular(model, user, row, float(scores[0]))

    # -- partial_fit ---------------------------------------------------------------------------------------

    def partial_fit(
        self, events: Any = None, items: Any = None, *, columns: Mapping[str, str] | None = None
    ) -> Self:
        """Learn from new events and new items; the next ``recommend`` reflects them.

        Users and items may be new: texts are encoded on arrival, and an item that comes with another text
        gets the new one. On a recommender that is not fitted yet it is ``fit``.

        Parameters
        ----------
        events, items
            As in ``fit``. Where the model knows ratings, tuples are ``(user, item, rating[, timestamp])``
            and each event needs one. Events without times follow the latest one known.
        columns : mapping, optional
            Your column names by ours; those given to ``fit``, if not given.

        Raises
        ------
        MissingColumnError, DataError
            If a table cannot be learned from. The recommender stays what it was before.
        """
        if not hasattr(self, "_model"):
            return self.fit(events, items, columns=columns)
        model = self._model
        # A mapping given to fit is remembered, and holds where its names occur.
        strict = columns is not None
        names = columns if strict else self._columns
        read = None if events is None else _read_new_events(model.interactions, events, names, strict)
        if read is not None and len(read.users) and not model.factors and _as_list(self.factorizer):
            _warn("this recommender was fitted without events; refit it to learn factors from the new ones.")
        described = None if items is None else read_items(items, names, strict=strict)
        texts: list[str] = []
        if described is not None:
            texts = join_text(described, self.text_template) if model.texts else [""] * len(described.ids)
            if not model.texts and self.encoder is not None and "text" in described.columns:
                _warn("this recommender was fitted without texts; refit it to read those of the new items.")
        with thread_limit(self.n_jobs):
            model.learn(read, described, texts, model.encode(texts))
        return self

    # -- files ---------------------------------------------------------------------------------------------

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the fitted recommender to a folder of JSON and safetensors, all or nothing.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ModelFileError
            If the folder holds something else.
        """
        with self._fitted().lock.reading():
            save_model(self, folder)

    @classmethod
    def load(cls, folder: str | PathLike[str], *, trust: Sequence[str] = ()) -> Self:
        """Read a recommender that :meth:`save` wrote.

        Parameters
        ----------
        folder : path
        trust : sequence of str
            Import paths of classes outside the library that may be loaded: ``"my_package.encoders:Mine"``.

        Raises
        ------
        ModelFileError
            If the folder is damaged, foreign, or written by a newer version.
        UntrustedComponentError
            If it names a class outside the library that is not in ``trust``.
        """
        return cast("Self", load_model(folder, trust=trust, expect=cls))

    def get_state(self) -> dict[str, Any]:
        """Return all that was learned, for :meth:`save`."""
        return {"model": self._fitted(), "columns": self._columns}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`get_state` gave."""
        self._model = state["model"]
        self._columns = state["columns"]

    # -- what was learned ----------------------------------------------------------------------------------

    @property
    def views_(self) -> dict[str, Any]:
        """The fitted components by view name."""
        model = self._fitted()
        return {**{v.name: v for v in model.texts}, **{v.name: v.factorizer for v in model.factors}}

    @property
    def interactions_(self) -> Interactions:
        """All events so far."""
        return self._fitted().interactions

    @property
    def fuser_(self) -> Fuser:
        """The fitted fuser."""
        return self._fitted().fuser

    @property
    def ranker_(self) -> Ranker:
        """The ranker, which holds the index."""
        return self._fitted().index

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_model")

    def _fitted(self) -> LiveModel:
        model: LiveModel | None = self.__dict__.get("_model")
        if model is None:
            raise NotFittedError("this Recommender has seen no data yet; call fit first.")
        return model

    # -- ids to rows ---------------------------------------------------------------------------------------

    def _rows(
        self, model: LiveModel, items: Iterable[Any] | None, what: str, *, ignore: bool = False
    ) -> IntArray:
        """Return the rows of known items; unknown ones are treated as ``unknown_items`` says."""
        if items is None:
            return _NO_ROWS
        listed = as_list(items, what)
        rows = [model.interactions.items.get(one) if is_hashable(one) else None for one in listed]
        if not ignore:
            unknown = [one for one, row in zip(listed, rows, strict=True) if row is None]
            self._meet_unknown(model, unknown, what)
        return np.array([row for row in rows if row is not None], dtype=np.int32)

    def _meet_unknown(self, model: LiveModel, items: list[Any], what: str) -> None:
        if not items or self.unknown_items == "ignore":
            return
        hint = model.interactions.items.hint(items[0])
        if self.unknown_items == "raise":
            raise UnknownItemError(f"unknown item {items[0]!r} in {what}.{hint}")
        if len(items) == 1:
            _warn(f"unknown item {items[0]!r} in {what}. It is left out.{hint}")
        else:
            named = ", ".join(repr(one) for one in items[:3]) + (", …" if len(items) > 3 else "")
            _warn(f"{len(items)} unknown items in {what}: {named}. They are left out.{hint}")

    def _allowed(
        self, model: LiveModel, candidates: Iterable[Any] | None, where: Mapping[str, Any] | None
    ) -> IntArray | None:
        """Return the sorted rows that may be given, None for all."""
        allow = None if candidates is None else np.unique(self._rows(model, candidates, "candidates"))
        if where is not None:
            if not isinstance(where, Mapping):
                raise ParameterError(
                    f"where must map item columns to conditions, got {type(where).__name__}."
                )
            passed = model.catalogue.mask(where, model.interactions.n_items)
            allow = np.flatnonzero(passed).astype(np.int32) if allow is None else allow[passed[allow]]
        return allow

    def _history(self, model: LiveModel, history: Iterable[Any] | Mapping[Any, float]) -> Histories:
        """Return one anonymous history as rows."""
        known = model.interactions
        entries = list(history.items()) if isinstance(history, Mapping) else as_list(history, "history")
        rows, weights, unknown = [], [], []
        for entry in entries:
            item, weight = _item_and_weight(entry, known)
            row = known.items.get(item) if is_hashable(item) else None
            if row is None:
                unknown.append(item)
                continue
            rows.append(row)
            weights.append(weight)
        self._meet_unknown(model, unknown, "history")
        ratings = known.events.ratings
        if ratings is None:
            plain = [
                1.0 if w is None else check_number("a history weight", w, 0, above=True) for w in weights
            ]
            return Histories.of([rows], known.n_items, weights=[plain])
        best = float(ratings.max(initial=1))
        rated = [best if weight is None else check_number("a history rating", weight) for weight in weights]
        return Histories.of([rows], known.n_items, ratings=[rated])


class _Request:
    """One call of ``recommend``: the same conditions for all users that it asks for."""

    def __init__(self, model: LiveModel, k: int, context: str | None, exclude_seen: bool, unknown_users: str):
        self.model = model
        self.k = k
        self.context = context
        self.exclude_seen = exclude_seen
        self.unknown_users = unknown_users
        self.unwanted = _NO_ROWS
        self.allow: IntArray | None = None

    def answer_users(self, users: list[Hashable]) -> list[Recommendations]:
        """Answer for known and unknown users, some thousand at a time."""
        table = self.model.interactions.users
        answers: dict[int, Recommendations] = {}
        for is_known in (True, False):
            group = [place for place, user in enumerate(users) if (user in table) is is_known]
            for start in range(0, len(group), _USERS_AT_A_TIME):
                places = group[start : start + _USERS_AT_A_TIME]
                some = [users[place] for place in places]
                answers.update(zip(places, self.answer_alike(some, is_known), strict=True))
        return [answers[place] for place in range(len(users))]

    def answer_one(self, user: Hashable) -> Recommendations:
        """Answer for one user, known or not."""
        interactions = self.model.interactions
        row = interactions.users.get(user)
        if row is None:
            return self.answer([user], interactions.no_histories(1))[0]
        rows = np.array([row], dtype=np.int32)
        return self.answer([user], interactions.histories(rows), rows)[0]

    def answer_alike(self, users: list[Hashable], is_known: bool) -> list[Recommendations]:
        """Answer for users who are all known, or all unknown."""
        interactions = self.model.interactions
        if not is_known:
            return self.answer(users, interactions.no_histories(len(users)))
        rows = np.array([interactions.users.get(user) for user in users], dtype=np.int32)
        return self.answer(users, interactions.histories(rows), rows)

    def answer(
        self, users: Sequence[Hashable | None], histories: Histories, user_rows: IntArray | None = None
    ) -> list[Recommendations]:
        """Answer for histories; one of which nothing is known gets what is popular."""
        queries = self.model.queries(histories, user_rows, self.context)
        exclude = self._excluded(histories)
        ranked = self.model.rank(histories, queries.vectors, self.k, exclude, self.allow)
        ids, answers = self.model.interactions.items.ids, []
        for place, (rows, scores) in enumerate(ranked):
            user, basis = users[place], _BASES[queries.by_history[place], queries.by_context]
            if basis == "popular":
                popular, scores = self._popular(user, exclude[place])
                rows = popular.tolist()
            answers.append(Recommendations([ids[row] for row in rows], scores, user, basis))
        return answers

    def _excluded(self, histories: Histories) -> list[IntArray]:
        """Return for each history the item rows that it must not get."""
        if not self.exclude_seen:
            return [self.unwanted] * len(histories)
        if len(histories) == 1 and not len(self.unwanted):
            return [histories.columns]
        ends = histories.indptr.tolist()
        seen = [histories.columns[start:end] for start, end in pairwise(ends)]
        return [np.concatenate([one, self.unwanted]) for one in seen] if len(self.unwanted) else seen

    def _popular(self, user: Hashable | None, exclude: IntArray) -> tuple[IntArray, FloatArray]:
        whom = "this request" if user is None else f"user {user!r}"
        if self.unknown_users == "raise":
            hint = "" if user is None else self.model.interactions.users.hint(user)
            raise UnknownUserError(
                f"nothing is known of {whom}; pass history= or context=, or choose "
                f"unknown_users='popular'.{hint}"
            )
        ranked = self.model.rank_popular(self.k, exclude, self.allow)
        if ranked is None:
            raise UnknownUserError(
                f"nothing is known of {whom}, and nothing is popular, since there are no events yet; "
                "pass history= or context=."
            )
        return ranked


def _check_request(user: Any, history: Any, context: Any, method: str) -> None:
    if context is not None and not isinstance(context, str):
        raise ParameterError(f"context must be a text, got {type(context).__name__}.")
    if user is None and history is None and context is None:
        raise ParameterError(f"{method} needs a user, a history or a context.")
    if user is not None and history is not None:
        raise ParameterError(f"{method} takes a user or a history, not both.")


def _item_and_weight(entry: Any, known: Interactions) -> tuple[Any, Any]:
    """Tell an ``(item, weight)`` pair from an item, which may itself be a tuple."""
    is_item = is_hashable(entry) and entry in known.items
    if not is_item and isinstance(entry, tuple | list) and len(entry) == 2:
        return entry[0], entry[1]
    return entry, None


def _is_one_user(user: Any) -> bool:
    """Tell an id from several; what can be read only once, or counts up, is no id."""
    if type(user) in (str, int):
        return True
    if isinstance(user, Iterator | range | KeysView | ValuesView):
        return False
    return is_hashable(user) and not hasattr(user, "to_pylist")


def _listed_users(users: Any) -> list[Hashable]:
    listed = as_list(users, "user")
    for position, user in enumerate(listed):
        if user is None or not is_hashable(user):
            raise ParameterError(f"users must be ids; the one at {position} is {user!r}.")
    return listed


def _read_new_events(
    known: Interactions, events: Any, columns: Mapping[str, str] | None, strict: bool
) -> EventTable:
    """Read events with just the columns that the known ones have."""
    names = _RATED_TUPLE if known.has_ratings else _EVENT_TUPLE
    read = read_events(events, columns, names, strict=strict)
    if read.ratings is not None and not known.has_ratings:
        _warn("the events known so far have no ratings; those of the new events are left out.")
    timestamps = read.timestamps
    if timestamps is not None and known.events.timestamps is None and known.n_events:
        _warn("the events known so far have no times; those of the new events are left out.")
    if known.events.timestamps is not None and timestamps is None:
        timestamps = np.full(len(read.users), known.last_timestamp or 0.0)
    if known.has_ratings and read.ratings is None and len(read.users):
        raise DataError(
            "the events known so far have ratings, and the new ones have none; "
            "pass (user, item, rating) tuples, or a 'rating' column."
        )
    return EventTable(
        read.users,
        read.items,
        read.weights,
        read.ratings if known.has_ratings else None,
        timestamps if known.events.timestamps is not None else None,
    )


def _warm_rows(interactions: Interactions) -> IntArray | None:
    """Return the items that have events; None where none has."""
    warm = np.flatnonzero(interactions.item_counts).astype(np.int32)
    return warm if len(warm) else None


def _sampled_histories(interactions: Interactions) -> Histories:
    """Return the histories of a sample of the users who have one, spread evenly over them."""
    known = np.flatnonzero(interactions.user_counts).astype(np.int32)
    return interactions.histories(known[:: max(1, -(-len(known) // _SAMPLED_USERS))])


def _as_list(components: Any) -> list[Any]:
    if components is None:
        return []
    return list(components) if isinstance(components, list | tuple) else [components]


def _expanded(components: list[Any], default: Callable[[], Sequence[Any]]) -> list[Any]:
    """Put the default components in the place of ``"auto"``."""
    # Not "==" alone: a component might compare itself to a text in its own way.
    listed = [default() if isinstance(one, str) and one == "auto" else [one] for one in components]
    return [one for some in listed for one in some]


def _text_view(encoder: Any) -> TextView:
    component = resolve("encoder", encoder, also=(TextView,))
    view = clone(component) if isinstance(component, TextView) else TextView(cast(Encoder, component))
    if view.name is None:
        inner = view.encoder if isinstance(view.encoder, str) else _component_name(view.encoder)
        view.name = inner
    return cast(TextView, view)


def _component_name(component: Component) -> str:
    if isinstance(component, Recent):
        return f"recent-{_component_name(component.factorizer)}"
    name = type(component).__name__
    for suffix in ("Encoder", "Factorizer"):
        name = name.removesuffix(suffix) or name
    return name.lower()


def _name_apart(views: Sequence[TextView | FactorView]) -> None:
    """Give views of one name a number each, from the second on."""
    taken: dict[str, int] = {}
    for view in views:
        taken[view.name] = taken.get(view.name, 0) + 1
        if taken[view.name] > 1:
            view.name = f"{view.name}-{taken[view.name]}"


def _nothing_to_learn(interactions: Interactions, described: ItemTable | None, encoders: list[Any]) -> str:
    if described is None and not interactions.n_events:
        return "there is nothing to learn from: pass interactions, items with texts, or both; got no rows."
    if not interactions.n_events:
        why = "no encoder is set" if not encoders else "no item has a text"
        return f"there are no events, and {why}; so there is nothing to learn from."
    return "no factorizer is set, and there are no texts; so there is nothing to learn from."


def _warn(message: str) -> None:
    """Warn at the line outside the library that called it."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("llmrec."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, LLMRecWarning, stacklevel=level)
