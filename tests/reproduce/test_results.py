from __future__ import annotations

import shutil

import numpy as np
import pytest

from tests.reproduce.small import outcome, probabilities
from tests.tiny_models import labelled_texts
from tlm_edge.reproduce.findings import find
from tlm_edge.reproduce.jobs import Place
from tlm_edge.reproduce.outcome import write_outcome
from tlm_edge.reproduce.plan import read_plan
from tlm_edge.reproduce.results import distil, read_results
from tlm_edge.reproduce.runs import plan_runs
from tlm_edge.reproduce.schedule import start_state
from tlm_edge.runtime.errors import UserError


@pytest.fixture(scope="module")
def results(reproduction):
    return read_results(reproduction)


def test_a_committee_is_the_mean_of_its_members(results, tiny_folder) -> None:
    (committee,) = [c for c in results.committees if c.corpus == "texts"]
    assert (committee.architecture, committee.task) == ("bert-1", "agnews")
    assert committee.members == tuple(f"finetune-agnews-bert-1-texts-seed{seed}" for seed in (0, 1))
    votes = sum(probabilities(tiny_folder / f"tiny-committee-{seed}").astype(np.float16) for seed in (0, 1))
    assert np.array_equal(results.predicted[committee.name], votes.argmax(axis=1))
    right = results.right(committee.name, "agnews")
    assert right.mean() == pytest.approx((votes.argmax(axis=1) == labelled_texts()[1]).mean())


def test_shallow_variants_vote_together_too(reproduction, tiny_checkpoint, tmp_path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(reproduction, folder)
    plan = (folder / "plan.toml").read_text(encoding="utf-8")
    more = '[architectures.bert-1-wide]\narch = "bert-1"\nhidden_size = 512\n\n[architectures.bert-3]'
    plan = plan.replace("[architectures.bert-3]", more).replace('["bert-3"]', '["bert-3", "bert-1-wide"]')
    (folder / "plan.toml").write_text(plan, encoding="utf-8")
    other = outcome("bert-1-wide", "texts", 0)
    write_outcome(folder / "outcomes", other, probabilities=probabilities(tiny_checkpoint))
    (mixed,) = [committee for committee in read_results(folder).committees if committee.architecture == "mixed"]
    assert mixed.members == ("finetune-agnews-bert-1-texts-seed0", "finetune-agnews-bert-1-wide-texts-seed0")
    (compared,) = [one for one in find(read_results(folder)).findings[3].comparisons if "mixed" in one.first]
    assert (compared.first, compared.second, compared.whole) == ("2 × mixed", "bert-3", True)


def test_what_is_missing_is_known(results) -> None:
    assert len(results.outcomes) == 5
    assert len(results.planned) == 12
    assert "pretrain-bert-3-texts-seed0" in results.missing
    assert "finetune-agnews-bert-1-few-seed0" in results.missing
    assert "finetune-agnews-bert-1-texts-seed1" not in results.missing
    assert list(results.classifiers("bert-1", None, "agnews")) == [0, 1]


def test_what_is_kept_gives_the_same_results_without_probabilities(results, reproduction, tmp_path) -> None:
    distil(reproduction, tmp_path / "kept")
    kept = read_results(tmp_path / "kept")
    assert (kept.outcomes, kept.committees, kept.plan) == (results.outcomes, results.committees, results.plan)
    assert kept.predicted.keys() == results.predicted.keys()
    assert all(np.array_equal(kept.predicted[name], rows) for name, rows in results.predicted.items())
    assert np.array_equal(kept.expected["agnews"], results.expected["agnews"])
    files = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert files == ["answers.npz", "outcomes.jsonl", "overlap.json", "plan.toml"]
    text = labelled_texts()[0][0]
    assert not any(text.encode() in path.read_bytes() for path in (tmp_path / "kept").iterdir())


def test_a_reproduction_goes_on_from_what_is_kept(results, reproduction, tiny_checkpoint, tmp_path) -> None:
    distil(reproduction, tmp_path / "kept")
    folder = tmp_path / "goes-on"
    shutil.copytree(tmp_path / "kept", folder)
    place = Place(read_plan(folder / "plan.toml"), folder, None)
    done = start_state(place, plan_runs(place.plan)).done
    assert done == {outcome.run for outcome in results.outcomes}

    def write(corpus, seed):
        expected = np.array(labelled_texts()[1])
        write_outcome(
            folder / "outcomes",
            outcome("bert-1", corpus, seed),
            expected=expected,
            probabilities=probabilities(tiny_checkpoint),
        )

    write("few", 0)
    more = read_results(folder)
    assert len(more.outcomes) == len(results.outcomes) + 1
    assert more.committees == results.committees
    assert all(np.array_equal(more.predicted[name], rows) for name, rows in results.predicted.items())
    # A committee of one that was done again and one of which only the labels are kept has no votes to average.
    write("texts", 0)
    again = read_results(folder)
    assert [committee.corpus for committee in again.committees] == [None]
    distil(folder, tmp_path / "kept-again")
    assert read_results(tmp_path / "kept-again").committees == again.committees
    write("texts", 1)
    assert {committee.corpus for committee in read_results(folder).committees} == {None, "texts"}


def test_answers_to_other_rows_are_refused(reproduction, tmp_path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(reproduction, folder)
    short = folder / "outcomes" / "finetune-agnews-bert-1-texts-seed0.npy"
    np.save(short, np.load(short)[:-1])
    with pytest.raises(UserError, match="not as many rows"):
        read_results(folder)
    distil(reproduction, tmp_path / "kept")
    (tmp_path / "kept" / "answers.npz").write_bytes(b"PK\x05\x06")
    with pytest.raises(UserError, match="restore the file"):
        read_results(tmp_path / "kept")
