"""A bundle's logits of texts, text by text; ``../emulated_outputs.py`` runs it here and on emulated arm64.

python benchmarks/emulated/logits.py BUNDLE TEXTS.json LOGITS.npy
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.parity import member_logits


def main(bundle: str, texts: str, answer: str) -> None:
    classifier = BundleClassifier(open_bundle(bundle), threads=1, all_members=True)
    encoded = classifier.encoder.token_ids(json.loads(Path(texts).read_text(encoding="utf-8")))
    logits = [member_logits(classifier.outputs([ids])) for ids in encoded]
    np.save(answer, np.concatenate(logits).astype(np.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
