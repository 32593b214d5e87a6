"""What machine this is and what state it is in; standard library only, since it runs on the device.

Everything that a system doesn't tell is null.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: Instruction sets that decide how fast a quantized or float matrix product is.
_TELLING_FEATURES = frozenset(
    """avx avx2 fma f16c avx512f avx512bw avx512_vnni avx_vnni avx512_bf16 avx512_fp16 amx_int8 amx_bf16
    neon asimd asimddp asimdhp fphp i8mm bf16 sve sve2 sme""".split()  # noqa: SIM905 - reads better so
)


@dataclass(frozen=True)
class Machine:
    """Hardware and system, as the system itself tells."""

    cpu: str
    architecture: str
    cores: int
    usable_cores: int
    memory_mb: float | None
    system: str
    kernel: str
    python: str
    features: tuple[str, ...]
    virtual: bool | None


@dataclass(frozen=True)
class Conditions:
    """What may spoil a measurement, at one moment.

    Clocks are in MHz, the mean and the limit over the cores; the temperature in °C is the hottest zone's; the load
    average is that of a minute; ``throttled`` is what a Raspberry Pi's firmware reports.
    """

    clock_mhz: float | None
    clock_limit_mhz: float | None
    governor: str | None
    temperature_c: float | None
    load_average: float | None
    available_memory_mb: float | None
    throttled: str | None
    on_battery: bool | None


def describe_machine(root: Path = Path("/")) -> Machine:
    """What this machine is. ``root`` is where ``proc`` and ``sys`` are found."""
    information = _read(root / "proc/cpuinfo") or ""
    flags = _field(information, "flags") or _field(information, "Features") or ""
    memory = re.search(r"MemTotal:\s+(\d+) kB", _read(root / "proc/meminfo") or "")
    return Machine(
        cpu=_cpu_name(information, root),
        architecture=platform.machine(),
        cores=os.cpu_count() or 1,
        usable_cores=usable_cores(),
        memory_mb=int(memory[1]) * 1024 / 1e6 if memory else _sysctl_memory(),
        system=_system_name(),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        features=telling_features(flags.split()),
        virtual="hypervisor" in flags.split() if platform.machine() in ("x86_64", "AMD64") and flags else None,
    )


def telling_features(flags: Iterable[str]) -> tuple[str, ...]:
    """Those of the processor's flags that decide how fast a matrix product is, in order."""
    return tuple(sorted(_TELLING_FEATURES.intersection(flags)))


def read_conditions(root: Path = Path("/")) -> Conditions:
    """The state of this machine now. ``root`` is where ``proc`` and ``sys`` are found."""
    policies = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq"))
    governors = sorted({text for policy in policies if (text := _read(policy / "scaling_governor"))})
    temperatures = [
        value / 1000 for zone in (root / "sys/class/thermal").glob("thermal_zone*/temp") if (value := _number(zone))
    ]
    available = re.search(r"MemAvailable:\s+(\d+) kB", _read(root / "proc/meminfo") or "")
    return Conditions(
        clock_mhz=_mean([value / 1000 for policy in policies if (value := _number(policy / "scaling_cur_freq"))]),
        clock_limit_mhz=_mean([value / 1000 for policy in policies if (value := _number(policy / "scaling_max_freq"))]),
        governor=", ".join(governors) or None,
        temperature_c=max(temperatures, default=None),
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        available_memory_mb=int(available[1]) * 1024 / 1e6 if available else None,
        throttled=_throttled(),
        on_battery=_on_battery(root),
    )


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_seconds(root: Path = Path("/")) -> float | None:
    """Core-seconds since boot in which any core worked or was taken by the hypervisor; null without ``/proc/stat``."""
    line = (_read(root / "proc/stat") or "").split("\n", 1)[0].split()
    if len(line) < 9 or line[0] != "cpu":
        return None
    user, nice, system, _idle, _iowait, interrupt, soft_interrupt, steal = (int(value) for value in line[1:9])
    return (user + nice + system + interrupt + soft_interrupt + steal) / os.sysconf("SC_CLK_TCK")


def resident_mb() -> float | None:
    """Resident set of this process in MB (10⁶ bytes)."""
    if sys.platform == "linux":
        return _status_mb("VmRSS")
    return peak_resident_mb()


def peak_resident_mb() -> float | None:
    """Largest resident set of this process so far in MB (10⁶ bytes).

    On Linux ``VmHWM``: ``ru_maxrss`` would start at the size of the process that forked this one.
    """
    if sys.platform == "linux":
        return _status_mb("VmHWM")
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _status_mb(field: str) -> float | None:
    value = re.search(rf"^{field}:\s+(\d+) kB", _read(Path("/proc/self/status")) or "", re.MULTILINE)
    return int(value[1]) * 1024 / 1e6 if value else None


def _cpu_name(information: str, root: Path) -> str:
    board = (_read(root / "proc/device-tree/model") or "").strip("\0 \n")
    name = _field(information, "model name") or _field(information, "Model") or _field(information, "Hardware")
    if sys.platform == "darwin":
        name = _output("sysctl", "-n", "machdep.cpu.brand_string") or name
    parts = [part for part in (board, name) if part]
    return ", ".join(dict.fromkeys(parts)) or platform.processor() or platform.machine()


def _system_name() -> str:
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _sysctl_memory() -> float | None:
    size = _output("sysctl", "-n", "hw.memsize") if sys.platform == "darwin" else None
    return int(size) / 1e6 if size and size.isdigit() else None


def _throttled() -> str | None:
    answer = _output("vcgencmd", "get_throttled")
    return answer.split("=", 1)[1] if answer and "=" in answer else None


def _on_battery(root: Path) -> bool | None:
    mains = [text for path in (root / "sys/class/power_supply").glob("*/online") if (text := _read(path))]
    return all(text == "0" for text in mains) if mains else None


def _output(*command: str) -> str | None:
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=5, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _field(information: str, name: str) -> str | None:
    found = re.search(rf"^{name}\s*:\s*(.+)$", information, re.MULTILINE)
    return found[1].strip() if found else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _number(path: Path) -> float | None:
    text = _read(path)
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
