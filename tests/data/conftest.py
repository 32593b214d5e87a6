from __future__ import annotations

import json
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the real data sets; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("TLM_EDGE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data sets in {folder} (TLM_EDGE_DATA names another folder)")
    return folder


@pytest.fixture
def write_rows(tmp_path):
    """A function that writes rows as JSON Lines into a file of the test's folder and returns its path."""

    def write(name: str, rows: list) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write
