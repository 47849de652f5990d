"""What the known data sets are, their terms, and whom to cite."""

from __future__ import annotations

__all__ = ["MOVIELENS_TERMS", "describe"]

MOVIELENS_TERMS = """\
Licence: GroupLens Research, University of Minnesota, allows research use. No commercial use without their
permission, no statement or implication that they endorse you; redistribution only where the README of the
release allows it, and under the same terms. llmrec does not redistribute MovieLens.
Cite: F. M. Harper, J. A. Konstan: "The MovieLens Datasets: History and Context". ACM Transactions on
Interactive Intelligent Systems 5(4), 2015."""

_FILM_TEXT_TERMS = """\
Item text: overviews of The Movie Database (TMDB) and, for older films, plots of IMDb, where
`text_source` says so; personal, non-commercial use. This product uses TMDB data but is not endorsed or
certified by TMDB."""

_DESCRIPTIONS = {
    "ml-100k": f"""\
MovieLens 100K: ratings 1 to 5 of films in English, with age, gender and occupation of the users.
{MOVIELENS_TERMS}
{_FILM_TEXT_TERMS}""",
    "ml-latest-small": f"""\
MovieLens latest-small (9/2018): ratings 0.5 to 5 of films in English, and the tags that users gave.
{MOVIELENS_TERMS}
{_FILM_TEXT_TERMS}""",
    "ml-latest-small-zh": f"""\
The ratings of MovieLens latest-small of those films for which a description in Chinese is known. The
raters are users of MovieLens. `matched_by` says how a film was matched; no published benchmark.
{MOVIELENS_TERMS}
Item text: pages of Douban Movie; the rights stay with Douban and the authors. Research use, do not
redistribute.""",
    "citeulike-a": """\
CiteULike-a: scientific papers saved in users' libraries. The text of a paper is the tags it was given;
there are no titles or abstracts. Splits: cold and warm items, and 1 or 10 training items a user.
Licence: research use.
Cite: C. Wang, D. M. Blei: "Collaborative Topic Modeling for Recommending Scientific Articles". KDD 2011;
H. Wang, B. Chen, W.-J. Li: "Collaborative Topic Regression with Social Regularization for Tag
Recommendation". IJCAI 2013.""",
    "gowalla": """\
Gowalla: check-ins at places, the 10-core with the split that graph models are usually compared on.
There is no item text.
Licence: research use.
Cite: E. Cho, S. A. Myers, J. Leskovec: "Friendship and Mobility". KDD 2011; X. Wang, X. He, M. Wang,
F. Feng, T.-S. Chua: "Neural Graph Collaborative Filtering". SIGIR 2019.""",
    "amazon-beauty": """\
Amazon reviews of 2014, category Beauty, 5-core: what each user reviewed, in their order (`position`), and
the titles of the products. The last item of each user is commonly the test, the last but one validation.
Licence: research use; none is stated.
Cite: J. McAuley, C. Targett, Q. Shi, A. van den Hengel: "Image-based Recommendations on Styles and
Substitutes". SIGIR 2015.""",
    "movietweetings": """\
MovieTweetings, the 100K snapshot: ratings 0 to 10 that people posted on Twitter in 2013, with title, year
and genres of the films. Item ids are IMDb ids; user ids are random numbers.
Licence: MIT, Copyright (c) 2013 Simon Dooms.
Cite: S. Dooms, T. De Pessemier, L. Martens: "MovieTweetings: a Movie Rating Dataset Collected From
Twitter". CrowdRec workshop at RecSys 2013.""",
}


def describe(name: str) -> str:
    """Return what is known of a data set; of an unknown one, that its terms are not known.

    Examples
    --------
    >>> describe("gowalla").splitlines()[0]
    'Gowalla: check-ins at places, the 10-core with the split that graph models are usually compared on.'
    """
    return _DESCRIPTIONS.get(
        name, f"{name}: a data set that llmrec knows nothing of; ask its owner for terms."
    )
