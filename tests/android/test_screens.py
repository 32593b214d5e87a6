"""The app's real activities under Robolectric, with the real ONNX Runtime; screenshots in Android's own graphics."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.android.robolectric import run_app
from tlm_edge.android.compile import Project
from tlm_edge.bench.record import SCHEMA_FILE, read_records


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_app_under_robolectric(
    project: Project, screens: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Android gives large blocks back as they are freed; glibc keeps them, unless told, and hides what a model takes.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(1 << 16))
    out = run_app(project, screens, "org.tlmedge.demo.AppTest", tmp_path)
    pictures = {picture.stem: picture.stat().st_size for picture in out.glob("*.png")}
    assert len(pictures) == 9
    assert min(pictures.values()) > 10_000, pictures
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    for file in out.glob("app-*.json"):
        jsonschema.validate(json.loads(file.read_text(encoding="utf-8")), schema)
    assert len(read_records([out])) == 2
    told = subprocess.run(
        [sys.executable, "-m", "tlm_edge", "report", out, "--out", tmp_path / "report"], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
