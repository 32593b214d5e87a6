"""Models by their name on the hub, from a hub on loopback and from its cache, in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.hub_server import REVISION, serve_hub
from tlm_edge.hub import is_hub_name, name_of

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
