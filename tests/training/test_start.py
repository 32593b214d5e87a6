"""The first weights of a classifier on a pre-trained encoder, and what few rows are trained with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny_models import LABELS, labelled_texts
from tests.training.recipes import DATA, finetune_job
from tests.training.test_finetune import fewrel
from tlm_edge.compile.rewrite import FIXED_QUERY, rewrite
from tlm_edge.data.tokenizer import load_tokenizer
from tlm_edge.modeling.heads import SequenceClassifier
from tlm_edge.shipped import resolve_model
from tlm_edge.training.classification import FinetuneJob, PreparedJob, load_pretrained, prepare
from tlm_edge.training.finetune import EpochResult, FinetuneProgress, FinetuneRecipe, finetune
from tlm_edge.training.finetune_job import run_finetune
from tlm_edge.training.scoring import evaluate_examples
from tlm_edge.training.start import has_prediction_head_only, start

ENCODER = resolve_model("wiki-bert-1")


def started(job: FinetuneJob) -> tuple[SequenceClassifier, PreparedJob]:
    ready = prepare(job)
    torch.manual_seed(0)
    model = SequenceClassifier(ready.config)
    load_pretrained(model, ENCODER)
    start(model, ready.train, ready.ids)
    return model.eval(), ready


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> FinetuneJob:
    out = tmp_path_factory.mktemp("start") / "out"
    recipe = FinetuneRecipe(plain_start=False)
    return FinetuneJob((DATA,), out, recipe, checkpoint=ENCODER, test_data=DATA, rows_per_label=8, validation_share=0)


def test_eight_rows_a_label_tell_the_others_before_any_step(job: FinetuneJob) -> None:
    model, ready = started(job)
    assert len(ready.train) == 32 and ready.test is not None
    # Chance is 0.25, and the same encoder's [CLS] row with its random head no better.
    assert evaluate_examples(model, ready.test, ready.ids.pad).accuracy > 0.6
    words, positions = model.encoder.embeddings.word.weight, model.encoder.embeddings.position.weight
    tokenizer = load_tokenizer(ENCODER)
    assert torch.equal(words[tokenizer.token_to_id("[CLS]")], words[tokenizer.token_to_id("[MASK]")])
    torch.testing.assert_close(positions[0], positions[1:].mean(dim=0))
    assert model.config.is_plain


def test_the_rewrite_stays_exact(job: FinetuneJob) -> None:
    model, ready = started(job)
    model = model.double()
    cls = load_tokenizer(ENCODER).token_to_id("[CLS]")
    rewritten = rewrite(model, cls)
    ids, mask = (torch.from_numpy(array) for array in ready.train.batch(np.arange(12), ready.ids.pad))
    assert rewritten.kind == FIXED_QUERY
    with torch.no_grad():
        assert (rewritten(ids, mask) - model(ids, mask)).abs().max() < 1e-10


def test_the_rows_of_markers_are_read_apart(tmp_path: Path) -> None:
    data = str(fewrel(tmp_path / "fewrel.json"))
    job = FinetuneJob((data,), tmp_path / "out", FinetuneRecipe(), checkpoint=ENCODER, validation_share=0)
    model, ready = started(job)
    words = model.encoder.embeddings.word.weight
    assert all(torch.equal(words[marker], words[ready.ids.mask]) for marker in ready.config.markers)
    width = model.config.hidden_size
    first, second = model.pooler.weight[:, :width], model.pooler.weight[:, width:]
    torch.testing.assert_close(second @ second.T, torch.eye(width), rtol=0, atol=1e-5)
    assert torch.equal(first, torch.eye(width)) and (first - second).abs().max() > 0.1


def test_labels_without_a_row_and_two_labels_start_as_well(job: FinetuneJob) -> None:
    model, ready = started(job)
    two = ready.train.select(np.flatnonzero(ready.train.labels < 2))
    start(model, two, ready.ids)
    assert model.classifier.weight[2:].abs().max() == 0
    ids, mask = two.batch(np.arange(len(two)), ready.ids.pad)
    with torch.no_grad():
        said = model(torch.from_numpy(ids), torch.from_numpy(mask))[:, :2].argmax(dim=1).numpy()
    assert (said == two.labels).mean() > 0.8


def test_what_was_read_before_stays(tiny_checkpoint: Path) -> None:
    assert has_prediction_head_only(ENCODER)
    assert not has_prediction_head_only(tiny_checkpoint)


def test_few_rows_are_passed_over_more_often_and_all_learned(tmp_path: Path) -> None:
    recipe = FinetuneRecipe(epochs=3, least_steps=20, learning_rate=2e-4)
    job = FinetuneJob((DATA,), tmp_path / "few", recipe, checkpoint=ENCODER, rows_per_label=8, validation_share=None)
    done = run_finetune(replace(job, test_data=DATA))
    assert done["rows"] == {"train": 32, "validation": 0}
    assert (done["result"]["epochs"], done["result"]["steps"]) == (20, 20)
    assert done["result"]["test"]["accuracy"] > 0.6
    assert "BertForSequenceClassification" in json.loads((tmp_path / "few/config.json").read_text())["architectures"]


def test_a_tenth_is_held_out_of_rows_enough(tiny_tokenizer: Path, tmp_path: Path) -> None:
    texts, labels = labelled_texts()
    rows = [json.dumps({"text": text, "label": LABELS[label]}) for text, label in zip(texts, labels, strict=True)]
    for times, held in ((9, None), (10, 200)):
        data = tmp_path / f"{times}.jsonl"
        data.write_text("\n".join(rows * times) + "\n", encoding="utf-8")
        ready = prepare(finetune_job(tiny_tokenizer, tmp_path / "out", data=(str(data),), validation_share=None))
        assert (None if ready.validation is None else len(ready.validation)) == held


def test_an_epoch_of_one_step_can_be_interrupted_and_resumed(tiny_tokenizer: Path, tmp_path: Path) -> None:
    options = {"recipe": {"epochs": 6, "batch_size": 32}, "rows_per_label": 8, "validation_share": 0.0}
    job = finetune_job(tiny_tokenizer, tmp_path / "out", **options)
    ready = prepare(job)
    losses: dict[str, list[float]] = {"whole": [], "parts": []}

    def run(folder: Path, told: list[float], until: int) -> bool:
        torch.manual_seed(0)
        model = SequenceClassifier(ready.config)
        folder.mkdir(exist_ok=True)

        def report(progress: FinetuneProgress | EpochResult) -> None:
            assert isinstance(progress, FinetuneProgress)
            told.append(progress.loss)

        stop = {"report": report, "interrupted": lambda: len(told) >= until}
        return finetune(model, ready.train, None, ready.ids, job.recipe, folder, **stop).finished

    assert run(tmp_path / "whole", losses["whole"], 99)
    assert not run(tmp_path / "parts", losses["parts"], 2) and len(losses["parts"]) == 2
    assert run(tmp_path / "parts", losses["parts"], 99)
    assert losses["parts"] == losses["whole"]
