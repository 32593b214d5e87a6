import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
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


class LiveMemory(TorchDispatchMode):
    """Bytes of the floats that operators have made and that are still there, now and at the most."""

    def __init__(self, module):
        super().__init__()
        self.weights = {tensor.untyped_storage()._cdata for tensor in module.state_dict().values()}
        self.live, self.peak = {}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
                storage = tensor.untyped_storage()
                if storage._cdata in self.weights or storage._cdata in self.live:
                    continue
                self.live[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self.live.pop, storage._cdata, None)
        self.peak = max(self.peak, sum(self.live.values()))
        return made


def peak_bytes(module, length):
    input_ids = torch.full((1, length), CLS)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), LiveMemory(module) as memory:
        module(input_ids, torch.ones_like(input_ids))
    return memory.peak


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


@settings(max_examples=40, deadline=None)
@given(configs(), st.integers(4, 16))
def test_activations_are_what_runs_need(config, length):
    """PyTorch keeps results that a runtime overwrites (softmax, GELU) and pads a copy for even kernels."""
    model = random_classifier(config)
    for module, parts in ((AsWritten(model), cost_as_written), (rewrite(model, CLS), cost_rewritten)):
        counted = total(parts(config, length)).activation_bytes
        assert 0.9 * counted <= peak_bytes(module, length) <= 3 * counted + 2000


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
