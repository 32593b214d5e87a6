"""ONNX Runtime's part of the runtime room."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tlm_edge.shipped import models_folder

SCRIPT = """
import os, sys, time
from pathlib import Path
from tlm_edge.runtime.onnx import OnnxSession
session = OnnxSession(Path(sys.argv[1]), threads=1)
time.sleep(0.3)
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")
def test_nothing_is_sent_to_the_maker_of_the_runtime():
    """ONNX Runtime would report its use over the network in a thread of its own; there is the main one alone."""
    model = models_folder() / "agnews-bert-1" / "onnx-int8" / "model.onnx"
    without = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(model)],
        env=without | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1"]
