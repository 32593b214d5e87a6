"""The app's real activities under Robolectric, with the real ONNX Runtime; screenshots in Android's own graphics."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.android.jvm import run_junit
from tlm_edge.android.compile import Project
from tlm_edge.bench.record import SCHEMA_FILE, read_records
from tlm_edge.shipped import models_folder

#: Set to a folder, the screenshots of a run are left there: docs/android renews its own that way.
PICTURES_VARIABLE = "TLM_EDGE_SCREENSHOTS"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_app_under_robolectric(project: Project, screens: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    (device,) = project.files("robolectric-device")
    properties = {
        "models": models_folder(),
        "records": out,
        "robolectric.offline": "true",
        "robolectric.dependency.dir": device.parent,
        "user.language": "en",
    }
    run_junit(screens, ["org.tlmedge.demo.AppTest"], properties)
    if folder := os.environ.get(PICTURES_VARIABLE):
        for picture in out.glob("*.png"):
            shutil.copy(picture, folder)
    pictures = {picture.stem: picture.stat().st_size for picture in out.glob("*.png")}
    assert len(pictures) == 8
    assert min(pictures.values()) > 10_000, pictures
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    for file in out.glob("app-*.json"):
        jsonschema.validate(json.loads(file.read_text(encoding="utf-8")), schema)
    assert len(read_records([out])) == 2
    told = subprocess.run(
        [sys.executable, "-m", "tlm_edge", "report", out, "--out", tmp_path / "report"], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
