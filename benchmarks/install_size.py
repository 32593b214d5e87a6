"""What the light installation takes on disk: the wheel and what it requires, in a fresh environment.

    python benchmarks/install_size.py

Builds the wheel from the checkout, installs it with the locked versions of its light requirements and nothing else,
and adds up what lies in site-packages, with and without the bytecode that pip (not uv) compiles at once. The aim: 200
MB. Fails if PyTorch or another heavy package came along or if the command line does not answer.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from environment import describe_machine, write_result

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sys.executable).with_name("uv")
UNWANTED = ("torch", "transformers", "scikit-learn", "matplotlib", "datasets", "onnx")
SHOWN_FROM_MB = 1.0


def run(*command: str | Path) -> str:
    """The standard output of a command; its failure ends the benchmark."""
    return subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def megabytes(folder: Path) -> Counter[str]:
    """Space on disk by top-level entry, in MB of 10⁶ bytes: the blocks that the files occupy."""
    sizes: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            sizes[path.relative_to(folder).parts[0]] += path.stat().st_blocks * 512 / 1e6
    return sizes


def measure(workspace: Path) -> dict[str, object]:
    """Install into ``workspace`` and measure."""
    build = (UV, "build", "--quiet", "--python", sys.executable, "--no-build-isolation", "--wheel")
    run(*build, "--out-dir", workspace / "dist")
    (wheel,) = (workspace / "dist").glob("*.whl")
    run(UV, "venv", "--quiet", "--python", sys.executable, workspace / "venv")
    python = workspace / "venv" / "bin" / "python"
    constraints = ROOT / "requirements.lock"
    run(UV, "pip", "install", "--quiet", "--link-mode", "copy", "--python", python, "-c", constraints, wheel)
    listed = run(UV, "pip", "freeze", "--quiet", "--python", python).splitlines()
    packages = [line.partition("==")[0].partition(" @ ")[0] for line in listed]
    came_along = [name for name in UNWANTED if name in packages]
    if came_along:
        sys.exit(f"error: the light installation brought {', '.join(came_along)}")
    run(python, "-B", "-m", "tlm_edge", "--help")
    (site_packages,) = (workspace / "venv" / "lib").glob("python*/site-packages")
    sizes = megabytes(site_packages)
    models = sum(megabytes(site_packages / "tlm_edge" / "models").values())
    run(python, "-m", "compileall", "-q", site_packages)
    return {
        "wheel_mb": round(wheel.stat().st_size / 1e6, 1),
        "installed_mb": round(sum(sizes.values()), 1),
        "of_which_shipped_models_mb": round(models, 1),
        "installed_with_bytecode_mb": round(sum(megabytes(site_packages).values()), 1),
        "packages": len(packages),
        "largest_mb": {name: round(size, 1) for name, size in sizes.most_common() if size >= SHOWN_FROM_MB},
    }


def main() -> None:
    """Measure once: sizes don't vary."""
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder))
    for name, value in result.items():
        print(f"{name}: {value}")
    write_result("install_size", {"machine": describe_machine()} | result)


if __name__ == "__main__":
    main()
