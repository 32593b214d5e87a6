"""The gate: an exported file is run by itself and compared with PyTorch before anyone may have it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from tlm_edge.export.source import SourceModel
from tlm_edge.export.texts import ODD_TEXTS, CheckTexts
from tlm_edge.files import sha256_file
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.manifest import Accuracy, Parity
from tlm_edge.runtime.metrics import accuracy, macro_f1
from tlm_edge.runtime.parity import Reference
from tlm_edge.runtime.probe import Answer, probe

#: Largest absolute difference of a float32 logit.
FLOAT_TOLERANCE = 1e-4
#: Share of whole texts that have to get PyTorch's label.
REQUIRED_AGREEMENT = {"fp32": 0.99, "fp16": 0.99, "int8-weight-only": 0.97, "int8": 0.95}
#: Accuracy that a quantized file may lose: 0.3 points, or two texts where that is more.
ALLOWED_DROP = 0.003
_ALLOWED_TEXTS = 2


def measure(
    bundle: Path, source: SourceModel, reference: Reference, checks: CheckTexts, precision: str
) -> tuple[Parity, Accuracy | None]:
    """Run ``bundle`` in a fresh process on ``reference`` (which it carries) and on ``checks``; compare with PyTorch.

    Raises ``UserError`` if the file doesn't run there.
    """
    texts = (*checks.texts, *ODD_TEXTS)
    answer = probe(bundle, texts)
    expected = source.probabilities(texts)
    parity = Parity(
        sequences=len(reference.sequences),
        shortest=min(map(len, reference.sequences)),
        longest=max(map(len, reference.sequences)),
        max_logit_difference=_finite(answer.logits.difference(reference.logits)),
        tolerance=FLOAT_TOLERANCE if precision == "fp32" else None,
        texts=len(checks.texts),
        agreement=accuracy(*(_winners(each, checks) for each in (expected, answer.probabilities))),
        required_agreement=REQUIRED_AGREEMENT[precision],
    )
    return parity, _accuracy(answer, expected, checks)


def require(parity: Parity, measured: Accuracy | None) -> None:
    """Raise ``UserError`` with the reason unless the file is as right as it has to be."""
    difference, tolerance = parity.max_logit_difference, parity.tolerance
    if not math.isfinite(difference):
        raise UserError("the exported file failed its check: some of its logits are not numbers; nothing was kept")
    if tolerance is not None and difference > tolerance:
        raise UserError(
            f"the exported file failed its check: its logits differ from PyTorch's by up to {difference:.2g}, "
            f"allowed are {tolerance:.0e}; nothing was kept"
        )
    if parity.agreement < parity.required_agreement:
        raise UserError(
            f"the exported file failed its check: only {parity.agreement:.1%} of {parity.texts} texts get PyTorch's "
            f"label, {parity.required_agreement:.0%} are required; nothing was kept. Try --precision fp32"
        )
    if measured is not None and measured.source_accuracy - measured.accuracy > measured.allowed_drop + 1e-9:
        raise UserError(
            f"the exported file failed its check: its accuracy on {measured.data} is {measured.accuracy:.4f}, "
            f"PyTorch's is {measured.source_accuracy:.4f}, and it may lose {measured.allowed_drop:.4f}; nothing was "
            "kept. Try --precision fp32"
        )


def _accuracy(answer: Answer, expected: np.ndarray, checks: CheckTexts) -> Accuracy | None:
    if checks.labels is None:
        return None
    found = _winners(answer.probabilities, checks)
    return Accuracy(
        data=checks.data,
        sha256=sha256_file(checks.file) if checks.file else None,
        texts=len(checks.texts),
        accuracy=accuracy(checks.labels, found),
        macro_f1=macro_f1(checks.labels, found),
        source_accuracy=accuracy(checks.labels, _winners(expected, checks)),
        allowed_drop=max(ALLOWED_DROP, _ALLOWED_TEXTS / len(checks.texts)),
    )


def _winners(probabilities: np.ndarray, checks: CheckTexts) -> np.ndarray:
    """The winning labels of the whole texts, without the odd ones, whose label means nothing."""
    winners: np.ndarray = probabilities[: len(checks.texts)].argmax(axis=1)
    return winners


def _finite(difference: float) -> float:
    """JSON has no NaN; infinity fails the gate just as well."""
    return math.inf if math.isnan(difference) else difference
