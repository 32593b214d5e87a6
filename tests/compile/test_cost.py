import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.compile.strategies import CLS, configs, random_classifier
from tlm_edge.compile.cost import cost_as_written, cost_rewritten, total
from tlm_edge.compile.graph import AsWritten
from tlm_edge.compile.rewrite import rewrite
from tlm_edge.modeling.config import EncoderConfig


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


def test_the_figures_of_the_documentation():
    config = EncoderConfig(vocab_size=8192, labels=("a", "b", "c", "d"))
    written, rewritten = total(cost_as_written(config, 128)), total(cost_rewritten(config, 128))
    assert written.multiply_adds == 109_118_464
    assert rewritten.multiply_adds == 1_246_208
