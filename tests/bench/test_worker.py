from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.tiny_models import labelled_texts
from tlm_edge.bench.devices import LOCAL, Address, list_devices, open_device
from tlm_edge.bench.devices.local import LocalDevice, read_outcome
from tlm_edge.bench.job import Job
from tlm_edge.bench.new_words import NewWords
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.errors import UserError


def test_labels_are_those_of_the_bundle(tiny_bundle):
    texts = tuple(labelled_texts()[0][:20])
    outcome = LocalDevice().work(Job("labels", str(tiny_bundle), texts, threads=1))
    expected = BundleClassifier(open_bundle(tiny_bundle), 1).probabilities(texts).argmax(axis=1)
    assert outcome["labels"] == expected.tolist()
    assert outcome["runtime"]["name"] == "onnxruntime"
    assert outcome["peak_rss_mb"] > outcome["bare_rss_mb"] > 5


def test_a_job_may_come_as_a_file(tiny_bundle, tmp_path):
    job = Job("latency", str(tiny_bundle), ("one text", "another, longer text"), threads=1, inferences=6, seconds=0.01)
    (tmp_path / "job.json").write_text(json.dumps(job.to_json()))
    command = [sys.executable, "-m", "tlm_edge.bench.worker", str(tmp_path / "job.json")]
    outcome = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(outcome["model_us"]) == len(outcome["tokenize_us"]) >= 6
    assert len(outcome["model_us"]) % 2 == 0
    assert len(outcome["tokens"]) == 2
    assert outcome["tokens"][0] < outcome["tokens"][1]
    assert outcome["cpu_seconds"] > 0


def test_every_pass_meets_the_same_new_words(tiny_bundle, monkeypatch):
    encoder = BundleClassifier(open_bundle(tiny_bundle), 1).encoder
    asked = []
    ask = encoder.words._met_first
    monkeypatch.setattr(encoder.words, "_met_first", lambda piece: asked.append(piece) or ask(piece))
    texts = ("one two", "three two", "three four", "five")
    words, passes = NewWords(encoder, texts), []
    for _ in range(2):
        asked.clear()
        for index, text in enumerate(texts):
            words.before(index)
            encoder.token_ids([text])
        passes.append(list(asked))
    assert passes == [["one", "two", "four", "five"]] * 2


def test_a_tokenizer_that_remembers_no_words_has_none_to_forget(tiny_bundle):
    encoder = BundleClassifier(open_bundle(tiny_bundle), 1).encoder
    encoder.words = None
    NewWords(encoder, ("one",)).before(0)
    assert encoder.words is None


def test_a_process_that_measures_has_nothing_else_loaded(tiny_bundle):
    script = f"""
import json, sys
from tlm_edge.bench.job import Job
from tlm_edge.bench.worker import work
work(Job("labels", {str(tiny_bundle)!r}, ("a text",), 1))
heavy = ("torch", "transformers", "onnx", "sklearn", "scipy", "pandas", "typer", "rich", "matplotlib", "psutil")
ours = [name for name in sys.modules if name.startswith("tlm_edge.")]
print(json.dumps([[name for name in heavy if name in sys.modules], ours]))
"""
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    heavy, ours = json.loads(done.stdout)
    assert heavy == []
    assert all(name.startswith(("tlm_edge.runtime", "tlm_edge.bench")) for name in ours)


def test_an_altered_bundle_is_refused_in_words(tiny_bundle, tmp_path):
    bundle = shutil.copytree(tiny_bundle, tmp_path / "altered")
    with (bundle / "model.onnx").open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"altered")
    with pytest.raises(UserError, match=r"model\.onnx was altered"):
        LocalDevice().work(Job("labels", str(bundle), ("a text",), threads=1))


def test_the_current_folder_can_not_stand_in_for_a_module(tiny_bundle, tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    monkeypatch.chdir(tmp_path)
    assert LocalDevice().work(Job("labels", str(tiny_bundle), ("a text",), threads=1))["labels"]


def test_a_dead_worker_is_told_with_its_last_words():
    job = Job("labels", "some-bundle", ("a text",), threads=1)
    with pytest.raises(UserError, match=r"some-bundle was ended by SIGKILL \(out of memory\?\): it left no message"):
        read_outcome(-9, "", "", job)
    with pytest.raises(UserError, match=r"ended with status 1: MemoryError"):
        read_outcome(1, "", "Traceback\nMemoryError\n", job)


def test_devices():
    assert next(listing.address for listing in list_devices()) == LOCAL
    assert open_device(LOCAL).transport == "local"
    with pytest.raises(UserError, match=r"reached by 'pigeon': this tlm-edge has local"):
        open_device(Address("rpi9", "pigeon"))
