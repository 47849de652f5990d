"""The conformance kit: checks that a component of your own keeps the contract of its role.

Three lines of pytest run them all:

.. code-block:: python

    @pytest.mark.parametrize("check", component_checks(MyRanker()), ids=str)
    def test_contract(check):
        check()

The kit needs no pytest: ``for check in component_checks(MyRanker()): check()`` does the same.
"""

from llmrec.testing.check import Check, ContractViolation
from llmrec.testing.conformance import component_checks
from llmrec.testing.samples import tiny_interactions

__all__ = ["Check", "ContractViolation", "component_checks", "tiny_interactions"]
