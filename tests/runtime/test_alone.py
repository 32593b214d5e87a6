"""The runtime runs where nothing but numpy, tokenizers and onnxruntime is installed."""

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tlm_edge.shipped import evaluation_texts

BLOCKED = ("torch", "transformers", "onnx", "sklearn", "safetensors", "scipy", "pandas", "huggingface_hub", "datasets")

SCRIPT = f"""
import json, sys

for name in {BLOCKED!r}:
    sys.modules[name] = None  # as if it were not installed
import tlm_edge
classifier = tlm_edge.load(sys.argv[1], threads=1)
answers = [prediction.label for prediction in classifier.predict(sys.argv[2:])]
print(json.dumps([answers, sorted(name for name in {BLOCKED!r} if sys.modules.get(name))]))
"""

RUNTIME_ONLY = """
import pkgutil, sys
import tlm_edge.runtime
for module in pkgutil.iter_modules(tlm_edge.runtime.__path__):
    __import__(f"tlm_edge.runtime.{module.name}")
print([name for name in sys.modules if name.startswith("tlm_edge.") and not name.startswith("tlm_edge.runtime")])
print([name for name in ("torch", "transformers", "onnx", "typer", "rich", "sklearn") if name in sys.modules])
"""


def run(*arguments: str, python: str = sys.executable) -> str:
    done = subprocess.run([python, "-P", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_bundle_runs_without_the_heavy_packages(tiny_bundle):
    answers, imported = json.loads(run("-c", SCRIPT, str(tiny_bundle), "Shares fell after the bank's report"))
    assert len(answers) == 1
    assert imported == []


def test_the_runtime_imports_nothing_of_the_rest():
    assert run("-c", RUNTIME_ONLY).splitlines() == ["[]", "[]"]


def test_a_checkpoint_without_torch_names_the_extra(tiny_checkpoint):
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT, str(tiny_checkpoint), "x"], capture_output=True, text=True, check=False
    )
    assert "MissingExtraError" in done.stderr
    assert 'pip install "tlm-edge[train]"' in done.stderr


@pytest.mark.slow
def test_the_light_installation(tiny_bundle, tmp_path):
    """The wheel in a fresh environment with nothing but the light dependencies."""
    root = Path(__file__).parents[2]
    wheel_folder = tmp_path / "wheel"
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(wheel_folder), str(root)]
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"no wheel could be built here: {built.stderr.strip().splitlines()[-1:]}")
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = str(environment / ("Scripts" if sysconfig.get_platform().startswith("win") else "bin") / "python")
    (wheel,) = wheel_folder.iterdir()
    installed = subprocess.run([python, "-m", "pip", "install", "-q", str(wheel)], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"no package index can be reached: {installed.stderr.strip().splitlines()[-1:]}")
    present = run("-m", "pip", "list", "--format=freeze", python=python).lower()
    assert not any(f"\n{package}==" in present for package in ("torch", "transformers", "onnx", "scikit-learn"))
    answer = run("-m", "tlm_edge", "predict", str(tiny_bundle), "Shares fell", "--json", python=python)
    assert json.loads(answer)["text"] == "Shares fell"
    data = str(evaluation_texts("agnews"))
    evaluated = run("-m", "tlm_edge", "evaluate", str(tiny_bundle), "--data", data, "--json", python=python)
    assert json.loads(evaluated)["n"] == 200
    assert "FAILED" not in run("-m", "tlm_edge", "verify", str(tiny_bundle), python=python)
    site = next((environment / "lib").rglob("site-packages"))
    # What the packages bring: not the environment's own tools, Python's bytecode caches, or the shipped models.
    aside = (site / "pip", site / "setuptools", site / "pkg_resources", site / "tlm_edge" / "models")
    files = (path for path in site.rglob("*") if path.is_file() and path.suffix != ".pyc")
    size = sum(file.stat().st_size for file in files if not any(folder in file.parents for folder in aside))
    assert size <= 200e6
