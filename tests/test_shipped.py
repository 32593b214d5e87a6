"""Names of shipped models resolve to their folders, and what is no model is not one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tlm_edge import shipped
from tlm_edge.runtime.errors import UserError


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, mark in (("one", "config.json"), ("several", "committee.json"), ("evaluation", "README.md")):
        (tmp_path / name).mkdir()
        (tmp_path / name / mark).write_text("{}")
    monkeypatch.setattr(shipped, "models_folder", lambda: tmp_path)
    return tmp_path


def test_only_folders_with_a_model_are_names(models: Path) -> None:
    assert shipped.shipped_names() == ["one", "several"]
    assert shipped.resolve_model("several") == models / "several"


def test_an_existing_path_wins_over_a_name(
    models: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "one").mkdir()
    monkeypatch.chdir(elsewhere)
    assert shipped.resolve_model("one").resolve() == elsewhere / "one"


def test_an_unknown_name_lists_the_known(models: Path) -> None:
    with pytest.raises(UserError, match=r"no model 'evaluation'.*one, several"):
        shipped.resolve_model("evaluation")


def test_what_another_wheel_brings_is_told(models: Path) -> None:
    with pytest.raises(UserError, match="wiki-bert-1-2 is not part of this installation: pip install tlm-edge-models"):
        shipped.resolve_model("wiki-bert-1-2")


def test_shipped_models_are_no_more_than_promised() -> None:
    files = {path.resolve() for path in shipped.models_folder().rglob("*") if path.is_file()}
    assert sum(path.stat().st_size for path in files) <= 90e6


def test_evaluation_texts_are_found_by_task() -> None:
    assert shipped.evaluation_texts("agnews").name == "agnews.jsonl"
    with pytest.raises(UserError, match="--data"):
        shipped.evaluation_texts("weather")


def test_weights_may_be_missing_from_a_shipped_model(models: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert shipped.lacks_weights(models / "several")
    (models / "several" / "members" / "00").mkdir(parents=True)
    (models / "several" / "members" / "00" / "model.safetensors").touch()
    assert not shipped.lacks_weights(models / "several")
    assert not shipped.lacks_weights(tmp_path_factory.mktemp("of-the-user"))
