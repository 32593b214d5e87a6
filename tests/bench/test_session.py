from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.tiny_models import LABELS, labelled_texts
from tlm_edge.bench.bench import Settings, begin, data_source, resume
from tlm_edge.bench.inputs import open_input
from tlm_edge.bench.plan import JOURNAL_FILE
from tlm_edge.bench.record import read_records
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.bundle_classifier import BundleClassifier
from tlm_edge.runtime.errors import UserError


def silent(what, done, steps):
    assert 0 <= done < steps


def test_every_round_has_every_bundle_in_alternating_order(measured, test_profile):
    result, _ = measured
    deep, committee = result.records
    assert [block.round for block in deep.blocks] == list(range(test_profile.rounds))
    assert [block.position for block in deep.blocks] == [0, 1, 1, 0]
    assert [block.position for block in committee.blocks] == [1, 0, 0, 1]
    assert deep.session == committee.session
    assert deep.session.records == (deep.id, committee.id)


def test_blocks_make_whole_passes_until_both_minima(measured, test_profile):
    for record in measured[0].records:
        assert record.texts.timed == test_profile.texts
        for block in record.blocks:
            assert len(block.model_us) % test_profile.texts == 0
            assert len(block.model_us) >= test_profile.block_inferences
            assert block.wall_seconds >= test_profile.block_seconds
            assert min(block.model_us) > 0
            assert min(block.tokenize_us) > 0


def test_accuracy_is_that_of_the_bundle_in_its_runtime(measured, tiny_committee_bundle):
    texts, expected = labelled_texts()
    committee = measured[0].records[1]
    given = BundleClassifier(open_bundle(tiny_committee_bundle), 1).probabilities(texts).argmax(axis=1)
    assert committee.labelling.given == tuple(given.tolist())
    assert committee.labelling.expected == tuple(expected)
    assert committee.labelling.smoke_test
    figure = committee.figures["accuracy"]
    assert figure.value == pytest.approx(float(np.mean(given == np.array(expected))))
    assert figure.low < figure.value <= figure.high
    assert figure.value > 0.8


def test_agreement_is_with_pytorch(measured, tiny_deep_checkpoint):
    from tlm_edge.export.source import load_source

    texts, _ = labelled_texts()
    deep = measured[0].records[0]
    reference = load_source(tiny_deep_checkpoint).probabilities(texts).argmax(axis=1)
    assert deep.labelling.reference == tuple(reference.tolist())
    assert deep.labelling.reference_origin.startswith("PyTorch ")
    assert deep.figures["agreement"].value == float(np.mean(np.array(deep.labelling.given) == reference))


def test_figures_follow_from_the_samples(measured):
    for record in measured[0].records:
        total = np.concatenate([np.add(block.tokenize_us, block.model_us) for block in record.blocks]) / 1e3
        assert record.figures["latency_p50"].value == pytest.approx(np.median(total))
        assert record.figures["latency_p90"].value == pytest.approx(np.percentile(total, 90))
        assert record.figures["throughput"].value == pytest.approx(1e3 / total.mean())
        assert record.figures["model_p50"].value < record.figures["latency_p50"].value
        assert record.figures["peak_rss"].value > record.figures["rise_rss"].value > 0
        assert record.figures["energy"].value is None
        assert record.figures["energy"].provenance is None
        assert {figure.provenance for figure in record.figures.values() if figure.value is not None} == {"measured"}


def test_size_is_that_of_the_folder(measured, tiny_committee_bundle):
    committee = measured[0].records[1]
    on_disk = sum(file.stat().st_size for file in tiny_committee_bundle.rglob("*") if file.is_file())
    assert committee.figures["size"].value == pytest.approx(on_disk / 1e6)


def test_records_are_files_and_the_journal_is_gone(measured):
    result, folder = measured
    assert {record.id: record for record in read_records([folder])} == {one.id: one for one in result.records}
    assert all(file.parent == folder for file in result.files)
    assert not (folder / JOURNAL_FILE).exists()
    with pytest.raises(UserError, match="complete"):
        resume(folder, silent)


def test_without_labels_of_the_bundle_latency_alone_is_measured(tiny_tokenizer, tmp_path, test_profile):
    from tests.tiny_models import train_checkpoint
    from tlm_edge.export.export import export_model

    checkpoint = train_checkpoint(tmp_path / "other", tiny_tokenizer, labels=("yes", "no"), epochs=1)
    bundle = export_model(checkpoint, precision="fp32", out=tmp_path / "other-onnx-fp32")
    inputs = [open_input(bundle.folder)]
    settings = Settings(profile="test", threads=(1, 2))
    result = begin(inputs, settings, tmp_path / "out", command="x", progress=silent)
    assert [record.runtime.threads for record in result.records] == [1, 2]
    assert len({record.id for record in result.records}) == 2
    record = result.records[0]
    assert record.labelling is None
    assert record.figures["accuracy"].value is None
    assert "--data" in record.figures["accuracy"].note
    assert record.figures["latency_p50"].value > 0


def test_a_bundle_that_dies_on_the_device_leaves_the_others_in(tiny_bundle, tmp_path, test_profile, monkeypatch):
    import tlm_edge.bench.devices.local as local

    class Fragile(local.LocalDevice):
        def work(self, job):
            if "broken" in job.bundle and job.task == "latency":
                (tmp_path / "broken" / "model.onnx").write_bytes(b"damaged")
            return super().work(job)

    monkeypatch.setattr(local, "LocalDevice", Fragile)
    shutil.copytree(tiny_bundle, tmp_path / "broken")
    manifest = json.loads((tmp_path / "broken" / "manifest.json").read_text())
    (tmp_path / "broken" / "manifest.json").write_text(json.dumps(manifest | {"name": "broken"}))
    inputs = [open_input(tmp_path / "broken"), open_input(tiny_bundle)]
    result = begin(inputs, Settings(profile="test"), tmp_path / "out", command="x", progress=silent)
    assert [record.bundle.name for record in result.records] == [open_bundle(tiny_bundle).manifest.name]
    assert list(result.faults) == ["broken-t1"]
    assert "model.onnx" in result.faults["broken-t1"]
    assert len(result.records[0].blocks) == test_profile.rounds


KILLED = """
import sys
from pathlib import Path
from tests.bench.measured import TEST_PROFILE
from tlm_edge.bench import protocol
from tlm_edge.bench.bench import Settings, begin
from tlm_edge.bench.inputs import open_input

protocol.PROFILES["test"] = TEST_PROFILE
inputs = [open_input(Path(path)) for path in sys.argv[2:]]
begin(inputs, Settings(profile="test"), Path(sys.argv[1]), command="x", progress=lambda *_: None)
"""


def test_a_killed_benchmark_resumes_after_its_last_complete_round(
    tiny_bundle, tiny_committee_bundle, tmp_path, test_profile
):
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(out), str(tiny_bundle), str(tiny_committee_bundle)])
    journal = out / JOURNAL_FILE

    def blocks() -> list[dict]:
        lines = journal.read_bytes().splitlines(keepends=True) if journal.is_file() else []
        decoded = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return [line for line in decoded if line["kind"] == "block"]

    while len(blocks()) < 3 and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = blocks()
    assert 3 <= len(before) < 2 * test_profile.rounds
    # A line that was cut off in the middle of writing must not stand in the way.
    with journal.open("ab") as stream:
        stream.write(b'{"kind": "block", "round": 1, "ent')

    result = resume(out, silent)

    assert [len(record.blocks) for record in result.records] == [test_profile.rounds] * 2
    kept = {line["entry"]: line["outcome"]["model_us"] for line in before if line["round"] == 0}
    for record in result.records:
        assert list(record.blocks[0].model_us) == kept[record.id]
    assert result.records[0].session.id == result.records[1].session.id


def test_a_changed_bundle_or_text_is_not_resumed(tiny_bundle, tmp_path, test_profile):
    def interrupt(what, done, steps):
        if "round" in what:
            raise KeyboardInterrupt

    data = tmp_path / "data.jsonl"
    rows = [{"text": text, "label": LABELS[label]} for text, label in zip(*labelled_texts(), strict=True)]
    data.write_text("\n".join(json.dumps(row) for row in rows[:40]))
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    settings = Settings(profile="test", source=data_source(str(data)))
    with pytest.raises(KeyboardInterrupt):
        begin([open_input(bundle)], settings, tmp_path / "out", command="x", progress=interrupt)

    data.write_text("\n".join(json.dumps(row) for row in rows[:44]))
    with pytest.raises(UserError, match=r"data\.jsonl has changed"):
        resume(tmp_path / "out", silent)
    data.write_text("\n".join(json.dumps(row) for row in rows[:40]))
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest, indent=1))
    with pytest.raises(UserError, match="bundle has changed"):
        resume(tmp_path / "out", silent)
    shutil.copyfile(tiny_bundle / "manifest.json", bundle / "manifest.json")
    record = resume(tmp_path / "out", silent).records[0]
    assert record.labelling is not None
    assert len(record.labelling.expected) == 40
    assert not record.labelling.smoke_test


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(UserError, match="no benchmark to resume"):
        resume(tmp_path, silent)
