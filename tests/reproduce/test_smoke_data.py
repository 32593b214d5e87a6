from __future__ import annotations

from pathlib import Path

import pytest

from tlm_edge.data.corpus import documents
from tlm_edge.data.tasks import Task, load_task
from tlm_edge.reproduce import smoke_data
from tlm_edge.runtime.errors import UserError


@pytest.fixture(scope="module")
def smoke_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("smoke") / "data"
    smoke_data.write_smoke_data(folder)
    return folder


@pytest.fixture(scope="module")
def task(smoke_folder) -> Task:
    return load_task(smoke_folder / "modules")


def test_pretraining_and_finetuning_read_what_is_written(smoke_folder, task) -> None:
    corpus = list(documents([str(smoke_folder / "corpus.jsonl")]))
    assert len(corpus) > 200
    assert sum(len(text.split()) for text in corpus) > 150_000
    assert task.labels == ("asyncio", "decimal", "email", "logging", "unittest")
    assert {name: len(split) for name, split in task.splits.items()} == {"train": 750, "test": 300}
    assert (len(set(task.splits["test"].labels)), min(len(text.split()) for text in task.splits["test"].texts)) == (
        5,
        5,
    )


def test_no_sentence_is_learned_and_asked(smoke_folder, task) -> None:
    train, test = (set(task.splits[name].texts) for name in ("train", "test"))
    assert not train & test
    corpus = "\n".join(" ".join(text.split()) for text in documents([str(smoke_folder / "corpus.jsonl")]))
    shared = sum(sentence in corpus for sentence in test)
    assert shared < 0.05 * len(test)  # phrases that stand in other modules too


def test_the_files_repeat(smoke_folder, tmp_path) -> None:
    smoke_data.write_smoke_data(tmp_path / "again")
    for name in ("corpus.jsonl", "modules/train.jsonl", "modules/test.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (smoke_folder / name).read_bytes()


def test_a_library_without_docstrings_is_named(tmp_path, monkeypatch) -> None:
    (tmp_path / "email.py").write_text('"""One sentence about messages and their parts."""\n', encoding="utf-8")
    monkeypatch.setattr(smoke_data, "_home", lambda: tmp_path)
    with pytest.raises(UserError, match="0 sentences, not 210"):
        smoke_data.write_smoke_data(tmp_path / "data")
    assert not (tmp_path / "data").exists()
