"""Which classes a model folder may name, and how a name becomes a class: trust first, import second."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llmrec.errors import ComponentError, ModelFileError, ParameterError, UntrustedComponentError, nearest

__all__ = ["check_trust", "class_name", "is_ours", "resolve_classes"]


def class_name(cls: type) -> str:
    """Return ``"module:Class"``, the name a model folder gives to a class.

    Raises
    ------
    ComponentError
        If loading could not find the class under that name: it is defined inside a function, or another
        object has taken its name.
    """
    name = _name(cls)
    if "<locals>" in name:
        raise ComponentError(
            f"its class {cls.__qualname__} is defined inside a function, where loading cannot find it; "
            "move the class to the top of a module"
        )
    if _attribute(sys.modules.get(cls.__module__), cls.__qualname__) is not cls:
        raise ComponentError(
            f"its class cannot be found as {name}, so loading could not find it either; "
            "define it at the top of an imported module, under its own name"
        )
    return name


def check_trust(trust: Sequence[str]) -> tuple[str, ...]:
    """Return the entries of ``trust``; one bare string is an error, because its letters are no entries."""
    if isinstance(trust, str) or not all(isinstance(entry, str) for entry in trust):
        raise ParameterError(
            f'trust must be a list of names such as ["my_package.encoders:MyEncoder"], got {trust!r}.'
        )
    return tuple(trust)


def is_ours(name: str) -> bool:
    """Say whether a class name lies inside the library; a module that runs when imported does not count.

    Examples
    --------
    >>> is_ours("llmrec.fusers.weighted:WeightedFuser"), is_ours("llmrec_extras.fusers:MyFuser")
    (True, False)
    """
    module = name.partition(":")[0]
    return module.startswith("llmrec.") and "__main__" not in module.split(".")


def resolve_classes(names: Iterable[str], trust: Sequence[str], written_by: str) -> dict[str, type]:
    """Import the classes that a model folder names, after all of them have passed the check of trust.

    Raises
    ------
    UntrustedComponentError
        If a class is neither the library's nor trusted; nothing has been imported then.
    ModelFileError
        If a name is malformed, or no class goes by it.
    """
    wanted = sorted(set(names))
    for name in wanted:
        _check_name(name)
    _check_trusted(wanted, trust)
    return {name: _resolve(name, trust, written_by) for name in wanted}


def _name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _check_name(name: str) -> None:
    module, _, qualname = name.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), *qualname.split(".")]):
        raise ModelFileError(f"the model folder names {name!r}, which is no class name (module:Class).")


def _is_trusted(name: str, trust: Sequence[str]) -> bool:
    module = name.partition(":")[0]
    return is_ours(name) or any(
        name == entry or (":" not in entry and (module == entry or module.startswith(f"{entry}.")))
        for entry in trust
    )


def _check_trusted(names: Sequence[str], trust: Sequence[str]) -> None:
    untrusted = [name for name in names if not _is_trusted(name, trust)]
    if not untrusted:
        return
    listed = ", ".join(f'"{name}"' for name in untrusted)
    several = len(untrusted) > 1
    raise UntrustedComponentError(
        f"the model folder names {listed}, {'classes' if several else 'a class'} outside llmrec, and loading "
        f"would run {'their' if several else 'its'} code. If you trust {'them' if several else 'it'}, pass "
        f"trust=[{listed}].{nearest(untrusted[0], trust)}"
    )


def _resolve(name: str, trust: Sequence[str], written_by: str) -> type:
    module_name, _, qualname = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        reason = (
            f"llmrec {written_by} wrote it, and this version cannot import {module_name}"
            if is_ours(name)
            else f"{module_name} is trusted, but cannot be imported; install or repair its package"
        )
        raise ModelFileError(f"the model folder names {name!r}: {reason} ({error}).") from error
    found = _attribute(module, qualname)
    if not isinstance(found, type):
        raise ModelFileError(
            f"the model folder, written by llmrec {written_by}, names {name!r}, but {module_name} "
            f"has no class {qualname!r}.{nearest(qualname, _classes(module))}"
        )
    # A module also holds the classes it imports: what counts is where the class was defined.
    _check_trusted([_name(found)], trust)
    return found


def _attribute(module: Any, qualname: str) -> Any:
    """Follow a dotted name through classes only, so that it cannot lead into another module."""
    found = module
    for part in qualname.split("."):
        if found is not module and not isinstance(found, type):
            return None
        found = vars(found).get(part) if found is not None else None
    return found


def _classes(module: Any) -> list[str]:
    members: Mapping[str, Any] = vars(module)
    return [name for name, member in members.items() if isinstance(member, type)]
