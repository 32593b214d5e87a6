"""Checking a bundle again, wherever it has got to: no PyTorch needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tlm_edge.export.texts import texts_for
from tlm_edge.files import sha256_file
from tlm_edge.runtime.bundle import Bundle, open_bundle
from tlm_edge.runtime.manifest import PARITY_FILE, Accuracy, Parity
from tlm_edge.runtime.metrics import accuracy, macro_f1
from tlm_edge.runtime.parity import read_reference
from tlm_edge.runtime.probe import probe
from tlm_edge.runtime.sessions import open_session

#: A quantized file's logits depend a little on the processor: they may be off by this factor more than at export.
_QUANTIZED_FACTOR = 2.0
_QUANTIZED_FLOOR = 0.05


@dataclass(frozen=True)
class Check:
    """One thing that was checked: whether it held, and what was found."""

    name: str
    passed: bool
    found: str


@dataclass(frozen=True)
class Verification:
    """All checks of one bundle, with the figures of this machine; ``accuracy`` is null without labelled texts."""

    bundle: str
    passed: bool
    checks: tuple[Check, ...]
    max_logit_difference: float
    accuracy: float | None
    macro_f1: float | None
    texts: int


def verify_bundle(path: str | Path, data: str | None = None, threads: int = 1) -> Verification:
    """Compare a bundle's files, signature, logits and accuracy with its manifest, in a fresh process.

    ``data`` are labelled texts; the shipped evaluation texts if ``None`` and their labels are the bundle's.
    Raises ``UserError`` if the bundle can't be opened or run at all: altered files are found there.
    """
    bundle = open_bundle(path)
    checks = [Check("files", True, f"{len(bundle.manifest.files)} files have the hashes of the manifest")]
    checks.append(_signature(bundle))
    texts = texts_for(bundle.manifest.labels, data)
    answer = probe(bundle.folder, texts.texts if texts.labels is not None else (), threads)
    difference = answer.logits.difference(read_reference(bundle.folder / PARITY_FILE).logits)
    checks.append(_parity(bundle.manifest.parity, difference))
    measured, f1 = None, None
    if texts.labels is not None:
        winners = answer.probabilities.argmax(axis=1)
        measured, f1 = accuracy(texts.labels, winners), macro_f1(texts.labels, winners)
        digest = sha256_file(texts.file) if texts.file else None
        checks.append(_accuracy(bundle.manifest.accuracy, measured, texts.data, digest))
    return Verification(
        bundle=str(path),
        passed=all(check.passed for check in checks),
        checks=tuple(checks),
        max_logit_difference=difference,
        accuracy=measured,
        macro_f1=f1,
        texts=len(answer.probabilities),
    )


def _signature(bundle: Bundle) -> Check:
    session = open_session(bundle, threads=1)
    found = (session.inputs(), session.outputs())
    passed = found == (bundle.manifest.inputs, bundle.manifest.outputs)
    names = [", ".join(tensor.name for tensor in tensors) for tensors in found]
    return Check("signature", passed, f"{names[0]} → {names[1]} in {session.runtime} {session.version}")


def _parity(exported: Parity | None, difference: float) -> Check:
    if exported is None:
        return Check("parity", False, "the manifest has none: the export was not finished")
    allowed = exported.tolerance
    if allowed is None:
        allowed = max(_QUANTIZED_FACTOR * exported.max_logit_difference, _QUANTIZED_FLOOR)
    found = (
        f"logits within {difference:.2g} of PyTorch's on {exported.sequences} token sequences, {allowed:.2g} allowed"
    )
    return Check("parity", bool(difference <= allowed), found)


def _accuracy(exported: Accuracy | None, measured: float, data: str, digest: str | None) -> Check:
    found = f"{measured:.4f} on {data}"
    if exported is None or digest is None or exported.sha256 != digest:
        return Check("accuracy", True, f"{found}; the manifest has no figure for these texts")
    passed = exported.source_accuracy - measured <= exported.allowed_drop + 1e-9
    return Check(
        "accuracy", passed, f"{found}; {exported.accuracy:.4f} at export, PyTorch {exported.source_accuracy:.4f}"
    )
