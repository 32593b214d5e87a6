"""The gate: an exported file is run by itself and compared with PyTorch before anyone may have it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from tlm_edge.export.prepare import Prepared
from tlm_edge.export.texts import ODD_TEXTS, CheckTexts
from tlm_edge.files import sha256_file
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.manifest import Accuracy, Parity
from tlm_edge.runtime.metrics import accuracy, macro_f1
from tlm_edge.runtime.probe import Answer, probe

#: Largest absolute difference of a float32 logit.
FLOAT_TOLERANCE = 1e-4
#: Share of whole texts that have to get PyTorch's label.
REQUIRED_AGREEMENT = {"fp32": 0.99, "fp16": 0.99, "int8-weight-only": 0.97, "int8": 0.95, "int4": 0.95}
#: Accuracy that a quantized file may lose: 0.3 points, or two texts where that is more.
ALLOWED_DROP = 0.003
_ALLOWED_TEXTS = 2


class GateError(UserError):
    """An exported file gives wrong answers, or none."""


def measure(
    bundle: Path,
    prepared: Prepared,
    precision: str,
    accuracy_floor: float | None = None,
    python: Path | None = None,
) -> tuple[Parity, Accuracy | None]:
    """Run ``bundle`` in a fresh process on what was ``prepared``; compare with PyTorch's answers.

    ``accuracy_floor`` is how many points of accuracy it may lose, the usual ``ALLOWED_DROP`` if ``None``; ``python`` is
    the interpreter of another environment to run it in.
    Raises ``GateError`` if the file doesn't run there.
    """
    checks, reference = prepared.checks, prepared.reference
    try:
        answer = probe(bundle, (*checks.texts, *ODD_TEXTS), python=python)
    except UserError as error:
        raise GateError(str(error)) from error
    parity = Parity(
        sequences=len(reference.sequences),
        shortest=min(map(len, reference.sequences)),
        longest=max(map(len, reference.sequences)),
        max_logit_difference=_finite(answer.logits.difference(reference.logits)),
        tolerance=FLOAT_TOLERANCE if precision == "fp32" else None,
        texts=len(checks.texts),
        agreement=accuracy(*(_winners(each, checks) for each in (prepared.expected, answer.probabilities))),
        required_agreement=REQUIRED_AGREEMENT[precision],
    )
    return parity, _accuracy(answer, prepared.expected, checks, accuracy_floor)


def require(parity: Parity, measured: Accuracy | None) -> None:
    """Raise ``GateError`` with the reason unless the file is as right as it has to be."""
    difference, tolerance = parity.max_logit_difference, parity.tolerance
    if not math.isfinite(difference):
        raise GateError("some of its logits are not numbers")
    if tolerance is not None and difference > tolerance:
        raise GateError(f"its logits differ from PyTorch's by up to {difference:.2g}, allowed are {tolerance:.0e}")
    if parity.agreement < parity.required_agreement:
        raise GateError(
            f"only {parity.agreement:.1%} of {parity.texts} texts get PyTorch's label, "
            f"{parity.required_agreement:.0%} are required"
        )
    if measured is not None and measured.source_accuracy - measured.accuracy > measured.allowed_drop + 1e-9:
        raise GateError(
            f"its accuracy on the {measured.texts} texts of {measured.data} is {measured.accuracy:.4f}, "
            f"PyTorch's is {measured.source_accuracy:.4f}, and it may lose {measured.allowed_drop:.4f}"
        )


def _accuracy(
    answer: Answer, expected: np.ndarray, checks: CheckTexts, accuracy_floor: float | None
) -> Accuracy | None:
    if checks.labels is None:
        return None
    found = _winners(answer.probabilities, checks)
    usual = max(ALLOWED_DROP, _ALLOWED_TEXTS / len(checks.texts))
    return Accuracy(
        data=checks.data,
        sha256=sha256_file(checks.file) if checks.file else None,
        texts=len(checks.texts),
        accuracy=accuracy(checks.labels, found),
        macro_f1=macro_f1(checks.labels, found),
        source_accuracy=accuracy(checks.labels, _winners(expected, checks)),
        allowed_drop=usual if accuracy_floor is None else accuracy_floor / 100,
    )


def _winners(probabilities: np.ndarray, checks: CheckTexts) -> np.ndarray:
    """The winning labels of the whole texts, without the odd ones, whose label means nothing."""
    winners: np.ndarray = probabilities[: len(checks.texts)].argmax(axis=1)
    return winners


def _finite(difference: float) -> float:
    """JSON has no NaN; infinity fails the gate just as well."""
    return math.inf if math.isnan(difference) else difference
