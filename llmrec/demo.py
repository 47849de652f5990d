"""The demo: real films, real ratings, a real language model; what changes one event later."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np

from llmrec.compilation import warmup
from llmrec.datasets import load_movietweetings
from llmrec.encoders import TfidfEncoder
from llmrec.errors import LLMRecError
from llmrec.evaluation import ndcg_at_k, recall_at_k, split_by_time
from llmrec.factorizers import ItemKNN, Popularity
from llmrec.interactions import Interactions
from llmrec.recommendations import Recommendations
from llmrec.recommender import Recommender
from llmrec.registry import available, resolve
from llmrec.views import TextView

__all__ = ["main"]

_K = 20
_NEW_FILM = ("new-film", "Interstellar Silence (2013). Sci-Fi, Drama, Adventure")

T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m llmrec.demo", description=__doc__)
    parser.add_argument(
        "--encoder",
        default="minilm",
        help="minilm (a sentence model, installed as a package), gpt2 (where a hub can be reached), "
        f"tfidf (no model); all names: {', '.join(available('encoder'))}",
    )
    options = parser.parse_args(arguments)
    try:
        _run(options.encoder)
    except LLMRecError as error:
        print(f"\nThe demo stopped: {error}")
        return 1
    return 0


def _run(encoder: str) -> None:
    films = load_movietweetings()
    events = Interactions.from_table(films.interactions)
    before, after = split_by_time(events, days=14)
    titles = {
        str(item): str(text) for item, text in zip(films.items["item"], films.items["text"], strict=True)
    }
    print("MovieTweetings: people who tweeted how they rated a film, from March to September 2013.")
    print(
        f"We learn from {before.n_events:,} ratings by {before.n_users:,} people of {before.n_items:,} films,"
    )
    print(f"and are judged by the {after.n_events:,} ratings of the two weeks after.\n")

    rec = _fitted(encoder, before, films.items)
    _compare(rec, before, after)
    _one_event_later(rec, before, titles)


def _fitted(encoder: str, before: Interactions, items: Any) -> Recommender:
    views = [TextView(TfidfEncoder(), metric="cosine", name="words")]
    if encoder != "tfidf":
        print(f"1. A language model ({encoder}) reads the title, year and genres of each film …")
        views.append(TextView(resolve("encoder", encoder), metric="ridge", name=encoder))
    else:
        print("1. TF-IDF counts the words of the title, year and genres of each film …")
    warmup()  # as a service does before its first request
    rec, seconds = _timed(lambda: Recommender(encoder=views).fit(before, items=items))
    print(f"   … ALS and item neighbours read the ratings, and the blend is learned: {seconds:.1f} s.")
    print("   How much each view counts, learned from the last tenth of what we may see:")
    for name, weight in rec.fuser_.weights_.items():
        print(f"     {name:<12} {weight:4.2f}  {'█' * round(20 * weight)}")
    return rec


def _compare(rec: Recommender, before: Interactions, after: Interactions) -> None:
    print(f"\n2. The two weeks after: how much of what people rated is among our {_K} films?")
    print("   (recall@20: the share found; NDCG@20: the same, with a hit at the top counting most)\n")
    rivals = {
        "popular, all time": Recommender(encoder=None, factorizer=Popularity(half_life=None), fuser="concat"),
        "popular now": Recommender(encoder=None, factorizer=Popularity(), fuser="concat"),
        "item-kNN": Recommender(encoder=None, factorizer=ItemKNN(), fuser="concat"),
    }
    print(f"     {'':<20}{'recall@20':>10}{'NDCG@20':>10}{'ms a person':>13}")
    for name, rival in rivals.items():
        _print_row(name, rival.fit(before), before, after)
    _print_row("llmrec", rec, before, after)
    print("   These weeks are hard: what is new rules them, so popularity with a short memory is the bar.")


def _print_row(name: str, rec: Recommender, before: Interactions, after: Interactions) -> None:
    truth = _new_items_by_user(before, after)
    answers, seconds = _timed(lambda: rec.recommend(list(truth), k=_K))
    recall = np.mean([recall_at_k(one.items, truth[one.user], _K) for one in answers])
    ndcg = np.mean([ndcg_at_k(one.items, truth[one.user], _K) for one in answers])
    print(f"     {name:<20}{recall:>10.4f}{ndcg:>10.4f}{1000 * seconds / len(truth):>13.2f}")


def _new_items_by_user(before: Interactions, after: Interactions) -> dict[Hashable, set[Hashable]]:
    """Return what each known or new person rated afterwards for the first time."""
    seen: dict[Hashable, set[Hashable]] = {}
    found: dict[Hashable, set[Hashable]] = {}
    for events, kept in ((before, seen), (after, found)):
        for user, item in zip(
            events.events.user_rows.tolist(), events.events.item_rows.tolist(), strict=True
        ):
            kept.setdefault(events.users[user], set()).add(events.items[item])
    new = {user: items - seen.get(user, set()) for user, items in found.items()}
    return {user: items for user, items in new.items() if items}


def _one_event_later(rec: Recommender, before: Interactions, titles: dict[str, str]) -> None:
    user, film = _somebody(rec, before)
    rec.recommend(user, k=5)
    first, asked = _timed(lambda: rec.recommend(user, k=5))
    n_films = int(before.user_counts[before.users.row(user)])
    print(f"\n3. Person {user} has rated {n_films} films. For them, in {_ms(asked)}:")
    _print_list(first, titles)

    print(f"\n4. One event: they now rate {titles[str(film)]!r} a 9. The next request:")
    _, learned = _timed(lambda: rec.partial_fit([(user, film, 9)]))
    second, asked = _timed(lambda: rec.recommend(user, k=5))
    _print_list(second, titles, first)
    print(f"   learned in {_ms(learned)}, answered in {_ms(asked)}")

    new, text = _NEW_FILM
    print(f"\n5. A brand-new film that nobody has rated, known by its text alone: {text!r}")
    _, learned = _timed(lambda: rec.partial_fit(items=[_NEW_FILM]))
    titles = {**titles, new: text}
    found, asked = _timed(lambda: rec.search("interstellar science fiction", k=3))
    _print_list(found, titles)
    print(f"   read and indexed in {_ms(learned)}, found by its words in {_ms(asked)}")
    print("   What is like it:")
    _print_list(rec.similar_items(new, k=3), titles)


def _somebody(rec: Recommender, before: Interactions) -> tuple[Hashable, Hashable]:
    """Return a person with some history, and a film that they are recommended but have not rated."""
    row = int(np.argmin(np.abs(before.user_counts - 30)))
    user = before.users[row]
    return user, rec.recommend(user, k=3).items[2]


def _print_list(
    answer: Recommendations, titles: dict[str, str], earlier: Recommendations | None = None
) -> None:
    for place, (item, _) in enumerate(answer, start=1):
        mark = "" if earlier is None else _change(item, place, earlier)
        print(f"     {place}. {titles.get(str(item), str(item))[:66]:<66} {mark}")


def _change(item: Hashable, place: int, earlier: Recommendations) -> str:
    if item not in earlier:
        return "new in the list"
    rise = earlier.items.index(item) + 1 - place
    return "" if rise == 0 else f"{'up' if rise > 0 else 'down'} {abs(rise)}"


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


if __name__ == "__main__":
    raise SystemExit(main())
