"""One check: what it demands, of which component, and what is said when the demand is not met."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sklearn.base import clone

from llmrec.base import Component
from llmrec.errors import LLMRecError, LLMRecWarning, MissingExtraError, ModelUnavailableError
from llmrec.testing.comparison import difference
from llmrec.testing.trials import Size, Trial

__all__ = ["Check", "ContractViolation", "Demand", "Demands", "Subject", "broken", "require", "require_equal"]


class ContractViolation(LLMRecError, AssertionError):  # noqa: N818  # an assertion's name says what it found
    """A component does not keep the contract of its role."""


class _BrokenError(Exception):
    # What happened, on its way from a demand to the check that knows whose fault it is.
    pass


def broken(happened: str) -> NoReturn:
    """Say what happened instead of what is demanded."""
    raise _BrokenError(happened)


def require(condition: Any, happened: str) -> None:
    """Go on if ``condition`` holds; otherwise say what happened instead."""
    if not condition:
        broken(happened)


def require_equal(left: Any, right: Any, what: str, tolerance: float = 1e-5) -> None:
    """Go on if two answers agree up to rounding; otherwise say where they differ."""
    found = difference(left, right, tolerance)
    require(found is None, f"{what}: {found}")


@dataclass(frozen=True)
class Subject:
    """The component that is checked, and how its role is put to use. It is never touched itself."""

    component: Component
    trial: Trial

    def fresh(self) -> Any:
        """Return a copy that has learned nothing."""
        try:
            return clone(self.component)
        except Exception:
            # A check of its own says that it cannot be cloned; the others look for other faults.
            return copy.deepcopy(self.component)

    def learned(self, size: Size = "large") -> Any:
        """Return a copy that has learned from the data of that size."""
        component = self.fresh()
        self.trial.learn(component, self.trial.inputs(size))
        return component

    def answers(self, component: Any, size: Size = "large") -> dict[str, Any]:
        """Return all that a component answers when it is read, by question."""
        questions = self.trial.questions(self.trial.inputs(size))
        return {label: ask(component) for label, ask in questions.items()}


@dataclass(frozen=True)
class Demand:
    """What a contract asks, as a test that a component passes or not."""

    name: str
    description: str
    mend: str
    test: Callable[[Subject], None]
    applies: Callable[[Trial], bool]


class Demands:
    """The demands of one role, in the order in which they are declared."""

    def __init__(self) -> None:
        self.listed: list[Demand] = []

    def __call__(
        self, name: str, description: str, mend: str, applies: Callable[[Trial], bool] = lambda trial: True
    ) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
        """Declare a function as the test of a demand."""

        def declare(test: Callable[[Subject], None]) -> Callable[[Subject], None]:
            self.listed.append(Demand(name, description, mend, test, applies))
            return test

        return declare


@dataclass(frozen=True)
class Check:
    """One demand on one component: call it, and it raises :class:`ContractViolation` or does nothing.

    Checks come from :func:`~llmrec.testing.component_checks`; ``str(check)`` is the check's name. The
    component is not changed by a call, and a call may be repeated.

    Attributes
    ----------
    name : str
    description : str
        What is demanded, in a sentence.
    role : str
        The role whose contract demands it.
    component : Component
    expected_failure : str or None
        Why the component is known not to meet the demand. Then it is a violation if it does.

    Examples
    --------
    >>> from llmrec import DotRanker
    >>> from llmrec.testing import component_checks
    >>> check = component_checks(DotRanker())[0]
    >>> check
    <check 'constructor only stores' of DotRanker()>
    >>> check.description
    'The constructor stores each argument as it is under its own name, and does nothing else.'
    >>> check()
    """

    demand: Demand = field(repr=False)
    subject: Subject = field(repr=False)
    role: str
    expected_failure: str | None = None

    @property
    def name(self) -> str:
        """The name of the check."""
        return self.demand.name

    @property
    def description(self) -> str:
        """What is demanded, in a sentence."""
        return self.demand.description

    @property
    def component(self) -> Component:
        """The component that is checked."""
        return self.subject.component

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<check {self.name!r} of {_called(self.component)}>"

    def __call__(self) -> None:
        """Run the check.

        Raises
        ------
        ContractViolation
            If the component does not meet the demand, or meets one that it is expected to fail.
        MissingExtraError, ModelUnavailableError
            If the component lacks something to run with, so that nothing can be said of it.
        """
        violation = self._violation()
        if self.expected_failure is None:
            if violation is not None:
                raise violation
        elif violation is None:
            raise ContractViolation(
                f"{_called(self.component)} meets the demand {self.name!r}, which it was expected to fail "
                f"({self.expected_failure}). Take it out of expected_failures."
            )

    def _violation(self) -> ContractViolation | None:
        try:
            with warnings.catch_warnings():
                # The data are tiny on purpose, and a component may well say so.
                warnings.simplefilter("ignore", LLMRecWarning)
                self.demand.test(self.subject)
        except (MissingExtraError, ModelUnavailableError):
            raise
        except _BrokenError as found:
            return self._violated(str(found), found.__context__)
        except Exception as error:
            return self._violated(f"it raised {type(error).__name__}: {error}", error)
        return None

    def _violated(self, happened: str, cause: BaseException | None) -> ContractViolation:
        violation = ContractViolation(
            f"{_called(self.component)} breaks the contract of {self.role}: {self.name}.\n"
            f"  demanded: {self.description}\n"
            f"  happened: {happened}\n"
            f"  to mend:  {self.demand.mend}"
        )
        violation.__cause__ = cause
        return violation


def _called(component: Component) -> str:
    name = type(component).__name__
    try:
        shown = " ".join(repr(component).split())
    except Exception:
        # A component whose parameters are not stored has no repr, and is to be named all the same.
        shown = f"{name}(…)"
    if name not in shown:
        shown = f"{name} ({shown})"
    return shown if len(shown) <= 120 else f"{shown[:117]}..."
