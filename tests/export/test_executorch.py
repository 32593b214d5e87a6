"""ExecuTorch: real exports of small models, through the gate, run by its own runtime."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

import tlm_edge
from tests.tiny_models import labelled_texts, make_tokenizer, train_checkpoint
from tlm_edge.compile.graph import deployable
from tlm_edge.export import executorch
from tlm_edge.export.export import export_model
from tlm_edge.export.registry import Conversion, require_target
from tlm_edge.export.source import load_source
from tlm_edge.modeling.config import Convolution
from tlm_edge.runtime.errors import UserError

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


def test_the_same_bytes_twice(tiny_executorch_bundle: Path, tiny_committee: Path, tmp_path: Path) -> None:
    source = load_source(tiny_committee)
    graph = deployable(source.members, source.cls_token_id)
    conversion = Conversion("int8", source.max_length, (), ())
    require_target("executorch", "int8").convert(graph, tmp_path / "again.pte", conversion)
    assert (tmp_path / "again.pte").read_bytes() == (tiny_executorch_bundle / "model.pte").read_bytes()


def test_int8_is_smaller_and_passes_the_gate(tiny_committee: Path, tmp_path: Path) -> None:
    sizes = {}
    for precision in ("fp32", "int8"):
        bundle = export_model(tiny_committee, "executorch", precision, tmp_path / precision)
        sizes[precision] = bundle.model_file.stat().st_size
    assert sizes["int8"] < sizes["fp32"]


@pytest.mark.slow
@pytest.mark.parametrize("rewritten", [True, False])
def test_deep_models(tiny_deep_checkpoint: Path, tmp_path: Path, rewritten: bool) -> None:
    bundle = export_model(tiny_deep_checkpoint, "executorch", "fp32", tmp_path / "bundle", rewritten=rewritten)
    assert bundle.manifest.rewrite == ("row-query" if rewritten else "none")
    assert bundle.manifest.parity is not None and bundle.manifest.parity.max_logit_difference <= 1e-4


@pytest.mark.slow
def test_convolutions(tiny_tokenizer: Path, tmp_path: Path) -> None:
    checkpoint = train_checkpoint(tmp_path / "conv", tiny_tokenizer, convolution=Convolution(2, (4, 3), 2), epochs=2)
    bundle = export_model(checkpoint, "executorch", "fp32", tmp_path / "bundle")
    assert bundle.manifest.parity is not None and bundle.manifest.parity.max_logit_difference <= 1e-4


@pytest.mark.slow
def test_markers(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path / "tokenizer", markers=True)
    checkpoint = train_checkpoint(tmp_path / "marked", tokenizer, marked=True, epochs=2)
    bundle = export_model(checkpoint, "executorch", "fp32", tmp_path / "bundle")
    assert bundle.manifest.parity is not None and bundle.manifest.parity.max_logit_difference <= 1e-4


class _NotForXnnpack(torch.nn.Module):
    """Operators that the backend has none of."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(8, 4)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        rows = self.table(input_ids).cumsum(dim=1).cos() * attention_mask.unsqueeze(2)
        return rows.sum(dim=1)


def test_what_the_backend_leaves_out_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executorch, "for_xnnpack", lambda graph: graph)
    with pytest.raises(UserError, match=r"takes only \d+% of this model's operators.* leaves out .*1 × cumsum"):
        executorch.convert(_NotForXnnpack().eval(), tmp_path / "model.pte", Conversion("fp32", 16, (), ()))
    assert list(tmp_path.iterdir()) == []


def test_every_matrix_product_has_to_be_delegated() -> None:
    most = Counter({"linear": 9, "add": 9})
    executorch.require_coverage(executorch.Coverage(most, Counter({"embedding": 1})))
    with pytest.raises(UserError, match="leaves out 1 × bmm"):
        executorch.require_coverage(executorch.Coverage(most, Counter({"bmm": 1})))
