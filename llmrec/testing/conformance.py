"""The checks of a component: those of any component, and those of the roles that it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmrec.base import Encoder, Factorizer, FactorModel, Fuser, OnlineUpdater, Ranker, Tokenizer
from llmrec.errors import ComponentError, ParameterError, UnknownNameError, nearest
from llmrec.testing.any_component import any_component
from llmrec.testing.check import Check, Demand, Subject
from llmrec.testing.encoders import encoder
from llmrec.testing.factorizers import factor_model, factorizer
from llmrec.testing.fusers import fuser
from llmrec.testing.rankers import ranker
from llmrec.testing.tokenizers import tokenizer
from llmrec.testing.trials import (
    EncoderTrial,
    FactorizerTrial,
    FuserTrial,
    RankerTrial,
    TokenizerTrial,
    Trial,
    UpdaterTrial,
)
from llmrec.testing.updaters import updater

__all__ = ["component_checks"]

_ROLES: list[tuple[type, Trial, list[Demand]]] = [
    (Tokenizer, TokenizerTrial(), tokenizer.listed),
    (Encoder, EncoderTrial(), encoder.listed),
    (Factorizer, FactorizerTrial(), factorizer.listed),
    (Fuser, FuserTrial(), fuser.listed),
    (Ranker, RankerTrial(), ranker.listed),
    (OnlineUpdater, UpdaterTrial(), updater.listed),
]


def component_checks(component: Any, *, expected_failures: Mapping[str, str] | None = None) -> list[Check]:
    """Return the checks that a component of your own should pass, whichever of the six roles it has.

    Each check is a function without arguments that raises :class:`ContractViolation` or does nothing. The
    checks use small made-up data and work on copies: the component itself is not changed. All of them
    take a second or two; those of an encoder take some hundred short texts.

    Parameters
    ----------
    component : Tokenizer, Encoder, Factorizer, Fuser, Ranker or OnlineUpdater
        An instance. Give it parameters that suit tiny data: a few factors, a small model.
    expected_failures : mapping of check name to reason, optional
        Checks that the component is known to fail, and why that is right. Such a check passes if the
        component fails it, and is a violation if the component passes: so the list stays true.

    Raises
    ------
    ComponentError
        If it is not a component of one of the six roles, or a class instead of an instance.
    UnknownNameError
        If ``expected_failures`` names a check that the component does not have.
    ParameterError
        If a reason in ``expected_failures`` is no text, or empty.

    Examples
    --------
    >>> from llmrec import CosineRanker
    >>> checks = component_checks(CosineRanker())
    >>> [str(check) for check in checks if "exclude" in str(check)]
    ['excluded items stay out']
    >>> for check in checks:
    ...     check()
    """
    checks = [
        Check(demand, Subject(component, trial), role.__name__)
        for role, trial, demands in _roles_of(component)
        for demand in demands
        if demand.applies(trial)
    ]
    expected = dict(expected_failures or {})
    names = [check.name for check in checks]
    for name, reason in expected.items():
        if name not in names:
            raise UnknownNameError(
                f"expected_failures names {name!r}, which is no check of {type(component).__name__}; "
                f"its checks are {names}.{nearest(name, names)}"
            )
        if not isinstance(reason, str) or not reason.strip():
            raise ParameterError(f"expected_failures[{name!r}] must say why, got {reason!r}.")
    return [Check(check.demand, check.subject, check.role, expected.get(check.name)) for check in checks]


def _roles_of(component: Any) -> Iterator[tuple[type, Trial, list[Demand]]]:
    roles = [one for one in _ROLES if isinstance(component, one[0])]
    if not roles:
        names = ", ".join(role.__name__ for role, _, _ in _ROLES)
        called = f"the class {component.__name__}" if isinstance(component, type) else repr(component)
        advice = f"; call it: {component.__name__}()" if isinstance(component, type) else ""
        raise ComponentError(f"component must be an instance of one of {names}; got {called:.200}{advice}.")
    for role, trial, demands in roles:
        yield role, trial, [*any_component.listed, *demands]
        if isinstance(component, FactorModel) and role is Factorizer:
            yield FactorModel, trial, factor_model.listed
