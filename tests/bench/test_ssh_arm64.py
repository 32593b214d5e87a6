"""From adding a Raspberry Pi to its table, on a pretended one: real arm64 code, real SSH, no board."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.bench.loopback import HOST
from tests.bench.pretend_pi import pretend_pi
from tlm_edge.bench.devices import Address, local
from tlm_edge.bench.devices.ssh import open_device
from tlm_edge.bench.job import Job
from tlm_edge.bench.record import read_records
from tlm_edge.bench.runner import make_runner
from tlm_edge.bench.texts import shipped_texts
from tlm_edge.cli import app
from tlm_edge.runtime.bundle import open_bundle
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import evaluation_texts, models_folder

SHALLOW = models_folder() / "agnews-bert-1" / "onnx-int8"


@pytest.fixture(scope="module")
def pi(tmp_path_factory):
    with pretend_pi(tmp_path_factory.mktemp("pi") / "board") as running:
        try:
            make_runner("aarch64", (3, 11))
        except UserError as error:
            pytest.skip(str(error))
        yield running


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TLM_EDGE_CONFIG", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_from_adding_a_board_to_its_table(pi, test_profile):
    run("devices", "add", "rpi4", "--host", HOST)
    checked = run("devices", "check", "rpi4")
    assert "Raspberry Pi 4 Model B (pretended), 4 cores, aarch64" in checked
    assert "the governor is ondemand" in checked
    assert "0x50000: too little voltage since it started, throttled since it started" in checked
    few = evaluation_texts("agnews").read_text("utf-8").splitlines(keepends=True)[:30]
    Path("few.jsonl").write_text("".join(few), encoding="utf-8")
    bench = ("bench", str(SHALLOW), "--device", "rpi4", "--profile", "test", "--data", "few.jsonl")
    output = run(*bench, "--out", "records")
    assert "Emulating" not in output
    (record,) = read_records([Path("records")])
    assert (record.device.name, record.device.transport) == ("rpi4", "ssh")
    assert record.device.machine.architecture == "aarch64"
    assert record.blocks[0].before.throttled == "0x50000"
    assert record.blocks[0].before.temperature_c == pytest.approx(47.712)
    assert record.figures["agreement"].value > 0.95
    run("report", "records", "--out", "page")
    assert "Raspberry Pi 4" in Path("page/index.html").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rpi4", "rpi5"])
def test_the_deep_model_against_the_committee_in_every_runtime(name, tmp_path, monkeypatch, test_profile):
    """What an owner types, with the shipped models, and all that comes of it: a table, records, a report."""
    for module in ("torch", "litert_torch", "executorch"):
        pytest.importorskip(module)
    few = evaluation_texts("agnews").read_text("utf-8").splitlines(keepends=True)[:12]
    Path("few.jsonl").write_text("".join(few), encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "80")
    with pretend_pi(tmp_path / "board", name):
        run("devices", "add", name, "--host", HOST)
        output = run("bench", "--device", name, "--profile", "test", "--data", "few.jsonl", "--out", "records")
        run("report", "records", "--out", "page")
    assert "Emulating" not in output
    records = read_records([Path("records")])
    assert {record.device.transport for record in records} == {"ssh"}
    assert len({(record.bundle.source, record.runtime.name) for record in records}) == 6
    figures = [figure for record in records for figure in record.figures.values() if figure.value is not None]
    assert {figure.provenance for figure in figures} == {"measured"}
    assert "agnews-committee" in Path("page/report.md").read_text("utf-8")
    print(Path("page/report.md").read_text("utf-8"))


@pytest.mark.slow
def test_every_runtime_gives_the_labels_it_gives_here(pi, tiny_tflite_bundle, tiny_folder, tiny_committee):
    from tlm_edge.export.export import export_model

    pytest.importorskip("executorch")
    executorch = export_model(tiny_committee, "executorch", "int8", tiny_folder / "tiny-committee-executorch-int8")
    texts = shipped_texts().texts[:30]
    device = open_device(Address("rpi4", "ssh", HOST, "rpi4"))
    for folder in (SHALLOW, tiny_tflite_bundle, executorch.folder):
        place = device.place(open_bundle(folder))
        there = device.work(Job("labels", place, texts, threads=1))
        here = local.LocalDevice().work(Job("labels", str(folder), texts, threads=1))
        assert there["machine"]["architecture"] == "aarch64"
        assert "binding" not in there["runtime"]["name"], "the native runner came along"
        # int8 kernels differ between processors: a label may, where two are about as likely.
        assert sum(one != other for one, other in zip(there["labels"], here["labels"], strict=True)) <= 1
    device.close()
    assert pi.asked().count("command") >= 1


def test_a_stored_board_that_is_away_is_emulated_and_it_is_said(monkeypatch):
    """No board answers: see what is chosen and said, without emulating."""
    from tlm_edge.bench.devices.choose import choose_device

    run("devices", "add", "rpi4", "--host", "rpi4.invalid")
    choice = choose_device("rpi4")
    assert choice.address == Address("rpi4", "emulated", "", "rpi4")
    assert choice.notice.startswith("Emulating a Cortex-A72 (Raspberry Pi 4 Model B)")
    assert "rpi4.invalid" in choice.notice
    listed = json.loads(run("devices", "--json"))["devices"]
    assert [one["reachable"] for one in listed if one["address"]["at"] == "rpi4.invalid"] == [False]
