"""The programs that build the app: what they are called, how they are run, and what to say when one is missing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tlm_edge.android.parts import SETUP_COMMAND
from tlm_edge.runtime.errors import UserError

#: program → the Debian package that brings it.
PROGRAMS = {
    "java": "openjdk-17-jdk-headless",
    "javac": "openjdk-17-jdk-headless",
    "keytool": "openjdk-17-jdk-headless",
    "aapt2": "aapt",
    "zipalign": "zipalign",
    "apksigner": "apksigner",
}


def missing_programs() -> dict[str, str]:
    """The programs that aren't installed, with the Debian package of each."""
    return {name: package for name, package in PROGRAMS.items() if shutil.which(name) is None}


def run(*command: str | Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a program to its end and give what it printed.

    Raises ``UserError`` if it isn't installed, or with the first line that it complains in.
    """
    words = [str(word) for word in command]
    if shutil.which(words[0]) is None:
        package = PROGRAMS.get(words[0], words[0])
        raise UserError(f"{words[0]} is not installed: `{SETUP_COMMAND}` installs it (Debian's package {package})")
    done = subprocess.run(  # noqa: S603
        words, capture_output=True, text=True, check=False, env=None if environment is None else dict(environment)
    )
    if done.returncode:
        lines = [line for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
        said = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "it said nothing")
        raise UserError(f"{Path(words[0]).name} failed: {said.strip()}")
    return done.stdout


def java(classpath: Sequence[Path], main: str, *arguments: str | Path, options: Sequence[str] = ()) -> str:
    """Run a Java program."""
    return run("java", *options, "-cp", ":".join(str(file) for file in classpath), main, *arguments)


def compile_kotlin(compiler: Sequence[Path], sources: Sequence[Path], classpath: Sequence[Path], out: Path) -> None:
    """Compile Kotlin (and look at the Java among ``sources``) into class files for Java 8, which is what D8 takes."""
    java(
        compiler,
        "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
        *("-no-stdlib", "-no-reflect", "-jvm-target", "1.8", "-Xno-param-assertions"),
        *("-classpath", ":".join(str(file) for file in classpath), "-d", out),
        *sources,
        options=("-Xmx1g",),
    )
