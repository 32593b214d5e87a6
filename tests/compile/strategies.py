"""Random classifiers and inputs for the property-based tests."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from tlm_edge.modeling.config import Convolution, EncoderConfig
from tlm_edge.modeling.heads import SequenceClassifier

VOCABULARY = 50
CLS, MARKERS = 2, (48, 49)


@dataclass(frozen=True)
class Case:
    config: EncoderConfig
    model: SequenceClassifier
    input_ids: torch.Tensor
    attention_mask: torch.Tensor


@st.composite
def configs(draw) -> EncoderConfig:
    heads = draw(st.sampled_from([1, 2, 3, 4, 8]))
    hidden = heads * draw(st.sampled_from([4, 8, 16]))
    convolution = draw(st.none() | st.sampled_from([Convolution(2, (3, 3), 2), Convolution(1, (4, 3), 3)]))
    return EncoderConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        num_attention_heads=heads,
        num_hidden_layers=draw(st.integers(1, 3)),
        intermediate_size=draw(st.sampled_from([hidden, 4 * hidden])),
        max_position_embeddings=draw(st.sampled_from([16, 24])),
        type_vocab_size=draw(st.sampled_from([1, 2])),
        activation=draw(st.sampled_from(["gelu", "gelu", "gelu_new", "relu", "silu"])),
        readout_activation=draw(st.sampled_from(["tanh", "tanh", "relu", "gelu"])),
        embedding_size=draw(st.sampled_from([None, None, 6])),
        convolution=convolution,
        bigram_buckets=draw(st.sampled_from([0, 0, 7, 64])),
        markers=draw(st.sampled_from([(), (), MARKERS])),
        labels=tuple("abcde"[: draw(st.integers(1, 5))]),
    )


@st.composite
def cases(draw) -> Case:
    config = draw(configs())
    torch.manual_seed(draw(st.integers(0, 2**16)))
    model = random_classifier(config)
    batch = draw(st.integers(1, 4))
    longest = config.max_position_embeddings
    length = draw(st.sampled_from([1, 2, 3, longest]) | st.integers(1, longest))
    input_ids = torch.randint(5, VOCABULARY - len(MARKERS), (batch, length))
    attention_mask = torch.ones_like(input_ids)
    for row in range(batch):
        tokens = draw(st.just(length) | st.just(1) | st.integers(1, length))
        input_ids[row, tokens:] = config.pad_token_id
        attention_mask[row, tokens:] = 0
        for marker in config.markers:
            input_ids[row, draw(st.integers(0, tokens - 1))] = marker
    input_ids[:, 0] = CLS
    return Case(config, model, input_ids, attention_mask)


def random_classifier(config: EncoderConfig) -> SequenceClassifier:
    """A classifier with every weight, bias, norm and running statistic away from its initial value."""
    model = SequenceClassifier(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 2.0)
    return model
