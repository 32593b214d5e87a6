"""What is installed here, and what would have to be installed for the rest; found without importing any of it.

Whether the targets work is found out by using them, if asked.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from tlm_edge import __version__
from tlm_edge.bench.machine import Machine, describe_machine
from tlm_edge.export.registry import target_names
from tlm_edge.export.trial import Trial, try_target
from tlm_edge.extras import EXTRAS, missing_modules

#: What the light installation brings, and what the extras do, by distribution.
_LIGHT = ("numpy", "onnxruntime", "tokenizers")
_DISTRIBUTIONS = {
    "torch": "torch",
    "accelerate": "accelerate",
    "safetensors": "safetensors",
    "sklearn": "scikit-learn",
    "matplotlib": "matplotlib",
    "onnx": "onnx",
    "litert_torch": "litert-torch",
    "ai_edge_litert": "ai-edge-litert",
    "ai_edge_quantizer": "ai-edge-quantizer",
    "executorch": "executorch",
    "torchao": "torchao",
    "jinja2": "jinja2",
    "datasets": "datasets",
    "huggingface_hub": "huggingface-hub",
    "transformers": "transformers",
    "sentencepiece": "sentencepiece",
    "ray": "ray",
}


@dataclass(frozen=True)
class Part:
    """A part of the installation: what it is for, the versions present, what is missing and what would install it."""

    name: str
    purpose: str
    versions: dict[str, str]
    missing: tuple[str, ...]
    install: str | None


@dataclass(frozen=True)
class Tool:
    """A program outside of Python: its path and version, null where it isn't there."""

    name: str
    purpose: str
    path: str | None
    version: str | None
    install: str


@dataclass(frozen=True)
class Diagnosis:
    """Everything ``examine`` finds; ``targets`` were tried, none if that was not asked for."""

    tlm_edge: str
    machine: Machine
    light: Part
    extras: tuple[Part, ...]
    tools: tuple[Tool, ...]
    targets: tuple[Trial, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The diagnosis as a JSON object."""
        return dataclasses.asdict(self)


_PURPOSES = {
    "train": "train, fine-tune, build committees",
    "onnx": "export to ONNX",
    "tflite": "export to TFLite/LiteRT",
    "executorch": "export to ExecuTorch",
    "report": "reports: tables, plots, pages",
    "hub": "datasets and models by their Hugging Face name",
    "transformers": "classifiers and tokenizers that only transformers reads",
    "cluster": "training on the machines of a Ray cluster",
}

#: name, programs of which the first found counts, how it tells its version, purpose, what to install.
_TOOLS: tuple[tuple[str, tuple[str, ...], tuple[str, ...], str, str], ...] = (
    ("C++ compiler", ("c++", "g++", "clang++"), ("--version",), "native runners", "g++ or clang"),
    (
        "arm64 C++ compiler",
        ("aarch64-linux-gnu-g++",),
        ("--version",),
        "native runners for arm64 devices",
        "g++-aarch64-linux-gnu",
    ),
    ("qemu", ("qemu-aarch64", "qemu-aarch64-static"), ("--version",), "emulated arm64 devices", "qemu-user"),
    ("ssh", ("ssh",), ("-V",), "devices on the network", "openssh-client"),
    ("rsync", ("rsync",), ("--version",), "files to devices on the network", "rsync"),
    ("adb", ("adb",), ("version",), "phones", "adb (Android platform tools)"),
)


def examine(*, deep: bool = False) -> Diagnosis:
    """Look at the installation and the machine; ``deep`` exports a tiny model to every target and runs it, too."""
    light = {name: version for name in _LIGHT if (version := _version(name)) is not None}
    absent = tuple(name for name in _LIGHT if name not in light)
    return Diagnosis(
        tlm_edge=__version__,
        machine=describe_machine(),
        light=Part(
            "tlm-edge", "run and benchmark ONNX bundles", light, absent, "pip install tlm-edge" if absent else None
        ),
        extras=tuple(_examine_extra(name) for name in EXTRAS),
        tools=tuple(_examine_tool(*tool) for tool in _TOOLS),
        targets=tuple(map(try_target, target_names())) if deep else (),
    )


def _examine_extra(name: str) -> Part:
    missing = tuple(_DISTRIBUTIONS.get(module, module) for module in missing_modules(name))
    distributions = [_DISTRIBUTIONS.get(module, module) for module in EXTRAS[name]]
    versions = {package: version for package in distributions if (version := _version(package)) is not None}
    return Part(
        name, _PURPOSES.get(name, ""), versions, missing, f'pip install "tlm-edge[{name}]"' if missing else None
    )


def _examine_tool(name: str, programs: tuple[str, ...], arguments: tuple[str, ...], purpose: str, install: str) -> Tool:
    path = next((found for program in programs if (found := shutil.which(program))), None)
    return Tool(name, purpose, path, None if path is None else _told_version(path, arguments), install)


def _told_version(path: str, arguments: tuple[str, ...]) -> str | None:
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    lines = (done.stdout or done.stderr).strip().splitlines()
    found = re.search(r"\d+(?:\.\d+)+\w*", lines[0]) if lines else None
    return found[0] if found else None


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
