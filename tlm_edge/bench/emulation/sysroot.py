"""An arm64 Linux userland in the cache, from Debian's packages, unpacked and never installed: no root, no container.

What a system tells of its processor, in ``/proc`` and ``/sys``, is the device's: the runtimes choose their kernels by
it. The packages are those of the host's own Debian release, or of the mirror that ``TLM_EDGE_DEBIAN`` names
(``https://MIRROR RELEASE``), checked by apt against Debian's signatures; what they held is listed with its hashes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from tlm_edge.bench.emulation.tools import require_tool
from tlm_edge.bench.profiles import Cores
from tlm_edge.files import new_folder, scratch_folder, sha256_file
from tlm_edge.runtime.cache import cache_root
from tlm_edge.runtime.errors import UserError

#: What every userland has; apt adds what these depend on.
PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
#: Names a Debian mirror and its release where the host's own apt has none: ``https://MIRROR bookworm``.
DEBIAN_VARIABLE = "TLM_EDGE_DEBIAN"
#: In the sysroot: every package with its hash, every file with its own.
CONTENTS_FILE = "contents.json"

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: To be raised when the same packages are laid out otherwise.
_LAYOUT = 1


def sysroot(cores: Cores, packages: Sequence[str] = ()) -> Path:
    """The userland of a machine with ``cores`` alone: from the cache, or fetched and assembled now.

    ``packages`` are Debian's to add to Python, for who wants a shell in it. Every file but Python's own caches is held
    against its hash: a userland that was altered is assembled anew.
    Raises ``UserError`` if it can't be had: no apt, no Debian, no network.
    """
    wanted = sorted({*PACKAGES, *packages})
    base = _folder(f"debian-{_digest([str(_LAYOUT), *_debian(), *wanted])}")
    tells = dict(_machine_files(cores))
    place = _folder(f"{base.name}-{cores.type.lower()}-{_digest([json.dumps(tells)])}")
    if not is_intact(place):
        if not is_intact(base):
            _assemble(base, wanted)
        with new_folder(place, force=True) as folder:
            shutil.copytree(base, folder, symlinks=True, copy_function=os.link, dirs_exist_ok=True)
            (folder / CONTENTS_FILE).unlink()
            for name, text in tells.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text, encoding="ascii")
            listed = json.loads((base / CONTENTS_FILE).read_text(encoding="utf-8"))
            _write_contents(folder, listed["packages"])
    return place


def python_of(root: Path) -> tuple[int, int]:
    """The version of the userland's Python. Raises ``UserError`` if it has none."""
    found = re.fullmatch(r"python(\d+)\.(\d+)", (root / "usr/bin/python3").resolve().name)
    if found is None:
        raise UserError(f"{root} has no Python: delete it, it will be made anew")
    return int(found[1]), int(found[2])


def is_intact(root: Path) -> bool:
    """Whether ``root`` holds exactly what was unpacked into it, Python's caches apart."""
    try:
        listed: dict[str, str] = json.loads((root / CONTENTS_FILE).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return dict(_hashes(root)) == listed


def _folder(name: str) -> Path:
    return cache_root() / "emulation" / "sysroots" / name


def _assemble(place: Path, packages: Sequence[str]) -> None:
    require_tool("apt-get")
    require_tool("dpkg-deb")
    with scratch_folder(place) as scratch, new_folder(place, force=True) as folder:
        fetched = _fetch(scratch, packages)
        for package in fetched:
            _run(["dpkg-deb", "-x", str(package), str(folder)], f"{package.name} can't be unpacked")
        _write_contents(folder, {package.name: sha256_file(package) for package in fetched})


def _fetch(scratch: Path, packages: Sequence[str]) -> list[Path]:
    """Download ``packages`` and all they depend on with an apt whose every folder is in ``scratch``."""
    for name in ("state/lists/partial", "cache/archives/partial", "log"):
        (scratch / name).mkdir(parents=True)
    mirror, release = _debian()
    signed = f" signed-by={_KEYRING}" if _KEYRING.is_file() else ""
    (scratch / "sources.list").write_text(f"deb [arch=arm64{signed}] {mirror} {release} main\n", encoding="utf-8")
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Install-Recommends": "false",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Acquire::Languages": "none",
        "Dir::Cache": f"{scratch}/cache",
        "Dir::Etc::SourceList": f"{scratch}/sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Log": f"{scratch}/log",
        "Dir::State": f"{scratch}/state",
        "Dir::State::status": "/dev/null",
        # As root apt would fetch as another user, who can't write here.
        "APT::Sandbox::User": "root",
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    why = f"Debian's arm64 packages can't be fetched from {mirror}: check the network"
    _run(["apt-get", *options, "-qq", "update"], why)
    _run(["apt-get", *options, "-qq", "--yes", "--download-only", "install", *packages], why)
    return sorted((scratch / "cache/archives").glob("*.deb"))


@cache
def _debian() -> tuple[str, str]:
    """A Debian mirror and a release of it: what the variable names, or else the host's own."""
    if chosen := os.environ.get(DEBIAN_VARIABLE):
        words = chosen.split()
        if len(words) != 2 or not re.fullmatch(r"(https?|file)://\S+", words[0]):
            raise UserError(
                f"{DEBIAN_VARIABLE}={chosen}: a mirror's address and a release expected, with a space between"
            )
        return words[0], words[1]
    program = require_tool("apt-get")
    wanted = ("$(ORIGIN)", "$(CREATED_BY)", "$(CODENAME)", "$(COMPONENT)", "$(REPO_URI)")
    command = [program, "indextargets", "--format", "|".join(wanted)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    for line in listed.stdout.splitlines():
        origin, made_by, codename, component, address = (line.split("|") + [""] * 5)[:5]
        if (origin, made_by, component) == ("Debian", "Packages", "main") and re.fullmatch("[a-z]+", codename):
            return address, codename
    raise UserError(
        "the arm64 system to emulate with comes from Debian, and this machine's apt knows no Debian mirror: run apt-get"
        f" update, or on another system set {DEBIAN_VARIABLE} to a mirror and a release (docs/emulation.md)"
    )


def _machine_files(cores: Cores) -> Iterator[tuple[str, str]]:
    """What Linux tells of the processor where the runtimes look for it: path → text."""
    one = "".join(
        f"{key}\t: {value}\n"
        for key, value in (
            ("BogoMIPS", "108.00"),
            ("Features", " ".join(cores.features)),
            ("CPU implementer", f"{cores.implementer:#04x}"),
            ("CPU architecture", "8"),
            ("CPU variant", "0x0"),
            ("CPU part", f"{cores.part:#05x}"),
            ("CPU revision", "0"),
        )
    )
    yield "proc/cpuinfo", "\n".join(f"processor\t: {number}\n{one}" for number in range(cores.count))
    last = cores.count - 1
    everyone = f"0-{last}" if last else "0"
    folder = "sys/devices/system/cpu"
    for name in ("possible", "present", "online"):
        yield f"{folder}/{name}", f"{everyone}\n"
    yield f"{folder}/kernel_max", f"{last}\n"
    for number in range(cores.count):
        own = f"{folder}/cpu{number}"
        yield f"{own}/regs/identification/midr_el1", f"{cores.implementer << 24 | 0xF0000 | cores.part << 4:#018x}\n"
        yield f"{own}/cpufreq/cpuinfo_max_freq", f"{cores.mhz * 1000}\n"
        yield f"{own}/cpufreq/scaling_max_freq", f"{cores.mhz * 1000}\n"
        yield f"{own}/topology/core_id", f"{number}\n"
        yield f"{own}/topology/physical_package_id", "0\n"
        for name in ("core_siblings", "package_cpus"):
            yield f"{own}/topology/{name}", f"{(1 << cores.count) - 1:x}\n"
            yield f"{own}/topology/{name}_list", f"{everyone}\n"


def _write_contents(folder: Path, packages: dict[str, str]) -> None:
    content = {"packages": packages, "files": dict(_hashes(folder))}
    (folder / CONTENTS_FILE).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _hashes(root: Path) -> Iterator[tuple[str, str]]:
    for folder, folders, names in os.walk(root):
        if "__pycache__" in folders:
            folders.remove("__pycache__")
        for name in sorted({*names, *(each for each in folders if (Path(folder) / each).is_symlink())}):
            path = Path(folder) / name
            relative = path.relative_to(root).as_posix()
            if path.is_symlink():
                yield relative, f"-> {path.readlink()}"
            elif relative != CONTENTS_FILE:
                yield relative, sha256_file(path)


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _run(command: list[str], fault: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg-deb:"))]
        raise UserError(f"{fault} ({said[-1].removeprefix('E: ') if said else f'status {done.returncode}'})")
