"""The soft committee: how it votes, and which members it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.tiny_models import LABELS
from tlm_edge.files import sha256_file
from tlm_edge.modeling.committee import build_committee, load_committee, member_folders
from tlm_edge.modeling.predict import TorchClassifier
from tlm_edge.runtime.errors import UserError


def edited(source: Path, copy: Path, name: str, change) -> Path:
    """A copy of a checkpoint with one JSON file changed."""
    shutil.copytree(source, copy)
    content = json.loads((copy / name).read_text(encoding="utf-8"))
    (copy / name).write_text(json.dumps(change(content)), encoding="utf-8")
    return copy


def test_the_vote_is_the_mean_of_the_softmax_outputs(tiny_committee: Path) -> None:
    committee = load_committee(tiny_committee)
    assert committee.labels == LABELS and len(committee.members) == 2
    classifier = TorchClassifier(tiny_committee, 1)
    texts = ["a word", "three other words", "a word"]
    ids = [torch.tensor(row)[None] for row in classifier.encoder.token_ids(texts)]
    with torch.no_grad():
        by_hand = torch.cat([sum(member(row).softmax(dim=-1) for member in committee.members) / 2 for row in ids])
    torch.testing.assert_close(torch.from_numpy(classifier.probabilities(texts)), by_hand)
    logits = classifier.member_logits(texts)
    assert logits.shape == (3, 2, 4) and (logits[:, 0] != logits[:, 1]).any()


def test_the_tokenizer_is_stored_once(tiny_committee: Path) -> None:
    assert [path.parent for path in tiny_committee.rglob("tokenizer.json")] == [tiny_committee]


def test_members_must_share_labels_and_tokenizer(tiny_checkpoint: Path, tmp_path: Path) -> None:
    def reordered(config: dict) -> dict:
        return config | {"id2label": dict(zip("0123", reversed(LABELS), strict=True))}

    other = edited(tiny_checkpoint, tmp_path / "reordered", "config.json", reordered)
    with pytest.raises(UserError, match=r"reordered has the labels Sci/Tech.*tiny has World"):
        build_committee([tiny_checkpoint, other], tmp_path / "out")
    other = edited(tiny_checkpoint, tmp_path / "retokenized", "tokenizer.json", lambda content: content | {"x": 1})
    with pytest.raises(UserError, match=r"retokenized and .*tiny have different tokenizers"):
        build_committee([tiny_checkpoint, other], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_member_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least two"):
        build_committee([tiny_checkpoint], tmp_path / "out")


def test_a_committee_stands_for_its_members(tiny_checkpoint: Path, tiny_committee: Path, tmp_path: Path) -> None:
    build_committee([tiny_committee, tiny_checkpoint], tmp_path / "out")
    weights = [sha256_file(folder / "model.safetensors") for folder in member_folders(tmp_path / "out")]
    expected = [*member_folders(tiny_committee), tiny_checkpoint]
    assert weights == [sha256_file(folder / "model.safetensors") for folder in expected]
    member = TorchClassifier(member_folders(tiny_committee)[0])
    assert member.labels == TorchClassifier(tiny_committee).labels


@pytest.mark.parametrize("names", [["../tiny"], ["/etc"], ["members/07"], []])
def test_members_outside_the_folder_or_missing_are_refused(
    names: list[str], tiny_committee: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_checkpoint, tmp_path / "tiny")
    copy = edited(
        tiny_committee, tmp_path / "committee", "committee.json", lambda content: content | {"members": names}
    )
    with pytest.raises(UserError, match="build it again|build the committee again"):
        member_folders(copy)
