import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.hub_server import serve_hub
from tlm_edge.data.corpus import documents
from tlm_edge.data.hub import HubName, parse_name
from tlm_edge.data.tasks import load_examples, load_task
from tlm_edge.data.token_cache import load_token_cache
from tlm_edge.data.tokenizer import train_tokenizer
from tlm_edge.extras import EXTRAS
from tlm_edge.runtime.errors import MissingExtraError, UserError

datasets = pytest.importorskip("datasets")

CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: data/test-*
---
"""
NAMES = ("World", "Sports", "Business", "Sci/Tech")
FEATURES = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(NAMES))})


def _write_split(repository: Path, split: str, texts: list, labels: list, features=FEATURES) -> None:
    rows = datasets.Dataset.from_dict({"text": texts, "label": labels}, features=features)
    (repository / "data").mkdir(parents=True, exist_ok=True)
    rows.to_parquet(str(repository / "data" / f"{split}-00000-of-00001.parquet"))
    (repository / "README.md").write_text(CARD)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TLM_EDGE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def repository(tmp_path) -> Path:
    """A copy of a news dataset in the hub's layout."""
    folder = tmp_path / "hub" / "fancyzhx" / "ag_news"
    _write_split(folder, "train", [f"train text {i}" for i in range(8)], [3, 2, 1, 0] * 2)
    _write_split(folder, "test", ["test text 0", "test text 1"], [2, 1])
    return folder


def test_names_are_told_from_paths():
    assert parse_name("fancyzhx/ag_news") == HubName("fancyzhx/ag_news")
    assert parse_name("wikimedia/wikipedia:20231101.en") == HubName("wikimedia/wikipedia", "20231101.en")
    for path in ("data/train.jsonl", "data/train.CSV", "./data", "../a/b", "a/b/c", "train", "/a/b", "a/b.jsonl.gz"):
        assert parse_name(path) is None


def test_a_local_copy_is_a_task_and_a_corpus(repository, monkeypatch):
    task = load_task(repository)
    assert task.labels == NAMES
    assert task.splits["train"].labels.tolist() == [3, 2, 1, 0] * 2
    assert task.splits["test"].texts == ("test text 0", "test text 1")
    assert load_examples(repository, ("Business", "Sports", "World", "Sci/Tech")).labels.tolist() == [0, 1]
    monkeypatch.chdir(repository.parents[1])
    assert load_task("fancyzhx/ag_news").labels == NAMES
    assert list(documents(["fancyzhx/ag_news"])) == list(task.splits["train"].texts)


def test_a_corpus_is_cached_by_its_content(repository, tmp_path):
    train_tokenizer([str(repository)], 300, tmp_path / "tokenizer")
    first = load_token_cache([str(repository)], tmp_path / "tokenizer")
    assert len(first.starts) == 9
    assert load_token_cache([str(repository)], tmp_path / "tokenizer").folder == first.folder
    _write_split(repository, "train", ["another text"], [0])
    second = load_token_cache([str(repository)], tmp_path / "tokenizer")
    assert len(second.starts) == 2


def test_a_name_is_loaded_from_the_hub(repository, tmp_path):
    code = """
from tlm_edge.data.tasks import load_task
from tlm_edge.runtime.errors import UserError
print(load_task("fancyzhx/ag_news"))
try:
    load_task("fancyzhx/absent")
except UserError as error:
    print(error)
"""
    with serve_hub(repository.parents[1]) as address:
        environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
        command = [sys.executable, "-c", code]
        run = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    task, error = run.stdout.splitlines()
    assert task == str(load_task(repository))
    assert error.startswith("fancyzhx/absent: neither a file or folder here nor a dataset that loads from the hub")
    assert run.stderr == ""


def test_rows_that_cannot_be_used_are_named(repository):
    _write_split(repository, "test", ["test text 0", "test text 1"], [2, -1])
    with pytest.raises(UserError, match="split test, row 2: the label 'label' is None, neither a name nor"):
        load_task(repository)
    _write_split(repository, "test", ["test text 0", None], [2, 1])
    with pytest.raises(UserError, match="split test, row 2: 'text' is None, not text"):
        load_task(repository)
    with pytest.raises(UserError, match="split test, row 1: no column 'body'; there are 'text', 'label'"):
        load_examples(repository, NAMES, text_columns=("body",))
    _write_split(repository, "train", ["text", None], [2, 1])
    with pytest.raises(UserError, match="ag_news, split train, row 2: 'text' is None, not text"):
        list(documents([str(repository)]))
    for file in (repository / "data").glob("*"):
        file.write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match="ag_news: neither a file or folder here nor"):
        load_task(repository)


def test_the_missing_extra_is_named(repository, monkeypatch):
    monkeypatch.setitem(EXTRAS, "hub", ("datasets_is_not_installed",))
    with pytest.raises(MissingExtraError, match=r'the extra \'hub\' brings: pip install "tlm-edge\[hub\]"'):
        load_task("fancyzhx/ag_news")
