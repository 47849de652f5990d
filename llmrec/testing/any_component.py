"""What is demanded of a component of any role: constructor, copies, repeatability, reads, files, threads."""

from __future__ import annotations

import inspect
import tempfile
import threading
from pathlib import Path
from typing import Any

from sklearn.base import clone

from llmrec.errors import NotFittedError
from llmrec.storage import inspect_model, load_model, save_model
from llmrec.testing.check import Demands, Subject, broken, require, require_equal
from llmrec.testing.comparison import difference, first_change, frozen
from llmrec.testing.trials import Size, Trial

__all__ = ["any_component"]

any_component = Demands()

_THREADS = 4
_READS_A_THREAD = 5


def _learns(trial: Trial) -> bool:
    return trial.learns


def _reads(trial: Trial) -> bool:
    return trial.reads


@any_component(
    "constructor only stores",
    "The constructor stores each argument as it is under its own name, and does nothing else.",
    "write `self.name = name` for each argument and no more; check values and build things on use",
)
def _constructor_only_stores(subject: Subject) -> None:
    cls: Any = type(subject.component)
    parameters = _parameters(cls)
    variadic = [name for name, one in parameters.items() if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    require(not variadic, f"it takes a variable number of arguments ({', '.join(variadic)}); name them all")
    given = {name: _Anything() for name in parameters}
    built = cls(**given)
    for name, value in given.items():
        require(hasattr(built, name), f"the argument {name} was not stored")
        require(getattr(built, name) is value, f"the argument {name} was changed or copied")
    more = [name for name in vars(built) if name not in given]
    require(not more, f"it also set {', '.join(more)}")


@any_component(
    "defaults are immutable",
    "No argument of the constructor has a default that one instance could change for all others.",
    "use None or a tuple as the default, and make the list or dict where it is used",
)
def _defaults_are_immutable(subject: Subject) -> None:
    for name, parameter in _parameters(type(subject.component)).items():
        mutable = isinstance(parameter.default, (list, dict, set, bytearray))
        require(
            not mutable,
            f"the default of {name} is the {type(parameter.default).__name__} {parameter.default!r}",
        )


@any_component(
    "clone is equal and independent",
    "A clone has equal parameters and has learned nothing; what it learns leaves the original alone.",
    "keep what is learned in attributes of the instance, and parameters under the names of the arguments",
)
def _clone_is_equal_and_independent(subject: Subject) -> None:
    original = subject.learned()
    before = subject.answers(original)
    copy = clone(original)
    require(type(copy) is type(original), f"the clone is a {type(copy).__name__}")
    _require_same_parameters(original, copy)
    require(not copy.get_state(), f"the clone already holds {', '.join(copy.get_state())}")
    subject.trial.learn(copy, subject.trial.inputs("small"))
    require_equal(
        before, subject.answers(original), "after its clone learned, the original answers otherwise"
    )


@any_component(
    "set_params takes what get_params gives",
    "``set_params(**get_params())`` changes nothing, and an unknown parameter is an error.",
    "leave get_params and set_params as they are inherited, and name every parameter in the constructor",
)
def _set_params_takes_what_get_params_gives(subject: Subject) -> None:
    component = subject.fresh()
    taken = subject.fresh()
    returned = taken.set_params(**component.get_params(deep=False))
    require(returned is taken, "set_params did not return the component")
    _require_same_parameters(component, taken)
    try:
        taken.set_params(no_such_parameter=1)
    except ValueError:
        return
    broken("set_params(no_such_parameter=1) was taken")


@any_component(
    "repr names the class",
    "The repr names the class, before anything is learned and after.",
    "leave __repr__ as it is inherited; it must work on a component of any parameters",
)
def _repr_names_the_class(subject: Subject) -> None:
    name = type(subject.component).__name__
    for component in (subject.fresh(), subject.learned()):
        shown = repr(component)
        require(name in shown, f"the repr is {shown!r}")


@any_component(
    "refit equals fresh fit",
    "A second fit forgets the first, whatever the shapes were before.",
    "let fit build all learned state anew, whatever was there, and drop what a former fit left",
    _learns,
)
def _refit_equals_fresh_fit(subject: Subject) -> None:
    orders: tuple[tuple[Size, Size], ...] = (("large", "small"), ("small", "large"))
    for first, second in orders:
        component = subject.learned(first)
        subject.answers(component, first)
        subject.trial.learn(component, subject.trial.inputs(second))
        fresh = subject.learned(second)
        require_equal(
            subject.answers(component, second),
            subject.answers(fresh, second),
            f"fitted on {first} data and then on {second} data, it differs from a fresh fit",
        )


@any_component(
    "inputs stay unchanged",
    "What is passed to a method is read, not written.",
    "copy what you change: np.array(x, copy=True), list(x), dict(x)",
)
def _inputs_stay_unchanged(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.fresh()
    before = frozen(inputs)
    subject.trial.learn(component, inputs)
    _require_unchanged(before, frozen(inputs), "learning changed its input")
    for label, ask in subject.trial.questions(inputs).items():
        ask(component)
        _require_unchanged(before, frozen(inputs), f"{label} changed its input")
    subject.trial.write(component, inputs)
    _require_unchanged(before, frozen(inputs), "taking in something new changed an input")


@any_component(
    "reads leave the state unchanged",
    "Reading leaves parameters and learned state as they were, byte for byte, and answers alike each time.",
    "let reading methods compute from local copies; only fit, index, update and partial_fit may write",
    _reads,
)
def _reads_leave_the_state_unchanged(subject: Subject) -> None:
    component = subject.learned()
    before = frozen(component)
    for label, ask in subject.trial.questions(subject.trial.inputs("large")).items():
        first = ask(component)
        changed = first_change(before, frozen(component))
        require(changed is None, f"{label} changed {changed}")
        require_equal(first, ask(component), f"{label} gave another answer the second time", tolerance=0)


@any_component(
    "same data give same answers",
    "Two copies that learn from equal data, with equal parameters, answer alike.",
    "draw from np.random.default_rng(self.random_state), made anew at each fit",
)
def _same_data_give_same_answers(subject: Subject) -> None:
    one, other = subject.learned(), subject.learned()
    require_equal(
        subject.answers(one), subject.answers(other), "two fits on equal data differ", tolerance=1e-6
    )


@any_component(
    "reading before learning is refused",
    "Read before it has learned anything, it raises NotFittedError, unless there is nothing to learn.",
    "begin reading methods with check_fitted(self, 'learned_attribute_') of llmrec.validation",
    _learns,
)
def _reading_before_learning_is_refused(subject: Subject) -> None:
    learned = subject.learned()
    for label, ask in subject.trial.questions(subject.trial.inputs("large")).items():
        try:
            answer = ask(subject.fresh())
        except NotFittedError:
            continue
        except Exception as error:
            broken(f"{label} raised {type(error).__name__} instead of NotFittedError: {error}")
        found = difference(answer, ask(learned), tolerance=1e-5)
        require(found is None, f"{label} gave an answer, and another one after learning: {found}")


@any_component(
    "saved and loaded it answers alike",
    "What :func:`~llmrec.storage.save_model` writes is loaded as a component that answers alike.",
    "keep all that is learned in public attributes that end in _, of types that a model folder stores, or "
    "override get_state and set_state; define the class at the top of a module",
)
def _saved_and_loaded_it_answers_alike(subject: Subject) -> None:
    component = subject.learned()
    before = subject.answers(component)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "model")
        save_model(component, folder)
        loaded = load_model(folder, trust=inspect_model(folder)["trust"])
    _require_same_parameters(component, loaded)
    require_equal(before, subject.answers(loaded), "the loaded one answers otherwise", tolerance=1e-6)


@any_component(
    "threads read alike",
    "Four threads that read at once get what one reader gets.",
    "compute in local variables; share no scratch space between calls",
    _reads,
)
def _threads_read_alike(subject: Subject) -> None:
    shared, expected = subject.learned(), subject.answers(subject.learned())
    start, happened = threading.Barrier(_THREADS), []

    def read() -> None:
        start.wait()
        try:
            for _ in range(_READS_A_THREAD):
                found = difference(expected, subject.answers(shared), tolerance=1e-5)
                if found is not None:
                    happened.append(f"one of {_THREADS} threads got another answer: {found}")
        except Exception as error:
            happened.append(f"one of {_THREADS} threads got {type(error).__name__}: {error}")

    threads = [threading.Thread(target=read, daemon=True) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    require(not happened, happened[0] if happened else "")


class _Anything:
    # A value of no type that a constructor could expect, so any look at it shows.
    def __repr__(self) -> str:
        return "<any value>"


def _parameters(cls: Any) -> dict[str, inspect.Parameter]:
    if cls.__init__ is object.__init__:
        return {}
    parameters = dict(inspect.signature(cls.__init__).parameters)
    return dict(list(parameters.items())[1:])


def _require_same_parameters(one: Any, other: Any) -> None:
    mine, theirs = (frozen(each.get_params(deep=False)) for each in (one, other))
    changed = first_change(mine, theirs)
    require(changed is None, f"the parameters differ at {changed}")


def _require_unchanged(before: Any, after: Any, what: str) -> None:
    changed = first_change(before, after)
    require(changed is None, f"{what} at {changed}")
