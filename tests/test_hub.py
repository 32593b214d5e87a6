"""Models by their name on the hub, from a hub on loopback and from its cache, in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.hub_server import REVISION, TOKEN, serve_hub
from tlm_edge.hub import is_hub_name, name_of
from tlm_edge.shipped import models_folder

pytest.importorskip("huggingface_hub")


def typed(cache: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_HUB_CACHE": str(cache), **variables}
    command = [sys.executable, "-m", "tlm_edge", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=cache.parent)


def test_names_are_told_from_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    assert is_hub_name("distilbert/distilbert-base-uncased-finetuned-sst-2-english")
    for path in ("out/bundle", "agnews-bert-1", "./a", "../a", "/a/b", "a/b/c", "a/b/", "owner/"):
        assert not is_hub_name(path)


def test_the_name_of_a_snapshot_is_its_repository_s(tmp_path):
    snapshot = tmp_path / "models--owner--tiny-bert" / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    assert name_of(snapshot) == "tiny-bert"
    assert name_of(tmp_path / "snapshots" / "one") == "one"


def test_a_model_of_the_hub(tiny_checkpoint, tmp_path):
    """Fetched once, then served from the cache when the hub is gone; only what a checkpoint consists of is fetched."""
    repository = tmp_path / "hub" / "owner" / "tiny"
    shutil.copytree(tiny_checkpoint, repository)
    (repository / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    (repository / "modeling_tiny.py").write_text("raise SystemExit")
    cache = tmp_path / "cache"
    cache.mkdir()
    with serve_hub(tmp_path / "hub") as address:
        done = typed(cache, "export", "owner/tiny", "--precision", "fp32", HF_ENDPOINT=address)
        assert done.returncode == 0, done.stderr
        missing = typed(cache, "predict", "owner/absent", "x", HF_ENDPOINT=address)
    assert (tmp_path / "tlm-edge-out/tiny-onnx-fp32/manifest.json").is_file()
    (snapshot,) = (cache / "models--owner--tiny" / "snapshots").iterdir()
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in snapshot.iterdir()}
    assert not {"pytorch_model.bin", "modeling_tiny.py"} & {path.name for path in snapshot.iterdir()}
    done = typed(cache, "predict", "owner/tiny", "Shares fell", "--json", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    assert missing.stderr.startswith("error: no model 'owner/absent': neither a path here nor a model that the")


def test_pickles_are_not_fetched(tiny_checkpoint, tmp_path):
    repository = tmp_path / "hub" / "owner" / "pickled"
    shutil.copytree(tiny_checkpoint, repository)
    (repository / "model.safetensors").rename(repository / "pytorch_model.bin")
    cache = tmp_path / "cache"
    cache.mkdir()
    with serve_hub(tmp_path / "hub") as address:
        done = typed(cache, "predict", "owner/pickled", "x", HF_ENDPOINT=address)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the hub's owner/pickled has no model.safetensors")
    assert not list(cache.rglob("pytorch_model.bin"))


def test_a_model_is_published_and_fetched_again(tiny_committee, tmp_path):
    """What belongs to the model goes to the hub, what else lies there doesn't, and what comes back is the same."""
    own = tmp_path / "own"
    shutil.copytree(tiny_committee, own)
    (own / "notes.txt").write_text("mine")
    (own / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    (tmp_path / "cache").mkdir()
    (tmp_path / "hub").mkdir()
    with serve_hub(tmp_path / "hub") as address:
        refused = typed(tmp_path / "cache", "models", "push", own, "owner/news", HF_ENDPOINT=address, HF_TOKEN="no")
        known = {"HF_ENDPOINT": address, "HF_TOKEN": TOKEN}
        pushed = typed(tmp_path / "cache", "models", "push", own, "owner/news", "--private", **known)
        pulled = typed(tmp_path / "cache", "models", "pull", "owner/news", "--out", tmp_path / "again", **known)
    assert refused.returncode == 2 and "the hub did not take owner/news" in refused.stderr.splitlines()[-1]
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.startswith("published: http://127.0.0.1")
    assert not {"notes.txt", "pytorch_model.bin"} & {file.name for file in (tmp_path / "hub").rglob("*")}
    assert (tmp_path / "hub/owner/news/README.md").is_file()
    assert pulled.returncode == 0, pulled.stderr
    again = tmp_path / "again"
    for file in [file for file in again.rglob("*") if file.is_file()]:
        assert not file.is_symlink() and file.read_bytes() == (own / file.relative_to(again)).read_bytes()
    assert (again / "members/01/model.safetensors").is_file()


def test_what_is_no_model_is_not_published(tmp_path):
    done = typed(tmp_path, "models", "push", tmp_path, "owner/news")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "is no checkpoint or committee" in done.stderr
    done = typed(tmp_path, "models", "pull", "weather-bert-1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "nor a shipped model" in done.stderr


def test_shipped_models_are_listed(tmp_path):
    listed = {model["name"]: model for model in json.loads(typed(tmp_path, "models", "list", "--json").stdout)}
    assert listed["agnews-committee"]["kind"] == "committee of 3"
    assert listed["agnews-committee"]["labels"] == ["Business", "Sci/Tech", "Sports", "World"]
    assert listed["wiki-bert-1"]["kind"] == "encoder" and listed["wiki-bert-1"]["weights"]
    assert Path(typed(tmp_path, "models", "path", "wiki-bert-1").stdout.strip()) == models_folder() / "wiki-bert-1"
    table = typed(tmp_path, "models", COLUMNS="80").stdout
    assert "agnews-bert-6" in table and "to fine-tune" in table
