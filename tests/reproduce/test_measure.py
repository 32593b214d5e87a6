from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.reproduce.small import outcome
from tlm_edge.data.corpus import documents
from tlm_edge.data.tasks import load_task
from tlm_edge.data.tokenizer import train_tokenizer
from tlm_edge.reproduce.jobs import Place
from tlm_edge.reproduce.measure import measure
from tlm_edge.reproduce.outcome import OUTCOMES, read_outcome, write_outcome
from tlm_edge.reproduce.overlap import measure_overlap
from tlm_edge.reproduce.plan import plan_file, read_plan
from tlm_edge.reproduce.results import read_overlaps, read_results
from tlm_edge.reproduce.runs import MADE_DATA, MADE_TOKENIZER
from tlm_edge.reproduce.smoke_data import write_smoke_data


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    """The smoke plan after its first encoder and the first fine-tuning, as far as measuring looks at them."""
    folder = tmp_path_factory.mktemp("measure")
    (folder / "plan.toml").write_bytes(plan_file("smoke").read_bytes())
    plan = read_plan(folder / "plan.toml")
    write_smoke_data(folder / MADE_DATA)
    train_tokenizer([str(folder / MADE_DATA / "corpus.jsonl")], plan.vocab_size or 0, folder / MADE_TOKENIZER)
    run = outcome("bert-1", "20k", 0)
    pretrained = replace(
        run, run="pretrain-bert-1-20k-seed0", kind="pretrain", task=None, expected="", probabilities=None
    )
    write_outcome(folder / OUTCOMES, pretrained)
    tuned = replace(run, run="finetune-modules-bert-1-20k-seed0", task="modules", probabilities=None)
    write_outcome(folder / OUTCOMES, tuned)
    return Place(plan, folder, None)


def test_overlaps_and_words_are_measured_once(place, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TLM_EDGE_CACHE", str(tmp_path))
    measure(place)
    (overlap,) = (each["modules"] for each in read_overlaps(place.folder).values())
    data = place.folder / MADE_DATA
    texts = load_task(data / "modules").splits["train"].texts
    direct = measure_overlap(documents([str(data / "corpus.jsonl")], 70), texts, place.tokenizer())
    assert overlap.task_tokens == direct.task_tokens
    assert overlap.corpus_tokens < direct.corpus_tokens, "the plan keeps the first 500 tokens of each article"
    assert overlap.shared == pytest.approx(direct.shared, abs=0.1)
    words = read_outcome(place.folder / OUTCOMES / "baseline-modules.json")
    assert words.accuracy is not None and words.accuracy > 0.6
    results = read_results(place.folder)
    assert np.mean(results.right("baseline-modules", "modules")) == words.accuracy
    assert "baseline-modules" not in results.planned
    before = (place.folder / OUTCOMES / "baseline-modules.json").stat().st_mtime_ns
    measure(place)
    assert (place.folder / OUTCOMES / "baseline-modules.json").stat().st_mtime_ns == before


def test_without_the_data_nothing_is_measured(reproduction) -> None:
    before = sorted(reproduction.rglob("*"))
    measure(Place(read_plan(reproduction / "plan.toml"), reproduction, None))
    assert sorted(reproduction.rglob("*")) == before
