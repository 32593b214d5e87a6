"""``tlm-edge bench`` as it is typed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.bench.measured import TEST_PROFILE
from tlm_edge.bench.record import read_records
from tlm_edge.cli import app
from tlm_edge.runtime.errors import UserError

SHORT = """
import sys
from tests.bench.measured import TEST_PROFILE
from tlm_edge.bench import protocol
protocol.PROFILES["test"] = TEST_PROFILE
INTERRUPTION
from tlm_edge.cli import main
sys.argv[0] = "tlm-edge"
main()
"""
#: A Ctrl-C as soon as the first outcome is kept: from another process it might come after the last.
AFTER_THE_FIRST = """
import os, signal
from tlm_edge.bench.plan import Journal
keep = Journal.append
def keep_and_interrupt(journal, line):
    keep(journal, line)
    os.kill(os.getpid(), signal.SIGINT)
Journal.append = keep_and_interrupt
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch, test_profile):
    """A working folder and cache of its own."""
    monkeypatch.setenv("TLM_EDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["bench", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_bundles_zips_and_checkpoints_side_by_side(tiny_bundle, tiny_deep_checkpoint, tmp_path):
    shutil.make_archive(str(tmp_path / "zipped"), "zip", tiny_bundle)
    output = run(str(tmp_path / "zipped.zip"), str(tiny_deep_checkpoint), "--profile", "test", "--out", "records")
    records = read_records([Path("records")])
    assert sorted(record.bundle.name for record in records) == ["tiny-deep-onnx-int8", "tiny-onnx-fp32"]
    assert re.search(r"tiny onnx fp32 .*tiny-deep onnx int8", output.replace("\n", " "))
    assert "Next: tlm-edge report records" in output
    assert "smoke test" in output
    assert list((tmp_path / "cache" / "bundles").glob("*/tiny-deep-onnx-int8/manifest.json"))
    command = records[0].session.command
    assert command.startswith("tlm-edge bench ")
    assert command.endswith("--device local --profile test --threads 1")


def test_json_holds_figures_and_comparison(tiny_bundle, tiny_committee_bundle):
    printed = json.loads(run(str(tiny_bundle), str(tiny_committee_bundle), "--profile", "test", "--json"))
    assert [Path(one["file"]).is_file() for one in printed["records"]] == [True, True]
    assert printed["records"][0]["figures"]["latency_p50"]["provenance"] == "measured"
    comparison = printed["comparisons"][0]
    assert {comparison["slow"], comparison["fast"]} == {one["id"] for one in printed["records"]}
    ratio = comparison["latency_ratio"]
    assert 0 < ratio["low"] <= ratio["value"] <= ratio["high"]


def test_an_occupied_folder_is_kept_unless_forced(tiny_bundle):
    Path("out").mkdir()
    Path("out/mine.json").write_text("{}")
    Path("out/old.json").write_text('{"format": "tlm-edge-record"}')
    with pytest.raises(UserError, match="exists already"):
        run(str(tiny_bundle), "--profile", "test", "--out", "out")
    assert sorted(path.name for path in Path("out").iterdir()) == ["mine.json", "old.json"]
    run(str(tiny_bundle), "--profile", "test", "--out", "out", "--force")
    assert Path("out/mine.json").read_text() == "{}"
    assert not Path("out/old.json").exists()
    assert len(read_records([Path("out")])) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--profile", "slow"), "no profile 'slow'"),
        (("--device", "toaster"), "no device 'toaster'"),
        (("--data", "absent.csv"), r"absent\.csv"),
        (("--resume",), "no interrupted benchmark"),
    ],
)
def test_mistakes_are_found_before_anything_is_measured(tiny_bundle, arguments, message):
    with pytest.raises(UserError, match=message):
        run(str(tiny_bundle), *arguments)
    assert not list(Path().rglob("*.json*"))


def test_what_is_no_model_or_given_twice_is_refused(tiny_bundle):
    with pytest.raises(UserError, match="no model 'nothing-such'"):
        run("nothing-such")
    with pytest.raises(UserError, match="given twice"):
        run(str(tiny_bundle), str(tiny_bundle))


def test_an_interrupted_command_tells_how_to_go_on_and_goes_on(tiny_bundle):
    def bench(*arguments: str, interruption: str = "") -> subprocess.CompletedProcess[str]:
        environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin", "HOME": str(Path.cwd())}
        program = SHORT.replace("INTERRUPTION", interruption)
        command = [sys.executable, "-c", program, "bench", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    interrupted = bench(str(tiny_bundle), "--profile", "test", interruption=AFTER_THE_FIRST)
    assert interrupted.returncode == 130, interrupted.stderr
    assert "--resume --out" in interrupted.stdout.replace("\n", " ")
    resumed = bench("--resume")
    assert resumed.returncode == 0, resumed.stderr
    records = read_records([Path("tlm-edge-out")])
    assert [len(record.blocks) for record in records] == [TEST_PROFILE.rounds]
