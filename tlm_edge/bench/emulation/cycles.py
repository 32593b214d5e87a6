"""Cycles of blocks of instructions on a processor's pipeline, by llvm-mca; every answer is kept in the cache.

llvm-mca repeats a block and tells the cycles it takes in the steady state, with every load found in the first-level
cache and every branch foreseen (https://llvm.org/docs/CommandGuide/llvm-mca.html).
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

from tlm_edge.bench.emulation.tools import require_tool
from tlm_edge.runtime.cache import cache_root
from tlm_edge.runtime.errors import UserError

#: How often llvm-mca repeats a block: enough for the pipeline to fill.
ITERATIONS = 20
#: Longer blocks are analysed in pieces: llvm-mca's time grows with the repetitions that are in flight.
_LONGEST = 256
#: Blocks given to llvm-mca at once.
_TOGETHER = 400
#: Calls and returns: llvm-mca charges 100 cycles for a call, and what is called is counted as blocks of its own.
_CALLS = re.compile(r"(bl|blr|ret|svc)\b")
_ATTRIBUTES = "-mattr=+v8.6a,+dotprod,+fullfp16,+i8mm,+bf16,+lse,+crypto"


def block_cycles(blocks: Iterable[bytes], cpu: str) -> dict[bytes, float]:
    """Cycles of each block, by its instructions' bytes, on llvm-mca's ``cpu``.

    Raises ``UserError`` if LLVM isn't there or doesn't know the CPU.
    """
    wanted = dict.fromkeys(blocks)
    analyser = require_tool("llvm-mca")
    place = cache_root() / "emulation"
    place.mkdir(parents=True, exist_ok=True)
    key = f"{_llvm_version(analyser)} {cpu} {ITERATIONS}"
    with closing(sqlite3.connect(place / "cycles.sqlite", timeout=60)) as store:
        store.execute("create table if not exists cycles (key text, block blob, cycles real, primary key (key, block))")
        known: dict[bytes, float] = dict(store.execute("select block, cycles from cycles where key = ?", (key,)))
        found = {block: known[block] for block in wanted if block in known}
        missing = [block for block in wanted if block not in known]
        for start in range(0, len(missing), _TOGETHER):
            part = missing[start : start + _TOGETHER]
            analysed = dict(zip(part, _analyse(part, cpu, analyser), strict=True))
            with store:
                rows = [(key, block, cycles) for block, cycles in analysed.items()]
                store.executemany("insert or replace into cycles values (?, ?, ?)", rows)
            found |= analysed
    return found


def _analyse(blocks: Sequence[bytes], cpu: str, analyser: str) -> list[float]:
    pieces = [
        (number, block[start : start + 4 * _LONGEST])
        for number, block in enumerate(blocks)
        for start in range(0, len(block), 4 * _LONGEST)
    ]
    lines = iter(_disassemble([piece for _, piece in pieces]))
    source = []
    for index, (_, piece) in enumerate(pieces):
        kept = [line for line in (next(lines) for _ in range(len(piece) // 4)) if not _CALLS.match(line)]
        # A region without instructions would be left out of the answer.
        source += [f"# LLVM-MCA-BEGIN {index}", *(kept or ["nop"]), "# LLVM-MCA-END"]
    command = [analyser, "-mtriple=aarch64", f"-mcpu={cpu}", _ATTRIBUTES, f"-iterations={ITERATIONS}"]
    command += ["-resource-pressure=0", "-instruction-info=0", "-skip-unsupported-instructions=any"]
    told = _run(command, "\n".join(source) + "\n")
    cycles = [0.0] * len(blocks)
    region = -1
    for line in told.splitlines():
        if found := re.match(r"\[\d+\] Code Region - (\d+)", line):
            region = int(found[1])
        elif found := re.match(r"Total Cycles:\s+(\d+)", line):
            cycles[pieces[region][0]] += int(found[1]) / ITERATIONS
    return cycles


def _disassemble(pieces: Sequence[bytes]) -> Iterator[str]:
    """One line an instruction; what LLVM can't read becomes a ``nop``."""
    words = [piece[start : start + 4] for piece in pieces for start in range(0, len(piece), 4)]
    program = require_tool("llvm-mc")
    source = "\n".join(" ".join(f"{byte:#04x}" for byte in word) for word in words) + "\n"
    command = [program, "--disassemble", "-triple=aarch64", _ATTRIBUTES]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)  # noqa: S603
    # LLVM warns of an encoding it can't read and leaves it out: its place is told by the warning's line.
    unread = {int(number) for number in re.findall(r"<stdin>:(\d+):\d+: warning: invalid", done.stderr)}
    read = (line.strip() for line in done.stdout.splitlines() if line.strip() and not line.strip().startswith("."))
    for number in range(1, len(words) + 1):
        yield "nop" if number in unread else next(read)


def _run(command: list[str], source: str) -> str:
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)  # noqa: S603
    faults = [line for line in done.stderr.splitlines() if "error" in line]
    if done.returncode or faults:
        raise UserError(f"{command[0]} can't analyse arm64 code: {(faults or [f'status {done.returncode}'])[0]}")
    return done.stdout


def _llvm_version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(r"version (\S+)", done.stdout)
    return found[1] if found else ""
