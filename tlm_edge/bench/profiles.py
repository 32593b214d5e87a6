"""What is known of devices: their cores, memory and published measurements. ``profiles.toml``, or a file of the user's.

A file of the user's holds what one table of ``profiles.toml`` does, at its top level; its name is that of the file.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tlm_edge.runtime.errors import UserError
from tlm_edge.runtime.from_json import JsonShapeError, from_json

PROFILES_FILE = Path(__file__).with_name("profiles.toml")
#: Of /proc/cpuinfo; what else a Linux system may tell isn't asked for.
_FEATURE = re.compile(r"[a-z0-9_]+")
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")


@dataclass(frozen=True)
class Cores:
    """Cores of one kind: how many, their clock in MHz, their caches in KiB, and how the system names them.

    ``implementer``, ``part`` (MIDR_EL1) and ``features`` are those of ``/proc/cpuinfo``. ``qemu`` is qemu-user's CPU
    model with the same instructions, ``mca`` the CPU of llvm-mca with the nearest pipeline; null where there is none.
    """

    type: str
    count: int
    mhz: int
    l1d_kib: int
    l2_kib: int
    implementer: int
    part: int
    features: tuple[str, ...]
    qemu: str | None = None
    mca: str | None = None


@dataclass(frozen=True)
class Reference:
    """A published latency in milliseconds, with the threads and the clock in MHz that it was measured with.

    ``year`` is the earliest that the measurement can be of, null where that can't be told.
    """

    model: str
    precision: str
    runtime: str
    threads: int
    mhz: int
    ms: float
    source: str
    year: int | None = None


@dataclass(frozen=True)
class DeviceProfile:
    """A kind of device. The first of ``cores`` are the fastest; without cores it can be measured but not emulated.

    ``memory_gbps`` is what one core copies from memory, in 10⁹ bytes a second; ``shared_cache_kib`` the cache behind
    those of the cores, 0 where there is none.
    """

    name: str
    title: str
    transport: Literal["ssh", "adb"]
    soc: str | None = None
    memory_gbps: float | None = None
    shared_cache_kib: int = 0
    cores: tuple[Cores, ...] = ()
    references: tuple[Reference, ...] = ()


def profile_names() -> tuple[str, ...]:
    """The names of the profiles that are shipped, in their order."""
    return tuple(_shipped())


def profile_of(name: str) -> DeviceProfile:
    """The shipped profile ``name``, or that in the file ``name``, if it ends in ``.toml``.

    Raises ``UserError`` if there is none or the file isn't one.
    """
    if name.endswith(".toml"):
        return read_profile(Path(name))
    if name not in _shipped():
        raise UserError(f"no device profile '{name}': choose {', '.join(_shipped())}, or a file of your own, NAME.toml")
    return _shipped()[name]


def read_profile(path: Path) -> DeviceProfile:
    """The profile in ``path``. Raises ``UserError`` with the first thing that is wrong with it."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no profile file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not TOML: {error}") from error
    name = path.name.removesuffix(".toml")
    if not _NAME.fullmatch(name):
        raise UserError(f"{path} can't name a device: rename it with lower-case letters, digits, '-', '_' and '.'")
    try:
        return _profile(name, content)
    except JsonShapeError as error:
        raise UserError(f"{path}: {error}; docs/devices.md tells what a profile holds") from error


@cache
def _shipped() -> dict[str, DeviceProfile]:
    content = tomllib.loads(PROFILES_FILE.read_text(encoding="utf-8"))
    return {name: _profile(name, table) for name, table in content.items()}


def _profile(name: str, table: dict[str, Any]) -> DeviceProfile:
    if "name" in table:
        raise JsonShapeError("name: not a known key, the file's name is the device's")
    profile = from_json(DeviceProfile, {**table, "name": name})
    if profile.cores and profile.memory_gbps is None:
        raise JsonShapeError("memory_gbps: missing, and there are cores")
    if profile.memory_gbps is not None and not 0 < profile.memory_gbps < 10_000:
        raise JsonShapeError("memory_gbps: more than 0 expected")
    for index, cores in enumerate(profile.cores):
        _check_cores(cores, f"cores[{index}]")
    for index, reference in enumerate(profile.references):
        if min(reference.threads, reference.mhz, reference.ms) <= 0:
            raise JsonShapeError(f"references[{index}]: threads, mhz and ms must be more than 0")
    return profile


def _check_cores(cores: Cores, where: str) -> None:
    for key in ("count", "mhz", "l1d_kib", "l2_kib"):
        if getattr(cores, key) <= 0:
            raise JsonShapeError(f"{where}.{key}: more than 0 expected")
    if not 0 <= cores.implementer <= 0xFF or not 0 <= cores.part <= 0xFFF:
        raise JsonShapeError(f"{where}: implementer has 8 bits and part 12, as in /proc/cpuinfo")
    if faults := [feature for feature in cores.features if not _FEATURE.fullmatch(feature)]:
        raise JsonShapeError(f"{where}.features: {faults[0]!r} is not as in /proc/cpuinfo")
    for key in ("qemu", "mca"):
        value = getattr(cores, key)
        if value is not None and not _NAME.fullmatch(value):
            raise JsonShapeError(f"{where}.{key}: {value!r} is no name of a CPU")
        # Its int8 kernels gave wrong results, by as much as the logits themselves.
        if value == "max":
            raise JsonShapeError(f"{where}.{key}: 'max' is no CPU that exists, and computes wrong int8 results")
