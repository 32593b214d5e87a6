"""What the wheel and the source archive carry: the package, the shipped models, the licence, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.test_repository import ROOT, tracked
from tlm_edge import __version__
from tlm_edge.shipped import ENCODERS


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both wheels and the source archive, built by the locked build backend without a network."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True)
    subprocess.run([*build, "-t", "wheel"], cwd=ROOT / "models", check=True)
    return folder


def names_in_checkout(folder: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in tracked(folder)}


def test_the_wheel_is_the_package_with_its_models(archives: Path) -> None:
    with zipfile.ZipFile(archives / f"tlm_edge-{__version__}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
        metadata = f"tlm_edge-{__version__}.dist-info"
        licence = wheel.read(f"{metadata}/licenses/LICENSE")
    assert licence == (ROOT / "LICENSE").read_bytes()
    expected = names_in_checkout("tlm_edge") | {f"tlm_edge/{name}" for name in names_in_checkout("models")}
    expected -= {"tlm_edge/models/pyproject.toml"}
    with zipfile.ZipFile(archives / f"tlm_edge_models-{__version__}-py3-none-any.whl") as wheel:
        weights = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {f"tlm_edge/models/{encoder}/model.safetensors" for encoder in ENCODERS[1:]} < weights
    assert all(name.endswith(".safetensors") or "/wiki-bert-1-" in name for name in weights)
    assert {name for name in names if not name.startswith(metadata)} == expected - weights
    assert "tlm_edge/models/wiki-bert-1/model.safetensors" in names
    assert {
        "tlm_edge/py.typed",
        "tlm_edge/models/evaluation/agnews.jsonl",
        "tlm_edge/bench/record.schema.json",
        "tlm_edge/runtime/manifest.schema.json",
        "tlm_edge/report/page.html.j2",
    } <= names


def test_the_source_archive_leaves_tests_and_results_out(archives: Path) -> None:
    top = f"tlm_edge-{__version__}"
    with tarfile.open(archives / f"{top}.tar.gz") as archive:
        names = {name.removeprefix(f"{top}/") for name in archive.getnames()}
    assert (
        names_in_checkout("tlm_edge") | names_in_checkout("models") | {"LICENSE", "README.md", "pyproject.toml"}
        <= names
    )
    assert not {name for name in names if name.startswith(("tests/", "benchmarks/", "."))} - {".gitignore"}
