"""A killed run goes on as if nothing had happened: the same losses, the same weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.training.recipes import logged

pytestmark = pytest.mark.slow

# Runs jobs to their end, and again with a SIGKILL from within at each of the given steps, in forked processes: the
# first attempt begins the run, each later one resumes it. Libraries are imported once, and nothing is computed before
# the forks.
ATTEMPTS = """
import json, os, signal, sys
from functools import partial
from pathlib import Path
import matplotlib.backends.backend_agg, matplotlib.figure, sklearn.metrics, sklearn.model_selection, torch._dynamo
from tests.training.recipes import finetune_job, pretrain_job
from tlm_edge.training import finetune, finetune_job as fj, pretrain, pretrain_job as pj, state

tokenizer, folder, plans = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
modules = {"finetune": (finetune, fj), "pretrain": (pretrain, pj)}

def attempt(kind, out, resume, every, kill):
    loop, job_module = modules[kind]
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

def attempts(kind, out, every, kills):
    for number, kill in enumerate([*kills, None]):
        child = os.fork()
        if child == 0:
            attempt(kind, out, number > 0, every, kill)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        assert status == (signal.SIGKILL if kill else 0), (out, number, status)
        assert out.exists() == (kill is None)

for kind in modules:
    attempts(kind, folder / kind, 1e9, [])
for name, (kind, every, kills) in plans.items():
    attempts(kind, folder / name, every, kills)
"""

#: What is run, seconds between saves, and where it is killed: at a step, or while the state is saved ("save3").
PLANS: dict[str, tuple[str, float, list[str]]] = {
    "finetune, saved at every step": ("finetune", 0, ["0", "1", "7", "11", "save3", "25"]),
    "finetune, saved at epochs": ("finetune", 1e9, ["4", "13", "29"]),
    "pretrain, saved at every step": ("pretrain", 0, ["0", "2", "9", "save4", "28"]),
    "pretrain, never saved": ("pretrain", 1e9, ["5", "20"]),
}


@pytest.fixture(scope="module")
def runs(tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    arguments = [str(tiny_tokenizer), str(folder), json.dumps(PLANS)]
    process = subprocess.run([sys.executable, "-c", ATTEMPTS, *arguments], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-3000:]
    assert {path.name for path in folder.iterdir()} == {"finetune", "pretrain", *PLANS}
    return folder


@pytest.mark.parametrize("plan", PLANS)
def test_a_killed_run_resumes_to_the_same_losses_and_weights(plan: str, runs: Path) -> None:
    whole, killed = (runs / name for name in (PLANS[plan][0], plan))
    records = logged(whole / "log.jsonl")
    assert len(records) >= 10
    assert logged(killed / "log.jsonl") == records
    one, two = (load_file(folder / "model.safetensors") for folder in (whole, killed))
    assert all((one[name] == two[name]).all() for name in one)
