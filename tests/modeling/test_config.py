"""Configurations are read in the light installation too."""

from __future__ import annotations

import subprocess
import sys


def test_no_pytorch_is_needed_to_read_one() -> None:
    check = "import sys, tlm_edge.modeling.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
