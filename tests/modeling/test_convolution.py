"""The paper's convolutional variants: any kernel, no dependence on padding, a checkpoint of their own kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tlm_edge.modeling.checkpoint import load_classifier, save_checkpoint
from tlm_edge.modeling.config import ARCHITECTURES, Convolution, EncoderConfig, architecture
from tlm_edge.modeling.heads import MaskedLanguageModel, SequenceClassifier

KERNELS = [Convolution(2, (3, 3), 4), Convolution(3, (3, 3), 3), Convolution(2, (16, 3), 4), Convolution(1, (4, 2), 2)]


def classifier(convolution: Convolution) -> SequenceClassifier:
    torch.manual_seed(0)
    config = EncoderConfig(
        vocab_size=50,
        hidden_size=24,
        num_attention_heads=3,
        intermediate_size=32,
        max_position_embeddings=40,
        convolution=convolution,
        labels=("a", "b", "c"),
    )
    model = SequenceClassifier(config)
    model.train()
    for _ in range(3):  # moves the batch norms' statistics away from 0 and 1
        model(torch.randint(1, 50, (8, 20)))
    return model.eval()


@pytest.mark.parametrize("convolution", KERNELS, ids=str)
def test_the_answer_does_not_depend_on_padding(convolution: Convolution) -> None:
    model = classifier(convolution)
    ids = torch.randint(1, 50, (3, 13))
    alone = model(ids)
    for width in (14, 24, 40):
        padded = torch.zeros(3, width, dtype=torch.long)
        padded[:, :13] = ids
        mask = (torch.arange(width) < 13).long().expand(3, -1)
        torch.testing.assert_close(model(padded, mask), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("convolution", KERNELS, ids=str)
def test_checkpoints_keep_block_and_statistics(convolution: Convolution, tmp_path: Path) -> None:
    model = classifier(convolution)
    save_checkpoint(tmp_path, model, tmp_path)
    loaded = load_classifier(tmp_path)
    assert loaded.config == model.config
    ids = torch.randint(1, 50, (3, 13))
    torch.testing.assert_close(loaded(ids), model(ids), atol=0, rtol=0)


def test_transformers_does_not_take_it_for_a_bert(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    save_checkpoint(tmp_path, classifier(KERNELS[0]), tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    assert content["model_type"] == "tlm-bert" and "auto_map" not in content
    with pytest.raises(ValueError, match="tlm-bert"):
        transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)


def test_every_named_architecture_computes() -> None:
    for name in ARCHITECTURES:
        config = architecture(name, vocab_size=30, max_length=16)
        # The paper's widths take seconds; a twelfth of them has the same structure.
        heads = config.num_attention_heads
        small = architecture(name, vocab_size=30, max_length=16, hidden_size=4 * heads)
        model = MaskedLanguageModel(small).eval()
        assert model(torch.randint(1, 30, (2, 9))).shape == (2, 9, 30)
        assert config.hidden_size % heads == 0 and config.intermediate_size == 4 * config.hidden_size
