"""A killed run goes on as if nothing had happened: the same losses, the same weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.training.recipes import logged

pytestmark = pytest.mark.slow

# Runs a job to its end, and again with a SIGKILL from within at each of the given steps, in forked processes: the
# first attempt begins the run, each later one resumes it. Libraries are imported once, and nothing is computed before
# the forks.
ATTEMPTS = """
import os, signal, sys
from functools import partial
from pathlib import Path
import matplotlib.backends.backend_agg, matplotlib.figure, sklearn.metrics, sklearn.model_selection, torch
from tests.training.recipes import finetune_job, pretrain_job
from tlm_edge.training import finetune, finetune_job as fj, pretrain, pretrain_job as pj, state

kind, tokenizer, folder, every, *kills = sys.argv[1:]
tokenizer, folder, every = Path(tokenizer), Path(folder), float(every)
loop, job_module = {"finetune": (finetune, fj), "pretrain": (pretrain, pj)}[kind]

def attempt(out, resume, kill):
    torch.set_num_threads(1)
    options = {"report_every": 3, "save_every_seconds": every}
    if kind == "pretrain":
        options["validate_every"] = 9
    setattr(job_module, kind, partial(getattr(loop, kind), **options))
    die = lambda: os.kill(os.getpid(), signal.SIGKILL)
    if kill and kill.startswith("save"):
        saves, real = iter(range(int(kill[4:]), -1, -1)), state.save_file
        def save_file(tensors, path, **rest):
            if next(saves) == 0:
                Path(path).write_bytes(b"half a state")
                die()
            real(tensors, path, **rest)
        state.save_file = save_file
    elif kill:
        real = loop._step
        def step(*arguments):
            if arguments[-1] == int(kill):
                die()
            return real(*arguments)
        loop._step = step
    make = {"finetune": finetune_job, "pretrain": pretrain_job}[kind]
    getattr(job_module, "run_" + kind)(make(tokenizer, out), resume=resume)

for out, plan in (("whole", [None]), ("killed", [*kills, None])):
    for number, kill in enumerate(plan):
        child = os.fork()
        if child == 0:
            attempt(folder / out, number > 0, kill)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        assert status == (signal.SIGKILL if kill else 0), (out, number, status)
        if kill:
            assert not (folder / out).exists()
"""


@pytest.mark.parametrize(
    ("kind", "every", "kills"),
    [
        ("finetune", 0, ["0", "1", "7", "11", "save3", "25"]),
        ("finetune", 1e9, ["4", "13", "29"]),
        ("pretrain", 0, ["0", "2", "9", "save4", "28"]),
        ("pretrain", 1e9, ["5", "20"]),
    ],
)
def test_a_killed_run_resumes_to_the_same_losses_and_weights(
    kind: str, every: float, kills: list[str], tiny_tokenizer: Path, tmp_path: Path
) -> None:
    arguments = [kind, str(tiny_tokenizer), str(tmp_path), str(every), *kills]
    process = subprocess.run([sys.executable, "-c", ATTEMPTS, *arguments], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-3000:]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]
    whole, killed = (logged(tmp_path / name / "log.jsonl") for name in ("whole", "killed"))
    assert len(whole) >= 10
    assert killed == whole
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all((one[name] == two[name]).all() for name in one)
