"""Weights stored as low-rank differences from an encoder's: what they give back, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import tlm_edge
from tests.modeling.test_checkpoint import random_batch, random_config, shaken
from tests.tiny_models import labelled_texts
from tests.training.recipes import DATA, finetune_job
from tlm_edge import catalog
from tlm_edge.catalog import pull_model
from tlm_edge.files import sha256_file
from tlm_edge.modeling.checkpoint import LowRank, keep_low_rank, load_classifier, save_checkpoint
from tlm_edge.modeling.committee import build_committee
from tlm_edge.modeling.difference import DIFFERENCE, differences, restored
from tlm_edge.modeling.heads import SequenceClassifier
from tlm_edge.modeling.stored_cascade import StoredCascade, members_digest, read_cascade, write_cascade
from tlm_edge.modeling.whole import make_whole
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import models_folder
from tlm_edge.training.finetune_job import run_finetune

HERE = Path("difference.safetensors")


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_a_difference_of_at_most_the_rank_comes_back(rank: int) -> None:
    generator = torch.Generator().manual_seed(rank)
    base = {"a": torch.randn(40, 24, generator=generator), "positions": torch.randn(32, 24, generator=generator)}
    moved = torch.randn(40, rank, generator=generator) @ torch.randn(rank, 24, generator=generator)
    new_rows = torch.cat([base["a"], torch.zeros(1, 24)]) + torch.cat([moved, moved[:1]])
    weights = {"a": new_rows, "positions": base["positions"][:30] * 2, "bias": torch.randn(24, generator=generator)}
    stored = differences(weights, base, rank)
    back = restored(stored, base, HERE)
    assert set(back) == set(weights)
    torch.testing.assert_close(back["a"], weights["a"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(back["bias"], weights["bias"], atol=0, rtol=0)
    assert sum(tensor.numel() for name, tensor in stored.items() if name.startswith("a.")) == rank * (41 + 24)
    # No matrix of that rank is nearer: what is missing are the smaller singular values.
    missing = torch.linalg.svdvals(base["positions"][:30])[rank:].square().sum().sqrt()
    torch.testing.assert_close((back["positions"] - weights["positions"]).norm(), missing, atol=1e-3, rtol=1e-3)


def test_what_factors_would_not_make_smaller_is_stored_whole() -> None:
    tensor = torch.randn(8, 8)
    assert differences({"a": tensor}, {"a": torch.zeros(8, 8)}, 4)["a"] is tensor
    assert differences({"a": tensor}, {"b": tensor}, 1)["a"] is tensor
    assert differences({"a": tensor}, {"a": torch.zeros(8, 9)}, 1)["a"] is tensor


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("difference") / "encoder"
    folder.mkdir()
    save_checkpoint(folder, shaken(SequenceClassifier(random_config(3)), 3), folder)
    return folder


def stored(encoder: Path, folder: Path, *, half: bool = False) -> SequenceClassifier:
    """A checkpoint of differences at ``folder``, and the model rounded to what is stored."""
    model = load_classifier(encoder)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    keep_low_rank(model, LowRank(encoder, 2), half=half)
    folder.mkdir()
    save_checkpoint(folder, model, folder, half=half, low_rank=LowRank(encoder, 2))
    return model


@pytest.mark.parametrize("half", [False, True])
def test_a_checkpoint_loads_as_it_was_rounded(encoder: Path, tmp_path: Path, half: bool) -> None:
    model = stored(encoder, tmp_path / "task", half=half)
    assert (tmp_path / "task" / DIFFERENCE).stat().st_size < (encoder / "model.safetensors").stat().st_size
    assert not (tmp_path / "task/model.safetensors").exists()
    ids, mask = random_batch(model.config, 1)
    with torch.no_grad():
        # Factors of what is of that rank already are the same but for the last digits that are stored.
        torch.testing.assert_close(
            load_classifier(tmp_path / "task")(ids, mask), model(ids, mask), atol=1e-2 if half else 1e-5, rtol=1e-3
        )


def test_another_or_a_missing_encoder_and_damage_are_refused(encoder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "encoder"
    shutil.copytree(encoder, moved)
    stored(moved, tmp_path / "task")
    file = tmp_path / "task" / DIFFERENCE
    whole = file.read_bytes()
    tensors = load_file(file)
    metadata = {"base": str(moved), "base_sha256": sha256_file(moved / "model.safetensors")}
    right = next(name for name in tensors if name.endswith("_right"))
    for change, words in (
        ({right: torch.zeros(2, 7)}, "doesn't fit that of its base"),
        ({right: torch.zeros(3, 7)}, "don't fit together"),
    ):
        save_file(tensors | change, file, metadata=metadata)
        with pytest.raises(UserError, match=words):
            load_classifier(tmp_path / "task")
    save_file(tensors, file)
    with pytest.raises(UserError, match="lack 'base'"):
        load_classifier(tmp_path / "task")
    file.write_bytes(whole)
    load_classifier(tmp_path / "task")
    save_checkpoint(moved, shaken(load_classifier(encoder), 9), moved)
    with pytest.raises(UserError, match="differences from another"):
        load_classifier(tmp_path / "task")
    shutil.rmtree(moved)
    with pytest.raises(UserError, match="which is missing"):
        load_classifier(tmp_path / "task")


@pytest.fixture(scope="module")
def trained(tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``start``, fine-tuned from scratch, and ``one`` and ``two``, stored as differences from it."""
    folder = tmp_path_factory.mktemp("low-rank")
    recipe = {"epochs": 6, "patience": 6}
    run_finetune(finetune_job(tiny_tokenizer, folder / "start", recipe=recipe))
    for seed, name in enumerate(("one", "two"), start=1):
        again = {"checkpoint": folder / "start", "scratch": None, "tokenizer": None, "test_data": DATA}
        run_finetune(finetune_job(tiny_tokenizer, folder / name, recipe={"seed": seed}, low_rank=4, half=True, **again))
    return folder


def test_a_run_stores_and_scores_the_same_weights(trained: Path) -> None:
    import json

    assert {DIFFERENCE, "config.json"} < {path.name for path in (trained / "one").iterdir()}
    told = json.loads((trained / "one/training.json").read_text())
    assert told["settings"]["low_rank"] == 4
    classifier = tlm_edge.load(trained / "one", threads=1)
    texts, labels = labelled_texts()
    right = [classifier.labels.index(name) for name in ("World", "Sports", "Business", "Sci/Tech")]
    hits = np.mean(classifier.probabilities(texts).argmax(axis=1) == np.array(right)[labels])
    assert hits == pytest.approx(told["result"]["test"]["accuracy"], abs=0.006)  # half precision may turn one text
    assert "models pull one" in (trained / "one/README.md").read_text()


def test_a_copy_made_whole_is_the_same_model_for_everyone(trained: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    committee = tmp_path / "committee"
    build_committee([trained / "one", trained / "two"], committee)
    cascade = StoredCascade((0, 1), (0.5,), members_digest(committee), 0.002, 95.0, "d", 9, 0.9, 0.9, 1.5, 0.01)
    write_cascade(committee, cascade)
    texts = labelled_texts()[0][:20]
    said = tlm_edge.load(committee, threads=1, all_members=True).probabilities(texts)
    make_whole(committee)
    assert not list(committee.rglob(DIFFERENCE))
    assert (read_cascade(committee) or cascade).order == (0, 1)
    np.testing.assert_allclose(
        tlm_edge.load(committee, threads=1, all_members=True).probabilities(texts), said, atol=1e-6
    )
    theirs, report = transformers.AutoModelForSequenceClassification.from_pretrained(
        committee / "members/00", output_loading_info=True
    )
    assert not report["missing_keys"] and theirs.config.num_labels == 4


def test_a_shipped_model_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pull_model("agnews-bert-1", tmp_path / "mine")
    pull_model("dbpedia-committee", tmp_path / "whole")
    first = tmp_path / "whole/members/00"
    assert (first / "model.safetensors").is_file() and not (first / DIFFERENCE).exists()
    assert (models_folder() / "dbpedia-bert-1" / DIFFERENCE).is_file()  # the copy's link was not followed
    monkeypatch.setattr(catalog, "lacks_weights", lambda _: True)
    with pytest.raises(UserError, match="pip install tlm-edge-models"):
        pull_model("dbpedia-bert-1", tmp_path / "other")
    with pytest.raises(UserError, match="nor a shipped model's"):
        pull_model("weather", tmp_path / "other")
