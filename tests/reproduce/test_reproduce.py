"""``tlm-edge reproduce`` as users meet it: the smoke plan, killed, stopped and resumed; runs that fail; dry runs."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.reproduce.test_outcome import TUNED
from tests.tiny_models import labelled_texts
from tlm_edge.cli import app
from tlm_edge.cli.outcome import INTERRUPTED
from tlm_edge.reproduce.folder import plan_of
from tlm_edge.reproduce.jobs import Place, command, finetune_job, pretrain_job
from tlm_edge.reproduce.outcome import (
    OUTCOMES,
    Outcome,
    outcome_path,
    read_expected,
    read_outcome,
    read_outcomes,
    read_probabilities,
    write_outcome,
)
from tlm_edge.reproduce.plan import read_plan
from tlm_edge.reproduce.runs import Run, plan_runs
from tlm_edge.reproduce.schedule import start_state
from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.metrics import accuracy
from tlm_edge.shipped import evaluation_texts
from tlm_edge.training.pretrain_job import run_pretrain

FIRST = "pretrain-bert-1-100k-seed0"
# A slow machine takes its time: no test here is about how long anything takes.
pytestmark = pytest.mark.timeout(1800)


def reproduce(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    with started(*arguments) as process:
        output, _ = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output)


@contextmanager
def started(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "tlm_edge", "reproduce", *map(str, arguments)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def wait_until(there: Callable[[], bool]) -> None:
    for _ in range(6000):
        if there():
            return
        time.sleep(0.1)
    raise AssertionError("it never came")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the smoke plan, carried out in three attempts, and what the last one printed."""
    folder = tmp_path_factory.mktemp("reproduce") / "smoke"
    encoder = folder / "encoders" / FIRST.removeprefix("pretrain-")
    work = encoder.with_name(encoder.name + ".unfinished")
    with started("smoke", "--out", folder) as process:
        wait_until(lambda: (work / "log.jsonl").is_file() and (work / "log.jsonl").stat().st_size > 0)
        process.kill()
    # The run's own process saves its state and stops when it sees that the first one is gone.
    wait_until(lambda: (work / "state.safetensors").is_file() or encoder.is_dir())
    with started("smoke", "--out", folder) as process:
        wait_until(lambda: any((folder / OUTCOMES).glob("finetune-*.json")))
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate()
        assert process.returncode == INTERRUPTED
        assert "the same command goes on" in output
    done = reproduce("smoke", "--out", folder)
    assert done.returncode == 0, done.stdout
    return folder, done.stdout


def place_of(folder: Path) -> Place:
    return Place(plan_of(folder), folder, None)


def runs_of(folder: Path) -> dict[str, Run]:
    return {run.name: run for run in plan_runs(plan_of(folder))}


def outcomes_in(folder: Path) -> dict[str, Outcome]:
    """The outcomes of the runs; the report adds some for comparison."""
    found = read_outcomes(folder / OUTCOMES)
    return {outcome.run: outcome for outcome in found if outcome.kind in ("pretrain", "finetune")}


def test_the_smoke_plan_runs_to_its_report(smoke: tuple[Path, str]) -> None:
    folder, output = smoke
    runs = runs_of(folder)
    outcomes = outcomes_in(folder)
    assert set(outcomes) == {name for name, run in runs.items() if run.kind != "prepare"}
    assert f"{len(runs)} of {len(runs)} runs done" in output
    (page,) = re.findall(r"^report: (\S+)", output, flags=re.MULTILINE)
    assert Path(page).is_file()
    for outcome in outcomes.values():
        assert outcome.seconds > 0 and outcome.machine["threads"] == 1
        if outcome.kind == "pretrain":
            assert outcome.loss is not None and 4 < outcome.loss < 7.6  # log(2048), of a blind guess
            assert outcome.tokens_seen >= 120_000 and outcome.corpus_tokens > 10_000
            continue
        expected, probabilities = (read(folder / OUTCOMES, outcome) for read in (read_expected, read_probabilities))
        assert len(expected) == len(probabilities) == 300
        assert outcome.accuracy == accuracy(expected, probabilities.argmax(axis=1))
        assert outcome.accuracy > 0.25, "a guess among five labels is right in 0.2"
    assert not list((folder / "classifiers").iterdir()) and not list((folder / "running").iterdir())
    sizes = [outcomes[f"pretrain-bert-1-overlap-{level}-seed0"].corpus_tokens for level in ("high", "low")]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


def test_a_killed_run_ends_as_one_that_was_not(smoke: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = smoke
    job = pretrain_job(place_of(folder), runs_of(folder)[FIRST])
    run_pretrain(replace(job, out=tmp_path / "again"))
    ours, theirs = (load_file(path / "model.safetensors") for path in (tmp_path / "again", job.out))
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_what_is_done_is_not_done_again(smoke: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = smoke
    app(["reproduce", "smoke", "--out", str(folder), "--dry-run"], standalone_mode=False)
    runs = len(runs_of(folder))
    assert f"{runs} of {runs} runs done; nothing left" in " ".join(capsys.readouterr().out.split())
    logs = {path.stem: path.read_text(encoding="utf-8").count("100%") for path in (folder / "logs").iterdir()}
    assert all(logs[name] == 1 for name, run in runs_of(folder).items() if run.kind != "prepare")


@pytest.mark.parametrize("kind", ["pretrain", "finetune"])
def test_a_run_s_command_asks_for_the_same_job(
    smoke: tuple[Path, str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AskedError(Exception):
        pass

    def asked(job: Any, **_: Any) -> None:
        raise AskedError(job)

    folder, _ = smoke
    place = place_of(folder)
    monkeypatch.setattr("tlm_edge.training.finetune_job.run_finetune", asked)
    monkeypatch.setattr("tlm_edge.training.pretrain_job.run_pretrain", asked)
    monkeypatch.chdir(folder)
    for run in (run for run in runs_of(folder).values() if run.kind == kind):
        assert read_outcome(folder / OUTCOMES / f"{run.name}.json").command == command(place, run)
        words = shlex.split(command(place, run).partition(" && ")[0])
        with pytest.raises(AskedError) as raised:
            app(words[1:], standalone_mode=False)
        (job,) = raised.value.args
        wanted = pretrain_job(place, run) if kind == "pretrain" else finetune_job(place, run)
        absolute = {name: absolutely(folder, getattr(job, name)) for name in vars(job)}
        assert replace(job, **absolute) == wanted


def absolutely(folder: Path, value: Any) -> Any:
    """``value`` with its relative paths as they are meant: from the folder of the reproduction."""
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, tuple) and value and all(isinstance(item, str) and (folder / item).exists() for item in value):
        return tuple(str(folder / item) for item in value)
    return value


PLAN = """
name = "mine"
about = "An encoder from a corpus, and classifiers from it and from scratch."
tokenizer = "wiki-bert-1"
pretraining = { max_tokens = 10_000, batch_size = 8 }
finetuning = { epochs = 1 }
architectures.tiny = { arch = "bert-1", hidden_size = 32, heads = 4 }
corpora.news = { files = ["corpus/*.txt"] }
tasks.agnews = { train = "agnews.jsonl", test = "agnews.jsonl", rows_per_label = 10 }

[[experiments]]
architectures = ["tiny"]
corpora = ["news", "scratch"]
tasks = ["agnews"]
seeds = [0]
"""


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, Path]:
    """A plan of one's own and the folder of its data."""
    data = tmp_path / "data"
    (data / "corpus").mkdir(parents=True)
    (data / "corpus" / "news.txt").write_text("\n\n".join(labelled_texts()[0]), encoding="utf-8")
    (data / "agnews.jsonl").write_bytes(evaluation_texts("agnews").read_bytes())
    (tmp_path / "mine.toml").write_text(PLAN)
    return tmp_path / "mine.toml", data


def test_a_failed_run_holds_up_only_who_needs_it(own: tuple[Path, Path], tmp_path: Path) -> None:
    plan, data = own
    corpus = data / "corpus" / "news.txt"
    text = corpus.read_text(encoding="utf-8")
    corpus.write_text(" ")
    arguments = (plan, "--data", data, "--out", tmp_path / "out")
    failed = reproduce(*arguments)
    assert failed.returncode == 2
    assert "finetune-agnews-tiny-scratch-seed0: accuracy" in failed.stdout
    last = failed.stdout.splitlines()[-1]
    assert last.startswith("error: 1 of 3 runs failed, pretrain-tiny-news-seed0 first:") and "no text in it" in last
    assert set(outcomes_in(tmp_path / "out")) == {"finetune-agnews-tiny-scratch-seed0"}
    corpus.write_text(text, encoding="utf-8")
    mended = reproduce(*arguments, "--keep")
    assert mended.returncode == 0, mended.stdout
    outcomes = outcomes_in(tmp_path / "out")
    tuned = outcomes["finetune-agnews-tiny-news-seed0"]
    assert (tuned.rows_per_label, len(outcomes)) == (10, 3)
    assert '"$TLM_EDGE_DATA"/agnews.jsonl' in tuned.command and str(tmp_path) not in tuned.command
    # What was kept answers as the outcome says, by the second half of its own command.
    scored = subprocess.run(
        [sys.executable, "-m", *shlex.split(tuned.command.partition(" && ")[2].replace("tlm-edge", "tlm_edge", 1))[:3],
         "--data", str(data / "agnews.jsonl")],
        cwd=tmp_path / "out", env=os.environ | {"TLM_EDGE_DATA": str(data)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"{tuned.accuracy:.4f}" in scored.stdout


def test_an_encoder_that_is_gone_is_made_again_for_those_who_need_it(own: tuple[Path, Path], tmp_path: Path) -> None:
    plan, data = own
    place = Place(read_plan(plan), tmp_path / "out", data)
    runs, outcomes = plan_runs(place.plan), place.folder / OUTCOMES
    pretrained, tuned = "pretrain-tiny-news-seed0", "finetune-agnews-tiny-news-seed0"
    write_outcome(outcomes, replace(TUNED, run=pretrained))
    assert start_state(place, runs).done == set()
    write_outcome(outcomes, replace(TUNED, run=tuned))
    assert start_state(place, runs).done == {pretrained, tuned}
    outcome_path(outcomes, pretrained).write_text("{")
    with pytest.raises(UserError, match=f"{pretrained}.json can't be read"):
        start_state(place, runs)


def test_a_dry_run_lists_and_estimates_and_writes_nothing(
    own: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tlm_edge.reproduce.trial._TRIAL", 0.1)
    plan, data = own
    out = tmp_path / "out"
    options = ["--data", str(data), "--out", str(out), "--dry-run"]
    app(["reproduce", str(plan), *options, "--price", "3600"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert not out.exists()
    for name in ("pretrain-tiny-news-seed0", "finetune-agnews-tiny-news-seed0", "finetune-agnews-tiny-scratch-seed0"):
        assert re.search(rf"{name} +\d+ (s|min)", printed)
    assert re.search(r"0 of 3 runs done; about \d+ (s|min) left, at 3600 an hour of a job \d+\.\d\d with", printed)
    app(["reproduce", str(plan), *options, "--only", "*scratch*"], standalone_mode=False)
    assert "0 of 1 runs done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["huge"], "no plan 'huge'"),
        (["laptop", "--data", "{empty}"], "corpora.3k.files: no 'wikipedia/.*' in .*empty: put it there"),
        (["smoke", "--only", "pretrain-gpt-*"], "--only pretrain-gpt-.*: no run of the plan matches"),
        (["{plan}"], "'corpus/.*' is a file below the data folder: name that with --data"),
    ],
)
def test_mistakes_cost_no_time(
    own: tuple[Path, Path], tmp_path: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TLM_EDGE_DATA", raising=False)
    (tmp_path / "empty").mkdir()
    words = [word.format(empty=tmp_path / "empty", plan=own[0]) for word in arguments]
    with pytest.raises(UserError, match=message):
        app(["reproduce", *words, "--out", str(tmp_path / "out"), "--dry-run"], standalone_mode=False)
