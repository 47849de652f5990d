"""Components with one fault each, and the checks that have to find it."""

from __future__ import annotations

import time

import numpy as np
from scipy import sparse

from llmrec.rankers import DotRanker
from llmrec.validation import check_fitted
from llmrec.vectors import grown
from tests.testing.correct import (
    BlockFuser,
    LetterEncoder,
    PairCounts,
    PlainSVD,
    ScaledEncoder,
    SortingRanker,
    SplitTokenizer,
    StepUpdater,
)

# -- any role ----------------------------------------------------------------------------------------------


class ComputesInConstructor(SplitTokenizer):
    def __init__(self, *, words=()):
        self.words = words
        self.table = {}


class CopiesInConstructor(SplitTokenizer):
    def __init__(self, *, words=None):
        self.words = list(words or [])


class ChecksInConstructor(SplitTokenizer):
    def __init__(self, *, size=1):
        if size < 1:
            raise ValueError("size is too small")
        self.size = size


class TakesAnyKeyword(SplitTokenizer):
    def __init__(self, **options):
        pass


class HasMutableDefault(SplitTokenizer):
    def __init__(self, *, words=[]):  # noqa: B006
        self.words = words


class SharesItsState(SortingRanker):
    shelf = {}

    @property
    def items_(self):
        return self.shelf["items"]

    @items_.setter
    def items_(self, items):
        self.shelf["items"] = items

    def get_state(self):
        return {}

    def index(self, item_vectors):
        self._indexed = True
        return super().index(item_vectors)

    def update(self, rows, vectors):
        check_fitted(self, "_indexed", "index")
        super().update(rows, vectors)


class TakesUnknownParameters(SortingRanker):
    def set_params(self, **params):
        return self


class HidesItsName(SortingRanker):
    def __repr__(self):
        return "<a ranker>"


class KeepsOldShapes(PairCounts):
    def fit(self, interactions):
        old = vars(self).get("pairs_")
        super().fit(interactions)
        if old is not None:
            n = min(len(old), len(self.pairs_))
            self.pairs_[:n, :n] = old[:n, :n]
        return self


class ChangesItsInput(SortingRanker):
    def index(self, item_vectors):
        super().index(item_vectors)
        item_vectors -= item_vectors.mean(axis=0)
        return self


class UpdatesTheCallersArray(SortingRanker):
    def index(self, item_vectors):
        super().index(item_vectors)
        self.items_ = item_vectors
        return self


class WritesOnRead(PairCounts):
    def fit(self, interactions):
        super().fit(interactions)
        self.n_reads_ = 0
        return self

    def query_vectors(self, histories):
        queries = super().query_vectors(histories)
        self.n_reads_ += len(histories)
        return queries


class DrawsWithoutSeed(ScaledEncoder):
    def fit(self, texts):
        super().fit(texts)
        self.scales_ = np.random.default_rng().random(10).astype(np.float32)
        return self


class AnswersUnfitted(PairCounts):
    def query_vectors(self, histories):
        return super().query_vectors(histories) if vars(self) else np.ones((len(histories), 1), np.float32)


class RaisesWhatComesUnfitted(PairCounts):
    def item_vectors(self):
        return vars(self)["pairs_"]


class HidesItsState(PairCounts):
    def fit(self, interactions):
        super().fit(interactions)
        self._pairs = self.pairs_
        del self.pairs_
        self.pairs_ = np.zeros((0, 0), dtype=np.float32)
        return self

    def item_vectors(self):
        super().item_vectors()
        return self._pairs


class CannotBeStored(PairCounts):
    def fit(self, interactions):
        super().fit(interactions)
        self.rank_ = max
        return self


class SharesCounters(LetterEncoder):
    def encode(self, texts):
        vectors = super().encode(texts)
        self._factor = 0
        for _ in range(3):
            self._factor += 1
            time.sleep(0.0005)
        return vectors * np.float32(self._factor)


ANY_ROLE = [
    (ComputesInConstructor(), {"constructor only stores"}),
    (CopiesInConstructor(words=["a"]), {"constructor only stores", "clone is equal and independent"}),
    (ChecksInConstructor(), {"constructor only stores"}),
    (TakesAnyKeyword(), {"constructor only stores"}),
    (HasMutableDefault(), {"defaults are immutable"}),
    (SharesItsState(), {"clone is equal and independent"}),
    (TakesUnknownParameters(), {"set_params takes what get_params gives"}),
    (HidesItsName(), {"repr names the class"}),
    (KeepsOldShapes(), {"refit equals fresh fit"}),
    (ChangesItsInput(), {"inputs stay unchanged"}),
    (UpdatesTheCallersArray(), {"inputs stay unchanged"}),
    (WritesOnRead(), {"reads leave the state unchanged"}),
    (
        DrawsWithoutSeed(),
        {
            "same data give same answers",
            "refit equals fresh fit",
            "threads read alike",
            "fit_encode is fit and encode",
        },
    ),
    (AnswersUnfitted(), {"reading before learning is refused"}),
    (RaisesWhatComesUnfitted(), {"reading before learning is refused"}),
    (HidesItsState(), {"saved and loaded it answers alike"}),
    (CannotBeStored(), {"saved and loaded it answers alike"}),
    (SharesCounters(), {"threads read alike"}),
]

# -- tokenizers --------------------------------------------------------------------------------------------


class GivesEmptyWords(SplitTokenizer):
    def tokenize(self, text):
        words = super().tokenize(text)
        return [*words, ""] if words else []


class GivesTuples(SplitTokenizer):
    def tokenize(self, text):
        words = super().tokenize(text)
        return tuple(words) if words else words


class GivesNoWords(SplitTokenizer):
    def tokenize(self, text):
        super().tokenize(text)
        return []


class GivesAWordForNothing(SplitTokenizer):
    def tokenize(self, text):
        return super().tokenize(text) or ["<empty>"]


class TripsOverSurrogates(SplitTokenizer):
    def tokenize(self, text):
        return [word.encode("utf-8").decode("utf-8") for word in super().tokenize(text)]


class RemembersTexts(SplitTokenizer):
    def tokenize(self, text):
        words = super().tokenize(text)
        seen = self.__dict__.setdefault("_seen", set())
        fresh = [word for word in words if word not in seen]
        seen.update(words)
        return fresh


class TakesAnythingForText(SplitTokenizer):
    def tokenize(self, text):
        return str(text).split()


TOKENIZERS = [
    (GivesEmptyWords(), {"words are non-empty texts", "odd text is cut too"}),
    (GivesTuples(), {"words are non-empty texts", "odd text is cut too"}),
    (GivesNoWords(), {"some text has words"}),
    (GivesAWordForNothing(), {"empty text has no words"}),
    (TripsOverSurrogates(), {"odd text is cut too"}),
    (
        RemembersTexts(),
        {
            "words do not depend on other texts",
            "reads leave the state unchanged",
            "clone is equal and independent",
            "threads read alike",
        },
    ),
    (TakesAnythingForText(), {"non-text is refused"}),
]

# -- encoders ----------------------------------------------------------------------------------------------


class GivesDoubles(LetterEncoder):
    def encode(self, texts):
        return super().encode(texts).astype(np.float64)


class GivesColumns(LetterEncoder):
    def encode(self, texts):
        return np.asfortranarray(super().encode(texts))


class GivesCooMatrices(LetterEncoder):
    def encode(self, texts):
        return sparse.coo_array(super().encode(texts))


class LiesAboutItsWidth(LetterEncoder):
    @property
    def dim(self):
        return 11


class SaysTheSameOfAll(LetterEncoder):
    def encode(self, texts):
        return (super().encode(texts).any(axis=1, keepdims=True) * np.ones(10)).astype(np.float32)


class StacksNothing(LetterEncoder):
    def encode(self, texts):
        return np.vstack([super(StacksNothing, self).encode([text]) for text in _checked(self, texts)])


class TakesAShortCut(LetterEncoder):
    def fit_encode(self, texts):
        return 2 * self.fit(texts).encode(texts)


class GivesEmptyTextAVector(LetterEncoder):
    def encode(self, texts):
        vectors = super().encode(texts)
        vectors[~vectors.any(axis=1)] = 0.1
        return vectors


class CentresTheBatch(LetterEncoder):
    def encode(self, texts):
        vectors = super().encode(texts)
        filled = vectors.any(axis=1)
        if filled.any():
            vectors[filled] -= 0.5 * vectors[filled].mean(axis=0)
        return vectors


class LearnsWhileEncoding(LetterEncoder):
    def encode(self, texts):
        vectors = super().encode(texts)
        self._longest = max([getattr(self, "_longest", 100), *map(len, texts)])
        return vectors * np.float32(100 / self._longest)


class TripsOverLongText(LetterEncoder):
    def encode(self, texts):
        if any(len(text) > 50_000 for text in texts if isinstance(text, str)):
            raise IndexError("position 512 is out of range")
        return super().encode(texts)


class TakesOneText(LetterEncoder):
    def encode(self, texts):
        return super().encode([texts] if isinstance(texts, str) else texts)


def _checked(encoder, texts):
    LetterEncoder.encode(encoder, texts)
    return texts


ENCODERS = [
    (
        GivesDoubles(),
        {"vectors are float32 rows", "no texts give no rows", "odd text is encoded too"},
    ),
    (GivesColumns(), {"vectors are float32 rows"}),
    (GivesCooMatrices(), {"vectors are float32 rows", "no texts give no rows", "odd text is encoded too"}),
    (
        LiesAboutItsWidth(),
        {
            "vectors are float32 rows",
            "no texts give no rows",
            "odd text is encoded too",
            "fit_encode is fit and encode",
        },
    ),
    (TakesAShortCut(), {"fit_encode is fit and encode"}),
    (SaysTheSameOfAll(), {"different texts differ"}),
    (StacksNothing(), {"no texts give no rows"}),
    (GivesEmptyTextAVector(), {"empty text is a vector of zeros"}),
    (CentresTheBatch(), {"batch equals single"}),
    (LearnsWhileEncoding(), {"vectors do not depend on earlier texts"}),
    (TripsOverLongText(), {"odd text is encoded too"}),
    (TakesOneText(), {"non-texts are refused"}),
]

# -- factorizers -------------------------------------------------------------------------------------------


class GivesDoubleItems(PairCounts):
    def item_vectors(self):
        return super().item_vectors().astype(np.float64)


class CentresTheHistories(PairCounts):
    def query_vectors(self, histories):
        queries = super().query_vectors(histories)
        return queries - queries.mean(axis=0) if len(queries) else queries


class DividesByHistory(PairCounts):
    def query_vectors(self, histories):
        with np.errstate(invalid="ignore"):
            queries = super().query_vectors(histories)
            return queries / queries.sum(axis=1, keepdims=True)


class NeedsEvents(PairCounts):
    def fit(self, interactions):
        super().fit(interactions)
        with np.errstate(invalid="ignore"):
            self.pairs_ = self.pairs_ / self.pairs_.max()
        return self


class ScoresAtRandom(PairCounts):
    def fit(self, interactions):
        super().fit(interactions)
        self.pairs_ = np.random.default_rng(3).normal(size=self.pairs_.shape).astype(np.float32)
        return self


class CountsOn(PairCounts):
    """Learns from events, rightly; the faults come below."""

    def partial_fit(self, interactions, events):
        self.pairs_ = self.pairs_.copy()
        rows = np.unique(events.item_rows)
        rows = rows[rows < len(self.pairs_)].astype(np.int32)
        self.pairs_[rows] += 1
        return rows


class MovesInSilence(CountsOn):
    def partial_fit(self, interactions, events):
        return super().partial_fit(interactions, events)[1:]


class TellsRowsUnsorted(CountsOn):
    def partial_fit(self, interactions, events):
        return super().partial_fit(interactions, events)[::-1]


class BreaksAfterNewItems(CountsOn):
    def partial_fit(self, interactions, events):
        rows = super().partial_fit(interactions, events)
        self.pairs_ = self.pairs_ if not len(events) else grown(self.pairs_, interactions.n_items)
        return rows

    def query_vectors(self, histories):
        queries = super().query_vectors(histories)
        return queries[:, :16] if len(self.pairs_) == 17 else queries


class ForgetsALittleEachTime(CountsOn):
    def partial_fit(self, interactions, events):
        super().partial_fit(interactions, events)
        self.pairs_ *= np.float32(0.5)
        return np.arange(len(self.pairs_), dtype=np.int32)


class HasNoUsers(PlainSVD):
    def fit(self, interactions):
        super().fit(interactions)
        self.user_vectors_ = self.user_vectors_[:-1].copy()
        return self


class FoldsInByHalf(PlainSVD):
    def query_vectors(self, histories):
        return super().query_vectors(histories) / 2


class FoldsItemsInAsZero(PlainSVD):
    def fold_in_items(self, audiences):
        return np.zeros((len(audiences), self.item_vectors_.shape[1]), dtype=np.float32)


class GivesOneTarget(PlainSVD):
    def targets(self, events):
        return np.ones(1, dtype=np.float32)


class ResizesWithNoise(PlainSVD):
    def resize(self, n_users, n_items):
        n_known = len(self.user_vectors_)
        super().resize(n_users, n_items)
        self.user_vectors_[n_known:] = 0.1


class SetsACopy(PlainSVD):
    def set_item_vectors(self, item_rows, vectors):
        self.item_vectors_.copy()[item_rows] = vectors


FACTORIZERS = [
    (CountsOn(), set()),
    (
        GivesDoubleItems(),
        {"vectors are float32 rows", "catalogue may have no events", "partial_fit tells what moved"},
    ),
    (CentresTheHistories(), {"batch equals single"}),
    (
        DividesByHistory(),
        {"vectors are float32 rows", "empty history has a vector", "partial_fit keeps it usable"},
    ),
    (NeedsEvents(), {"catalogue may have no events"}),
    (ScoresAtRandom(), {"held-out items score above others"}),
    (MovesInSilence(), {"partial_fit tells what moved"}),
    (TellsRowsUnsorted(), {"partial_fit tells what moved"}),
    (BreaksAfterNewItems(), {"partial_fit keeps it usable"}),
    (ForgetsALittleEachTime(), {"no events move nothing"}),
    (
        HasNoUsers(),
        {"there is a vector for everyone", "fold-in of items agrees with training"},
    ),
    (FoldsInByHalf(), {"fold-in agrees with training"}),
    (FoldsItemsInAsZero(), {"fold-in of items agrees with training"}),
    (GivesOneTarget(), {"targets and masks fit the vectors"}),
    (ResizesWithNoise(), {"resize adds rows of zeros"}),
    (SetsACopy(), {"set vectors are those read"}),
]

# -- fusers ------------------------------------------------------------------------------------------------


class FusesDoubles(BlockFuser):
    def fuse_items(self, views):
        return super().fuse_items(views).astype(np.float64)


class TakesTwoViews(BlockFuser):
    def fit(self, views, interactions):
        if len(views) < 2:
            raise ValueError("need at least one array to concatenate")
        return super().fit(views, interactions)


class TripsOverSparse(BlockFuser):
    def fit(self, views, interactions):
        self.first_ = [float(view.vectors.reshape(-1)[0]) for view in views]
        if any(sparse.issparse(view.vectors) for view in views):
            raise TypeError("sparse array length is ambiguous")
        return super().fit(views, interactions)


class NeedsUsers(BlockFuser):
    def fit(self, views, interactions):
        self.n_users_ = len(views[0].queries.support)
        return super().fit(views, interactions)


class DividesBySpread(BlockFuser):
    def fit(self, views, interactions):
        super().fit(views, interactions)
        self.spreads_ = [view.vectors[view.present].std() for view in views]
        return self

    def fuse_items(self, views):
        scaled = super().fuse_items(views)
        return np.ascontiguousarray(scaled / np.float32(np.min(self.spreads_)))


class ScalesByTheRowsGiven(BlockFuser):
    def fuse_items(self, views):
        fused = super().fuse_items(views)
        return fused / max(float(np.abs(fused).max(initial=0)), 1e-6) if len(fused) else fused


class TripsOverNoRows(BlockFuser):
    def fuse_queries(self, views):
        fused = super().fuse_queries(views)
        fused[0] *= 1
        return fused


class ReadsWhatIsNotThere(BlockFuser):
    def fuse_items(self, views):
        super().fuse_items(views)
        return np.hstack([view.vectors for view in views])


class FavoursTheFar(BlockFuser):
    def fuse_queries(self, views):
        return -super().fuse_queries(views)


class BlanksItsViews(BlockFuser):
    def fuse_items(self, views):
        for view in views:
            view.vectors[:1] = 0
        return super().fuse_items(views)


class BreaksWhenTuned(BlockFuser):
    def tune(self, views, seen, held_out):
        self.weights_ = np.full(len(views), 2.0)

    def fuse_items(self, views):
        return super().fuse_items(views) * getattr(self, "weights_", np.float32(1)).mean()


class TunesByChance(BlockFuser):
    def tune(self, views, seen, held_out):
        self.weight_ = np.float32(1 + np.random.default_rng().random())

    def fuse_items(self, views):
        return super().fuse_items(views) * getattr(self, "weight_", np.float32(1))


FUSERS = [
    (BreaksWhenTuned(), {"tune comes before fit"}),
    (TunesByChance(), {"tune comes before fit"}),
    (
        FusesDoubles(),
        {
            "any views are fused",
            "users are not needed",
            "a view may know nothing",
            "no rows give no rows",
            "tune comes before fit",
        },
    ),
    (TakesTwoViews(), {"any views are fused", "sparse views are fused or refused"}),
    (TripsOverSparse(), {"sparse views are fused or refused"}),
    (NeedsUsers(), {"users are not needed"}),
    (DividesBySpread(), {"a view may know nothing"}),
    (ScalesByTheRowsGiven(), {"some rows equal those of all"}),
    (TripsOverNoRows(), {"no rows give no rows"}),
    (ReadsWhatIsNotThere(), {"unsupported vectors have no say"}),
    (FavoursTheFar(), {"agreeing views agree fused"}),
    (BlanksItsViews(), {"inputs stay unchanged", "some rows equal those of all"}),
]

# -- rankers -----------------------------------------------------------------------------------------------


class GivesLongRows(SortingRanker):
    def rank(self, queries, k, exclude=None, allow=None):
        rows, scores = super().rank(queries, k, exclude, allow)
        return rows.astype(np.int64), scores


class PutsTheWorstFirst(SortingRanker):
    def rank(self, queries, k, exclude=None, allow=None):
        rows, scores = super().rank(queries, k, exclude, allow)
        full = (rows >= 0).all()
        return (rows[:, ::-1].copy(), scores[:, ::-1].copy()) if full and k == 10 else (rows, scores)


class RepeatsTheBest(SortingRanker):
    def rank(self, queries, k, exclude=None, allow=None):
        rows, scores = super().rank(queries, k, exclude, allow)
        if k == 10:
            rows[:, 1], scores[:, 1] = rows[:, 0], scores[:, 0]
        return rows, scores


class ScoresByListLength(SortingRanker):
    def rank(self, queries, k, exclude=None, allow=None):
        rows, scores = super().rank(queries, k, exclude, allow)
        return (rows, scores / np.float32(k)) if k > 4 and exclude is None else (rows, scores)


class InventsItems(SortingRanker):
    def rank(self, queries, k, exclude=None, allow=None):
        rows, scores = super().rank(queries, k, exclude, allow)
        missing = k - rows.shape[1]
        if missing < 40 or not len(rows):
            return rows, scores
        pads = ((0, 0), (0, missing))
        return np.pad(rows, pads), np.pad(scores, pads, constant_values=-9)


class IgnoresExclude(SortingRanker):
    def rank(self, queries, k, exclude=None, allow=None):
        n_left = len(self.items_) if hasattr(self, "items_") else 0
        few = exclude is not None and any(len(one) > n_left - 3 for one in exclude)
        return super().rank(queries, k, exclude if few or allow is not None else None, allow)


class FiltersAfterwards(SortingRanker):
    def rank(self, queries, k, exclude=None, allow=None):
        rows, scores = super().rank(queries, k, exclude)
        if allow is None:
            return rows, scores
        out = ~np.isin(rows, allow)
        rows[out], scores[out] = -1, -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


class FillsUpWithRowZero(SortingRanker):
    def rank(self, queries, k, exclude=None, allow=None):
        rows, scores = super().rank(queries, k, exclude, allow)
        return np.maximum(rows, 0), scores


class PutsLastRowsFirst(SortingRanker):
    def rank(self, queries, k, exclude=None, allow=None):
        rows, scores = super().rank(
            queries, len(self.items_) if hasattr(self, "items_") else k, exclude, allow
        )
        super().rank(queries, k)
        order = np.lexsort((-rows, -scores), axis=1)[:, :k]
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


class CentresTheQueries(SortingRanker):
    def rank(self, queries, k, exclude=None, allow=None):
        if len(queries):
            queries = queries - 0.5 * queries.mean(axis=0)
        return super().rank(queries, k, exclude, allow)


class TripsOverNoQueries(SortingRanker):
    def rank(self, queries, k, exclude=None, allow=None):
        if queries.shape[0] == 0:
            raise IndexError("list index out of range")
        return super().rank(queries, k, exclude, allow)


class ForgetsTheSparsePart(DotRanker):
    def score(self, queries, items):
        scores = super().score(queries, items)
        return scores / 2 if sparse.issparse(items) else scores


class TakesNaN(SortingRanker):
    def index(self, item_vectors):
        return super().index(np.nan_to_num(item_vectors, posinf=0))


class UpdatesUnindexed(SortingRanker):
    def update(self, rows, vectors):
        if hasattr(self, "items_"):
            super().update(rows, vectors)


class DropsNewItems(SortingRanker):
    def update(self, rows, vectors):
        n_items = len(self.items_) if hasattr(self, "items_") else 0
        super().update(rows, vectors)
        self.items_ = self.items_[:n_items]


RANKERS = [
    (GivesLongRows(), {"rows and scores match"}),
    (PutsTheWorstFirst(), {"best come first"}),
    (RepeatsTheBest(), {"best come first"}),
    (
        ScoresByListLength(),
        {"short list heads the long one", "excluded items stay out", "only allowed items come"},
    ),
    (InventsItems(), {"large k gives all items"}),
    (IgnoresExclude(), {"excluded items stay out"}),
    (FiltersAfterwards(), {"only allowed items come"}),
    (FillsUpWithRowZero(), {"short lists end in -1"}),
    (PutsLastRowsFirst(), {"equal scores are ordered by row"}),
    (CentresTheQueries(), {"batch equals single"}),
    (TripsOverNoQueries(), {"no queries give no lists"}),
    (ForgetsTheSparsePart(), {"matrix may be sparse or joined"}),
    (TakesNaN(), {"wrong input is refused"}),
    (UpdatesUnindexed(), {"update before index is refused"}),
    (DropsNewItems(), {"update equals index anew"}),
]

# -- updaters ----------------------------------------------------------------------------------------------


class MovesUntold(StepUpdater):
    def update(self, state, events):
        super().update(state, events)
        return np.empty(0, dtype=np.int32)


class TellsEachEvent(StepUpdater):
    def update(self, state, events):
        super().update(state, events)
        return events.item_rows


class MovesEverybody(StepUpdater):
    def update(self, state, events):
        if len(events):
            state.model.user_vectors_[:24, 0] += np.float32(0.01)
        return super().update(state, events)


class StepsBackwards(StepUpdater):
    def update(self, state, events):
        backwards = StepUpdater(rate=-self.rate)
        return backwards.update(state, events)


class SkipsTheNew(StepUpdater):
    def update(self, state, events):
        model = state.model
        users, items = (vectors.any(axis=1) for vectors in (model.user_vectors_, model.item_vectors_))
        return super().update(state, events.take(users[events.user_rows] & items[events.item_rows]))


class DividesByLength(StepUpdater):
    def update(self, state, events):
        rows = super().update(state, events)
        with np.errstate(invalid="ignore"):
            for user in events.user_rows:
                p = state.model.user_vectors_[user].copy()
                state.model.user_vectors_[user] = p * (np.linalg.norm(p) / np.linalg.norm(p))
        return rows


class ForgetsWithTime(StepUpdater):
    def update(self, state, events):
        super().update(state, events)
        state.model.item_vectors_[0, 0] *= np.float32(0.9)
        return np.unique(np.append(events.item_rows, 0)).astype(np.int32)


class ForgetsConstants(StepUpdater):
    def update(self, state, events):
        rows = super().update(state, events)
        users = np.unique(events.user_rows)
        state.model.set_user_vectors(users, state.model.user_vectors_[users] * np.float32(1.02))
        return rows


class CountsItsCalls(StepUpdater):
    def update(self, state, events):
        self._calls = getattr(self, "_calls", 0) + 1
        return StepUpdater(rate=self.rate / self._calls).update(state, events)


class ChangesTheEvents(StepUpdater):
    def update(self, state, events):
        rows = super().update(state, events)
        events.weights[:] = 0
        return rows


UPDATERS = [
    (MovesUntold(), {"moved rows are told"}),
    (TellsEachEvent(), {"moved rows are told", "ratings are learned too"}),
    (MovesEverybody(), {"other users stay"}),
    (StepsBackwards(), {"score of the event rises", "many events in a row stay finite"}),
    (SkipsTheNew(), {"new users and items are taken in"}),
    (DividesByLength(), {"new user and new item may meet"}),
    (ForgetsWithTime(), {"no events move nothing"}),
    (ForgetsConstants(), {"ratings are learned too"}),
    (StepUpdater(rate=10.0), {"many events in a row stay finite"}),
    (CountsItsCalls(), {"replay gives the same vectors", "clone is equal and independent"}),
    (ChangesTheEvents(), {"inputs stay unchanged"}),
]

WRONG = [*ANY_ROLE, *TOKENIZERS, *ENCODERS, *FACTORIZERS, *FUSERS, *RANKERS, *UPDATERS]
