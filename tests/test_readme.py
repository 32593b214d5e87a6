"""The readme's Python runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.test_repository import ROOT
from tlm_edge.shipped import shipped_names


@pytest.mark.skipif("agnews-committee" not in shipped_names(), reason="the model that the readme loads is not shipped")
def test_the_python_example_labels_its_texts() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    process = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=True)
    lines = [line.split(maxsplit=2) for line in process.stdout.splitlines()]
    assert [label for label, _, _ in lines] == ["Business", "Sports"]
    assert all(0.5 < float(score) <= 1.0 for _, score, _ in lines)
