"""A real Ray cluster of two workers on this machine, of which one is killed on the way."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

from tests.tiny_models import labelled_texts
from tlm_edge.cli.outcome import INTERRUPTED
from tlm_edge.reproduce.jobs import Place, pretrain_job
from tlm_edge.reproduce.outcome import OUTCOMES, read_outcomes
from tlm_edge.reproduce.plan import read_plan
from tlm_edge.reproduce.runs import plan_runs
from tlm_edge.runtime.errors import UserError
from tlm_edge.shipped import evaluation_texts
from tlm_edge.training.pretrain_job import run_pretrain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PLAN = """
name = "clustered"
about = "Two encoders, and a classifier from each."
tokenizer = "wiki-bert-1"
pretraining = { max_tokens = 400_000, batch_size = 16 }
finetuning = { epochs = 1 }
architectures.tiny = { arch = "bert-1", hidden_size = 32, heads = 4 }
corpora.news = { files = ["news.txt"] }
tasks.agnews = { train = "agnews.jsonl", test = "agnews.jsonl" }

[[experiments]]
architectures = ["tiny"]
corpora = ["news"]
tasks = ["agnews"]
seeds = [0, 1]
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a head without CPUs and two workers with one each."""
    pytest.importorskip("ray")
    environment = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}
    os.environ.update(environment)
    from ray.cluster_utils import Cluster

    # Ray gives a node's helpers fifteen seconds to start, which a busy machine may miss.
    for attempt in range(5):
        cluster = Cluster()
        try:
            cluster.add_node(num_cpus=0, include_dashboard=False)
            for _ in range(2):
                cluster.add_node(num_cpus=1)
            break
        except Exception:
            cluster.shutdown()
            if attempt == 4:
                raise
    yield cluster.address
    cluster.shutdown()
    for name in environment:
        del os.environ[name]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "news.txt").write_text("\n\n".join(labelled_texts()[0] * 3), encoding="utf-8")
    (tmp_path / "data" / "agnews.jsonl").write_bytes(evaluation_texts("agnews").read_bytes())
    return tmp_path / "data"


def workers() -> list[psutil.Process]:
    """The processes in which the cluster does our work."""
    return [process for process in psutil.process_iter() if "ray::_done" in " ".join(told(process))]


def told(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def wait_until(there: Callable[[], bool]) -> None:
    for _ in range(6000):
        if there():
            return
        time.sleep(0.1)
    raise AssertionError("it never came")


def command(*arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tlm_edge", *map(str, arguments)]
    return subprocess.Popen(words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_cluster_that_is_not_there_is_said(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from tlm_edge.cluster import Cluster

    for address in ("127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:99999", "auto"):
        with pytest.raises(UserError, match=f"--ray {address}: no cluster answers"):
            Cluster(address, threads=1)


def test_members_of_a_committee_are_those_of_one_machine(address: str, data: Path, tmp_path: Path) -> None:
    arguments = ["committee", "train", "--arch", "bert-1", "--tokenizer", "wiki-bert-1", "--hidden-size", "32"]
    arguments += ["--heads", "4", "--data", "data/agnews.jsonl", "--test-data", "data/agnews.jsonl", "--epochs", "2"]
    arguments += ["--members", "2", "--threads", "1"]
    results = []
    for name, more in (("alone", []), ("together", ["--ray", address])):
        process = command(*arguments, "--out", name, *more, cwd=tmp_path)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        results.append(json.loads((tmp_path / name / "training.json").read_text())["result"])
    assert results[0] == results[1]


def test_a_reproduction_survives_a_stop_and_the_death_of_a_machine(address: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / "clustered.toml").write_text(PLAN)
    out = tmp_path / "out"
    arguments = ("reproduce", "clustered.toml", "--data", "data", "--out", out, "--ray", address)
    process = command(*arguments, cwd=tmp_path)
    wait_until(lambda: any(log.stat().st_size for log in out.glob("encoders/*.unfinished/log.jsonl")))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == INTERRUPTED and "the same command goes on" in output
    assert list(out.glob("encoders/*.unfinished/state.safetensors"))
    process = command(*arguments, cwd=tmp_path)
    wait_until(lambda: bool(workers()))
    (worker, *_) = workers()
    os.kill(worker.ppid(), signal.SIGKILL)  # the node, with all that runs on it
    output, _ = process.communicate()
    assert process.returncode == 0, output
    outcomes = {outcome.run: outcome for outcome in read_outcomes(out / OUTCOMES)}
    assert re.search(r"4 of 4 runs done", output)
    assert {name for name, outcome in outcomes.items() if outcome.kind == "pretrain"} == {
        "pretrain-tiny-news-seed0",
        "pretrain-tiny-news-seed1",
    }
    place = Place(read_plan(out / "plan.toml"), out, data)
    for run in (run for run in plan_runs(place.plan) if run.kind == "pretrain"):
        job = pretrain_job(place, run)
        run_pretrain(replace(job, out=tmp_path / run.name))
        ours, theirs = (load_file(path / "model.safetensors") for path in (tmp_path / run.name, job.out))
        assert all((ours[name] == theirs[name]).all() for name in ours)
