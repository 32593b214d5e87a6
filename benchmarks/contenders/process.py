"""The contenders' processes as the caller has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contenders.contender import Contender

FOLDER = Path(__file__).resolve().parents[1]


class WorkerError(RuntimeError):
    """A process ended; what it said last."""


@dataclass
class Process:
    """One contender's process; ``loaded`` is what it told when it was ready."""

    contender: Contender
    popen: subprocess.Popen[str]
    complaints: Any
    loaded: dict[str, Any]

    def send(self, *command: Any) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(json.dumps(command) + "\n")
        self.popen.stdin.flush()

    def receive(self) -> Any:
        """The answer to what was sent last. Raises ``WorkerError`` if there is none."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        if not line:
            self.complaints.seek(0)
            raise WorkerError(f"{self.contender.name}: {self.complaints.read()[-2000:]}")
        return json.loads(line)

    def ask(self, *command: Any) -> Any:
        self.send(*command)
        return self.receive()


@contextmanager
def process_of(contender: Contender, labels: Sequence[str], threads: int) -> Iterator[Process]:
    """The contender in a process of its own, loaded, with so many threads."""
    # Where TensorFlow is installed, transformers would load it as well.
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false", "USE_TF": "0"}
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
        environment[variable] = str(threads)
    command = [sys.executable, "-m", "contenders.worker", json.dumps(job_of(contender, labels, threads))]
    with tempfile.TemporaryFile("w+") as complaints:
        popen = subprocess.Popen(
            command,
            cwd=FOLDER,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        with popen:
            process = Process(contender, popen, complaints, {})
            process.loaded = process.receive()
            yield process


def job_of(contender: Contender, labels: Sequence[str], threads: int) -> dict[str, Any]:
    """What the worker has to know."""
    own = []
    if contender.kind.startswith("plain-") and contender.source is not None:
        from tlm_edge.modeling.config import read_config

        own = list(read_config(contender.source).labels)
    return {
        "kind": contender.kind,
        "folder": str(contender.folder.resolve()),
        "threads": threads,
        "labels": list(labels),
        "own_labels": own,
    }
