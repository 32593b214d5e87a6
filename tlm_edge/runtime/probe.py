"""Runs a bundle in a process of its own: ``python -m tlm_edge.runtime.probe BUNDLE TEXTS.json ANSWER.npz THREADS``.

The process has never seen PyTorch, nor the session of whoever exported the bundle. ``TEXTS.json`` is a list of texts;
``ANSWER.npz`` gets ``alone`` and ``padded``, the logits (sequences, members, labels) of the bundle's own parity
sequences, and ``probabilities`` (texts, labels).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.manifest import PARITY_FILE
from tlm_edge.runtime.parity import Logits, read_reference, run_sequences

#: What a bundle must run without.
FOREIGN_MODULES = ("torch", "transformers", "onnx", "sklearn", "tensorflow")


@dataclass(frozen=True)
class Answer:
    """Logits of the parity sequences, and probabilities (texts, labels) of the texts, as the runtime computed them."""

    logits: Logits
    probabilities: np.ndarray


def probe(bundle: Path, texts: Sequence[str], threads: int = 1, *, python: Path | None = None) -> Answer:
    """Run ``bundle`` in a fresh Python process, of this environment or of that of ``python``.

    Raises ``UserError`` with its last words if that fails.
    """
    with tempfile.TemporaryDirectory(prefix="tlm-edge-probe-") as folder:
        asked, answered = Path(folder) / "texts.json", Path(folder) / "answer.npz"
        asked.write_text(json.dumps(list(texts)), encoding="ascii")
        arguments = [str(bundle), str(asked), str(answered), str(threads)]
        command = [str(python or sys.executable), "-P", "-m", "tlm_edge.runtime.probe", *arguments]
        variables = None if python is None else os.environ | {"PYTHONPATH": str(_copy_runtime(Path(folder)))}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)  # noqa: S603
        if done.returncode:
            words = done.stderr.strip().splitlines()
            last = words[-1].removeprefix("error: ") if words else "it said nothing"
            raise UserError(f"the exported file doesn't run by itself (exit {done.returncode}): {last}")
        with np.load(answered, allow_pickle=False) as arrays:
            return Answer(Logits(arrays["alone"], arrays["padded"]), arrays["probabilities"])


def _copy_runtime(folder: Path) -> Path:
    """Put this package alone into ``folder``: where it stands, the packages of this environment may stand as well."""
    here = Path(__file__).parent
    shutil.copytree(here, folder / here.parent.name / here.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(here.parent / "__init__.py", folder / here.parent.name / "__init__.py")
    return folder


def _main(bundle: str, asked: str, answered: str, threads: str) -> None:
    opened = open_bundle(bundle)
    reference = read_reference(opened.folder / PARITY_FILE)
    logits = run_sequences(BundleClassifier(opened, int(threads), all_members=True), reference.sequences)
    classifier = BundleClassifier(opened, int(threads))
    probabilities = classifier.probabilities(json.loads(Path(asked).read_text(encoding="ascii")))
    brought = getattr(classifier.session, "brings", ())
    foreign = [module for module in FOREIGN_MODULES if module in sys.modules and module not in brought]
    if foreign:
        raise UserError(f"running the bundle imported {', '.join(foreign)}: the answer proves nothing")
    np.savez(answered, alone=logits.alone, padded=logits.padded, probabilities=probabilities)


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
