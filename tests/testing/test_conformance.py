"""The surface of the kit: names, descriptions, expected failures, messages."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from llmrec.base import Tokenizer
from llmrec.errors import ComponentError, LLMRecError, MissingExtraError, ParameterError, UnknownNameError
from llmrec.testing import Check, ContractViolation, component_checks
from tests.testing.correct import CORRECT, LetterEncoder, SortingRanker, SplitTokenizer
from tests.testing.wrong import GivesEmptyWords, IgnoresExclude, TripsOverLongText


def named(component, name, **options):
    (found,) = [one for one in component_checks(component, **options) if one.name == name]
    return found


@pytest.mark.parametrize("component", CORRECT, ids=lambda one: type(one).__name__)
def test_checks_have_names_of_their_own_and_a_sentence_each(component):
    checks = component_checks(component)
    assert all(isinstance(check, Check) and check.component is component for check in checks)
    names = [str(check) for check in checks]
    assert len(set(names)) == len(names)
    for check in checks:
        assert check.description.endswith(".")
        assert check.name in repr(check)
        assert type(component).__name__ in repr(check)


def test_a_factor_model_is_asked_for_more_than_a_factorizer():
    by_class = {type(one).__name__: {check.role for check in component_checks(one)} for one in CORRECT}
    assert by_class["PairCounts"] == {"Factorizer"}
    assert by_class["PlainSVD"] == {"Factorizer", "FactorModel"}


class Both(SplitTokenizer, LetterEncoder):
    """Has two roles."""


def test_a_component_of_two_roles_is_asked_for_both():
    checks = component_checks(Both())
    assert {check.role for check in checks} == {"Tokenizer", "Encoder"}
    for check in checks:
        check()


def test_a_violation_says_who_what_and_how_to_mend():
    with pytest.raises(ContractViolation) as caught:
        named(IgnoresExclude(), "excluded items stay out")()
    assert isinstance(caught.value, AssertionError)
    assert isinstance(caught.value, LLMRecError)
    message = str(caught.value)
    assert message.startswith("IgnoresExclude() breaks the contract of Ranker: excluded items stay out.\n")
    assert "happened: query 0 got the items [" in message
    assert "to mend:  set the scores of a query's excluded items to -inf" in message


def test_an_exception_of_the_component_is_the_cause():
    with pytest.raises(ContractViolation, match="100 kB raised IndexError: position 512") as caught:
        named(TripsOverLongText(), "odd text is encoded too")()
    assert isinstance(caught.value.__cause__, IndexError)


def test_an_expected_failure_passes_and_its_absence_fails():
    name = "excluded items stay out"
    named(IgnoresExclude(), name, expected_failures={name: "a toy"})()
    healthy = named(SortingRanker(), name, expected_failures={name: "a toy"})
    assert healthy.expected_failure == "a toy"
    with pytest.raises(ContractViolation, match=r"expected to fail \(a toy\)\. Take it out"):
        healthy()


def test_an_unknown_check_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'excluded items stay out'"):
        component_checks(SortingRanker(), expected_failures={"excluded item stays out": "a toy"})
    with pytest.raises(UnknownNameError, match="is no check of SortingRanker"):
        component_checks(SortingRanker(), expected_failures={"odd text is cut too": "of another role"})


@pytest.mark.parametrize("reason", ["", "  ", None, 3], ids=repr)
def test_a_reason_is_asked_for(reason):
    with pytest.raises(ParameterError, match="must say why"):
        component_checks(SortingRanker(), expected_failures={"best come first": reason})


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (SortingRanker, r"the class SortingRanker; call it: SortingRanker\(\)"),
        ("dot", "'dot'"),
        (None, "None"),
    ],
)
def test_what_is_no_component_is_refused(what, said):
    with pytest.raises(ComponentError, match=said):
        component_checks(what)


class NeedsMore(Tokenizer):
    """Lacks what it runs with."""

    def tokenize(self, text):
        raise MissingExtraError("NeedsMore needs more")


def test_a_missing_extra_is_no_violation():
    with pytest.raises(MissingExtraError, match="needs more"):
        named(NeedsMore(), "empty text has no words")()


def test_the_kit_runs_without_pytest():
    script = """
    import sys
    sys.modules["pytest"] = None
    from llmrec import DotRanker
    from llmrec.testing import component_checks
    for check in component_checks(DotRanker()):
        check()
    assert not {"torch", "transformers", "hypothesis"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_a_class_inside_a_function_is_told_where_to_go():
    class Local(SplitTokenizer):
        pass

    with pytest.raises(ContractViolation, match="defined inside a function"):
        named(Local(), "saved and loaded it answers alike")()


def test_the_component_need_not_be_unfitted():
    ranker = SortingRanker().index([[1.0, 0.0]])
    for check in component_checks(ranker):
        check()
    assert ranker.items_.tolist() == [[1, 0]]


def test_one_check_says_nothing_of_others():
    named(GivesEmptyWords(), "empty text has no words")()
