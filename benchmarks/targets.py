"""Tables by published protocols: each names its data set, its split and its metrics; one command a table.

    LLMREC_DATA=... python benchmarks/targets.py gowalla --json benchmarks/targets/gowalla.json

``--only default`` runs some rows; with ``--json`` the other rows of that file stay in the table, and with
``--results benchmarks/RESULTS.md`` the table takes its place there. ``--only`` without a name runs nothing
and prints what there is. ``--validation`` judges on a part split off the training part in the same way, which
is where settings are chosen.

Systems have the library's defaults unless their name says otherwise. ± is half the 95 % bootstrap interval
over users, of several seeds the mean of theirs.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

import llmrec
from llmrec import (
    EASE,
    ALSFactorizer,
    ConcatFuser,
    GraphFilter,
    ItemKNN,
    LinearAutoencoder,
    NewItemsRanker,
    Popularity,
    Recent,
    Recommender,
    SequenceRules,
    SparseEASE,
    SVDFactorizer,
    TextView,
    TfidfEncoder,
    UserKNN,
)
from llmrec.datasets import load_dataset, load_movietweetings
from llmrec.datasets.folder import available_datasets
from llmrec.errors import LLMRecError
from llmrec.evaluation import (
    Metric,
    RankedLists,
    Split,
    compare,
    leave_one_out,
    ndcg,
    rmse,
    split_by_time,
    split_cold_items,
    split_users_at_random,
    split_users_by_time,
)
from llmrec.evaluation.background import Background
from llmrec.interactions import Interactions, rows_of_events
from llmrec.tables import read_events

SEEDS = (0, 1, 2)
FILM = "{title} {genres} {text}"
LEVELS = (0, 1, 2, 5, 10)
HALF_LIVES = (None, 90, 30, 14, 7, 4, 2, 1)
# Rows of a table that run only when --only names them.
TOO_LONG: dict[str, tuple[str, ...]] = {}

Row = dict[str, Any]
Systems = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """One protocol on one data set: who takes part, and how each is judged."""

    name: str
    protocol: str
    systems: Systems
    judge: Callable[[Any], Row]


@dataclass(frozen=True)
class Part:
    """One split to judge by, and how its users are asked."""

    split: Split
    metrics: Sequence[str | Metric]
    candidates: list[Any] | None = None
    later: Interactions | None = None


@dataclass
class Asked:
    """A recommender that ranks some items only, or that learns after the fit what users met meanwhile."""

    recommender: Recommender
    candidates: list[Any] | None
    later: Interactions | None

    def fit(self, interactions: Interactions, items: Any = None) -> Asked:
        # Without an updater all users are asked about by their history, and nothing else moves.
        self.recommender.set_params(updater=None).fit(interactions, items=items)
        if self.later is not None:
            known = self.recommender.interactions_
            read = read_events(list(pairs(self.later)))
            known.append(rows_of_events(read, known.users, known.items))
        return self

    def recommend(self, users: list[Any], k: int) -> Any:
        return self.recommender.recommend(users, k, candidates=self.candidates)


# -- protocols ---------------------------------------------------------------------------------------------


def ml_100k(validation: bool) -> Iterator[Table]:
    data = load_dataset("ml-100k")
    metrics = ["ndcg@10", "recall@10", "precision@10"]
    splits = [partial(split_users_at_random, share=0.25, random_state=seed) for seed in SEEDS]
    parts = [Part(inner(data.interactions, split, validation), metrics) for split in splits]
    protocol = "a random quarter of each user's ratings held out, all ratings positive; mean of 3 seeds"
    systems = {
        **with_text(autoencoder=True),
        "ALS, ratings as weights": single(ALSFactorizer(rating_exponent=0.5)),
        "EASE, ratings as weights": single(EASE(rating_exponent=0.5)),
    }
    yield ranking("ml-100k", protocol, parts, data.items, systems, FILM)


def ml_100k_last(validation: bool) -> Iterator[Table]:
    data = load_dataset("ml-100k")
    part = Part(inner(data.interactions, leave_one_out, validation), ["hit_rate@10", "ndcg@10"])
    systems = {
        **with_text(timed=True),
        "sequence rules": single(SequenceRules()),
        "item-kNN, recent": single(Recent(ItemKNN())),
        "default, sets": Recommender(histories="sets"),
        "default, sequences": Recommender(histories="sequences"),
    }
    yield ranking("ml-100k-last", "the last rating of each user held out", [part], data.items, systems, FILM)


def gowalla(validation: bool) -> Iterator[Table]:
    data = load_dataset("gowalla")
    split = given(data, "train", "test")
    if validation:
        split = split_users_at_random(split.train, share=0.2)
    part = Part(split, ["recall@20", "ndcg@20"])
    yield ranking("gowalla", "the split of LightGCN, no text", [part], data.items, behaviour())


def amazon_beauty(validation: bool) -> Iterator[Table]:
    data = load_dataset("amazon-beauty")
    events = data.interactions.sort_values(["user", "position"], kind="stable")
    outer = leave_one_out(events)
    outer = leave_one_out(outer.train) if validation else outer
    earlier, last = leave_one_out(outer.train)
    metrics = ["hit_rate@10", "ndcg@10"]
    systems = {
        **with_text(),
        "sequence rules": single(SequenceRules()),
        "item-kNN, recent": single(Recent(ItemKNN())),
        "sequence rules + item-kNN, recent": Recommender(
            encoder=None, factorizer=[SequenceRules(), Recent(ItemKNN())], fuser="concat"
        ),
    }
    ways = {
        "fitted without the last but one item of each user, which joins the history at test time": Part(
            Split(earlier, outer.test), metrics, later=last
        ),
        "fitted with the last but one item of each user": Part(outer, metrics),
    }
    for name, (way, part) in zip(("amazon-beauty", "amazon-beauty, refitted"), ways.items(), strict=True):
        yield ranking(
            name, f"the last item of each user held out; {way}", [part], data.items, systems, "{title}"
        )


def citeulike_a_p10(validation: bool) -> Iterator[Table]:
    data = load_dataset("citeulike-a")
    split = given(data, "train_p10", "test_p10")
    if validation:
        split = split_users_at_random(split.train, share=0.2)
    part = Part(split, ["recall@100"])
    protocol = "10 events of each user to learn from, the rest held out; users' tags of a paper are its text"
    yield ranking("citeulike-a-p10", protocol, [part], data.items, {**with_text(), **with_content()})


def citeulike_a_cold(validation: bool) -> Iterator[Table]:
    data = load_dataset("citeulike-a")
    split = given(data, "train_cold", "test_cold")
    cold = data.splits["cold_test_items"]["item"].tolist()
    if validation:
        split = split_cold_items(split.train, share=0.2)
        cold = list(split.test.items)
    part = Part(split, ["recall@100", "recall@20"], candidates=cold)
    systems = {"text only": Recommender(factorizer=None), **with_content()}
    protocol = f"{len(cold):,} items without an event, ranked among themselves; users' tags are the text"
    yield ranking("citeulike-a-cold", protocol, [part], data.items, systems)


def ml_latest_small(validation: bool, name: str = "ml-latest-small") -> Iterator[Table]:
    data = load_dataset(name)
    part = Part(inner(data.interactions, split_users_by_time, validation), ["ndcg@20", "recall@20"])
    systems = with_text(autoencoder=True, timed=True)
    yield ranking(name, "the last fifth of each user's ratings held out", [part], data.items, systems, FILM)


def ml_latest_small_cold(validation: bool) -> Iterator[Table]:
    data = load_dataset("ml-latest-small")
    split = inner(data.interactions, split_users_by_time, validation)
    systems = {
        "popularity": single(Popularity(half_life=None)),
        "ALS": single(ALSFactorizer()),
        "text only": Recommender(factorizer=None),
        "behaviour only": Recommender(encoder=None),
        "default, a fifth of the places for items without events": Recommender(
            ranker=NewItemsRanker(share=0.2, max_events=0)
        ),
    }
    protocol = (
        "the last fifth of each user's ratings held out; a random fifth of the items with 10 or more events "
        "to learn from keeps 0, 1, 2, 5 or 10 of them; all items ranked, NDCG@20 of the held-out events "
        "with items of one such number; mean of 3 seeds"
    )
    parts = [cold_part(split, seed) for seed in SEEDS]
    yield ranking("ml-latest-small-cold", protocol, parts, data.items, systems, FILM)


def movietweetings(validation: bool) -> Iterator[Table]:
    sets = {"movietweetings, sample": load_movietweetings()}
    if os.environ.get("LLMREC_DATA") and "movietweetings" in available_datasets():
        sets["movietweetings"] = load_dataset("movietweetings")
    popular = {
        "popularity" if days is None else f"popularity, half-life {days} d": single(Popularity(days))
        for days in HALF_LIVES
    }
    for name, data in sets.items():
        part = Part(inner(data.interactions, partial(split_by_time, days=14), validation), ["ndcg@20"])
        systems = {**popular, **with_text(timed=True)}
        yield ranking(name, "the last two weeks held out", [part], data.items, systems)


def ratings(validation: bool) -> Iterator[Table]:
    events = Interactions.from_table(load_dataset("ml-100k").interactions)
    folds = rating_folds(events, validation)
    systems = {
        "SVD": SVDFactorizer(feedback="explicit"),
        "SVD, 10 factors": SVDFactorizer(10, feedback="explicit"),
        "ALS": ALSFactorizer(feedback="explicit"),
        "ALS, regularization 0.1": ALSFactorizer(feedback="explicit", regularization=0.1),
        "ALS, regularization 1.5, frequency exponent 0.5": ALSFactorizer(
            feedback="explicit", regularization=1.5, frequency_exponent=0.5
        ),
    }
    protocol = "RMSE of ratings, five random folds"
    yield Table("ratings", protocol, systems, partial(judge_ratings, events, folds))


PROTOCOLS = {
    "ml-100k": ml_100k,
    "ml-100k-last": ml_100k_last,
    "gowalla": gowalla,
    "amazon-beauty": amazon_beauty,
    "citeulike-a-p10": citeulike_a_p10,
    "citeulike-a-cold": citeulike_a_cold,
    "ml-latest-small": ml_latest_small,
    "ml-latest-small-zh": partial(ml_latest_small, name="ml-latest-small-zh"),
    "ml-latest-small-cold": ml_latest_small_cold,
    "movietweetings": movietweetings,
    "ratings": ratings,
}


# -- systems -----------------------------------------------------------------------------------------------


def single(factorizer: Any) -> Recommender:
    return Recommender(encoder=None, factorizer=factorizer, fuser="concat")


def behaviour(*, autoencoder: bool = False, timed: bool = False) -> Systems:
    """Return a recommender for each way to read behaviour."""
    systems = {
        "popularity": single(Popularity(half_life=None)),
        "item-kNN": single(ItemKNN()),
        "user-kNN": single(UserKNN()),
        "EASE": single(EASE()),
        "sparse EASE": single(SparseEASE()),
        "graph filter": single(GraphFilter()),
        "ALS": single(ALSFactorizer()),
    }
    if timed:
        systems["popularity, half-life chosen"] = single(Popularity())
    if autoencoder:
        systems["linear autoencoder"] = single(LinearAutoencoder())
    return systems


def with_text(**options: bool) -> Systems:
    return {**behaviour(**options), "text only": Recommender(factorizer=None)}


def with_content() -> Systems:
    """Return factorizers that read texts themselves, without the text views beside them."""
    factorizers = {
        "user-kNN, content weight 0.1": UserKNN(content_weight=0.1),
        "EASE, content weight 1": EASE(content_weight=1.0),
        "ALS, content prior 1": ALSFactorizer(content_prior=1.0),
    }
    topics = TextView(TfidfEncoder(components=500), name="topics")
    alone = ConcatFuser({"topics": 0.0})
    return {
        name: Recommender(encoder=topics, factorizer=one, fuser=alone) for name, one in factorizers.items()
    }


# -- parts -------------------------------------------------------------------------------------------------


def inner(events: Any, split: Callable[[Any], Split], validation: bool) -> Split:
    outer = split(events)
    return split(outer.train) if validation else outer


def given(data: Any, train: str, test: str) -> Split:
    return Split.from_tables(data.splits[train], data.splits[test])


def pairs(interactions: Interactions) -> Iterator[tuple[Any, Any]]:
    events = interactions.events
    for user, item in zip(events.user_rows.tolist(), events.item_rows.tolist(), strict=True):
        yield interactions.users[user], interactions.items[item]


def cold_part(split: Split, seed: int) -> Part:
    """Take most events of some items away, and measure items of each remaining number apart."""
    train, random = split.train, np.random.default_rng(seed)
    often = np.flatnonzero(train.item_counts >= 10)
    drawn = random.choice(often, size=len(often) // 5, replace=False)
    levels = np.resize(LEVELS, len(drawn))
    kept = np.ones(train.n_events, dtype=np.bool_)
    for row, level in zip(drawn.tolist(), levels.tolist(), strict=True):
        events = np.flatnonzero(train.events.item_rows == row)
        kept[random.permutation(events)[level:]] = False
    metrics: list[str | Metric] = ["ndcg@20"]
    for level in LEVELS:
        wanted = {train.items[row] for row in drawn[levels == level].tolist()}
        metrics.append(Metric(f"{level} events", partial(ndcg_of, wanted), k=20))
    return Part(Split(train.subset(kept), split.test), metrics)


def ndcg_of(wanted: set[Any], lists: RankedLists, known: Background) -> Any:
    """Return NDCG@20 with just the wanted items relevant; NaN for a user who met none of them."""
    is_wanted = np.array([one in wanted for one in known.items])
    relevant = lists.relevant.copy()
    relevant.data *= is_wanted[relevant.indices]
    relevant.eliminate_zeros()
    judged = np.flatnonzero(np.diff(relevant.indptr))
    values = np.full(len(lists), np.nan)
    values[judged] = ndcg(RankedLists(lists.items[judged], relevant[judged]), 20)
    return values


def rating_folds(events: Interactions, validation: bool) -> list[tuple[Any, Any]]:
    """Return the events to learn from and those to be judged by, as positions, of each fold."""
    fold_of = np.random.default_rng(0).permutation(events.n_events) % 5
    folds = [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(5)]
    if not validation:
        return folds
    parts = [np.split(np.random.default_rng(1).permutation(train), [len(train) // 5]) for train, _ in folds]
    return [(np.sort(learned), np.sort(held_out)) for held_out, learned in parts]


# -- judging -----------------------------------------------------------------------------------------------


def ranking(
    name: str, protocol: str, parts: list[Part], items: Any, systems: Systems, template: str | None = None
) -> Table:
    """Return the table of a ranking protocol, the default recommender below all others."""
    systems = {**systems, "default": Recommender()}
    for one in systems.values():
        one.set_params(text_template=template)
    train, test = parts[0].split.train, parts[0].split.test
    sizes = f"{train.n_events:,} events to learn from, {test.n_events:,} held out"
    return Table(name, f"{protocol}. {sizes}", systems, partial(judge_lists, parts, items))


def judge_lists(parts: list[Part], items: Any, system: Recommender) -> Row:
    values, margins, fits, requests = [], [], [], []
    for part in parts:
        special = part.candidates is not None or part.later is not None
        one = Asked(system, part.candidates, part.later) if special else system
        found = compare({"it": one}, part.split, part.metrics, items=items)
        values.append(found.values[0])
        margins.append((found.high[0] - found.low[0]) / 2)
        fits.append(found.costs["it"].fit_seconds)
        requests.append(found.costs["it"].request_ms)
    names = [metric if isinstance(metric, str) else metric.name for metric in parts[0].metrics]
    return {
        "metrics": dict(zip(names, np.mean(values, axis=0).tolist(), strict=True)),
        "margins": dict(zip(names, np.mean(margins, axis=0).tolist(), strict=True)),
        "fit_seconds": float(np.mean(fits)),
        "request_ms": float(np.mean(requests)),
    }


def judge_ratings(events: Interactions, folds: list[tuple[Any, Any]], system: Any) -> Row:
    all_ratings, errors, start = events.events.ratings, [], time.perf_counter()
    for train, test in folds:
        model = clone(system).fit(events.subset(train))
        users, items = events.events.user_rows[test], events.events.item_rows[test]
        predicted = np.einsum("nd,nd->n", model.user_vectors_[users], model.item_vectors_[items])
        errors.append(rmse(np.clip(predicted, 1, 5), all_ratings[test]))
    return {
        "metrics": {"rmse": float(np.mean(errors))},
        "margins": {"rmse": float(1.96 * np.std(errors, ddof=1) / np.sqrt(len(errors)))},
        "fit_seconds": (time.perf_counter() - start) / len(folds),
    }


# -- tables ------------------------------------------------------------------------------------------------


def run(table: Table, options: argparse.Namespace, rows: dict[str, Row], keep: Callable[[], None]) -> None:
    """Fill in the rows asked for, and keep all after each."""
    wanted = table.systems if options.only is None else options.only
    for name, system in table.systems.items():
        if options.only is None and name in TOO_LONG.get(table.name, ()):
            rows[name] = {"why_not": "it takes more than five minutes"}
        elif name in wanted and name not in options.skip:
            print(f"{table.name}: {name}", file=sys.stderr, flush=True)
            rows[name] = timed_row(table, system)
        keep()


def timed_row(table: Table, system: Any) -> Row:
    start = time.perf_counter()
    try:
        row = table.judge(system)
    except LLMRecError as error:
        row = {"why_not": str(error).rstrip(".")}
    row |= {
        "seconds": time.perf_counter() - start,
        "load": os.getloadavg()[0],
        "date": dt.date.today().isoformat(),
        "versions": {name: version(name) for name in ("llmrec", "numpy", "scipy", "scikit-learn")},
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    return row


def as_markdown(table: Table, rows: dict[str, Row]) -> str:
    rows = {name: rows[name] for name in table.systems if name in rows}
    done = {name: row for name, row in rows.items() if "metrics" in row}
    names = list(next(iter(done.values()))["metrics"]) if done else []
    lines = [f"**{table.name}**: {table.protocol}.", conditions(list(done.values())), ""]
    lines.append(f"| system | {' | '.join([*names, 'fit, s', 'ms a request'])} |")
    lines.append("|---|" + "---:|" * (len(names) + 2))
    for name, row in done.items():
        cells = [f"{row['metrics'][one]:.4f} ± {row['margins'][one]:.4f}" for one in names]
        request = f"{row['request_ms']:.1f}" if "request_ms" in row else ""
        lines.append(f"| {' | '.join([name, *cells, format(row['fit_seconds'], '.1f'), request])} |")
    lines += [f"\nNo row for {name}: {row['why_not']}." for name, row in rows.items() if "why_not" in row]
    return "\n".join(lines)


def conditions(rows: list[Row]) -> str:
    """Say when, on what and beside how much else the rows were made."""
    if not rows:
        return ""
    last = max(rows, key=lambda row: row["date"])
    dates = dict.fromkeys([min(row["date"] for row in rows), last["date"]])
    loads = [row["load"] for row in rows]
    versions = ", ".join(f"{name} {number}" for name, number in last["versions"].items())
    return (
        f"{' to '.join(dates)}; {versions}, Python {last['python']}; "
        f"{last['cores']} cores, load {min(loads):.1f} to {max(loads):.1f}."
    )


def replace_section(path: Path, name: str, text: str) -> None:
    """Put text between the marks of ``name``; behind all else, if there are none yet."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    old = path.read_text(encoding="utf-8")
    new = f"{begin}\n{text}\n{end}"
    marked = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    found = marked.sub(lambda _: new, old) if marked.search(old) else f"{old.rstrip()}\n\n{new}\n"
    path.write_text(found, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=list(PROTOCOLS))
    parser.add_argument("--only", nargs="*", metavar="NAME", help="run these rows alone; with no name, none")
    parser.add_argument("--skip", nargs="+", default=[], metavar="NAME", help="leave these rows as they are")
    parser.add_argument("--validation", action="store_true", help="judge on a part of the training part")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep rows here, and take up those there")
    parser.add_argument("--results", type=Path, metavar="FILE", help="a Markdown file to put the table into")
    options = parser.parse_args(arguments)
    llmrec.show_progress(False)
    kept = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    rows = kept.setdefault("validation" if options.validation else "test", {})
    for table in PROTOCOLS[options.table](options.validation):
        unknown = {*(options.only or []), *options.skip} - set(table.systems)
        if unknown:
            parser.error(f"no row {sorted(unknown)} in {table.name}; there are {list(table.systems)}")
        run(table, options, rows.setdefault(table.name, {}), partial(save, options.json, kept))
        text = as_markdown(table, rows[table.name])
        print(f"{text}\n", flush=True)
        if options.results:
            replace_section(options.results, table.name, text)


def save(path: Path | None, kept: dict[str, Any]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
