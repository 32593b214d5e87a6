"""The runner folder: our own modules and packages for a device's Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tlm_edge.bench import runner
from tlm_edge.bench.job import Job
from tlm_edge.bench.runner import RUNTIMES, make_runner, worker_modules
from tlm_edge.runtime.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def onnx_runner():
    """A runner for this machine and Python."""
    try:
        return make_runner("x86_64", sys.version_info[:2], ["onnx"])
    except UserError as error:
        pytest.skip(str(error))


def test_the_runner_takes_its_versions_from_the_lock():
    whole = (ROOT / "requirements.lock").read_text("utf-8")
    excerpt = runner.LOCK.read_text("utf-8")
    entries = [entry for entry in excerpt.replace("\\\n", "").splitlines() if entry]
    assert {entry.partition("==")[0] for entry in entries} == {*runner._ALWAYS, *RUNTIMES.values()}
    known = set(whole.replace("\\\n", "").splitlines())
    assert set(entries) <= known, "run `make lock`"


def test_only_what_the_worker_imports_travels():
    modules = worker_modules()
    assert "tlm_edge/bench/worker.py" in modules
    assert "tlm_edge/runtime/executorch_runner/runner.cpp" in modules
    rooms = {Path(name).parts[1] for name in modules}
    assert rooms == {"__init__.py", "bench", "runtime"}
    assert not any(name.startswith("tlm_edge/bench/devices") for name in modules)


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="needs x86-64 Linux")
def test_the_worker_runs_from_the_folders_alone(onnx_runner, tiny_bundle):
    job = Job("labels", str(tiny_bundle), ("Shares fell after the bank's report",), threads=1)
    # -S: as if nothing were installed. The folder it starts in holds no tlm_edge either.
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-m", "tlm_edge.bench.worker"],
        input=json.dumps(job.to_json()),
        capture_output=True,
        text=True,
        cwd="/",
        env={"PYTHONPATH": onnx_runner.python_path, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert len(outcome["labels"]) == 1
    assert outcome["runtime"]["name"] == "onnxruntime"


def test_a_second_runner_is_that_of_the_cache(onnx_runner, monkeypatch):
    monkeypatch.setattr(runner, "fetch_package", lambda *_: pytest.fail("fetched again"))
    runner._package.cache_clear()
    again = make_runner("x86_64", sys.version_info[:2], ["onnx"])
    assert again == onnx_runner
    assert not again.missing


def test_what_has_no_packages_is_refused_before_anything_is_fetched(monkeypatch):
    monkeypatch.setattr(runner, "fetch_package", lambda *_: pytest.fail("fetched"))
    with pytest.raises(UserError, match="no runtime has packages for armv7l"):
        make_runner("armv7l", (3, 11))
    with pytest.raises(UserError, match=r"Python 3\.9 is too old: 3\.11 or later"):
        make_runner("aarch64", (3, 9))


def test_an_unreachable_registry_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TLM_EDGE_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    runner._package.cache_clear()
    with pytest.raises(UserError, match=r"numpy==\S+ for Python 3\.11 on aarch64 can't be fetched \(.*\)") as raised:
        make_runner("aarch64", (3, 11), [])
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.rglob("numpy*"))


def test_a_target_without_its_native_runner_is_named_and_the_others_are_made(monkeypatch):
    def absent(machine):
        raise runner.RunnerError("there is no compiler")

    monkeypatch.setattr(runner, "find_cross_compiler", absent)
    monkeypatch.setattr(runner, "fetch_package", lambda *arguments: arguments[-1].mkdir())
    monkeypatch.setattr(runner, "_place", lambda name: Path(os.environ["TLM_EDGE_CACHE"]) / name)
    runner._package.cache_clear()
    made = make_runner("aarch64", (3, 11), ["onnx", "executorch"])
    assert [folder.name.partition("-")[0] for folder in made.folders] == [
        "tlm_edge",
        "numpy",
        "tokenizers",
        "onnxruntime",
    ]
    assert "there is no compiler" in made.missing["executorch"]


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path, request):
    """Tests that pretend keep what they made to themselves."""
    if "native_runner" in request.node.name:
        monkeypatch.setenv("TLM_EDGE_CACHE", str(tmp_path))
        runner._code.cache_clear()
    yield
    runner._package.cache_clear()
    runner._code.cache_clear()
