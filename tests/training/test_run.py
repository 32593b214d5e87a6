"""A run's folder: what is refused, what is kept, what the user is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.recipes import DATA, corpus, finetune_job, logged, tlm_edge
from tlm_edge.interruption import interruption
from tlm_edge.runtime.errors import UserError
from tlm_edge.training import finetune_job as job_module
from tlm_edge.training.finetune_job import run_finetune
from tlm_edge.training.run import (
    RunInterruptedError,
    RunLog,
    finished_result,
    open_run,
    read_log,
    work_folder,
)


def test_what_is_at_the_place_is_never_replaced_unasked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="exists already"), open_run(out, {}, resume=False, force=False):
        pass
    with open_run(out, {"seed": 1}, resume=False, force=True) as run:
        assert run.force and (out / "mine.txt").read_text() == "precious"
    with pytest.raises(UserError, match="exists already"), open_run(out, {}, resume=False, force=False):
        pass
    # The permission to replace was given when the run was started.
    with open_run(out, {"seed": 1}, resume=True, force=False) as run:
        assert run.force


def test_an_unfinished_run_is_neither_lost_nor_mixed_with_another(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="nothing to resume"), open_run(out, {}, resume=True, force=False):
        pass
    settings = {"recipe": {"seed": 1, "epochs": 3}, "data": "a" * 64}
    with open_run(out, settings, resume=False, force=False) as run:
        (run.work / "state.safetensors").write_bytes(b"hours")
    with pytest.raises(UserError, match="go on with --resume"), open_run(out, settings, resume=False, force=False):
        pass
    changed = {"recipe": {"seed": 2, "epochs": 3}, "data": "b" * 64}
    with pytest.raises(UserError, match="data was .*; seed was 1"), open_run(out, changed, resume=True, force=False):
        pass
    with open_run(out, settings, resume=True, force=False) as run:
        assert (run.work / "state.safetensors").read_bytes() == b"hours"
        with pytest.raises(UserError, match="another process"), open_run(out, settings, resume=True, force=False):
            pass
    with open_run(out, changed, resume=False, force=True) as run:
        assert not (run.work / "state.safetensors").exists()


def test_a_setting_that_is_new_and_off_is_no_change(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with open_run(out, {"config": {"layers": 1}}, resume=False, force=False):
        pass
    with open_run(out, {"config": {"layers": 1, "bigrams": 0}, "teacher": None}, resume=True, force=False) as run:
        assert run.work.is_dir()
    with (
        pytest.raises(UserError, match="bigrams was null, now 16"),
        open_run(out, {"config": {"layers": 1, "bigrams": 16}}, resume=True, force=False),
    ):
        pass


def test_resuming_a_finished_run_tells_its_result_and_refuses_others(tiny_tokenizer: Path, tmp_path: Path) -> None:
    job = finetune_job(tiny_tokenizer, tmp_path / "out", recipe={"epochs": 1})
    done = run_finetune(job)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    stored = json.loads((tmp_path / "out/training.json").read_text())
    assert run_finetune(job, resume=True) == stored == json.loads(json.dumps(done))
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    other = replace(job, recipe=replace(job.recipe, learning_rate=0.1))
    with pytest.raises(UserError, match=r"learning_rate was 0\.005, now 0\.1"):
        run_finetune(other, resume=True)
    (tmp_path / "out/training.json").write_text("{")
    with pytest.raises(UserError, match="can't be read"):
        finished_result(tmp_path / "out", {})


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    inside = tmp_path / "file" / "out"
    with pytest.raises(UserError, match="can't write"), open_run(inside, {}, resume=False, force=False):
        pass


def test_a_damaged_state_is_named(tiny_tokenizer: Path, tmp_path: Path) -> None:
    job = finetune_job(tiny_tokenizer, tmp_path / "out", recipe={"epochs": 1})
    stop_after(job, steps=2)
    (work_folder(job.out) / "state.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"state\.safetensors does not fit this run"):
        run_finetune(job, resume=True)


def stop_after(job, steps: int) -> None:
    """Begin a run and interrupt it with a real SIGTERM after some steps."""
    real = job_module.finetune

    def finetune(*arguments, interrupted, **options):
        asked = 0

        def counted() -> bool:
            nonlocal asked
            asked += 1
            if asked == steps:
                os.kill(os.getpid(), signal.SIGTERM)
            return interrupted()

        return real(*arguments, interrupted=counted, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_module, "finetune", finetune)
        with pytest.raises(RunInterruptedError) as stop:
            run_finetune(job)
    assert stop.value.signal_number == signal.SIGTERM


def test_a_signal_saves_and_the_rest_is_as_if_uninterrupted(tiny_tokenizer: Path, tmp_path: Path) -> None:
    job = finetune_job(tiny_tokenizer, tmp_path / "stopped")
    stop_after(job, steps=13)
    assert not job.out.exists() and (work_folder(job.out) / "state.safetensors").is_file()
    run_finetune(job, resume=True)
    assert not work_folder(job.out).exists()
    run_finetune(replace(job, out=tmp_path / "whole"))
    assert logged(job.out / "log.jsonl") == logged(tmp_path / "whole/log.jsonl")


def test_handlers_are_put_back_and_the_second_ctrl_c_is_heard() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interruption() as received:
        assert received() == 0
        os.kill(os.getpid(), signal.SIGINT)
        assert received() == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_log_forgets_what_will_be_done_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({"event": "steps", "step": step}) + "\n" for step in (5, 10, 15)) + '{"eve')
    log = RunLog(path, from_step=10)
    log.write(event="steps", step=12)
    log.close()
    assert [record["step"] for record in read_log(path)] == [5, 10, 12]


@pytest.mark.slow
def test_ctrl_c_on_the_command_line_says_how_to_go_on(tiny_tokenizer: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["pretrain", "--arch", "bert-1", "--hidden-size", "32", "--heads", "4", "--max-length", "32"]
    arguments += ["--tokenizer", str(tiny_tokenizer), "--corpus", str(corpus(tmp_path)), "--out", str(out)]
    arguments += ["--threads", "1", "--batch-size", "8"]
    environment = os.environ | {"TLM_EDGE_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "tlm_edge", *arguments, "--max-minutes", "3"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    while not read_log(work_folder(out) / "log.jsonl"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"go on with: tlm-edge {' '.join(arguments)} --max-minutes 3 --resume" in told
    assert not out.exists()
    finished = tlm_edge(*arguments, "--max-steps", "40", "--resume", env=environment)
    assert finished.returncode == 2 and "max_minutes was 3.0, now null" in finished.stderr
    assert finished.stderr.count("\n") == 1


@pytest.mark.slow
def test_mistakes_on_the_command_line_are_one_line(tiny_tokenizer: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "file").touch()
    new = str(tmp_path / "new")
    for arguments, words in (
        (["finetune", "--data", DATA, "--out", new], "--from-scratch ARCH, one of the two"),
        (["finetune", "--from-scratch", "bert-1", "--data", DATA, "--out", new], "--tokenizer"),
        (["finetune", "nowhere", "--data", DATA, "--out", new], "no model 'nowhere'"),
        (["pretrain", "--corpus", DATA, "--out", new], "--from CHECKPOINT"),
        (["pretrain", "--from", "x", "--layers", "2", "--corpus", DATA, "--out", new], "--layers can't be chosen"),
        (
            ["finetune", "--from-scratch", "bert-9", "--tokenizer", str(tiny_tokenizer), "--data", DATA, "--out", new],
            "no architecture 'bert-9'",
        ),
        (
            [
                "finetune",
                "--from-scratch",
                "bert-1",
                "--tokenizer",
                str(tiny_tokenizer),
                "--data",
                DATA,
                "--out",
                str(taken),
            ],
            "exists already",
        ),
    ):
        answer = tlm_edge(*arguments)
        assert answer.returncode == 2 and words in answer.stderr, answer
        assert answer.stderr.startswith("error: ") and answer.stderr.count("\n") == 1
    assert not Path(new).exists() and not work_folder(Path(new)).exists()
