"""Committees of one member, two, … all: accuracy by choice of members, time, and when BERT-6 would be as fast."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from contenders.ours import named
from contenders.rows import Rows

#: Choices of members of which the accuracy is told, at most; evenly spaced among more.
CHOICES = 100


def curve(bundle: Path, rows: Rows) -> list[dict[str, Any]]:
    """The accuracy by number of members, mean, least and most over the choices of so many, with and without n-grams.

    ``bundle`` is that of all members, the n-grams last, without a cascade. A vote with n-grams is weighted anew for
    each choice, by the rows for weighing.
    """
    from tlm_edge.data.tasks import load_examples
    from tlm_edge.training.weighting import fit_weights

    weighing = load_examples(str(rows.weighing), rows.names)
    known = _member_probabilities(bundle, weighing.texts, rows.names)
    asked = _member_probabilities(bundle, rows.held_out, rows.names)
    count = len(known) - 1

    def accuracy(members: tuple[int, ...], weights: tuple[float, ...] | None = None) -> float:
        vote = np.average(asked[list(members)], axis=0, weights=weights)
        return float((vote.argmax(axis=1) == rows.expected).mean())

    told = []
    for size in range(1, count + 1):
        every = list(combinations(range(count), size))
        chosen = every[:: -(-len(every) // CHOICES)]
        mixed = [(*members, count) for members in chosen]
        weighted = [accuracy(each, fit_weights(known[list(each)], weighing.labels)) for each in mixed]
        told.append(
            {
                "members": size,
                "choices": len(chosen),
                "accuracy": _spread([accuracy(members) for members in chosen]),
                "accuracy_with_ngrams": _spread(weighted),
            }
        )
    return told


def crossover(results: dict[str, dict[str, Any]], count: int, target: str) -> dict[str, Any]:
    """Model time by members, the line through it, and of how many members the committee would be as slow as BERT-6.

    The last figures lie beyond what was measured: estimated.
    """
    names = [f"{named(size)}, {target} int8" for size in range(1, count + 1)]
    measured = {size: results[name]["model_ms"]["p50"] for size, name in enumerate(names, start=1)}
    told: dict[str, Any] = {"model_ms": measured}
    if count > 1:
        slope, start = np.polyfit(list(measured), list(measured.values()), 1)
        told |= {"ms_a_member": float(slope)}
        told["as_slow_as"] = {
            deep: (results[deep]["model_ms"]["p50"] - float(start)) / float(slope)
            for deep in (f"BERT-6, {target} int8", f"BERT-6, {target} fp32")
        }
    return told


def _member_probabilities(bundle: Path, texts: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """The probabilities (members, texts, labels) of each member, labels in the order of ``names``."""
    from tlm_edge.runtime.bundle import open_bundle
    from tlm_edge.runtime.bundle_classifier import BundleClassifier
    from tlm_edge.runtime.vote import softmax

    classifier = BundleClassifier(open_bundle(bundle), 1)
    order = [classifier.labels.index(name) for name in names]
    logits = [classifier.outputs([ids])["member_logits"][0] for ids in classifier.encoder.token_ids(texts)]
    return np.asarray(softmax(np.stack(logits, axis=1))[..., order])


def _spread(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "least": min(values), "most": max(values)}
