"""What every benchmark here shares: where it ran, how a spread is stated, where the result goes."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).resolve().parent / "results"
_STARTED = time.monotonic()
_PACKAGES = (
    *("tlm-edge", "torch", "transformers", "scikit-learn", "onnxruntime", "ai-edge-litert", "executorch"),
    *("litert-torch", "optimum-onnx", "tokenizers", "numpy"),
)


def kept_work_options(description: str | None) -> argparse.Namespace:
    """The options of benchmarks that keep what is finished: ``--work`` says where, ``--finished`` runs nothing more."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="where what is finished is kept")
    parser.add_argument("--finished", action="store_true", help="run nothing, tell what is kept in FOLDER")
    return parser.parse_args()


def data_folder() -> Path:
    """The folder of the real data sets: ``TLM_EDGE_DATA``, or ``../shared/data`` beside the checkout."""
    folder = Path(os.environ.get("TLM_EDGE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        sys.exit(f"error: no data at {folder}: set TLM_EDGE_DATA to the folder that holds agnews/, fewrel/, …")
    return folder


def describe_machine() -> dict[str, Any]:
    """CPU, system and versions, without anything that names the machine."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def interval(samples: np.ndarray) -> dict[str, float]:
    """Median, minimum and maximum of the rounds."""
    return {"median": float(np.median(samples)), "min": float(samples.min()), "max": float(samples.max())}


def write_result(name: str, content: dict[str, Any]) -> None:
    """Keep a result as ``benchmarks/results/NAME.json`` with the command that made it, the day and how long it took."""
    arguments = sys.argv[1:]
    if "--work" in arguments:  # a folder of this machine, which changes no figure
        place = arguments.index("--work")
        arguments = arguments[:place] + arguments[place + 2 :]
    arguments = [Path(each).name if Path(each).is_absolute() else each for each in arguments]
    command = ["python", "benchmarks/" + Path(sys.argv[0]).name, *arguments]
    took = round(time.monotonic() - _STARTED, 1)
    content = {"command": " ".join(command), "date": datetime.date.today().isoformat(), "took_seconds": took} | content
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"written: benchmarks/results/{path.name}")


def run_tlm_edge(*arguments: str) -> str:
    """What the command line prints; ends this program with its message if it fails."""
    done = subprocess.run([sys.executable, "-m", "tlm_edge", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"tlm-edge {' '.join(arguments)} failed:\n{done.stderr}")
    return done.stdout


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def binomial_interval(correct: int, total: int) -> tuple[float, float]:
    """The 95 % Wilson interval of an accuracy."""
    from scipy.stats import binomtest

    bounds = binomtest(correct, total).proportion_ci(method="wilson")
    return float(bounds.low), float(bounds.high)
