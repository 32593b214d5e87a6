"""Android's native libraries for x86-64 on the desktop's JVM: their C library's names lead to glibc.

It is the very file of the APK that runs, unaltered; not Android's own are the C library, the kernel and the JVM.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

SOURCE = Path(__file__).with_name("bionic.c")
#: The system libraries that those of the APK name; all lead to the jumps.
NAMES = ("libc.so", "libm.so", "libdl.so", "liblog.so", "libandroid.so")
_OWN = ("stdout", "stderr")


def write_bionic(folder: Path, libraries: Iterable[Path]) -> None:
    """Build into ``folder`` what ``libraries`` find their C library's functions in; needs ``gcc`` and ``nm``."""
    own = folder / "libbionic.so"
    _run("gcc", "-shared", "-fPIC", "-O1", "-w", "-Wl,-Bsymbolic", f"-Wl,-soname,{own.name}", "-o", own, SOURCE)
    wanted = {name for library in libraries for name in _symbols(library, "--undefined-only")}
    provided = {*_symbols(own, "--defined-only"), *_OWN}
    for library in libraries:
        provided |= _symbols(library, "--defined-only")
    names = sorted(name for name in wanted - provided if not name.startswith("_ZT"))
    jumps = folder / "jumps.S"
    jumps.write_text(_assembly(names), encoding="ascii")
    made = folder / "libjumps.so"
    _run("gcc", "-shared", "-nostartfiles", f"-Wl,-soname,{made.name}", "-o", made, jumps, own)
    # The names that are asked for hold nothing: what they should hold must not be versioned, and the loader insists
    # that a library which is named together with a version has it.
    for name in NAMES:
        _run("gcc", "-shared", "-nostartfiles", "-Wl,--no-as-needed", f"-Wl,-soname,{name}", "-o", folder / name, made)


def _symbols(library: Path, which: str) -> set[str]:
    lines = _run("nm", "-D", which, library).splitlines()
    return {line.split()[-1].partition("@")[0] for line in lines if line.strip()}


def _assembly(names: list[str]) -> str:
    lines = ['.section .note.GNU-stack,"",@progbits', ".data", "targets:", *(".quad 0" for _ in names)]
    lines += [".section .rodata", "words:"]
    for name in names:
        lines.append(f'.asciz "{name}"')
    # The constructor: for every name in turn, ask bionic_target and keep its answer.
    lines += [
        ".text", "connect:", "push %rbx", "push %r12", "push %r13",
        "lea words(%rip), %rbx", "lea targets(%rip), %r12", f"mov ${len(names)}, %r13",
        "1: mov %rbx, %rdi", "call bionic_target@PLT", "mov %rax, (%r12)", "add $8, %r12",
        "2: inc %rbx", "cmpb $0, -1(%rbx)", "jne 2b",
        "dec %r13", "jnz 1b", "pop %r13", "pop %r12", "pop %rbx", "ret",
        '.section .init_array,"aw"', ".quad connect", ".text",
    ]  # fmt: skip
    for number, name in enumerate(names):
        lines += [f".globl {name}", f".type {name}, @function", f"{name}: jmp *targets+{8 * number}(%rip)"]
    return "\n".join(lines) + "\n"


def _run(*words: str | Path) -> str:
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout
