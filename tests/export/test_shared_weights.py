"""What members of a committee have in common is stored once, in every target's file."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from tlm_edge.compile.graph import deployable
from tlm_edge.export.registry import Conversion, require_target
from tlm_edge.extras import missing_modules
from tlm_edge.modeling.config import EncoderConfig
from tlm_edge.modeling.heads import SequenceClassifier

CONFIG = EncoderConfig(
    vocab_size=4000,
    hidden_size=64,
    num_attention_heads=4,
    intermediate_size=128,
    max_position_embeddings=16,
    labels=("a", "b", "c"),
)


def classifier(seed: int) -> SequenceClassifier:
    torch.manual_seed(seed)
    return SequenceClassifier(CONFIG).eval()


def size(target: str, precision: str, members: list[SequenceClassifier], folder: Path) -> int:
    file = folder / "model"
    conversion = Conversion(precision, 16, (16,), ((2, 7, 3),))
    require_target(target, precision).convert(deployable(members, 2), file, conversion)
    return file.stat().st_size


@pytest.mark.parametrize(
    ("target", "precision"),
    [
        ("onnx", "fp32"),
        ("onnx", "int8"),
        pytest.param("tflite", "int8", marks=pytest.mark.slow),
        pytest.param("executorch", "int8", marks=pytest.mark.slow),
    ],
)
def test_what_is_equal_is_stored_once(target, precision, tmp_path):
    if missing_modules(target):
        pytest.skip(f"the extra {target} is not installed")
    first, second = classifier(0), classifier(1)
    sharing = classifier(2)
    sharing.encoder.embeddings.load_state_dict(first.encoder.embeddings.state_dict())
    apart = size(target, precision, [first, second], tmp_path)
    with_one_table = size(target, precision, [first, sharing], tmp_path)
    twins = size(target, precision, [first, copy.deepcopy(first)], tmp_path)
    table = CONFIG.vocab_size * CONFIG.hidden_size * (4 if precision == "fp32" else 1)
    assert apart - with_one_table > 0.95 * table
    assert twins < with_one_table
