"""Parameters by path: ``"factorizer__0__factors"`` is the width of the first factorizer."""

from __future__ import annotations

from typing import Any

from llmrec.errors import ParameterError, nearest
from llmrec.registry import available, resolve

__all__ = ["set_parameter"]

_ROLES = ("tokenizer", "encoder", "factorizer", "fuser", "ranker", "updater")


def set_parameter(component: Any, path: str, value: Any) -> None:
    """Set a parameter of a component, or of one inside it, in place.

    Beside what ``set_params`` of scikit-learn does, a path leads through lists, by place or by name, and
    through components that are given by name.

    Raises
    ------
    ParameterError
        If the path leads nowhere; the message says the nearest name.

    Examples
    --------
    >>> from llmrec import Recommender
    >>> rec = Recommender(factorizer=["als", "popularity"])
    >>> set_parameter(rec, "factorizer__als__factors", 16)
    >>> rec.factorizer[0].factors, rec.factorizer[1]
    (16, 'popularity')
    """
    name, _, rest = path.partition("__")
    if not hasattr(component, "get_params"):
        raise ParameterError(
            f"the path ends at {path!r}: {component!r} is no component, so it has no parameters."
        )
    known = component.get_params(deep=False)
    if name not in known:
        raise ParameterError(
            f"{type(component).__name__} has no parameter {name!r}; it has {', '.join(known) or 'none'}."
            f"{nearest(name, known)}"
        )
    component.set_params(**{name: _changed(name, known[name], rest, value) if rest else value})


def _changed(role: str, inner: Any, path: str, value: Any) -> Any:
    """Return ``inner`` with a parameter below it set."""
    if isinstance(inner, list | tuple):
        place_or_name, _, rest = path.partition("__")
        place = _place(role, inner, place_or_name)
        members = list(inner)
        members[place] = _changed(role, members[place], rest, value) if rest else value
        return type(inner)(members)
    if isinstance(inner, str) and role in _ROLES and inner in available(role):
        inner = resolve(role, inner)
    set_parameter(inner, path, value)
    return inner


def _place(role: str, members: Any, place_or_name: str) -> int:
    names = [member if isinstance(member, str) else str(place) for place, member in enumerate(members)]
    if place_or_name.isdigit() and int(place_or_name) < len(members):
        return int(place_or_name)
    if place_or_name not in names:
        raise ParameterError(
            f"{role} is a list of {len(members)}; {place_or_name!r} is none of its places "
            f"(0 to {len(members) - 1}) or names.{nearest(place_or_name, names)}"
        )
    return names.index(place_or_name)
