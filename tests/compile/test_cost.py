from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.compile.strategies import CLS, configs, random_classifier
from tlm_edge.compile.cost import cost_as_written, cost_rewritten, total
from tlm_edge.compile.graph import AsWritten
from tlm_edge.compile.rewrite import rewrite
from tlm_edge.modeling.config import architecture


def counted_multiply_adds(module, length):
    input_ids = torch.full((1, length), CLS)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        module(input_ids, torch.ones_like(input_ids))
    return counter.get_total_flops() // 2


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@settings(max_examples=40, deadline=None)
@given(configs(), st.integers(1, 16))
def test_the_counts_are_those_of_the_modules(config, length):
    model = random_classifier(config)
    written, rewritten = total(cost_as_written(config, length)), total(cost_rewritten(config, length))
    assert counted_multiply_adds(AsWritten(model), length) == written.multiply_adds
    assert counted_multiply_adds(rewrite(model, CLS), length) == rewritten.multiply_adds
    assert parameters(model) == written.parameters
    assert parameters(rewrite(model, CLS)) == rewritten.parameters


@pytest.mark.parametrize(
    ("name", "vocabulary", "members"),
    [("bert-1", 8192, 1), ("bert-1", 8192, 4), ("bert-6", 8192, 1), ("paper-bert-1", 30522, 1)],
)
def test_the_figures_of_the_documentation(name, vocabulary, members):
    page = (Path(__file__).parents[2] / "docs" / "exact-rewrite.md").read_text(encoding="utf-8")
    config = replace(architecture(name, vocab_size=vocabulary, max_length=128), labels=("a", "b", "c", "d"))
    written = members * total(cost_as_written(config, 128)).multiply_adds / 1e6
    rewritten = members * total(cost_rewritten(config, 128)).multiply_adds / 1e6
    assert f"| {written:.1f} M | {rewritten:.{1 if rewritten > 100 else 2}f} M |" in page
