"""Classifiers of Hugging Face's own making: the same logits as transformers gives, and through the gate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny_models import LABELS, labelled_texts, lists
from tlm_edge.compile.inspect import inspect_model
from tlm_edge.export.describe import describe_export
from tlm_edge.export.export import export_model
from tlm_edge.export.source import load_source
from tlm_edge.export.texts import ODD_TEXTS
from tlm_edge.extras import EXTRAS
from tlm_edge.loading import load_model
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.errors import MissingExtraError, UserError

transformers = pytest.importorskip("transformers")

from tests.hugging_face_models import KINDS, POSITIONS, make_checkpoint, save_tokenizer  # noqa: E402

#: kind → what the export says of its rewrite.
ROUTES = dict.fromkeys(("bert", "distilbert", "roberta", "electra"), "row-query")
ROUTES |= dict.fromkeys(("mobilebert", "albert"), "transformers")
TEXTS = [*labelled_texts()[0][:20], "Ünïcödé façade 東京", "", "word " * 100]


def their_logits(folder: Path, texts: list[str]) -> tuple[list[list[int]], np.ndarray]:
    """The token ids and logits that transformers itself gives, each text alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    ids = [tokenizer(text, truncation=True, max_length=POSITIONS)["input_ids"] for text in texts]
    with torch.no_grad():
        logits = [model(input_ids=torch.tensor([each])).logits.numpy() for each in ids]
    return ids, np.concatenate(logits)


def check_source(folder: Path) -> None:
    """What is exported from ``folder`` tokenizes and computes as transformers does."""
    source = load_source(folder)
    ids, expected = their_logits(folder, TEXTS)
    assert [source.tokenizer.encode(text).ids for text in TEXTS] == ids
    np.testing.assert_allclose(source.logits(ids)[:, 0], expected, rtol=0, atol=1e-5)
    # In batches, padded, it gives the same.
    probabilities = torch.from_numpy(expected).softmax(dim=-1).numpy()
    np.testing.assert_allclose(source.probabilities(TEXTS), probabilities, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_source_is_what_transformers_computes(kind, tmp_path):
    check_source(make_checkpoint(kind, tmp_path / kind, trained=False))


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("bert", {"hidden_act": "relu", "num_hidden_layers": 1}),
        ("bert", {"hidden_act": "gelu_new", "type_vocab_size": 3}),
        ("distilbert", {"sinusoidal_pos_embds": True, "activation": "relu"}),
        ("roberta", {"num_hidden_layers": 1, "hidden_act": "silu"}),
        ("electra", {"num_hidden_layers": 1}),
        ("electra", {"embedding_size": 32}),
        ("mobilebert", {"trigram_input": False, "num_feedforward_networks": 1, "classifier_activation": False}),
        ("mobilebert", {"normalization_type": "layer_norm", "use_bottleneck_attention": True}),
        ("albert", {"num_hidden_groups": 2, "inner_group_num": 1}),
    ],
)
def test_variants(kind, changes, tmp_path):
    check_source(make_checkpoint(kind, tmp_path / kind, trained=False, **changes))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """kind → a trained checkpoint of it, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("hugging-face")

    def checkpoint(kind: str) -> Path:
        return folder / kind if (folder / kind).is_dir() else make_checkpoint(kind, folder / kind)

    return checkpoint


@pytest.mark.parametrize(
    ("kind", "precision"), [*((kind, "int8") for kind in ROUTES), ("roberta", "fp32"), ("mobilebert", "fp32")]
)
def test_through_the_gate(kind, precision, trained, tmp_path):
    bundle = export_model(trained(kind), "onnx", precision, tmp_path / "bundle")
    manifest = bundle.manifest
    assert (manifest.rewrite, manifest.labels, manifest.max_length) == (ROUTES[kind], LABELS, POSITIONS)
    assert manifest.source.architecture.startswith(f"{kind}, layers 2, hidden 32")
    assert manifest.pad_token_id == (1 if kind == "roberta" else 0)
    assert ("vocab.txt" in manifest.files) == (kind not in ("roberta", "albert"))
    assert manifest.parity.longest == POSITIONS
    assert manifest.accuracy.accuracy > 0.6
    assert ("as transformers does" in describe_export(bundle)) == (ROUTES[kind] == "transformers")
    ids, expected = their_logits(trained(kind), TEXTS)
    classifier = BundleClassifier(open_bundle(tmp_path / "bundle"), 1)
    assert lists(classifier.encoder.token_ids(TEXTS)) == ids
    if precision == "fp32":
        np.testing.assert_allclose(classifier.outputs(ids)["logits"], expected, rtol=0, atol=1e-4)


def test_predict_and_evaluate_take_them(trained):
    for kind in ("roberta", "mobilebert"):
        classifier = load_model(trained(kind), threads=1)
        assert (classifier.labels, classifier.max_length) == (LABELS, POSITIONS)
        _, expected = their_logits(trained(kind), TEXTS)
        found = classifier.probabilities(TEXTS)
        np.testing.assert_allclose(found, torch.from_numpy(expected).softmax(dim=-1).numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["roberta", "camembert", "xlm-roberta", "albert"])
def test_tokenizers_in_their_old_form(kind, tmp_path):
    """vocab.json and merges.txt, or a SentencePiece model, become the tokenizer.json that transformers itself makes."""
    folder = make_checkpoint(kind, tmp_path / kind, trained=False, slow=True)
    assert not (folder / "tokenizer.json").exists()
    check_source(folder)
    export_model(folder, "onnx", "fp32", tmp_path / "bundle")
    classifier = BundleClassifier(open_bundle(tmp_path / "bundle"), 1)
    texts = [*TEXTS, *(text for text in ODD_TEXTS if "\ud83d" not in text)]
    assert lists(classifier.encoder.token_ids(texts)) == their_logits(folder, texts)[0]


def test_a_vocabulary_alone_is_enough(tmp_path):
    check_source(make_checkpoint("bert", tmp_path / "bert", trained=False, slow=True))


def test_two_labels_without_names(tmp_path):
    """transformers leaves the default labels of two out of config.json."""
    folder = make_checkpoint("distilbert", tmp_path / "distilbert", labels=None, trained=False)
    assert "id2label" not in json.loads((folder / "config.json").read_text())
    assert load_source(folder).labels == ("LABEL_0", "LABEL_1")


def test_nothing_of_the_machine_travels_in_the_configuration(trained, tmp_path):
    folder = Path(shutil.copytree(trained("roberta"), tmp_path / "named"))
    rewrite_config(folder, _name_or_path=str(tmp_path), auto_map={"AutoModel": "evil.Evil"})
    export_model(folder, "onnx", "fp32", tmp_path / "bundle")
    content = json.loads((tmp_path / "bundle/config.json").read_text())
    assert content["model_type"] == "roberta"
    assert not {"_name_or_path", "auto_map"} & set(content)


def rewrite_config(folder: Path, **changes) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | changes))


def rewrite_tensors(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def truncated(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("kind", ["roberta", "mobilebert"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (pickled, "only pickled weights, which can run code .*save_pretrained"),
        (truncated, "damaged"),
        (lambda folder: rewrite_config(folder, model_type="longformer"), "model type 'longformer' is no encoder"),
        (lambda folder: rewrite_config(folder, position_embedding_type="relative_key"), "only absolute position"),
        (lambda folder: rewrite_config(folder, problem_type="regression"), "a head for regression"),
        (lambda folder: rewrite_config(folder, problem_type="multi_label_classification"), "multi label"),
        (lambda folder: rewrite_config(folder, is_decoder=True), "a decoder"),
        (lambda folder: rewrite_config(folder, quantization_config={"bits": 4}), "quantized already"),
        (
            lambda folder: rewrite_config(folder, id2label={"0": "a", "1": "b"}),
            "names 2 labels but the classifier has 4",
        ),
        (lambda folder: rewrite_config(folder, id2label={"0": "a", "1": "a", "2": "b", "3": "c"}), "the same label"),
        (lambda folder: rewrite_config(folder, id2label={"0": "a", "2": "b"}), "other than from 0 on"),
        (lambda folder: rewrite_tensors(folder, lambda tensors: tensors.popitem()), "lacks the tensor|bare encoder"),
    ],
)
def test_what_cannot_be_had_right_is_refused(kind, damage, message, trained, tmp_path):
    folder = Path(shutil.copytree(trained(kind), tmp_path / "damaged"))
    damage(folder)
    with pytest.raises(UserError, match=message):
        export_model(folder, out=tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_activations_that_no_encoder_here_computes(trained, tmp_path):
    folder = Path(shutil.copytree(trained("bert"), tmp_path / "odd"))
    rewrite_config(folder, hidden_act="mish")
    with pytest.raises(UserError, match="activation 'mish' is not supported, only gelu, "):
        export_model(folder, out=tmp_path / "bundle")


def test_a_single_logit_is_a_regression(tmp_path):
    for kind in ("bert", "mobilebert"):
        folder = make_checkpoint(kind, tmp_path / kind, labels=("score",), trained=False)
        with pytest.raises(UserError, match="a single logit, so a head for regression"):
            load_source(folder)


def test_a_tokenizer_larger_than_the_embeddings(trained, tmp_path):
    folder = Path(shutil.copytree(trained("bert"), tmp_path / "other"))
    (folder / "tokenizer.json").unlink()
    save_tokenizer("bert", folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"]["added"] = 5000
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="the tokenizer has 5001 tokens"):
        load_source(folder)


def test_the_missing_extra_is_named(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(EXTRAS, "transformers", ("transformers_is_not_installed",))
    with pytest.raises(MissingExtraError, match=r"a mobilebert, which transformers computes, needs .*\[transformers\]"):
        load_source(trained("mobilebert"))
    slow = make_checkpoint("roberta", tmp_path / "slow", trained=False, slow=True)
    with pytest.raises(MissingExtraError, match=r"converting the tokenizer .* needs .*\[transformers\]"):
        load_source(slow)
    assert load_source(trained("roberta")).labels == LABELS


def test_inspect_counts_what_our_encoder_computes(trained):
    electra = inspect_model(trained("electra"))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(trained("electra"))
    assert electra.as_written[-1].parameters == sum(parameter.numel() for parameter in model.parameters())
    with pytest.raises(UserError, match="a mobilebert, which transformers computes"):
        inspect_model(trained("mobilebert"))
