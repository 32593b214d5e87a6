"""What a run was made from and on: sources named without the paths of this machine, versions, processor."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import tlm_edge
from tlm_edge.files import sha256_file


def named_source(source: str) -> str:
    """``source`` as a card may name it: a hub name as it is, a path by its last two parts."""
    path = Path(source)
    if not path.exists() and "*" not in source:
        return source
    return "/".join(path.absolute().parts[-2:]).lstrip("/")


def described_sources(sources: Sequence[str]) -> list[dict[str, str]]:
    """Each source's name, and the SHA-256 of its content if it is a file."""
    described = []
    for source in sources:
        entry = {"name": named_source(source)}
        if Path(source).is_file():
            entry["sha256"] = sha256_file(Path(source))
        described.append(entry)
    return described


def environment() -> dict[str, Any]:
    """Versions, processor and threads of this process."""
    return {
        "tlm-edge": tlm_edge.__version__,
        "python": platform.python_version(),
        "torch": version("torch"),
        "processor": torch.cuda.get_device_name() if torch.cuda.is_available() else _processor(),
        "threads": torch.get_num_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
