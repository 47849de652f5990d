"""Sphinx roles in docstrings, rewritten for the documentation site: cross-references and formulas."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

_REFERENCE = re.compile(r":(?:class|func|meth|attr|mod):`(?P<tilde>~?)(?P<target>[\w.]+)`")
_INLINE_MATH = re.compile(r":math:`(?P<formula>[^`]+)`")
_MATH_BLOCK = re.compile(
    r"^(?P<indent> *)\.\. math::\n(?:[ \t]*\n)*(?P<formula>(?:(?P=indent) +\S[^\n]*\n?|[ \t]*\n)+)",
    re.MULTILINE,
)
_LITERAL_BLOCK = re.compile(r"(?<=\S)::$", re.MULTILINE)
# The parser takes the first of {"a", "b"} for the default, whatever is said after it.
_CHOICES = re.compile(r"^(?P<name> *[*\w, ]+ : )\{(?P<choices>[^}]+)\}", re.MULTILINE)


class DocstringRoles(griffe.Extension):
    """Rewrite ``:class:`` and its like, ``:math:`` and ``::`` in every docstring, before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = rewritten(obj.docstring.value, obj)


def rewritten(text: str, owner: griffe.Object) -> str:
    """Return a docstring as the Markdown of the site."""
    text = _MATH_BLOCK.sub(_displayed, text)
    text = _INLINE_MATH.sub(r"$\g<formula>$", text)
    text = _LITERAL_BLOCK.sub(":", text)
    text = _CHOICES.sub(lambda found: found["name"] + " or ".join(found["choices"].split(", ")), text)
    return _REFERENCE.sub(lambda found: _link(found, owner), text)


def _displayed(found: re.Match[str]) -> str:
    indent = found["indent"]
    formula = textwrap.indent(textwrap.dedent(found["formula"]).strip(), indent)
    return f"{indent}$$\n{formula}\n{indent}$$\n\n"


def _link(found: re.Match[str], owner: griffe.Object) -> str:
    target = found["target"]
    shown = target.rpartition(".")[2] if found["tilde"] else target
    if target.startswith("llmrec"):
        return f"[`{shown}`][{target}]"
    path = _path_of(target, owner)
    return f"[`{shown}`][{path}]" if path else f"`{shown}`"


def _path_of(name: str, owner: griffe.Object) -> str | None:
    """Return the full path of a name as it is seen from its owner, or of a public name of the package."""
    scope: griffe.Object | None = owner
    first = name.partition(".")[0]
    while scope is not None:
        if first in scope.members:
            return f"{scope.path}.{name}"
        scope = scope.parent
    return f"llmrec.{name}" if first[:1].isupper() else None
