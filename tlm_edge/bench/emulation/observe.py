"""What our plugin for qemu-user observes: instructions of marked regions, and the program's own memory.

The plugin's source is ``plugin/observe.c``, under a licence of its own; it is compiled into the cache when first used.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tlm_edge.bench.emulation.tools import require_tool
from tlm_edge.runtime.cache import cache_root
from tlm_edge.runtime.errors import UserError

SOURCE = Path(__file__).parent / "plugin/observe.c"
_FLAGS = ("-std=c11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread")


@dataclass(frozen=True)
class Region:
    """What was executed between two marks: block → times. A block is its instructions' bytes, 4 an instruction.

    ``touched_mb`` is the memory that was read or written, in whole pages, in MB (10⁶ bytes).
    """

    blocks: dict[bytes, int]
    touched_mb: float

    @property
    def instructions(self) -> int:
        """How many instructions were executed."""
        return sum(len(block) // 4 * times for block, times in self.blocks.items())


@dataclass(frozen=True)
class Observation:
    """All regions in order, and resident memory in MB (10⁶ bytes), the emulator's share left out.

    ``memory_mb`` are the values at the marks that asked for it, ``peak_mb`` the largest there was.
    """

    regions: tuple[Region, ...]
    memory_mb: tuple[float, ...]
    peak_mb: float


def plugin() -> Path:
    """The compiled plugin, from the cache or compiled now.

    Raises ``UserError`` if there is no C compiler, or it fails.
    """
    digest = hashlib.sha256(SOURCE.read_bytes() + " ".join(_FLAGS).encode()).hexdigest()[:16]
    file = cache_root() / "emulation" / f"observe-{platform.machine()}-{digest}.so"
    if not file.is_file():
        compiler = require_tool("cc")
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".compiling.", dir=file.parent) as folder:
            made = Path(folder) / file.name
            command = [compiler, *_FLAGS, "-o", str(made), str(SOURCE)]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
            if done.returncode:
                said = (done.stderr.strip().splitlines() or ["it said nothing"])[0]
                raise UserError(f"{compiler} can't compile the plugin that counts instructions: {said}")
            os.replace(made, file)
    return file


def read_observation(file: Path) -> Observation:
    """What the plugin wrote to ``file``. Raises ``UserError`` if the program ended before it was complete."""
    regions: list[dict[str, int]] = []
    touched: list[float] = []
    memory: list[float] = []
    peak: float | None = None
    codes: dict[str, bytes] = {}
    for line in file.read_text(encoding="ascii").splitlines():
        kind, *words = line.split()
        if kind == "region":
            regions.append({})
            touched.append(_mb(words[0]))
        elif kind == "count":
            regions[-1][words[0]] = int(words[1])
        elif kind == "block":
            codes[words[0]] = b"".join(
                int(words[1][start : start + 8], 16).to_bytes(4, "little") for start in range(0, len(words[1]), 8)
            )
        elif kind == "memory":
            memory.append(_mb(words[0]))
        elif kind == "peak":
            peak = _mb(words[0])
    if peak is None:
        raise UserError("the emulated program ended before its instructions were told: run it again")
    counted = tuple(
        Region({codes[block]: times for block, times in region.items()}, pages)
        for region, pages in zip(regions, touched, strict=True)
    )
    return Observation(counted, tuple(memory), peak)


def _mb(kib: str) -> float:
    return int(kib) * 1024 / 1e6
