"""Online updaters: new events folded into user and item vectors."""

from llmrec.updaters.fold_in import FoldInUpdater
from llmrec.updaters.sgd import SGDUpdater

__all__ = ["FoldInUpdater", "SGDUpdater"]
