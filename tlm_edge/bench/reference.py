"""The labels that PyTorch gives, to compare a runtime's with. ``python -m tlm_edge.bench.reference``.

In a process of its own: PyTorch's memory and threads must not be around when a bundle is timed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tlm_edge.bench.plan import Entry
from tlm_edge.extras import missing_modules
from tlm_edge.runtime.bundle import Bundle
from tlm_edge.runtime.errors import UserError


class References:
    """PyTorch's labels for the sources of bundles; each source labels the texts once."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[list[int] | None, str]] = {}

    def __call__(self, entry: Entry, bundle: Bundle, texts: Sequence[str]) -> tuple[list[int] | None, str]:
        """Labels of ``texts``, or ``None``, and where they come from or why they can't be had."""
        source = f"{bundle.manifest.source.sha256} {bundle.manifest.max_length}"
        if source not in self._known:
            self._known[source] = _labels(entry, bundle, texts)
        return self._known[source]


def _labels(entry: Entry, bundle: Bundle, texts: Sequence[str]) -> tuple[list[int] | None, str]:
    name = bundle.manifest.source.name
    if entry.checkpoint is None:
        return None, f"the checkpoint {name} is not at hand"
    if missing_modules("onnx"):
        return None, "PyTorch is not installed"
    request = {"checkpoint": entry.checkpoint, "max_length": bundle.manifest.max_length, "texts": list(texts)}
    # -P: a file in the current folder must not stand in for a module.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tlm_edge.bench.reference"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"TOKENIZERS_PARALLELISM": "false"},
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return None, f"PyTorch couldn't run {name}: {last}"
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        return None, answer["error"]
    if answer["sha256"] != bundle.manifest.source.sha256:
        return None, f"the checkpoint {entry.checkpoint} is not the one that was exported"
    return answer["labels"], f"PyTorch {answer['torch']} with {name}"


def _main() -> None:
    request = json.loads(sys.stdin.read())
    import torch

    from tlm_edge.export.source import load_source

    try:
        source = load_source(Path(request["checkpoint"]), request["max_length"])
        labels = source.probabilities(request["texts"]).argmax(axis=1).tolist()
        answer = {"labels": labels, "sha256": source.describe().sha256, "torch": torch.__version__}
    except UserError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    _main()
