"""Plain checkpoints are Hugging Face's, in both directions; damaged or foreign ones are refused in one line."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny_models import LABELS
from tlm_edge.modeling.checkpoint import load_classifier, load_masked_language_model, save_checkpoint
from tlm_edge.modeling.config import EncoderConfig, read_config
from tlm_edge.modeling.heads import MaskedLanguageModel, SequenceClassifier
from tlm_edge.runtime.errors import UserError

transformers = pytest.importorskip("transformers")


def random_config(seed: int, labels: tuple[str, ...] = LABELS) -> EncoderConfig:
    draw = random.Random(seed)  # noqa: S311 (no secret)
    heads = draw.choice([1, 2, 4, 6])
    return EncoderConfig(
        vocab_size=draw.randint(20, 200),
        hidden_size=heads * draw.choice([4, 8, 16]),
        num_hidden_layers=draw.randint(1, 4),
        num_attention_heads=heads,
        intermediate_size=draw.randint(8, 96),
        max_position_embeddings=draw.randint(12, 40),
        type_vocab_size=draw.choice([1, 2]),
        layer_norm_eps=draw.choice([1e-12, 1e-5]),
        labels=labels[: draw.randint(2, len(labels))] if labels else (),
    )


def random_batch(config: EncoderConfig, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and a mask that pads some rows."""
    generator = torch.Generator().manual_seed(seed)
    length = config.max_position_embeddings
    ids = torch.randint(1, config.vocab_size, (5, length), generator=generator)
    mask = torch.ones_like(ids)
    for row, kept in enumerate((length, length - 1, length // 2, 2, 1)):
        mask[row, kept:] = 0
    return ids.masked_fill(mask == 0, config.pad_token_id), mask


def shaken(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """``model`` in evaluation mode with every parameter random, so that none is a neutral 0 or 1."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("seed", range(6))
def test_our_checkpoints_load_in_transformers(seed: int, tmp_path: Path) -> None:
    for kind, theirs in (
        (SequenceClassifier, transformers.BertForSequenceClassification),
        (MaskedLanguageModel, transformers.BertForMaskedLM),
    ):
        config = random_config(seed, LABELS if kind is SequenceClassifier else ())
        model = shaken(kind(config), seed)
        folder = tmp_path / kind.__name__
        folder.mkdir()
        save_checkpoint(folder, model, tmp_path)
        loaded, report = theirs.from_pretrained(folder, output_loading_info=True)
        assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
        ids, mask = random_batch(config, seed)
        with torch.no_grad():
            expected = model(ids, mask)
            actual = loaded.eval()(input_ids=ids, attention_mask=mask).logits
        # Rows of padding are nobody's answer.
        kept = mask.bool() if expected.ndim == 3 else slice(None)
        torch.testing.assert_close(actual[kept], expected[kept], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_their_checkpoints_load_here(seed: int, tmp_path: Path) -> None:
    config = random_config(seed)
    foreign = transformers.BertConfig(**{k: v for k, v in config.to_json("MaskedLM").items() if k != "architectures"})
    ids, mask = random_batch(config, seed)
    for theirs, load in (
        (transformers.BertForSequenceClassification, load_classifier),
        (transformers.BertForMaskedLM, load_masked_language_model),
    ):
        model = shaken(theirs(foreign), seed)
        if theirs is transformers.BertForMaskedLM:
            model.tie_weights()
        folder = tmp_path / theirs.__name__
        model.save_pretrained(folder)
        loaded = load(folder).eval()
        assert loaded.config.labels == config.labels
        with torch.no_grad():
            expected = model(input_ids=ids, attention_mask=mask).logits
            actual = loaded(ids, mask)
        kept = mask.bool() if expected.ndim == 3 else slice(None)
        torch.testing.assert_close(actual[kept], expected[kept], atol=1e-5, rtol=1e-5)


def save(folder: Path, *, half: bool = False, seed: int = 0) -> SequenceClassifier:
    torch.manual_seed(seed)
    model = shaken(SequenceClassifier(random_config(seed)), seed)
    folder.mkdir()
    save_checkpoint(folder, model, folder, half=half)
    return model


def test_a_round_trip_is_exact_and_half_precision_is_a_rounding(tmp_path: Path) -> None:
    model = save(tmp_path / "full")
    ids, mask = random_batch(model.config, 1)
    torch.testing.assert_close(load_classifier(tmp_path / "full")(ids, mask), model(ids, mask), rtol=0, atol=0)
    save(tmp_path / "half", half=True)
    halved = load_classifier(tmp_path / "half")
    assert next(halved.parameters()).dtype == torch.float32
    torch.testing.assert_close(halved(ids, mask), model(ids, mask), atol=2e-2, rtol=2e-2)
    assert (tmp_path / "half/model.safetensors").stat().st_size < 0.6 * (
        tmp_path / "full/model.safetensors"
    ).stat().st_size


def test_the_spelling_of_old_checkpoints_is_read(tmp_path: Path) -> None:
    model = save(tmp_path / "old")
    path = tmp_path / "old/model.safetensors"
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in load_file(path).items()
    }
    save_file(tensors, path)
    ids, mask = random_batch(model.config, 1)
    torch.testing.assert_close(load_classifier(tmp_path / "old")(ids, mask), model(ids, mask))


def test_damage_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save(folder)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()

    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        load_classifier(folder)

    weights.write_bytes(whole)
    tensors = load_file(weights)
    del tensors["bert.pooler.dense.weight"]
    save_file(tensors, weights)
    with pytest.raises(UserError, match=r"lacks the tensor bert\.pooler\.dense\.weight"):
        load_classifier(folder)

    weights.write_bytes(whole)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": config["intermediate_size"] + 1}))
    with pytest.raises(UserError, match="has shape"):
        load_classifier(folder)

    labels = {str(number): str(number) for number in range(9)}
    (folder / "config.json").write_text(json.dumps(config | {"id2label": labels}))
    with pytest.raises(UserError, match="names 9 labels"):
        load_classifier(folder)


def test_pickled_weights_are_never_read(tmp_path: Path) -> None:
    save(tmp_path / "model")
    (tmp_path / "model/model.safetensors").rename(tmp_path / "model/pytorch_model.bin")
    with pytest.raises(UserError, match="pickled"):
        load_classifier(tmp_path / "model")


def test_an_encoder_is_no_classifier(tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    save_checkpoint(tmp_path / "encoder", MaskedLanguageModel(random_config(0, ())), tmp_path)
    with pytest.raises(UserError, match="fine-tune it first"):
        load_classifier(tmp_path / "encoder")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "gpt2"}, "no encoder of the BERT family"),
        ({"hidden_act": "mish"}, "activation 'mish'"),
        ({"position_embedding_type": "relative_key"}, "absolute position"),
        ({"hidden_size": None}, None),
        ({"pad_token_id": 5000}, "none of"),
        ({"num_attention_heads": 5, "hidden_size": 32}, "not a multiple"),
    ],
)
def test_unsupported_configurations_are_refused(change: dict, words: str | None, tmp_path: Path) -> None:
    content = random_config(0).to_json("SequenceClassification") | change
    if words is None:
        del content["hidden_size"]
        words = "hidden_size missing"
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=words):
        read_config(tmp_path)
