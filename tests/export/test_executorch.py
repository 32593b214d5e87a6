"""ExecuTorch: real exports of small models, through the gate, run by its own runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tlm_edge
from tests.tiny_models import labelled_texts
from tlm_edge.export.export import export_model

pytest.importorskip("executorch")
TEXTS = ["", *labelled_texts()[0][:12], "word " * 200]


@pytest.mark.parametrize("model", ["tiny_checkpoint", "tiny_committee"])
def test_a_float_bundle_answers_as_pytorch_does(model: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    source = request.getfixturevalue(model)
    bundle = export_model(source, "executorch", "fp32", tmp_path / "bundle")
    assert bundle.manifest.target == "executorch"
    assert bundle.manifest.lengths == ()
    assert (
        bundle.manifest.delegated is not None and bundle.manifest.delegated > 0.8
    )  # all but the look-up of the tokens
    assert bundle.manifest.parity is not None and bundle.manifest.parity.max_logit_difference <= 1e-4
    ours, theirs = (tlm_edge.load(path, threads=1).probabilities(TEXTS) for path in (bundle.folder, source))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_int8_is_smaller_and_passes_the_gate(tiny_committee: Path, tmp_path: Path) -> None:
    sizes = {}
    for precision in ("fp32", "int8"):
        bundle = export_model(tiny_committee, "executorch", precision, tmp_path / precision)
        sizes[precision] = bundle.model_file.stat().st_size
    assert sizes["int8"] < sizes["fp32"]
