"""Linear classifiers of n-grams: what is fitted is what runs, alone and in a weighted committee, in every runtime."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import tlm_edge
from tests.tiny_models import LABELS, MAX_LENGTH, labelled_texts, train_checkpoint
from tests.training.recipes import DATA
from tlm_edge.cli import app
from tlm_edge.export.export import export_model
from tlm_edge.modeling.bigrams import pair_buckets
from tlm_edge.modeling.committee import build_committee, load_committee, vote_weights
from tlm_edge.modeling.members import load_member, read_member_config
from tlm_edge.modeling.ngrams import NgramClassifier, NgramConfig
from tlm_edge.modeling.predict import TorchClassifier
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.vote import softmax
from tlm_edge.training.examples import encode_examples
from tlm_edge.training.ngrams import NgramJob, ngram_counts, train_ngrams
from tlm_edge.training.weighting import fit_weights

WEIGHTS = (0.2, 0.5, 0.3)


@pytest.fixture(scope="module")
def ngrams(tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """N-grams of the evaluation texts, with the tiny tokenizer."""
    out = tmp_path_factory.mktemp("ngrams") / "ngrams"
    train_ngrams(NgramJob((DATA,), out, tiny_tokenizer, buckets=512, max_length=MAX_LENGTH, test_data=DATA))
    return out


@pytest.fixture(scope="module")
def encoders(tiny_tokenizer: Path, ngrams: Path) -> list[Path]:
    """Two small encoders that have the labels in the order of the n-grams."""
    labels = tuple(sorted(LABELS))
    return [
        train_checkpoint(ngrams.parent / f"encoder-{seed}", tiny_tokenizer, seed=seed, labels=labels, epochs=2)
        for seed in (0, 1)
    ]


@pytest.fixture(scope="module")
def mixed(encoders: list[Path], ngrams: Path) -> Path:
    """The encoders and the n-grams, their votes weighted."""
    build_committee([*encoders, ngrams], ngrams.parent / "mixed", weights=WEIGHTS)
    return ngrams.parent / "mixed"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Eight hundred labelled rows."""
    texts, labels = labelled_texts()
    lines = [json.dumps({"text": text, "label": LABELS[label]}) for text, label in zip(texts, labels, strict=True)]
    data = tmp_path / "rows.jsonl"
    data.write_text("\n".join(lines * 4) + "\n", encoding="utf-8")
    return data


def test_it_learns_and_says_so(ngrams: Path) -> None:
    result = json.loads((ngrams / "training.json").read_text(encoding="utf-8"))["result"]
    assert result["test"]["accuracy"] > 0.9 and result["test"]["n"] == 200
    assert result["validation"] is None
    classifier = tlm_edge.load(ngrams)
    texts, expected = labelled_texts()
    given = classifier.probabilities(texts).argmax(axis=1)
    hits = [classifier.labels[one] == LABELS[label] for one, label in zip(given, expected, strict=True)]
    assert np.mean(hits) == pytest.approx(result["test"]["accuracy"])
    assert "pairs of them in 512 buckets" in (ngrams / "README.md").read_text(encoding="utf-8")


def test_the_module_multiplies_what_was_fitted(ngrams: Path) -> None:
    classifier = TorchClassifier(ngrams)
    model = load_member(ngrams)
    assert isinstance(model, NgramClassifier)
    texts = labelled_texts()[0][:40]
    counts = ngram_counts(encode_examples(classifier.encoder._tokenizer, texts, np.zeros(40), MAX_LENGTH), model.config)
    table = torch.cat([model.unigrams.weight, model.bigrams.weight]).detach().numpy()
    expected = counts @ table + model.bias.detach().numpy()
    np.testing.assert_allclose(classifier.member_logits(texts)[:, 0], expected, atol=1e-4)


def test_padding_changes_nothing(ngrams: Path) -> None:
    model = load_member(ngrams)
    ids = torch.randint(5, 700, (3, 9))
    padded = torch.cat([ids, torch.full((3, 4), model.config.pad_token_id)], dim=1)
    mask = torch.cat([torch.ones_like(ids), torch.zeros(3, 4, dtype=torch.long)], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(model(padded, mask), model(ids), atol=1e-5, rtol=0)


def test_pairs_fit_32_bits_and_spread() -> None:
    largest = np.int64((1 << 17) - 1)
    assert largest * 7919 + largest * 6007 < 2**31
    first, second = np.random.default_rng(0).integers(8192, size=(2, 100_000))
    counts = np.bincount(pair_buckets(first, second, 65536), minlength=65536)
    assert counts.max() < 14  # of a Poisson distribution with mean 1.5
    assert abs(counts.var() / counts.mean() - 1) < 0.05


@pytest.mark.parametrize("target", ["onnx", "tflite", "executorch"])
def test_a_weighted_committee_with_ngrams_in_every_runtime(target: str, mixed: Path, tmp_path: Path) -> None:
    if target != "onnx":
        pytest.importorskip("litert_torch" if target == "tflite" else "executorch")
    bundle = export_model(mixed, target, "fp32", tmp_path / "bundle", buckets=(16,))
    manifest = bundle.manifest
    assert manifest.weights == WEIGHTS and manifest.source.members == 3
    assert manifest.source.architecture == "bert, layers 1+1, hidden 32, heads 4 + n-grams, 512 buckets"
    assert manifest.parity is not None and manifest.parity.max_logit_difference < 1e-4
    texts = labelled_texts()[0][:20]
    source = TorchClassifier(mixed)
    votes = np.einsum("tml,m->tl", softmax(source.member_logits(texts)), np.array(WEIGHTS, np.float32))
    np.testing.assert_allclose(source.probabilities(texts), votes, atol=1e-6)
    np.testing.assert_allclose(BundleClassifier(bundle, 1).probabilities(texts), votes, atol=1e-5)


def test_a_weighted_cascade(mixed: Path, tmp_path: Path) -> None:
    """Calibrated on repeated texts: it asks the cheap n-grams first, and weights who is asked."""
    data = tmp_path / "many.jsonl"
    texts, labels = labelled_texts()
    rows = [json.dumps({"text": text, "label": LABELS[label]}) for text, label in zip(texts, labels, strict=True)]
    data.write_text("\n".join(rows * 4) + "\n", encoding="utf-8")
    out = tmp_path / "cascade"
    done = CliRunner().invoke(
        app, ["committee", "calibrate", str(mixed), "--data", str(data), "--max-drop", "2", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    classifier = TorchClassifier(out)
    assert classifier.cascade is not None and classifier.cascade.order[0] == 2
    bundle = BundleClassifier(export_model(out, "onnx", "fp32", tmp_path / "bundle"), 1)
    assert bundle.bundle.manifest.weights == WEIGHTS
    ours, theirs = classifier.votes(texts), bundle.votes(texts)
    np.testing.assert_array_equal(ours.members_used, theirs.members_used)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-5)
    every = BundleClassifier(bundle.bundle, 1, all_members=True)
    np.testing.assert_allclose(every.probabilities(texts), TorchClassifier(mixed).probabilities(texts), atol=1e-5)


def test_weights_are_found_on_labelled_texts(encoders: list[Path], ngrams: Path, tmp_path: Path) -> None:
    out = tmp_path / "weighed"
    words = ["committee", "build", str(encoders[0]), str(ngrams), "--weigh-on", DATA, "--test-data", DATA]
    done = CliRunner().invoke(app, [*words, "--out", str(out)])
    assert done.exit_code == 0, done.output
    weights = vote_weights(out)
    assert sum(weights) == pytest.approx(1) and load_committee(out).weights == weights
    assert "Its vote weighs" in (out / "README.md").read_text(encoding="utf-8")


def test_weights_have_the_largest_likelihood() -> None:
    generator = np.random.default_rng(1)
    expected = generator.integers(3, size=900)
    sure = 0.8 * np.eye(3)[expected] + 0.2 / 3
    guess = generator.dirichlet([1, 1, 1], size=900)
    weights = fit_weights(np.stack([guess, sure]), expected)
    chosen = np.stack([guess, sure])[:, np.arange(900), expected]
    grid = [np.log((1 - share) * chosen[0] + share * chosen[1]).sum() for share in np.linspace(0, 1, 1001)]
    assert weights[1] == pytest.approx(np.argmax(grid) / 1000, abs=2e-3)
    with pytest.raises(UserError, match="100 rows are too few to weight 2 members by: give at least 200"):
        fit_weights(np.stack([guess, sure])[:, :100], expected[:100])


def test_two_labels(tiny_tokenizer: Path, tmp_path: Path) -> None:
    texts, labels = labelled_texts()
    rows = [f"{text}\t{'yes' if label == 1 else 'no'}" for text, label in zip(texts, labels, strict=True)]
    data = tmp_path / "two.tsv"
    data.write_text("text\tlabel\n" + "\n".join(rows) + "\n", encoding="utf-8")
    done = train_ngrams(NgramJob((str(data),), tmp_path / "two", tiny_tokenizer, buckets=64, test_data=str(data)))
    assert done["result"]["test"]["accuracy"] > 0.9


def test_rows_choose_how_strongly_it_is_regularised(tiny_tokenizer: Path, tmp_path: Path, rows: Path) -> None:
    """Rows that are known by heart ask for weak regularisation, labels at random for strong; folds say so, too."""
    texts, labels = labelled_texts()
    shuffled = tmp_path / "shuffled.jsonl"
    order = np.random.default_rng(0).permutation(labels)
    lines = [json.dumps({"text": text, "label": LABELS[label]}) for text, label in zip(texts, order, strict=True)]
    shuffled.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def strength(data: Path, share: float | None) -> float:
        out = tmp_path / f"{data.stem}-{share}"
        job = NgramJob((str(data),), out, tiny_tokenizer, buckets=64, validation_share=share)
        return train_ngrams(job)["settings"]["strength"]

    # Every row is there four times.
    assert min(strength(rows, 0.4), strength(rows, 0.0)) >= 100
    assert strength(shuffled, None) <= 1


def test_a_label_with_one_row_needs_no_folds(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = tmp_path / "few.csv"
    data.write_text("text,label\none text,a\nanother,b\na third,b\n", encoding="utf-8")
    done = train_ngrams(NgramJob((str(data),), tmp_path / "few", tiny_tokenizer, buckets=64))
    assert done["settings"]["strength"] == 3.0


def test_the_held_out_rows_are_learned_last(tiny_tokenizer: Path, tmp_path: Path) -> None:
    """What is kept from before knows fewer of the rows than what is made in the end; an earlier one is replaced."""
    before, out = tmp_path / "before", tmp_path / "all"
    before.mkdir()
    (before / "left.txt").write_text("by an interrupted run", encoding="utf-8")
    job = NgramJob((DATA,), out, tiny_tokenizer, buckets=64, validation_share=0.4, before_refit=before)
    assert train_ngrams(job)["rows"] == {"train": 120, "validation": 80}
    texts, labels = labelled_texts()
    known = [[prediction.label for prediction in tlm_edge.load(folder).predict(texts)] for folder in (before, out)]
    right = [sum(map(str.__eq__, said, (LABELS[label] for label in labels))) for said in known]
    assert right[0] < right[1]
    assert not (before / "left.txt").exists()


def test_damage_is_named(ngrams: Path, tmp_path: Path) -> None:
    copy = tmp_path / "damaged"
    shutil.copytree(ngrams, copy)
    tensors = load_file(copy / "model.safetensors")
    save_file({name: tensor for name, tensor in tensors.items() if name != "bias"}, copy / "model.safetensors")
    with pytest.raises(UserError, match="no tensor bias of the size in config.json"):
        load_member(copy)
    content = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    (copy / "config.json").write_text(json.dumps(content | {"buckets": -1}), encoding="utf-8")
    with pytest.raises(UserError, match="buckets is -1, not a number of the right size"):
        read_member_config(copy)
    config = read_member_config(ngrams)
    assert isinstance(config, NgramConfig)
    with pytest.raises(UserError, match="vocabularies of up to 131,072 tokens"):
        replace(config, vocab_size=200_000)


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [([0.5, 0.5], "3 members have as many weights"), ([0.5, 0.5, 0.5], "add up to 1.5"), ("x", "'x' are no weights")],
)
def test_damaged_weights_are_named(weights: object, complaint: str, mixed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(mixed, copy)
    content = json.loads((copy / "committee.json").read_text(encoding="utf-8"))
    (copy / "committee.json").write_text(json.dumps(content | {"weights": weights}), encoding="utf-8")
    with pytest.raises(UserError, match=complaint):
        load_committee(copy)


SIZES = ("--hidden-size", "32", "--heads", "4", "--epochs", "1", "--validation-share", "0.4", "--threads", "1")


def test_a_committee_is_trained_with_ngrams(rows: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    """Two members of hidden size 32 and n-grams; a hundred held-out rows a member weight the votes."""
    out = tmp_path / "committee"
    start = ["committee", "train", "--arch", "bert-1", "--tokenizer", str(tiny_tokenizer), "--with-ngrams"]
    done = CliRunner().invoke(app, [*start, *SIZES, "--members", "2", "--data", str(rows), "--out", str(out)])
    assert done.exit_code == 0, done.output
    committee = load_committee(out)
    assert [type(member).__name__ for member in committee.members] == ["SequenceClassifier"] * 2 + ["NgramClassifier"]
    assert len(committee.weights) == 3 and committee.weights[2] > 0.5
    result = json.loads((out / "training.json").read_text(encoding="utf-8"))["result"]["validation"]
    assert result["committee"]["n"] == 320 and len(result["members"]) == 3
    learned = json.loads((out / "members/02/training.json").read_text(encoding="utf-8"))
    # The rows that weighted the votes are learned in the end.
    assert learned["rows"] == {"train": 480, "validation": 320}


def test_ngrams_have_half_of_the_vote_where_rows_are_few(tiny_tokenizer: Path, tmp_path: Path) -> None:
    out = tmp_path / "committee"
    start = ["committee", "train", "--arch", "bert-1", "--tokenizer", str(tiny_tokenizer), "--with-ngrams"]
    done = CliRunner().invoke(app, [*start, *SIZES[:-4], "--members", "2", "--data", DATA, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert load_committee(out).weights == (0.25, 0.25, 0.5)


def test_a_single_classifier_is_fine_tuned_with_ngrams(rows: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    """Hidden size 32; the two make a committee, and a resume of what is finished changes nothing."""
    out = tmp_path / "both"
    start = ["finetune", "--from-scratch", "bert-1", "--tokenizer", str(tiny_tokenizer), "--with-ngrams", *SIZES]
    command = [*start, "--rows-per-label", "150", "--data", str(rows), "--out", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "a classifier, and n-grams that vote with it" in done.output
    committee = load_committee(out)
    assert [type(member).__name__ for member in committee.members] == ["SequenceClassifier", "NgramClassifier"]
    assert len(committee.weights) == 2
    learned = json.loads((out / "members/01/training.json").read_text(encoding="utf-8"))
    assert sum(learned["rows"].values()) == 150 * len(LABELS)
    assert tlm_edge.load(out).predict(["ski stocks"])[0].label in LABELS
    before = (out / "training.json").read_bytes()
    assert CliRunner().invoke(app, [*command, "--resume"]).exit_code == 0
    assert (out / "training.json").read_bytes() == before


def test_a_single_member_needs_ngrams(rows: Path, tmp_path: Path) -> None:
    """One alone is no committee."""
    command = ["committee", "train", "--members", "1", "--data", str(rows), "--out", str(tmp_path / "one")]
    with pytest.raises(UserError, match="at least two, or one and --with-ngrams"):
        CliRunner().invoke(app, command, catch_exceptions=False)
