"""The older runtime that TFLite files can be made for, tflite-runtime 2.14, in an environment of its own."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tlm_edge.files import new_folder
from tlm_edge.runtime.cache import cache_root
from tlm_edge.runtime.errors import UserError

#: Every package with the hashes of its wheels. tflite-runtime's last ones are for Python 3.11 and NumPy 1.
REQUIREMENTS = Path(__file__).with_name("tflite-runtime-2.14.txt")
PYTHON = (3, 11)


def tflite_runtime_2_14() -> Path:
    """The Python of an environment with tflite-runtime 2.14 and no other runtime, made in the cache on first use.

    Raises ``UserError`` if there is no Python 3.11 or the packages can't be had.
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    folder = cache_root() / "environments" / f"{REQUIREMENTS.stem}-{digest}"
    python = folder / "bin" / "python"
    if not python.is_file():
        base = _base_python()
        with new_folder(folder, force=True) as temporary:
            _run([base, "-m", "venv", str(temporary)], "make its environment")
            install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            pinned = ["--require-hashes", "--only-binary", ":all:", "-r", str(REQUIREMENTS)]
            _run([str(temporary / "bin" / "python"), *install, *pinned], "install it")
    return python


def _base_python() -> str:
    if sys.version_info[:2] == PYTHON:
        return sys.executable
    name = "python" + ".".join(map(str, PYTHON))
    found = shutil.which(name)
    if found is None:
        raise UserError(
            f"checking a file in tflite-runtime 2.14 needs {name}, the last Python it was made for: install it"
        )
    return found


def _run(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise UserError(
            f"tflite-runtime 2.14 can't be had here to check the file in: {words[-1]} (tried to {what}); "
            "leave --compat out, or export on x86-64 Linux with a package index in reach"
        )
