"""Tiny text classifiers on edge devices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tlm_edge.runtime.classifier import Classifier

__version__ = "0.1.0"

__all__ = ["__version__", "load"]


def load(model: str | Path, threads: int | None = None, *, all_members: bool = False) -> Classifier:
    """Load a classifier: a shipped model's name, a checkpoint, a committee, or a bundle (folder or zip).

    A path that exists wins over a name. ``threads`` is how many to compute with, all cores if ``None``. What comes back
    has ``labels``, ``max_length``, ``predict(texts, top_k=None)`` and ``probabilities(texts)``, and may be used from
    several threads at once. The light installation suffices for bundles; checkpoints and committees run in PyTorch
    where it is installed.

    >>> import tlm_edge
    >>> classifier = tlm_edge.load("agnews-committee", threads=1)
    >>> classifier.labels
    ('Business', 'Sci/Tech', 'Sports', 'World')
    >>> predictions = classifier.predict(["The striker scored twice in the cup final", "The bank's shares fell by 3%"])
    >>> [prediction.label for prediction in predictions]
    ['Sports', 'Business']
    >>> 0.5 < predictions[0].score <= 1.0
    True

    ``scores`` holds the probabilities, best first; ``top_k`` keeps so many:

    >>> best = classifier.predict(["The striker scored twice in the cup final"], top_k=2)[0]
    >>> list(best.scores)[0], len(best.scores)
    ('Sports', 2)

    ``probabilities`` gives an array with a row a text and a column a label:

    >>> classifier.probabilities(["Rain delayed the match", "Parliament votes on Monday"]).shape
    (2, 4)

    Raises ``UserError`` if there is no such model or its files are damaged, ``MissingExtraError`` if it needs PyTorch
    and that is not installed.
    """
    from tlm_edge.loading import load_model

    return load_model(model, threads, all_members=all_members)
