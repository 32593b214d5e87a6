"""A committee trained by one command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.training.recipes import DATA
from tlm_edge.cli import app
from tlm_edge.modeling.committee import load_committee, member_folders
from tlm_edge.shipped import ENCODERS


def test_without_an_encoder_the_shipped_ones_give_a_member_each(tmp_path: Path) -> None:
    out = tmp_path / "committee"
    done = CliRunner().invoke(app, ["committee", "train", "--data", DATA, "--out", str(out), "--epochs", "1"])
    assert done.exit_code == 0, done.output
    recipes = [json.loads((member / "training.json").read_text(encoding="utf-8")) for member in member_folders(out)]
    assert tuple(Path(recipe["encoder"]).name for recipe in recipes) == ENCODERS
    first, *others = (member.encoder.embeddings.word.weight for member in load_committee(out).members)
    assert len(others) == len(ENCODERS) - 1
    assert not any(first.equal(other) for other in others)


def test_members_learn_from_a_teacher_and_see_pairs(tiny_committee: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("a match was won\nshares fell\n", encoding="utf-8")
    out = tmp_path / "committee"
    given = ["--arch", "bert-1", "--tokenizer", str(tiny_tokenizer), "--members", "2", "--epochs", "1"]
    given += ["--teacher", str(tiny_committee), "--unlabelled", str(tmp_path / "more.txt"), "--bigrams", "64"]
    done = CliRunner().invoke(app, ["committee", "train", "--data", DATA, "--out", str(out), *given])
    assert done.exit_code == 0, done.output
    for member, loaded in zip(member_folders(out), load_committee(out).members, strict=True):
        recipe = json.loads((member / "training.json").read_text(encoding="utf-8"))
        assert recipe["teacher"]["weight"] == 0.7 and len(recipe["teacher"]["unlabelled"]) == 1
        assert loaded.config.bigram_buckets == 64


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--unlabelled", "more.txt"], "--unlabelled needs --teacher"),
        (["--encoder", ENCODERS[0], "--arch", "bert-1"], "one of the two"),
        (["--tokenizer", ENCODERS[0]], "--tokenizer is for new encoders: give --arch with it"),
    ],
)
def test_what_does_not_go_together_is_refused(given: list[str], message: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["committee", "train", "--data", DATA, "--out", str(tmp_path / "out"), *given])
    assert done.exit_code and message in str(done.exception)
    assert not (tmp_path / "out").exists()
